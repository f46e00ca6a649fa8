/* epoch.h - memory that readers on other threads may still look at: freed when none of them can.
 *
 * One owner (one thread) makes versions of something immutable, one after the
 * other, and publishes each by storing one pointer. Readers, one a thread or
 * loop, bracket their looking with epoch_enter() and epoch_leave(), at best once
 * a turn; both write the reader's own cache line and nothing else: no lock, no
 * count that two threads share. What a version replaced is retired, and freed
 * when every reader that is inside came in after it.
 *
 * The order that makes it right, all sequentially consistent: the owner stores
 * the new pointer, then the version, then looks at the readers; a reader stores
 * its mark, then loads the pointer. A mark that the owner does not see yet
 * belongs to a reader that will load the new pointer. */
#pragma once
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct epoch_garbage { /* embed in whatever is retired */
    struct epoch_garbage *next;
    uint64_t version;
    void (*release)(struct epoch_garbage *g); /* on the owner's thread; no callback into the domain */
};

struct epoch_reader;
struct epoch_domain { /* zero-initialised is empty; owner's thread, but for `version` */
    _Atomic uint64_t version;
    struct epoch_reader *readers;
    struct epoch_garbage *first, **last;
    size_t waiting; /* retired, not freed yet */
};
struct epoch_reader {                   /* one a thread; on a cache line of its own */
    _Alignas(64) _Atomic uint64_t mark; /* 0: outside */
    struct epoch_domain *domain;
    struct epoch_reader *next;
};

/* The owner's thread adds and removes readers (a loop's set-up and end come to it as mail). */
void epoch_reader_init(struct epoch_domain *d, struct epoch_reader *r);
void epoch_reader_done(struct epoch_reader *r); /* it is outside; twice is fine */
void epoch_domain_done(struct epoch_domain *d); /* no reader is left: frees all that waits */

/* The reader's thread. What is loaded from the published pointer after epoch_enter() is good until
 * epoch_leave(). They do not nest. */
static inline void epoch_enter(struct epoch_reader *r)
{
    uint64_t now = atomic_load_explicit(&r->domain->version, memory_order_acquire);

    atomic_store_explicit(&r->mark, now + 1, memory_order_seq_cst);
}
static inline void epoch_leave(struct epoch_reader *r)
{
    atomic_store_explicit(&r->mark, 0, memory_order_release);
}

/* ---- a change: the version that is being made. Abandoned by forgetting it: nothing was retired. */
struct epoch_edit {
    struct epoch_domain *domain;
    uint64_t version;                   /* what is made now bears it */
    struct epoch_garbage *first, *last; /* what the new version does without */
    size_t count;
};
void epoch_edit_begin(struct epoch_domain *d, struct epoch_edit *e);
void epoch_retire(struct epoch_edit *e, struct epoch_garbage *g,
                  void (*release)(struct epoch_garbage *g));
/* After the new pointer was published (atomic_store, sequentially consistent). */
void epoch_commit(struct epoch_edit *e);
/* Frees what can be freed; commit does so, and whoever waits for memory may. */
void epoch_reclaim(struct epoch_domain *d);
