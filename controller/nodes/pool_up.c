/* pool_up.c - nodes are added: to a pool's min; for what found no room, by the pool that wastes the least
 * with it; and where a pool has been nearly full for a while. */
#include "nodes/pool_fit.h"
#include "nodes/pool_internal.h"

#include <stdlib.h>

static bool may_add(const struct pool *q)
{
    return q->listed && !q->spec->deleting && !q->backing_off;
}

static bool at_max(const struct pool *q, uint32_t more)
{
    return pool_alive(q) + more >= q->spec->max;
}

/* Those that have been asked for are as good as there. */
static int add_coming(const struct pools *p, struct bins *b)
{
    int r = 0;

    map_for_each(n, &p->members)
    {
        const struct member *m = map_entry(n, struct member, node);
        struct bin one = {.node = SIZE_MAX, .pool = m->pool->spec};

        if (m->state != MEMBER_CREATING && m->state != MEMBER_COMING)
            continue;
        pool_template(m->pool, &one.memory, &one.cpu);
        r = r < 0 ? r : bins_add(b, &one);
    }
    return r;
}

struct option { /* what a pool could do about it */
    uint32_t nodes, put;
    double waste;
};

static bool try(const struct pool *q, const struct pool_input *in, const struct pool_need *needs,
                size_t n, uint32_t more, struct option *ret)
{
    struct bin new = {.node = SIZE_MAX, .pool = q->spec};
    struct pool_need *left;
    double free_memory = 0, free_cpu = 0;

    *ret = (struct option){0};
    pool_template(q, &new.memory, &new.cpu);
    left = needs_sorted(needs, n, new.memory, new.cpu);
    while (left && !at_max(q, more + ret->nodes)) {
        struct bin filled = new;
        struct bins one = {.all = &filled, .count = 1};
        uint32_t put = bins_put(&one, in, left, n);

        if (!put)
            break;
        ret->put += put;
        ret->nodes++;
        free_memory += (double)filled.memory / (double)new.memory;
        free_cpu += (double)filled.cpu / (double)new.cpu;
    }
    free(left);
    if (ret->nodes)
        ret->waste = (free_memory + free_cpu) / 2 / ret->nodes;
    return ret->nodes > 0;
}

/* Takes out of `needs` what the pool's new nodes will hold. */
static void take(const struct pool *q, const struct pool_input *in, struct pool_need *needs,
                 size_t n, uint32_t nodes)
{
    struct bins b = {0};
    struct bin new = {.node = SIZE_MAX, .pool = q->spec};

    pool_template(q, &new.memory, &new.cpu);
    for (uint32_t i = 0; i < nodes; i++)
        if (bins_add(&b, &new) < 0)
            break;
    bins_put(&b, in, needs, n);
    free(b.all);
}

static size_t left_over(struct pool_need *needs, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (needs[i].count)
            needs[kept++] = needs[i];
    return kept;
}

static void create(struct pool *q, uint32_t nodes, struct pool_wishes *out, enum pool_why why)
{
    for (uint32_t i = 0; i < nodes; i++)
        wish(out, POOL_CREATE, q, "", why);
    q->high_since = 0;
}

static uint32_t asked(const struct pool *q, const struct pool_wishes *out)
{
    uint32_t n = 0;

    for (size_t i = 0; i < out->count; i++)
        n += out->items[i].verb == POOL_CREATE && out->items[i].pool == q->spec;
    return n;
}

/* The rest of `needs` that no pool would help is not looked at again until something changes. */
static size_t least_waste(struct pools *p, const struct pool_input *in, struct pool_need *needs,
                          size_t n, struct pool_wishes *out)
{
    while ((n = left_over(needs, n))) {
        struct pool *best = NULL;
        struct option of_best = {0};

        list_for_each(it, &p->all)
        {
            struct pool *q = list_entry(it, struct pool, link);
            struct option o;

            if (!may_add(q))
                continue;
            if (!try(q, in, needs, n, asked(q, out), &o)) {
                struct bin new = {.node = SIZE_MAX, .pool = q->spec};
                struct bins one = {.all = &new, .count = 1};

                pool_template(q, &new.memory, &new.cpu);
                for (size_t i = 0; i < n && !q->limited; i++)
                    q->limited = bins_take(&one, in, &needs[i]);
                continue;
            }
            if (!best || o.waste < of_best.waste ||
                (!(o.waste > of_best.waste) && o.put > of_best.put)) {
                best = q;
                of_best = o;
            }
        }
        if (!best)
            break;
        create(best, of_best.nodes, out, POOL_WHY_PENDING);
        take(best, in, needs, n, of_best.nodes);
    }
    return n;
}

