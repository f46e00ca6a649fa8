#include "simulate/events.h"

#include <stdlib.h>

static bool before(const struct event *a, const struct event *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void grow(struct events *e)
{
    size_t capacity = e->capacity ? 2 * e->capacity : 1024;
    struct event *heap = realloc(e->heap, capacity * sizeof(*heap));

    if (!heap)
        abort();
    e->heap = heap;
    e->capacity = capacity;
}

void events_put(struct events *e, uint64_t at, unsigned kind, void *what, uint64_t extra)
{
    struct event v = {.at = at, .order = e->order++, .what = what, .extra = extra, .kind = kind};
    size_t i;

    if (e->count == e->capacity)
        grow(e);
    for (i = e->count++; i && before(&v, &e->heap[(i - 1) / 2]); i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = v;
}

bool events_first(const struct events *e, uint64_t *ret_at)
{
    if (e->count)
        *ret_at = e->heap[0].at;
    return e->count;
}

struct event events_pop(struct events *e)
{
    struct event first = e->heap[0], last = e->heap[--e->count];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < e->count) {
        if (child + 1 < e->count && before(&e->heap[child + 1], &e->heap[child]))
            child++;
        if (!before(&e->heap[child], &last))
            break;
        e->heap[i] = e->heap[child];
        i = child;
    }
    if (e->count)
        e->heap[i] = last;
    return first;
}

void events_done(struct events *e)
{
    free(e->heap);
    *e = (struct events){0};
}
