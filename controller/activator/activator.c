#include "activator/activator.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <string.h>

struct peer {
    uint64_t id;
    struct map_node node;
    struct list tickets;
};
struct activator {
    struct activator_limits limits;
    struct activator_stats stats;
    struct map tickets;   /* by key */
    struct map peers;     /* entries with tickets */
    struct list queues;   /* not empty */
    struct list pushed;   /* out of their queues, not yet refused */
    struct ticket **heap; /* by deadline */
    size_t heap_size, heap_capacity;
    size_t queue_count;
};

int activator_new(const struct activator_limits *l, struct activator **ret)
{
    struct activator *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    a->limits = *l;
    list_init(&a->queues);
    list_init(&a->pushed);
    *ret = a;
    return 0;
}

/* ---- deadlines: a binary heap of pointers */

static void heap_put(struct activator *a, size_t at, struct ticket *t)
{
    a->heap[at] = t;
    t->heap_at = at;
}

static void heap_up(struct activator *a, size_t at, struct ticket *t)
{
    while (at && a->heap[(at - 1) / 2]->deadline_ns > t->deadline_ns) {
        heap_put(a, at, a->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(a, at, t);
}

static void heap_down(struct activator *a, size_t at, struct ticket *t)
{
    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= a->heap_size)
            break;
        if (child + 1 < a->heap_size && a->heap[child + 1]->deadline_ns < a->heap[child]->deadline_ns)
            child++;
        if (a->heap[child]->deadline_ns >= t->deadline_ns)
            break;
        heap_put(a, at, a->heap[child]);
        at = child;
    }
    heap_put(a, at, t);
}

static int heap_add(struct activator *a, struct ticket *t)
{
    if (a->heap_size == a->heap_capacity) {
        size_t n = a->heap_capacity ? 2 * a->heap_capacity : 64;
        struct ticket **to = realloc(a->heap, n * sizeof(struct ticket *));

        if (!to)
            return -ENOMEM;
        a->heap = to;
        a->heap_capacity = n;
    }
    heap_up(a, a->heap_size++, t);
    return 0;
}

static void heap_del(struct activator *a, struct ticket *t)
{
    size_t at = t->heap_at;
    struct ticket *last = a->heap[--a->heap_size];

    if (last == t)
        return;
    heap_down(a, at, last);
    heap_up(a, last->heap_at, last);
}

/* ---- entries */

static struct peer *peer_of(struct activator *a, uint64_t id, bool make)
{
    struct map_node *n = map_get(&a->peers, &id, sizeof(id));
    struct peer *p;

    if (n)
        return map_entry(n, struct peer, node);
    if (!make || !(p = calloc(1, sizeof(*p))))
        return NULL;
    p->id = id;
    list_init(&p->tickets);
    if (map_put(&a->peers, &p->node, (const char *)&p->id, sizeof(p->id)) < 0) {
        free(p);
        return NULL;
    }
    return p;
}

static void peer_drop_if_empty(struct activator *a, uint64_t id)
{
    struct peer *p = peer_of(a, id, false);

    if (!p || !list_empty(&p->tickets))
        return;
    map_del(&a->peers, &p->node);
    free(p);
}

/* ---- queues */

static void count_area(struct activator_queue *q, uint64_t now)
{
    if (now > q->area_at) {
        q->area += (double)q->count * (double)(now - q->area_at) / (double)NS_PER_S;
        q->area_at = now;
    }
}

void activator_queue_init(struct activator_queue *q, uint64_t now)
{
    *q = (struct activator_queue){.area_since = now, .area_at = now};
    list_init(&q->tickets);
    list_init(&q->link);
}

void activator_queue_since(struct activator_queue *q, uint64_t now)
{
    count_area(q, now);
    q->area = 0;
    q->area_since = now;
}

double activator_queue_mean(struct activator_queue *q, uint64_t now, uint64_t least_ns)
{
    uint64_t over = now > q->area_since ? now - q->area_since : 0;
    double mean;

    count_area(q, now);
    if (over)
        mean = q->area * (double)NS_PER_S / (double)(over > least_ns ? over : least_ns);
    else
        mean = q->count;
    activator_queue_since(q, now);
    return mean;
}

static uint64_t age_of(const struct list *l)
{
    return list_entry(l, struct ticket, link)->since_ns;
}

/* By age: a ticket that comes back after a refused grant goes where it was. Looked for from both ends, since a new one
 * belongs at one and one that comes back near the other. */
static void enqueue(struct activator *a, struct activator_queue *q, struct ticket *t, uint64_t now)
{
    struct list *after = &q->tickets, *before = q->tickets.next;

    while (after->prev != &q->tickets && age_of(after->prev) > t->since_ns &&
           before != &q->tickets && age_of(before) <= t->since_ns) {
        after = after->prev;
        before = before->next;
    }
    list_add_before(
        after->prev == &q->tickets || age_of(after->prev) <= t->since_ns ? after : before, &t->link);
    count_area(q, now);
    if (!q->count++) {
        list_push_back(&a->queues, &q->link);
        a->queue_count++;
    }
    q->held += t->held;
    a->stats.tickets++;
    a->stats.held += t->held;
}

