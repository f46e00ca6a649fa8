/* pool_down.c - nodes go: empty ones ten at a time, one other at a time, when what they have fits elsewhere
 * and what sleeps can still start. */
#include "nodes/pool_fit.h"
#include "nodes/pool_internal.h"

#include <stdlib.h>

/* A deleted pool waits so long for its provider to be there again. */
#define PROVIDER_LOST_NS  (60ull * 1000 * 1000 * 1000)
#define PROVIDER_FAILS_NS (600ull * 1000 * 1000 * 1000)

static uint32_t draining(const struct pools *p)
{
    uint32_t n = 0;

    map_for_each(it, &p->members) n += map_entry(it, struct member, node)->state == MEMBER_DRAINING;
    return n;
}

static void reopen(struct pools *p, struct member *m, uint64_t now, bool failed,
                   struct pool_wishes *out, enum pool_why why)
{
    uint64_t until = now + m->pool->spec->down.delay_after_failure_ns;

    member_set(m, MEMBER_JOINED, now);
    wish(out, POOL_OPEN, m->pool, m->name, why);
    if (failed && p->no_removal_until < until)
        p->no_removal_until = until;
}

/* Those that are being emptied: done, given up, or needed after all. */
static void follow(struct pools *p, struct member *m, uint64_t now, bool pending,
                   struct pool_wishes *out)
{
    const struct pool_spec *s = m->pool->spec;
    bool late = now - m->since >= s->down.drain_timeout_ns;

    if (!m->view || !m->view->instances)
        member_delete(m, now, out, POOL_WHY_EMPTY);
    else if (s->deleting && late)
        member_delete(m, now, out, POOL_WHY_DELETED_STUCK);
    else if (!s->deleting && late)
        reopen(p, m, now, true, out, POOL_WHY_STUCK);
    else if (!s->deleting && (pending || pool_staying(m->pool) < s->min))
        reopen(p, m, now, false, out, POOL_WHY_NEEDED);
}

/* ---- may it go? */

/* Free room of all that stay. */
static int room_without(const struct pool_input *in, size_t without, struct bins *b)
{
    int r = 0;

    for (size_t i = 0; i < in->node_count && r == 0; i++) {
        const struct pool_node *v = &in->nodes[i];
        struct bin one = {.node = i};

        if (i == without || !v->ready || !v->open)
            continue;
        if (v->reserved_memory < v->allocatable_memory)
            one.memory = v->allocatable_memory - v->reserved_memory;
        if (v->reserved_cpu < v->allocatable_cpu)
            one.cpu = v->allocatable_cpu - v->reserved_cpu;
        r = bins_add(b, &one);
    }
    return r;
}

static bool fits_elsewhere(const struct pool_input *in, size_t node)
{
    const struct pool_node *v = &in->nodes[node];
    struct bins room = {0};
    size_t n, start_count;
    const struct pool_need *has = in->needs_of(in->user, node, &n), *starts;
    struct pool_need *needs = needs_sorted(has, n, v->allocatable_memory, v->allocatable_cpu);
    bool ok = needs && room_without(in, node, &room) == 0;

    if (ok)
        bins_put(&room, in, needs, n);
    for (size_t i = 0; i < n && ok; i++)
        ok = !needs[i].count;
    starts = ok ? in->starts(in->user, &start_count) : NULL;
    for (size_t i = 0; ok && i < start_count; i++) {
        struct bin here = {v->allocatable_memory, v->allocatable_cpu, node, NULL};
        struct bins one = {.all = &here, .count = 1};

        /* What could not run here is not lost with it. */
        ok = bins_take(&room, in, &starts[i]) || !bins_take(&one, in, &starts[i]);
    }
    free(needs);
    free(room.all);
    return ok;
}

/* Else the next thing would be another one. */
static bool pool_stays_low(const struct pool *q, const struct member *without)
{
    double memory = 0, cpu = 0, reserved_memory = 0, reserved_cpu = 0;
    double limit = q->spec->up.utilization / 100.0;
    bool others = false;

    list_for_each(it, (struct list *)&q->members)
    {
        const struct member *m = list_entry(it, struct member, link);

        if (m->state != MEMBER_JOINED || !m->view || !m->view->ready)
            continue;
        reserved_memory += (double)m->view->reserved_memory;
        reserved_cpu += (double)m->view->reserved_cpu;
        if (m == without)
            continue;
        others = true;
        memory += (double)m->view->allocatable_memory;
        cpu += (double)m->view->allocatable_cpu;
    }
    return !others || (reserved_memory <= limit * memory && reserved_cpu <= limit * cpu);
}

static bool too_many(const struct pool *q)
{
    return q->spec->deleting || pool_staying(q) > q->spec->max;
}

static bool is_candidate(const struct pools *p, const struct member *m, uint64_t now)
{
    const struct pool_spec *s = m->pool->spec;

    if (m->state != MEMBER_JOINED || !m->view || !m->view->ready)
        return false;
    if (s->deleting)
        return true;
    if (pool_staying(m->pool) <= s->min)
        return false;
    return too_many(m->pool) ||
           (m->low_since && now - m->low_since >= s->down.after_ns && now >= p->no_removal_until);
}

