/* epoch.c - see epoch.h. The owner's thread, but for the marks that it reads. */
#include "base/epoch.h"

#include <assert.h>
#include <stdbool.h>

void epoch_reader_init(struct epoch_domain *d, struct epoch_reader *r)
{
    atomic_init(&r->mark, 0);
    r->domain = d;
    r->next = d->readers;
    d->readers = r;
}

void epoch_reader_done(struct epoch_reader *r)
{
    if (!r->domain)
        return;
    assert(!atomic_load(&r->mark));
    for (struct epoch_reader **at = &r->domain->readers; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    r->domain = NULL;
}

void epoch_domain_done(struct epoch_domain *d)
{
    assert(!d->readers);
    epoch_reclaim(d);
    assert(!d->waiting);
}

void epoch_edit_begin(struct epoch_domain *d, struct epoch_edit *e)
{
    *e = (struct epoch_edit){.domain = d,
                             .version = atomic_load_explicit(&d->version, memory_order_relaxed) + 1};
}

void epoch_retire(struct epoch_edit *e, struct epoch_garbage *g,
                  void (*release)(struct epoch_garbage *g))
{
    g->next = NULL;
    g->version = e->version;
    g->release = release;
    if (e->last)
        e->last->next = g;
    else
        e->first = g;
    e->last = g;
    e->count++;
}

/* The oldest version that a reader may be looking at. */
static uint64_t oldest_in_use(const struct epoch_domain *d)
{
    uint64_t oldest = UINT64_MAX;

    for (const struct epoch_reader *r = d->readers; r; r = r->next) {
        uint64_t mark = atomic_load_explicit(&r->mark, memory_order_seq_cst);

        if (mark && mark - 1 < oldest)
            oldest = mark - 1;
    }
    return oldest;
}

void epoch_reclaim(struct epoch_domain *d)
{
    uint64_t oldest = d->first ? oldest_in_use(d) : 0;

    /* Retired by version v: gone from v on. Whoever entered at v or later cannot reach it. */
    while (d->first && d->first->version <= oldest) {
        struct epoch_garbage *g = d->first;

        d->first = g->next;
        d->waiting--;
        g->release(g);
    }
    if (!d->first)
        d->last = NULL;
}

void epoch_commit(struct epoch_edit *e)
{
    struct epoch_domain *d = e->domain;

    if (e->first) {
        *(d->last ? d->last : &d->first) = e->first;
        d->last = &e->last->next;
        d->waiting += e->count;
    }
    e->first = e->last = NULL;
    e->count = 0;
    atomic_store_explicit(&d->version, e->version, memory_order_seq_cst);
    epoch_reclaim(d);
}
