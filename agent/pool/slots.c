/* slots.c - the one owner of this node's slots.
 *
 * free -> taken: an invocation. free -> leased: the activator wants slots of
 * this revision; the lease becomes taken when its request comes, or free again
 * after 100 ms. As long as the activator wants more than there is, nothing is free. */
#include "pool/internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <string.h>

bool slot_any_free(const struct instance *i)
{
    return instance_is_up(i) && !i->closing && !i->freezing && i->in_flight + i->leased < i->slots;
}

void slot_unlist(struct instance *i)
{
    if (list_empty(&i->free))
        return;
    list_del(&i->free);
    slot_hint_add(i->pool->config.hints, i->revision->hint, -1);
}

void slot_update(struct instance *i)
{
    bool free = slot_any_free(i), listed = !list_empty(&i->free);

    if (free && !listed) {
        list_push_front(&i->revision->free, &i->free);
        slot_hint_add(i->pool->config.hints, i->revision->hint, 1);
    } else if (!free && listed) {
        slot_unlist(i);
    }
}

void slot_take(struct instance *i)
{
    i->in_flight++;
    i->revision->in_flight++;
    i->idle_since_ms = 0;
    report_begin(i->pool->config.report, i->revision->function_key, i->revision->revision,
                 loop_now(i->pool->loop));
    slot_update(i);
}

/* Requests of this node's own entry may be in turn. */
static bool taken_here(struct revision *r)
{
    struct pool *p = r->pool;

    return p->config.on_slot_free && !p->ending &&
           p->config.on_slot_free(p->config.user, r->function_key, r->revision, r->wanted);
}

void slot_release(struct instance *i)
{
    struct revision *r = i->revision;

    i->in_flight--;
    r->in_flight--;
    report_end(i->pool->config.report, r->function_key, r->revision, loop_now(i->pool->loop));
    if (!i->in_flight) {
        i->idle_since_ms = clock_wall_ms();
        i->idle_ns = loop_now(i->pool->loop);
    }
    slot_update(i);
    if (!i->in_flight)
        instance_quiet(i);
    slots_offer(r);
    freeze_when_idle(i);
}

void slot_ran(struct instance *i, uint64_t run_ns)
{
    struct revision *r = i->revision;

    /* Both ends may lie in one turn of the loop; a stream of hours says nothing of the next call. */
    run_ns = run_ns < NS_PER_US ? NS_PER_US : run_ns > NS_PER_S ? NS_PER_S : run_ns;
    r->run_ns = r->run_ns ? r->run_ns - r->run_ns / 8 + run_ns / 8 : run_ns;
}

unsigned pool_soon_free(const struct pool *p, const char *function_key, const char *revision,
                        uint64_t within_ns, unsigned *ret_wanted)
{
    const struct revision *r = revision_find((struct pool *)p, function_key, revision);
    uint64_t n;

    *ret_wanted = r ? r->wanted : 0;
    if (!r || !r->run_ns)
        return 0;
    n = r->in_flight * within_ns / r->run_ns;
    return n < UINT32_MAX ? (unsigned)n : UINT32_MAX;
}

/* ---------------------------------------------------------------- leases */

static void lease_end(struct lease *l)
{
    struct pool *p = l->instance->pool;

    loop_timer_cancel(p->loop, &l->timer);
    map_del(&p->leases, &l->node);
    list_del(&l->link);
    l->instance->leased--;
    slot_update(l->instance);
    freeze_when_idle(l->instance);
    free(l);
}

static void on_lease_over(struct loop_timer *t)
{
    struct lease *l = container_of(t, struct lease, timer);
    struct revision *r = l->instance->revision;

    lease_end(l);
    slots_offer(r);
}

static int send_slot(const struct lease *l)
{
    struct pool *p = l->instance->pool;
    Rouse__Control__V1__SlotFree free = ROUSE__CONTROL__V1__SLOT_FREE__INIT;
    Rouse__Control__V1__AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    free.slot = l->id;
    free.instance = l->instance->id;
    free.function_key = (char *)l->instance->revision->function_key;
    free.revision = (char *)l->instance->revision->revision;
    free.lease_ms = LEASE_MS;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE;
    m.slot_free = &free;
    return p->config.send(p->config.user, &m);
}

static int lease_begin(struct instance *i)
{
    struct pool *p = i->pool;
    struct lease *l = calloc(1, sizeof(*l));
    int r;

    if (!l)
        return -ENOMEM;
    l->id = ++p->last_slot;
    l->instance = i;
    l->timer.fn = on_lease_over;
    r = map_put(&p->leases, &l->node, (const char *)&l->id, sizeof(l->id));
    if (r < 0) {
        free(l);
        return r;
    }
    list_push_back(&i->leases, &l->link);
    i->leased++;
    slot_update(i);
    loop_timer_set(p->loop, &l->timer, loop_now(p->loop) + LEASE_MS * NS_PER_MS);
    r = send_slot(l);
    if (r < 0)
        lease_end(l);
    return r;
}

void slots_offer(struct revision *r)
{
    while (!list_empty(&r->free)) {
        if (taken_here(r))
            continue;
        if (!r->wanted)
            return;
        /* An activator that cannot be told of a slot cannot want one. */
        if (lease_begin(list_entry(r->free.next, struct instance, free)) < 0)
            r->wanted = 0;
        else
            r->wanted--;
    }
}

void slot_revoke_leases(struct instance *i)
{
    while (!list_empty(&i->leases))
        lease_end(list_entry(i->leases.next, struct lease, link));
}

void slot_give_back(struct pool *p, uint64_t id, bool others)
{
    struct map_node *n = map_get(&p->leases, &id, sizeof(id));
    struct lease *l = n ? map_entry(n, struct lease, node) : NULL;
    struct revision *r;

    if (!l)
        return;
    r = l->instance->revision;
    if (!others)
        r->wanted = 0;
    lease_end(l);
    slots_offer(r);
}

void slots_away(struct pool *p)
{
    map_for_each(it, &p->revisions)
    {
        struct revision *r = map_entry(it, struct revision, node);

        r->wanted = 0;
        list_for_each(i, &r->instances)
            slot_revoke_leases(list_entry(i, struct instance, of_revision));
        slots_offer(r);
    }
}

int slot_claim(struct pool *p, uint64_t id, const struct revision *r, struct instance **ret)
{
    struct map_node *n = map_get(&p->leases, &id, sizeof(id));
    struct lease *l = n ? map_entry(n, struct lease, node) : NULL;

    if (!l || l->instance->revision != r || !instance_is_up(l->instance) || l->instance->closing)
        return -ESTALE;
    *ret = l->instance;
    lease_end(l);
    return 0;
}