static void dequeue(struct activator *a, struct ticket *t, uint64_t now)
{
    struct activator_queue *q = t->queue;

    count_area(q, now);
    list_del(&t->link);
    q->held -= t->held;
    a->stats.tickets--;
    a->stats.held -= t->held;
    if (!--q->count) {
        list_del(&q->link);
        a->queue_count--;
    }
}

/* Makes room by pushing out the newest ticket of the queue that has most, if that one has more than
 * `q`. */
static bool push_out(struct activator *a, const struct activator_queue *q, bool by_bytes, uint64_t now)
{
    struct activator_queue *largest = NULL;
    struct ticket *t;

    list_for_each(it, &a->queues)
    {
        struct activator_queue *other = list_entry(it, struct activator_queue, link);

        if (!largest || (by_bytes ? other->held > largest->held : other->count > largest->count))
            largest = other;
    }
    if (!largest || largest == q ||
        (by_bytes ? largest->held <= q->held : largest->count <= q->count + 1))
        return false;
    t = list_entry(largest->tickets.prev, struct ticket, link);
    dequeue(a, t, now);
    heap_del(a, t);
    t->pushed_out = true;
    list_push_back(&a->pushed, &t->link);
    return true;
}

static int make_room(struct activator *a, const struct activator_queue *q, uint32_t held, uint64_t now)
{
    if (held > a->limits.held_total)
        return -ENOSPC;
    while (a->stats.tickets >= a->limits.tickets_total)
        if (!push_out(a, q, false, now))
            return -ENOSPC;
    while (a->stats.held > a->limits.held_total - held)
        if (!push_out(a, q, true, now))
            return -ENOSPC;
    return 0;
}

int activator_submit(struct activator *a, struct activator_queue *q, const struct ticket_request *r,
                     uint64_t now, struct ticket **ret)
{
    const char *route = r->route ? r->route : "";
    struct ticket *t;
    struct peer *p;
    int e;

    if (activator_find(a, r->key))
        return -EEXIST;
    if (q->count >= a->limits.tickets_per_function || q->held + r->held > a->limits.held_per_function)
        return -ENOBUFS;
    e = make_room(a, q, r->held, now);
    if (e < 0)
        return e;
    t = calloc(1, sizeof(*t) + strlen(route) + 1);
    p = t ? peer_of(a, r->key.peer, true) : NULL;
    if (!p) {
        free(t);
        return -ENOMEM;
    }
    t->key = r->key;
    t->queue = q;
    t->since_ns = r->waited_ns < now ? now - r->waited_ns : 0;
    t->deadline_ns = r->deadline_ns;
    t->held = r->held;
    t->attempt = r->attempt;
    strcpy(t->route, route);
    e = heap_add(a, t);
    if (e == 0 && (e = map_put(&a->tickets, &t->node, (const char *)&t->key, sizeof(t->key))) < 0)
        heap_del(a, t);
    if (e < 0) {
        peer_drop_if_empty(a, r->key.peer);
        free(t);
        return e;
    }
    list_push_back(&p->tickets, &t->peer_link);
    enqueue(a, q, t, now);
    *ret = t;
    return 0;
}

struct ticket *activator_find(struct activator *a, struct ticket_key key)
{
    struct map_node *n = map_get(&a->tickets, &key, sizeof(key));

    return n ? map_entry(n, struct ticket, node) : NULL;
}

struct ticket *activator_oldest(const struct activator_queue *q)
{
    return list_empty(&q->tickets) ? NULL : list_entry(q->tickets.next, struct ticket, link);
}

struct ticket *activator_of_peer(struct activator *a, uint64_t peer)
{
    struct peer *p = peer_of(a, peer, false);

    return p && !list_empty(&p->tickets) ? list_entry(p->tickets.next, struct ticket, peer_link)
                                         : NULL;
}

struct ticket *activator_expired(struct activator *a, uint64_t now)
{
    return a->heap_size && a->heap[0]->deadline_ns <= now ? a->heap[0] : NULL;
}

struct ticket *activator_pushed_out(struct activator *a)
{
    return list_empty(&a->pushed) ? NULL : list_entry(a->pushed.next, struct ticket, link);
}

uint64_t activator_next_deadline(const struct activator *a)
{
    return a->heap_size ? a->heap[0]->deadline_ns : 0;
}

void activator_remove(struct activator *a, struct ticket *t, uint64_t now)
{
    uint64_t peer = t->key.peer;

    if (t->pushed_out) {
        list_del(&t->link);
    } else {
        dequeue(a, t, now);
        heap_del(a, t);
    }
    map_del(&a->tickets, &t->node);
    list_del(&t->peer_link);
    free(t);
    peer_drop_if_empty(a, peer);
}

const struct activator_stats *activator_stats(const struct activator *a)
{
    return &a->stats;
}

struct activator *activator_free(struct activator *a)
{
    if (!a)
        return NULL;
    map_for_each(n, &a->tickets) free(map_entry(n, struct ticket, node));
    map_for_each(n, &a->peers) free(map_entry(n, struct peer, node));
    map_done(&a->tickets);
    map_done(&a->peers);
    free(a->heap);
    free(a);
    return NULL;
}
