/* core_shrink.c - which of a revision's instances leave: those that are not up yet, then idle ones of
 * the nodes that have the most of them.
 *
 * An instance with work stays: it is idle before long, and its node says so.
 * Where one instance serves many requests at once, all may be at work all the
 * time; there the least busy one leaves after a while. It is unrouted and
 * finishes what it has, as every one that leaves. */
#include "brain/core_internal.h"

static uint32_t here(struct fn *f, const struct instance *i)
{
    return fn_presence(f, i->host, false)->staying;
}

static void count(const struct core *c, struct revision *r)
{
    struct fn *f = r->fn;

    for (size_t k = 0; k < f->presence_count; k++)
        f->presence[k].staying = 0;
    list_for_each(it, &r->instances)
    {
        struct instance *i = list_entry(it, struct instance, rev_link);

        if (instance_counts(i) && !instance_suspect(c, i))
            fn_presence(f, i->host, false)->staying++;
    }
}

static bool sooner(struct fn *f, const struct instance *a, const struct instance *b)
{
    if (instance_serves(a) != instance_serves(b))
        return !instance_serves(a);
    if (a->in_flight != b->in_flight)
        return a->in_flight < b->in_flight;
    if (here(f, a) != here(f, b))
        return here(f, a) > here(f, b);
    return a->idle_since_ms < b->idle_since_ms;
}

static struct instance *victim(const struct core *c, const struct revision *r, bool busy)
{
    struct instance *best = NULL;

    list_for_each(it, &r->instances)
    {
        struct instance *i = list_entry(it, struct instance, rev_link);

        if (!instance_counts(i) || instance_suspect(c, i) || instance_moves(i) ||
            (i->in_flight && !busy))
            continue;
        if (!best || sooner(r->fn, i, best))
            best = i;
    }
    return best;
}

uint32_t revision_shrink(struct core *c, struct revision *r, uint32_t n, bool busy)
{
    bool patient =
        r->spec->concurrency > 1 && r->crowded_since && c->now - r->crowded_since >= CROWDED_NS;
    struct instance *i;

    count(c, r);
    while (n && (i = victim(c, r, busy))) {
        fn_presence(r->fn, i->host, false)->staying--;
        instance_leave(c, i);
        n--;
    }
    if (n && patient && (i = victim(c, r, true))) { /* one at a time */
        instance_leave(c, i);
        n--;
        r->crowded_since = 0;
    }
    if (n && !r->crowded_since)
        r->crowded_since = c->now;
    return n;
}
