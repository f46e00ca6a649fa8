#include "router/near.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Exists while somebody waits in it. */
struct near_queue {
    struct map_node node;
    struct list waits;
    unsigned count;
    char function_key[];
};
struct near {
    struct loop *loop;
    struct map queues;
    struct list all; /* the longest wait first: all wait equally long */
    unsigned count;
    struct loop_timer timer;
    void (*on_over)(void *user, struct near_wait *w);
    void *user;
};

static void on_timer(struct loop_timer *t)
{
    struct near *n = container_of(t, struct near, timer);
    uint64_t now = loop_now(n->loop);

    while (!list_empty(&n->all)) {
        struct near_wait *w = list_entry(n->all.next, struct near_wait, of_all);

        if (w->until_ns > now) {
            loop_timer_set(n->loop, t, w->until_ns);
            return;
        }
        near_cancel(n, w);
        n->on_over(n->user, w);
    }
}

int near_new(struct loop *l, void (*on_over)(void *user, struct near_wait *w), void *user,
             struct near **ret)
{
    struct near *n = calloc(1, sizeof(*n));

    if (!n)
        return -ENOMEM;
    n->loop = l;
    n->on_over = on_over;
    n->user = user;
    n->timer.fn = on_timer;
    list_init(&n->all);
    *ret = n;
    return 0;
}

struct near *near_free(struct near *n)
{
    if (!n)
        return NULL;
    loop_timer_cancel(n->loop, &n->timer);
    map_done(&n->queues);
    free(n);
    return NULL;
}

static struct near_queue *queue_of(struct near *n, const char *function_key, bool make)
{
    size_t size = strlen(function_key);
    struct map_node *node = map_get(&n->queues, function_key, size);
    struct near_queue *q;

    if (node || !make)
        return node ? map_entry(node, struct near_queue, node) : NULL;
    q = malloc(sizeof(*q) + size + 1);
    if (!q)
        return NULL;
    q->count = 0;
    list_init(&q->waits);
    memcpy(q->function_key, function_key, size + 1);
    if (map_put(&n->queues, &q->node, q->function_key, size) < 0) {
        free(q);
        return NULL;
    }
    return q;
}

int near_add(struct near *n, struct near_wait *w, const char *function_key, unsigned limit)
{
    struct near_queue *q;

    if (!limit)
        return -ENOBUFS;
    q = queue_of(n, function_key, true);
    if (!q)
        return -ENOMEM;
    if (q->count >= limit || q->count >= NEAR_MAX)
        return -ENOBUFS;
    w->queue = q;
    w->until_ns = loop_now(n->loop) + NEAR_NS;
    list_push_back(&q->waits, &w->of_queue);
    list_push_back(&n->all, &w->of_all);
    q->count++;
    n->count++;
    if (!loop_timer_armed(&n->timer))
        loop_timer_set(n->loop, &n->timer, w->until_ns);
    return 0;
}

void near_cancel(struct near *n, struct near_wait *w)
{
    struct near_queue *q = w->queue;

    if (!q)
        return;
    w->queue = NULL;
    list_del(&w->of_queue);
    list_del(&w->of_all);
    n->count--;
    if (--q->count)
        return;
    map_del(&n->queues, &q->node);
    free(q);
}

struct near_wait *near_oldest(struct near *n, const char *function_key)
{
    struct near_queue *q = n->count ? queue_of(n, function_key, false) : NULL;

    return q ? list_entry(q->waits.next, struct near_wait, of_queue) : NULL;
}

unsigned near_count(const struct near *n)
{
    return n->count;
}
