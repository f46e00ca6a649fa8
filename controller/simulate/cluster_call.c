/* cluster_call.c - the entry: a call finds a free slot, or waits as a ticket. */
#include "simulate/cluster_internal.h"

#include <stdlib.h>

static bool nothing_is_ready(const struct sim_function *f)
{
    list_for_each(it, &f->all)
    {
        const struct sim_instance *i = list_entry(it, struct sim_instance, all_link);

        if (i->ready && !i->removed)
            return false;
    }
    return true;
}

static void hand_in(struct cluster *c, struct sim_call *k)
{
    struct actions out = {0};
    struct core_ticket t = {.function_key = c->functions[k->function].key,
                            .waited_ns = c->now - k->at,
                            .attempt = k->attempt};

    t.id = k->ticket = ++c->next_ticket;
    if (map_put(&c->calls, &k->by_ticket, (const char *)&k->ticket, sizeof(k->ticket)) < 0)
        abort();
    core_ticket(c->core, c->now, &t, &out);
    cluster_carry_out(c, &out);
    c->touched = true;
}

void call_arrives(struct cluster *c, const struct trace_call *t)
{
    struct sim_function *f = &c->functions[t->function];
    struct sim_call *k;

    if (!list_empty(&f->free)) {
        outcome_began(c->out, 0, false);
        instance_begin(c, list_entry(f->free.next, struct sim_instance, free_link), t->duration);
        return;
    }
    k = calloc(1, sizeof(*k));
    if (!k)
        abort();
    k->function = t->function;
    k->at = c->now;
    k->duration = t->duration;
    k->cold = nothing_is_ready(f);
    hand_in(c, k);
}

/* A grant whose slot is gone is handed in again, with its age. */
void call_answered(struct cluster *c, uint64_t ticket, const struct grant *g)
{
    struct map_node *m = map_get(&c->calls, &ticket, sizeof(ticket));
    struct sim_call *k = m ? map_entry(m, struct sim_call, by_ticket) : NULL;
    struct sim_slot *s;

    if (!k)
        return;
    map_del(&c->calls, m);
    if (!g->granted) {
        c->out->refused++;
        free(k);
        return;
    }
    m = map_get(&c->slots, &g->slot, sizeof(g->slot));
    if (!m) {
        k->attempt++;
        hand_in(c, k);
        return;
    }
    s = map_entry(m, struct sim_slot, by_id);
    map_del(&c->slots, m);
    s->instance->offered--;
    outcome_began(c->out, c->now - k->at, k->cold);
    instance_begin(c, s->instance, k->duration);
    free(s);
    free(k);
}
