/* stack.c - the pools of stacks: a processor's own, which only its holder touches, and the global one of each
 * size, under a lock. Where their memory comes from: stack_arena.c */
#include "sched/stack.h"
#include "sched/lock.h"
#include "sched/stack_arena.h"
#include "sched/stack_tools.h"

#include <string.h>

enum {
    POOL_MAX =
        64, /* of a processor's own: above it half goes to the global one, and half comes from there */
    TRIM_MAX = 512, /* stacks whose memory one stacks_trim() gives back: about a millisecond */
    TRIM_NS = 2000000,
    INTERVAL_NS = 1000000000, /* in which a stack that nobody wanted is not wanted */
};

/* Idle stacks of one size. `warm` ones may have resident pages, `cold` ones have none. */
static struct idle {
    struct lock lock; /* over what follows */
    struct stack *warm, *cold;
    uint32_t warm_count;
    uint32_t least; /* warm ones that were there all the time in this interval */
    uint32_t due;   /* that were there all the time in the one before, and are to be given back */
} idle[STACK_CLASSES];
static struct {
    int64_t at, began; /* the last trim, the interval */
    bool more;
} trimming;

static struct stack *pop(struct stack **from)
{
    struct stack *s = *from;

    if (s)
        *from = s->next;
    return s;
}

static void push(struct stack **to, struct stack *s)
{
    s->next = *to;
    *to = s;
}

/* Up to `max` idle stacks, as a chain; the number of them is returned. */
static uint32_t idle_take(struct idle *i, uint32_t max, struct stack **ret)
{
    uint32_t n = 0;

    lock_acquire(&i->lock);
    for (; n < max && i->warm; n++)
        push(ret, pop(&i->warm));
    i->warm_count -= n;
    if (i->warm_count < i->least)
        i->least = i->warm_count;
    /* one at a time: whoever takes a cold one pays a page fault for it */
    if (!n && i->cold) {
        push(ret, pop(&i->cold));
        n = 1;
    }
    lock_release(&i->lock);
    return n;
}

/* The `n` stacks from `first` to `last`. */
static void idle_put(struct idle *i, struct stack *first, struct stack *last, uint32_t n)
{
    lock_acquire(&i->lock);
    last->next = i->warm;
    i->warm = first;
    i->warm_count += n;
    lock_release(&i->lock);
}

static __attribute__((noinline)) struct stack *refill(struct stack_pool *pool)
{
    uint32_t size_class = stack_class(STACK_DEFAULT);

    pool->count = idle_take(&idle[size_class], POOL_MAX / 2, &pool->first);
    if (!pool->count) {
        struct stack *s = stack_make(size_class);

        if (!s)
            return NULL;
        push(&pool->first, s);
        pool->count = 1;
    }
    pool->count--;
    return pop(&pool->first);
}

static __attribute__((noinline)) struct stack *get_of_size(size_t size)
{
    uint32_t size_class = stack_class(size);
    struct stack *s = NULL;

    if (size_class >= STACK_CLASSES)
        return NULL;
    return idle_take(&idle[size_class], 1, &s) ? s : stack_make(size_class);
}

struct stack *stack_get(struct stack_pool *pool, size_t size)
{
    if (__builtin_expect(size && size != STACK_DEFAULT, 0))
        return get_of_size(size);
    if (__builtin_expect(!pool->first, 0))
        return refill(pool);
    pool->count--;
    return pop(&pool->first);
}

/* All but the `keep` hottest. */
static __attribute__((noinline)) void spill(struct stack_pool *pool, uint32_t keep)
{
    struct stack **cut = &pool->first, *first, *last;

    if (pool->count <= keep)
        return;
    for (uint32_t i = 0; i < keep; i++)
        cut = &(*cut)->next;
    first = last = *cut;
    while (last->next)
        last = last->next;
    *cut = NULL;
    idle_put(&idle[stack_class(STACK_DEFAULT)], first, last, pool->count - keep);
    pool->count = keep;
}

void stack_put(struct stack_pool *pool, struct stack *s)
{
    stack_forget(s);
    if (__builtin_expect(s->size_class != stack_class(STACK_DEFAULT), 0)) {
        idle_put(&idle[s->size_class], s, s, 1);
        return;
    }
    push(&pool->first, s);
    if (__builtin_expect(++pool->count > POOL_MAX, 0))
        spill(pool, POOL_MAX / 2);
}

void stack_pool_done(struct stack_pool *pool)
{
    spill(pool, 0);
}

static void begin_interval(struct idle *i)
{
    lock_acquire(&i->lock);
    i->due = i->least;
    i->least = i->warm_count;
    lock_release(&i->lock);
}

/* Which ones: all are alike. True: others may be due later. */
static bool trim(struct idle *i, uint32_t *left)
{
    struct stack *chain = NULL, *last;
    uint32_t n;
    bool more;

    lock_acquire(&i->lock);
    n = i->due < *left ? i->due : *left;
    if (n > i->warm_count)
        n = i->warm_count;
    for (uint32_t k = 0; k < n; k++)
        push(&chain, pop(&i->warm));
    i->warm_count -= n;
    i->due -= n;
    if (i->least > i->warm_count)
        i->least = i->warm_count;
    more = i->warm_count > 0;
    lock_release(&i->lock);
    if (!chain)
        return more;
    last = chain;
    for (struct stack *s = chain; s; last = s, s = s->next)
        stack_discard(s);
    lock_acquire(&i->lock);
    last->next = i->cold;
    i->cold = chain;
    lock_release(&i->lock);
    *left -= n;
    return more;
}

bool stacks_trim(int64_t now)
{
    uint32_t left = TRIM_MAX;

    if (now - trimming.at < TRIM_NS)
        return trimming.more;
    trimming.at = now;
    if (now - trimming.began >= INTERVAL_NS) {
        trimming.began = now;
        for (uint32_t c = 0; c < STACK_CLASSES; c++)
            begin_interval(&idle[c]);
    }
    trimming.more = false;
    for (uint32_t c = 0; c < STACK_CLASSES; c++)
        trimming.more |= trim(&idle[c], &left);
    return trimming.more;
}

void stacks_done(void)
{
    memset(idle, 0, sizeof(idle));
    memset(&trimming, 0, sizeof(trimming));
    stack_arenas_done();
}
