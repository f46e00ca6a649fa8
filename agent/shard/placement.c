/* placement.c - see the header. */
#include "shard/placement.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct placed_revision {
    struct map_node node; /* by function key, NUL, revision */
    unsigned total;
    unsigned loads[LOOPS_MAX];
    char key[];
};
struct placed {
    struct map_node node; /* by id */
    struct placed_revision *revision;
    unsigned loop;
    uint64_t round;
    char id[];
};

static struct placed *find(const struct placement *p, const char *id)
{
    struct map_node *n = map_get_str(&p->instances, id);

    return n ? map_entry(n, struct placed, node) : NULL;
}

static void revision_put(struct placement *p, struct placed_revision *r)
{
    if (r->total)
        return;
    map_del(&p->revisions, &r->node);
    free(r);
}

static struct placed_revision *revision_get(struct placement *p, const char *function_key,
                                            const char *revision)
{
    size_t a = strlen(function_key) + 1, n = a + strlen(revision);
    struct placed_revision *r = calloc(1, sizeof(*r) + n + 1);
    struct map_node *had;

    if (!r)
        return NULL;
    memcpy(r->key, function_key, a);
    memcpy(r->key + a, revision, n - a);
    had = map_get(&p->revisions, r->key, n);
    if (!had && map_put(&p->revisions, &r->node, r->key, n) == 0)
        return r;
    free(r);
    return had ? map_entry(had, struct placed_revision, node) : NULL;
}

static unsigned choose(const struct placement *p, const struct placed_revision *r)
{
    unsigned best = 0;

    for (unsigned i = 1; i < p->count; i++)
        if (r->loads[i] < r->loads[best] ||
            (r->loads[i] == r->loads[best] && p->loads[i] < p->loads[best]))
            best = i;
    return best;
}

int placement_put(struct placement *p, const char *function_key, const char *revision, const char *id)
{
    struct placed *i = find(p, id);
    size_t size = strlen(id) + 1;
    struct placed_revision *r;

    if (i) {
        i->round = p->round;
        return (int)i->loop;
    }
    r = revision_get(p, function_key, revision);
    i = r ? calloc(1, sizeof(*i) + size) : NULL;
    if (!i)
        goto no_memory;
    memcpy(i->id, id, size);
    if (map_put(&p->instances, &i->node, i->id, size - 1) < 0)
        goto no_memory;
    i->revision = r;
    i->round = p->round;
    i->loop = choose(p, r);
    r->loads[i->loop]++;
    r->total++;
    p->loads[i->loop]++;
    return (int)i->loop;
no_memory:
    free(i);
    if (r)
        revision_put(p, r);
    return -ENOMEM;
}

static void drop(struct placement *p, struct placed *i)
{
    i->revision->loads[i->loop]--;
    i->revision->total--;
    p->loads[i->loop]--;
    revision_put(p, i->revision);
    map_del(&p->instances, &i->node);
    free(i);
}

void placement_remove(struct placement *p, const char *id)
{
    struct placed *i = find(p, id);

    if (i)
        drop(p, i);
}

void placement_keep_begin(struct placement *p)
{
    p->round++;
}

void placement_keep_end(struct placement *p)
{
    map_for_each(it, &p->instances)
    {
        struct placed *i = map_entry(it, struct placed, node);

        if (i->round != p->round)
            drop(p, i);
    }
}

void placement_done(struct placement *p)
{
    p->round++;
    placement_keep_end(p);
    map_done(&p->instances);
    map_done(&p->revisions);
}
