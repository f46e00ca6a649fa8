/* queue.h - a processor's run queue: a ring of 256 tasks and the one to run next.
 *
 * One owner puts and takes; thieves take half from the other side (after Go's
 * runqput, runqget, runqgrab). `head` moves by compare-and-swap, by owner and
 * thieves; `tail` is written by the owner alone. An entry is read before the
 * swap that claims it: a thief that lost threw away what it read, and the
 * owner, who may have overwritten it by then, made its swap fail by moving `head`. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct task;

enum { QUEUE_RING = 256 };

struct queue {
    _Atomic uint32_t head, tail;
    _Atomic(struct task *) next;
    _Atomic(struct task *) ring[QUEUE_RING];
};
/* A chain of tasks by their `next`, in order. */
struct task_list {
    struct task *first, *last;
    uint32_t count;
};

void task_list_push(struct task_list *l, struct task *t);            /* at the end */
struct task *task_list_pop(struct task_list *l);                     /* NULL: empty */
void task_list_append(struct task_list *to, struct task_list *from); /* `from` is empty then */

/* ---- the owner */
/* At the end. When the ring is full, half of it and `t` go to `spill` instead (which may hold tasks). */
void queue_put(struct queue *q, struct task *t, struct task_list *spill);
/* The first of the ring; NULL: empty. `alone`: no thief exists. */
struct task *queue_take(struct queue *q, bool alone);
/* The one to run next; returns the one it was. Sequentially consistent, unless `alone`: no thief exists. */
static inline struct task *queue_swap_next(struct queue *q, struct task *t, bool alone)
{
    struct task *was;

    if (!alone)
        return atomic_exchange_explicit(&q->next, t, memory_order_seq_cst);
    was = atomic_load_explicit(&q->next, memory_order_relaxed);
    atomic_store_explicit(&q->next, t, memory_order_relaxed);
    return was;
}
/* ---- anybody */
bool queue_empty(const struct queue *q); /* of this instant: a task on its way from next to the ring is seen */
/* Half of `from`'s ring moves to the thief's `to` (whose ring has room for it: it is empty), but for the last of
 * them, which is returned. With `next` also the one to run next, when nothing else is there. */
struct task *queue_steal(struct queue *to, struct queue *from, bool next);
