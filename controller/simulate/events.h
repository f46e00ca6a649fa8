/* events.h - what is to happen on virtual time: a binary heap; of equal times the first that was put in comes first. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event {
    uint64_t at, order; /* ns; set by events_put() */
    void *what;
    uint64_t extra;
    unsigned kind;
};
struct events { /* zero-initialised is empty */
    struct event *heap;
    size_t count, capacity;
    uint64_t order;
};
void events_put(struct events *e, uint64_t at, unsigned kind, void *what,
                uint64_t extra);                             /* aborts without memory */
bool events_first(const struct events *e, uint64_t *ret_at); /* false: none */
struct event events_pop(struct events *e);                   /* there must be one */
void events_done(struct events *e);
