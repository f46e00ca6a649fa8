/* slot_hints.h - whether a pool may have a free slot of a revision, for the other loops of its agent.
 *
 * A table of counters by the hash of a revision: instances here with a free
 * slot. Written by the pool's loop alone, read by any with no lock and no order:
 * a hint. Two revisions may share a place, and a slot may be gone when its
 * request comes; then the pool refuses, which costs one hop. */
#pragma once
#include <stdatomic.h>
#include <stddef.h>

enum { SLOT_HINTS = 4096 };
struct slot_hints { /* zero-initialised: none */
    atomic_uint free[SLOT_HINTS];
};

unsigned slot_hint_place(const char *function_key, const char *revision);

static inline void slot_hint_add(struct slot_hints *h, unsigned place, int delta)
{
    if (h) /* one writer: no read-modify-write that others would wait for */
        atomic_store_explicit(&h->free[place],
                              atomic_load_explicit(&h->free[place], memory_order_relaxed) +
                                  (unsigned)delta,
                              memory_order_relaxed);
}

static inline unsigned slot_hint_get(const struct slot_hints *h, unsigned place)
{
    return atomic_load_explicit(&h->free[place], memory_order_relaxed);
}
