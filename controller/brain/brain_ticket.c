/* brain_ticket.c - tickets of the controller's own front: callbacks by id, on the brain's thread.
 */
#include "brain/brain_internal.h"

struct front_ticket {
    uint64_t id;
    struct map_node node; /* brain.tickets */
    void (*on_grant)(void *user, uint64_t ticket, const struct grant *g);
    void *user;
};

static struct front_ticket *find(struct brain *b, uint64_t id)
{
    struct map_node *n = map_get(&b->tickets, &id, sizeof(id));

    return n ? map_entry(n, struct front_ticket, node) : NULL;
}

/* Out of memory: there is nobody to remember whom to answer, so 0 is returned and nothing follows.
 */
uint64_t brain_ticket_submit(struct brain *b, const char *function_key, const char *method,
                             const char *host, const char *path, uint32_t held_bytes,
                             uint64_t waited_ns, uint32_t attempt,
                             void (*on_grant)(void *user, uint64_t ticket, const struct grant *g),
                             void *user)
{
    struct front_ticket *t = calloc(1, sizeof(*t));
    struct core_ticket in = {.function_key = function_key,
                             .method = method,
                             .host = host,
                             .path = path,
                             .waited_ns = waited_ns,
                             .held = held_bytes,
                             .attempt = attempt};

    if (!t)
        return 0;
    t->id = in.id = ++b->next_ticket;
    t->on_grant = on_grant;
    t->user = user;
    if (map_put(&b->tickets, &t->node, (const char *)&t->id, sizeof(t->id)) < 0) {
        free(t);
        return 0;
    }
    core_ticket(b->core, loop_now(b->loop), &in, &b->actions);
    brain_touch(b);
    return in.id;
}

void brain_ticket_cancel(struct brain *b, uint64_t id)
{
    struct front_ticket *t = find(b, id);

    if (!t)
        return;
    map_del(&b->tickets, &t->node);
    free(t);
    core_ticket_gone(b->core, loop_now(b->loop), id);
    brain_touch(b);
}

void brain_slot_unused(struct brain *b, const char *instance, uint64_t slot)
{
    core_slot_unused(b->core, loop_now(b->loop), instance, slot, &b->actions);
    brain_touch(b);
}

void brain_ticket_answer(struct brain *b, uint64_t id, const struct grant *g)
{
    struct front_ticket *t = find(b, id);

    if (!t) { /* cancelled in the turn that answered it */
        if (g->granted)
            brain_slot_unused(b, g->instance, g->slot);
        return;
    }
    map_del(&b->tickets, &t->node);
    t->on_grant(t->user, id, g);
    free(t);
}

void brain_tickets_done(struct brain *b)
{
    map_for_each(n, &b->tickets) free(map_entry(n, struct front_ticket, node));
    map_done(&b->tickets);
}
