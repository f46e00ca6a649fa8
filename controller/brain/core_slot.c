/* core_slot.c - slots that agents have leased to the activator: granted to who waits, kept for a moment for who
 * comes, then sent back. */
#include "brain/core_internal.h"

#include <stdlib.h>

static void slot_drop(struct core *c, struct slot *s)
{
    list_del(&s->link);
    list_del(&s->own_link);
    list_del(&s->all_link);
    c->slot_count--;
    free(s);
}

void slots_of_instance_gone(struct core *c, struct instance *i)
{
    list_for_each(it, &i->leased) slot_drop(c, list_entry(it, struct slot, own_link));
}

void slots_of_fn_gone(struct core *c, struct fn *f)
{
    list_for_each(it, &f->slots) slot_drop(c, list_entry(it, struct slot, link));
}

/* Nobody waits: its node's own requests would have to ask for it here. */
static void send_back(struct core *c, const struct instance *i, uint64_t slot)
{
    ControllerMessage *m;
    SlotBack *b;

    if (!i->host->peer)
        return;
    m = actions_send(c->out, i->host->peer);
    b = actions_alloc(c->out, sizeof(*b));
    rouse__control__v1__slot_back__init(b);
    b->slot = slot;
    m->body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_BACK;
    m->slot_back = b;
}

static void slot_back(struct core *c, struct slot *s)
{
    send_back(c, s->instance, s->id);
    slot_drop(c, s);
}

static bool slot_usable(const struct fn *f, const struct instance *i)
{
    return fn_live(f) && i->rev == f->active && instance_counts(i) && i->host->peer;
}

/* Bound as late as can be: who waits longest gets the slot that is there first. */
void slots_match(struct core *c, struct fn *f)
{
    struct ticket *t;

    while ((t = activator_oldest(&f->queue)) && !list_empty(&f->slots)) {
        struct slot *s = list_entry(f->slots.next, struct slot, link);

        if (s->until > c->now && slot_usable(f, s->instance)) {
            ticket_grant(c, t, s->instance, s->id);
            slot_drop(c, s);
        } else {
            slot_back(c, s);
        }
    }
}

static bool is_kept(const struct instance *i, uint64_t slot)
{
    list_for_each(it, &i->leased)
    {
        if (list_entry(it, struct slot, own_link)->id == slot)
            return true;
    }
    return false;
}

/* For who comes next; not for long. */
static int slot_keep(struct core *c, struct fn *f, struct instance *i, const SlotFree *m)
{
    uint64_t lease = m->lease_ms * NS_PER_MS / 2; /* the other half is for the way of a grant */
    struct slot *s;

    if (c->slot_count >= SLOTS_MAX)
        return -ENOBUFS;
    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->instance = i;
    s->id = m->slot;
    s->until = c->now + (lease < SLOT_KEEP_NS ? lease : SLOT_KEEP_NS);
    list_push_back(&f->slots, &s->link);
    list_push_back(&i->leased, &s->own_link);
    list_push_back(&c->slots, &s->all_link);
    c->slot_count++;
    return 0;
}

void slot_free(struct core *c, struct node *n, const SlotFree *m)
{
    struct instance *i = instance_find(c, m->instance);
    struct fn *f = i ? i->rev->fn : NULL;
    struct presence *p = f ? fn_presence(f, n, false) : NULL;
    struct ticket *t;

    if (!i || i->dead || i->host != n || is_kept(i, m->slot))
        return;
    if (p) { /* whatever becomes of it, its node has one less to offer */
        p->offered = true;
        fn_wanted(c, f);
    }
    if (slot_usable(f, i)) {
        f->freed_at = c->now;
        t = activator_oldest(&f->queue);
        if (t)
            ticket_grant(c, t, i, m->slot);
        else if (slot_keep(c, f, i, m) < 0)
            send_back(c, i, m->slot);
    } else if (!f->queue.count || i->rev != f->active) {
        send_back(c, i, m->slot);
    } /* else it leaves: given back it would be offered again at once, in place of one that serves */
}

uint64_t slots_due(const struct core *c)
{
    return list_empty(&c->slots) ? 0 : list_entry(c->slots.next, struct slot, all_link)->until;
}

void slots_expired(struct core *c)
{
    while (slots_due(c) && slots_due(c) <= c->now)
        slot_back(c, list_entry(c->slots.next, struct slot, all_link));
}