static void measure(struct pools *p, uint64_t now)
{
    map_for_each(it, &p->members)
    {
        struct member *m = map_entry(it, struct member, node);
        const struct pool_spec *s = m->pool->spec;
        bool low = m->state == MEMBER_JOINED && m->view && m->view->ready && s->down.threshold &&
                   node_share(m->view) * 100 < s->down.threshold;

        if (!low)
            m->low_since = 0;
        else if (!m->low_since)
            m->low_since = now;
    }
}

static bool may_go(const struct pool_input *in, const struct member *m)
{
    return m->pool->spec->deleting ||
           (fits_elsewhere(in, m->index) && (too_many(m->pool) || pool_stays_low(m->pool, m)));
}

static void empty(struct member *m, uint64_t now, struct pool_wishes *out, enum pool_why why)
{
    member_set(m, MEMBER_DRAINING, now);
    wish(out, POOL_DRAIN, m->pool, m->name, why);
}

static int lower_share(const void *a, const void *b)
{
    const struct member *x = *(struct member *const *)a, *y = *(struct member *const *)b;
    double sx = node_share(x->view), sy = node_share(y->view);

    if (!x->view->instances != !y->view->instances)
        return x->view->instances ? 1 : -1;
    return sx < sy ? -1 : sx > sy ? 1 : 0;
}

static bool adding(const struct pools *p)
{
    map_for_each(it, &p->members) if (map_entry(it, struct member, node)->state <
                                      MEMBER_JOINED) return true;
    return false;
}

static void choose(struct pools *p, struct pool_input *in, uint64_t now, bool adds,
                   struct pool_wishes *out)
{
    struct member **all = malloc((p->members.count + 1) * sizeof(*all));
    size_t n = 0, empty_ones = 0;
    uint32_t others = draining(p);

    if (!all)
        return;
    map_for_each(it, &p->members)
    {
        struct member *m = map_entry(it, struct member, node);

        /* While nodes are on their way up others are not taken down, but for those nobody wants. */
        if (is_candidate(p, m, now) && (!adds || m->pool->spec->deleting))
            all[n++] = m;
    }
    qsort(all, n, sizeof(*all), lower_share);
    for (size_t i = 0; i < n; i++) {
        bool is_empty = !all[i]->view->instances;

        if (is_empty ? empty_ones == POOLS_EMPTY_AT_ONCE : others > 0)
            continue;
        /* Those before it in this list count: each makes its pool smaller. */
        if (!is_candidate(p, all[i], now) || !may_go(in, all[i]))
            continue;
        empty(all[i], now, out,
              all[i]->pool->spec->deleting ? POOL_WHY_DELETED
              : is_empty                   ? POOL_WHY_EMPTY
                                           : POOL_WHY_UNUSED);
        in->nodes[all[i]->index].open = false;
        if (is_empty)
            empty_ones++;
        else
            others++;
    }
    free(all);
}

/* There is nobody who could take its nodes away: they are nodes of no pool. */
static void abandon(struct pools *p, struct pool *q, struct pool_wishes *out)
{
    q->given_up = true;
    list_for_each(it, &q->members)
    {
        struct member *m = list_entry(it, struct member, link);

        if (m->state == MEMBER_DRAINING || m->state == MEMBER_DELETING)
            wish(out, POOL_OPEN, q, m->name, POOL_WHY_NO_PROVIDER);
        member_free(p, m);
    }
    wish(out, POOL_GONE, q, "", POOL_WHY_GIVEN_UP);
}

/* It never told of a machine, nor has one come. Whose machines are known is asked for ever: they cost money. */
static bool is_unheard(const struct pools *p, const struct pool *q, const struct pool_input *in)
{
    if (q->listed || !list_empty(&q->members))
        return false;
    for (size_t i = 0; i < in->node_count; i++)
        if (pool_names(p, q, in->nodes[i].name))
            return false;
    return true;
}

static bool is_hopeless(const struct pools *p, const struct pool *q, const struct pool_input *in,
                        uint64_t now)
{
    if (q->provider_lost && now - q->provider_lost >= PROVIDER_LOST_NS)
        return true;
    return q->failing_since && now - q->failing_since >= PROVIDER_FAILS_NS && is_unheard(p, q, in);
}

static void end_deleted(struct pools *p, const struct pool_input *in, uint64_t now,
                        struct pool_wishes *out)
{
    list_for_each(it, &p->all)
    {
        struct pool *q = list_entry(it, struct pool, link);

        if (!q->spec->deleting)
            continue;
        list_for_each(mit, &q->members)
        {
            struct member *m = list_entry(mit, struct member, link);

            if (m->state == MEMBER_COMING)
                member_delete(m, now, out, POOL_WHY_DELETED);
        }
        if (q->given_up || (q->listed && list_empty(&q->members)))
            wish(out, POOL_GONE, q, "", POOL_WHY_NONE);
        else if (is_hopeless(p, q, in, now))
            abandon(p, q, out);
    }
}

void pools_down(struct pools *p, struct pool_input *in, uint64_t now, bool pending,
                struct pool_wishes *out)
{
    map_for_each(it, &p->members)
    {
        struct member *m = map_entry(it, struct member, node);

        if (m->state == MEMBER_DRAINING)
            follow(p, m, now, pending, out);
    }
    measure(p, now);
    choose(p, in, now, pending || adding(p), out);
    end_deleted(p, in, now, out);
}
