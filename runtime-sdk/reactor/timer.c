/* timer.c - a loop's timers: a binary min-heap by (time, order of setting).
 *
 * Every timer knows its slot, so that moving and cancelling cost O(log n). */
#include "reactor/internal.h"

#include <stdlib.h>

static bool earlier(const struct timer_slot *a, const struct timer_slot *b)
{
    return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

static void place(struct timer_heap *h, size_t i, struct timer_slot s)
{
    h->steps++;
    h->slots[i] = s;
    s.timer->slot = i;
}

static void sift_up(struct timer_heap *h, size_t i, struct timer_slot s)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;

        if (!earlier(&s, &h->slots[parent]))
            break;
        place(h, i, h->slots[parent]);
        i = parent;
    }
    place(h, i, s);
}

static void sift_down(struct timer_heap *h, size_t i, struct timer_slot s)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= h->count)
            break;
        if (child + 1 < h->count && earlier(&h->slots[child + 1], &h->slots[child]))
            child++;
        if (!earlier(&h->slots[child], &s))
            break;
        place(h, i, h->slots[child]);
        i = child;
    }
    place(h, i, s);
}

static void remove_slot(struct timer_heap *h, size_t i)
{
    struct timer_slot last = h->slots[--h->count];

    if (i == h->count)
        return;
    if (i > 0 && earlier(&last, &h->slots[(i - 1) / 2]))
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at)
{
    struct timer_heap *h = &l->timers;

    loop_timer_cancel(l, t);
    if (h->count == h->capacity) {
        size_t capacity = h->capacity ? h->capacity * 2 : 64;
        struct timer_slot *grown = realloc(h->slots, capacity * sizeof(*grown));

        if (!grown)
            abort(); /* a pointer and two words for an object that was just allocated */
        h->slots = grown;
        h->capacity = capacity;
    }
    t->at = at ? at : 1;
    h->count++;
    sift_up(h, h->count - 1, (struct timer_slot){t->at, h->sequence++, t});
    l->stats.timer_steps = h->steps;
}

void loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
    if (!t->at)
        return;
    t->at = 0;
    remove_slot(&l->timers, t->slot);
    l->stats.timer_steps = l->timers.steps;
}

uint64_t timers_next(const struct timer_heap *h)
{
    return h->count ? h->slots[0].at : UINT64_MAX;
}

unsigned timers_run(struct timer_heap *h, uint64_t now)
{
    uint64_t limit = h->sequence;
    unsigned ran = 0;

    while (h->count && h->slots[0].at <= now && h->slots[0].sequence < limit) {
        struct loop_timer *t = h->slots[0].timer;

        remove_slot(h, 0);
        t->at = 0;
        ran++;
        t->fn(t);
    }
    return ran;
}

void timers_done(struct timer_heap *h)
{
    free(h->slots);
    *h = (struct timer_heap){0};
}
