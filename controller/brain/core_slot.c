/* core_slot.c - slots that agents have leased to the activator: granted to who waits, kept for a moment for who
 * comes, then sent back. None stands idle until its lease is over, but those of an instance on its way out. */
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

/* Its node has one less to offer, or forgets what is wanted: who waits is told of again. */
static void level_used(struct core *c, const struct instance *i)
{
    struct presence *p = fn_presence(i->rev->fn, i->host, false);

    if (!p)
        return;
    p->offered = true;
    fn_wanted(c, i->rev->fn);
}

/* Nobody waits: its node's own requests would have to ask for it here. */
static void send_back(struct core *c, const struct instance *i, uint64_t slot)
{
    ControllerMessage *m;
    SlotBack *b;

    if (!i->host->peer)
        return;
    level_used(c, i);
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
static void slot_match(struct core *c, struct fn *f, struct slot *s)
{
    struct ticket *t = activator_oldest(&f->queue);

    if (t && s->until > c->now && slot_usable(f, s->instance)) {
        ticket_grant(c, t, s->instance, s->id);
        slot_drop(c, s);
    } else {
        slot_back(c, s);
    }
}

void slots_match(struct core *c, struct fn *f)
{
    while (f->queue.count && !list_empty(&f->slots))
        slot_match(c, f, list_entry(f->slots.next, struct slot, link));
}

void slots_of_instance_back(struct core *c, struct instance *i)
{
    list_for_each(it, &i->leased) slot_back(c, list_entry(it, struct slot, own_link));
}

void slots_of_instance_match(struct core *c, struct instance *i)
{
    list_for_each(it, &i->leased) slot_match(c, i->rev->fn, list_entry(it, struct slot, own_link));
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

static int slot_new(struct core *c, struct instance *i, uint64_t id, uint64_t until, struct slot **ret)
{
    struct slot *s = c->slot_count < SLOTS_MAX ? calloc(1, sizeof(*s)) : NULL;

    if (!s)
        return -ENOMEM;
    s->instance = i;
    s->id = id;
    s->until = until;
    list_init(&s->link);
    list_init(&s->all_link);
    list_push_back(&i->leased, &s->own_link);
    c->slot_count++;
    *ret = s;
    return 0;
}

/* For who comes next; not for long. */
static int slot_keep(struct core *c, struct fn *f, struct instance *i, uint64_t slot, uint64_t lease)
{
    struct slot *s;
    int r = slot_new(c, i, slot, c->now + (lease < SLOT_KEEP_NS ? lease : SLOT_KEEP_NS), &s);

    if (r < 0)
        return r;
    list_push_back(&f->slots, &s->link);
    list_push_back(&c->slots, &s->all_link);
    return 0;
}

/* It leaves while somebody waits: given back it would be offered again at once, in place of one that serves. It may
 * still come back, and its slot with it. */
static void slot_hold(struct core *c, struct instance *i, uint64_t slot, uint64_t lease)
{
    struct slot *s;

    list_for_each(it, &i->leased) /* those that it has offered anew */
    {
        s = list_entry(it, struct slot, own_link);
        if (s->until + lease <= c->now)
            slot_drop(c, s);
    }
    (void)slot_new(c, i, slot, c->now + lease, &s); /* else it is free when its lease is over */
}

void slot_free(struct core *c, struct node *n, const SlotFree *m)
{
    struct instance *i = instance_find(c, m->instance);
    uint64_t lease = m->lease_ms * NS_PER_MS / 2; /* the other half is for the way of a grant */
    struct fn *f = i ? i->rev->fn : NULL;
    struct ticket *t;

    if (!i || i->dead || i->host != n || is_kept(i, m->slot))
        return;
    level_used(c, i);
    if (slot_usable(f, i)) {
        f->freed_at = c->now;
        t = activator_oldest(&f->queue);
        if (t)
            ticket_grant(c, t, i, m->slot);
        else if (slot_keep(c, f, i, m->slot, lease) < 0)
            send_back(c, i, m->slot);
    } else if (!f->queue.count || i->rev != f->active) {
        send_back(c, i, m->slot);
    } else {
        slot_hold(c, i, m->slot, lease);
    }
}

/* It was granted: how much of its lease is left is for its node to say. */
void slot_unused(struct core *c, const char *instance, uint64_t slot)
{
    struct instance *i = instance_find(c, instance);

    if (i && !i->dead && !is_kept(i, slot))
        send_back(c, i, slot);
}

void core_slot_unused(struct core *c, uint64_t now, const char *instance, uint64_t slot,
                      struct actions *out)
{
    c->now = now;
    c->out = out;
    slot_unused(c, instance, slot);
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
