/* queue.c - see queue.h. */
#include "sched/queue.h"

#include "sched/task.h"

void task_list_push(struct task_list *l, struct task *t)
{
    t->next = NULL;
    if (l->last)
        l->last->next = t;
    else
        l->first = t;
    l->last = t;
    l->count++;
}

struct task *task_list_pop(struct task_list *l)
{
    struct task *t = l->first;

    if (!t)
        return NULL;
    l->first = t->next;
    if (!l->first)
        l->last = NULL;
    l->count--;
    return t;
}

void task_list_append(struct task_list *to, struct task_list *from)
{
    if (!from->first)
        return;
    if (to->last)
        to->last->next = from->first;
    else
        to->first = from->first;
    to->last = from->last;
    to->count += from->count;
    *from = (struct task_list){0};
}

static struct task *ring_at(const struct queue *q, uint32_t i)
{
    return atomic_load_explicit(&q->ring[i % QUEUE_RING], memory_order_relaxed);
}

/* Acquire on success: thieves are behind with their reads; release: ours are done. */
static bool claim(struct queue *q, uint32_t *head, uint32_t n)
{
    return atomic_compare_exchange_weak_explicit(&q->head, head, *head + n, memory_order_acq_rel,
                                                 memory_order_acquire);
}

static bool spill_half(struct queue *q, uint32_t head, struct task_list *spill)
{
    struct task *batch[QUEUE_RING / 2];

    for (uint32_t i = 0; i < QUEUE_RING / 2; i++)
        batch[i] = ring_at(q, head + i);
    if (!claim(q, &head, QUEUE_RING / 2))
        return false; /* thieves made room */
    for (uint32_t i = 0; i < QUEUE_RING / 2; i++)
        task_list_push(spill, batch[i]);
    return true;
}

void queue_put(struct queue *q, struct task *t, struct task_list *spill)
{
    for (;;) {
        /* acquire: whoever moved head has read its entries, they may be overwritten */
        uint32_t head = atomic_load_explicit(&q->head, memory_order_acquire);
        uint32_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

        if (tail - head < QUEUE_RING) {
            atomic_store_explicit(&q->ring[tail % QUEUE_RING], t, memory_order_relaxed);
            /* release: what the task was readied with goes with it */
            atomic_store_explicit(&q->tail, tail + 1, memory_order_release);
            return;
        }
        if (spill_half(q, head, spill)) {
            task_list_push(spill, t);
            return;
        }
    }
}

struct task *queue_take(struct queue *q, bool alone)
{
    uint32_t head = atomic_load_explicit(&q->head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

    while (tail != head) {
        struct task *t = ring_at(q, head);

        if (alone) {
            atomic_store_explicit(&q->head, head + 1, memory_order_release);
            return t;
        }
        if (claim(q, &head, 1))
            return t;
    }
    return NULL;
}

bool queue_empty(const struct queue *q)
{
    /* next may be kicked to the ring between the looks: the same tail twice says it was not */
    for (;;) {
        uint32_t head = atomic_load_explicit(&q->head, memory_order_acquire);
        uint32_t tail = atomic_load_explicit(&q->tail, memory_order_acquire);
        struct task *next = atomic_load_explicit(&q->next, memory_order_acquire);

        if (tail == atomic_load_explicit(&q->tail, memory_order_acquire))
            return head == tail && !next;
    }
}

struct task *queue_steal(struct queue *to, struct queue *from, bool next)
{
    uint32_t tail_to = atomic_load_explicit(&to->tail, memory_order_relaxed), n;
    uint32_t head = atomic_load_explicit(&from->head, memory_order_acquire);

    do {
        uint32_t tail = atomic_load_explicit(&from->tail, memory_order_acquire);

        n = tail - head;
        n -= n / 2;
        if (!n) {
            struct task *t = next ? atomic_load_explicit(&from->next, memory_order_relaxed) : NULL;

            if (t && atomic_compare_exchange_strong_explicit(
                         &from->next, &t, NULL, memory_order_acq_rel, memory_order_relaxed))
                return t;
            return NULL;
        }
        if (n > QUEUE_RING / 2) { /* head and tail are not of one instant */
            head = atomic_load_explicit(&from->head, memory_order_acquire);
            continue;
        }
        for (uint32_t i = 0; i < n; i++)
            atomic_store_explicit(&to->ring[(tail_to + i) % QUEUE_RING], ring_at(from, head + i),
                                  memory_order_relaxed);
    } while (n > QUEUE_RING / 2 || !claim(from, &head, n));
    n--;
    if (n)
        atomic_store_explicit(&to->tail, tail_to + n, memory_order_release);
    return ring_at(to, tail_to + n);
}