static bool for_pending(struct pools *p, const struct pool_input *in, struct pool_wishes *out)
{
    struct bins coming = {0};
    struct pool_need *needs = needs_sorted(in->pending, in->pending_count, UINT32_MAX, 1000);
    size_t n = in->pending_count;

    if (needs && n && add_coming(p, &coming) == 0) {
        bins_put(&coming, in, needs, n);
        least_waste(p, in, needs, n, out);
    }
    free(needs);
    free(coming.all);
    /* What no pool could ever help with keeps no node. */
    for (size_t i = 0; i < n; i++)
        if (pools_could(p, &in->pending[i], in))
            return true;
    return false;
}

/* ---- nearly full */

struct use {
    double memory, cpu, reserved_memory, reserved_cpu;
};

static struct use use_of(const struct pool *q, uint32_t more)
{
    struct use u = {0};
    uint64_t memory, cpu;

    pool_template(q, &memory, &cpu);
    u.memory = (double)memory * more;
    u.cpu = (double)cpu * more;
    list_for_each(it, (struct list *)&q->members)
    {
        const struct member *m = list_entry(it, struct member, link);
        const struct pool_node *v = m->view;

        if (m->state < MEMBER_JOINED) {
            u.memory += (double)memory;
            u.cpu += (double)cpu;
        } else if (m->state == MEMBER_JOINED && v && v->ready) {
            u.memory += (double)v->allocatable_memory;
            u.cpu += (double)v->allocatable_cpu;
            u.reserved_memory += (double)v->reserved_memory;
            u.reserved_cpu += (double)v->reserved_cpu;
        } else if (m->state == MEMBER_DRAINING && v) { /* goes to the others */
            u.reserved_memory += (double)v->reserved_memory;
            u.reserved_cpu += (double)v->reserved_cpu;
        }
    }
    return u;
}

static bool is_high(const struct pool *q, uint32_t more)
{
    struct use u = use_of(q, more);
    double limit = q->spec->up.utilization / 100.0;

    return u.memory > 0 && (u.reserved_memory > limit * u.memory || u.reserved_cpu > limit * u.cpu);
}

static void for_use(struct pool *q, uint64_t now, struct pool_wishes *out)
{
    uint32_t more = 0;

    if (q->spec->deleting || !is_high(q, asked(q, out))) {
        q->high_since = 0;
        return;
    }
    if (!q->high_since)
        q->high_since = now;
    if (now - q->high_since < q->spec->up.window_ns || !may_add(q))
        return;
    while (!at_max(q, asked(q, out) + more) && is_high(q, asked(q, out) + more))
        more++;
    q->limited = q->limited || (!more && at_max(q, 0));
    if (more)
        create(q, more, out, POOL_WHY_FULL);
}

bool pools_up(struct pools *p, const struct pool_input *in, uint64_t now, struct pool_wishes *out)
{
    bool pending;

    list_for_each(it, &p->all)
    {
        struct pool *q = list_entry(it, struct pool, link);
        uint32_t alive = pool_staying(q);

        q->limited = false;
        q->backing_off = now < q->backoff_until;
        if (may_add(q) && alive < q->spec->min)
            create(q, q->spec->min - alive, out, POOL_WHY_MIN);
    }
    pending = for_pending(p, in, out);
    list_for_each(it, &p->all) for_use(list_entry(it, struct pool, link), now, out);
    return pending;
}

bool pools_could(const struct pools *p, const struct pool_need *need, const struct pool_input *in)
{
    list_for_each(it, (struct list *)&p->all)
    {
        const struct pool *q = list_entry(it, struct pool, link);
        struct bin new = {.node = SIZE_MAX, .pool = q->spec};
        struct bins one = {.all = &new, .count = 1};

        pool_template(q, &new.memory, &new.cpu);
        if (!q->spec->deleting && q->spec->max && bins_take(&one, in, need))
            return true;
    }
    return false;
}
