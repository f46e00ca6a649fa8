/* tickets.c - the table of open tickets: by id for grants, by function for slots that free here,
 * by age for a controller that comes back. What it says to the controller is tickets_tell.c. On the agent's loop. */
#include "router/tickets_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The activator has the same deadline and knows the reason: it may say so first. */
enum { ACTIVATOR_GRACE_MS = 250 };

int tickets_new(const struct tickets_config *c, struct tickets **ret)
{
    struct tickets *ts = calloc(1, sizeof(*ts));

    if (!ts)
        return -ENOMEM;
    ts->config = *c;
    if (!ts->config.limit)
        ts->config.limit = TICKETS_MAX;
    if (!ts->config.held_limit)
        ts->config.held_limit = TICKETS_HELD_MAX;
    ts->next_id = c->id_base;
    list_init(&ts->all);
    list_init(&ts->untold);
    ts->later.fn = tickets_on_later;
    *ret = ts;
    return 0;
}

struct tickets *tickets_free(struct tickets *ts)
{
    if (!ts)
        return NULL;
    loop_timer_cancel(ts->config.loop, &ts->later);
    map_done(&ts->by_id);
    map_done(&ts->queues);
    free(ts);
    return NULL;
}

static struct ticket_queue *queue_get(const struct tickets *ts, const char *function_key)
{
    struct map_node *n = map_get_str(&ts->queues, function_key);

    return n ? map_entry(n, struct ticket_queue, node) : NULL;
}

static struct ticket_queue *queue_make(struct tickets *ts, const char *function_key)
{
    struct ticket_queue *q = queue_get(ts, function_key);
    size_t n = strlen(function_key);

    if (q)
        return q;
    q = calloc(1, sizeof(*q) + n + 1);
    if (!q)
        return NULL;
    memcpy(q->function_key, function_key, n + 1);
    list_init(&q->list);
    if (map_put(&ts->queues, &q->node, q->function_key, n) < 0) {
        free(q);
        return NULL;
    }
    return q;
}

static void queue_drop_if_empty(struct tickets *ts, struct ticket_queue *q)
{
    if (!list_empty(&q->list))
        return;
    map_del(&ts->queues, &q->node);
    free(q);
}

static uint64_t since_of(const struct list *link, size_t member)
{
    return ((const struct ticket *)((const char *)link - member))->since_ns;
}

/* Keeps age order. What comes again after a refused grant is older than most: both ends are near. */
static void insert_by_age(struct list *head, struct list *link, size_t member)
{
    uint64_t since = since_of(link, member);
    struct list *at = head->next;

    if (at != head && since_of(at, member) <= since)
        for (at = head; since_of(at->prev, member) > since;)
            at = at->prev;
    list_add_before(at, link);
}

static void close_ticket(struct ticket *t)
{
    struct tickets *ts = t->owner;

    ts->untold_count -= ticket_untold(t);
    list_del(&t->untold_link);
    map_del(&ts->by_id, &t->by_id);
    list_del(&t->all_link);
    list_del(&t->queue_link);
    t->queue->count--;
    queue_drop_if_empty(ts, t->queue);
    loop_timer_cancel(ts->config.loop, &t->timer);
    ts->stats.held_bytes -= t->held_bytes;
    ts->stats.open--;
    t->queue = NULL;
    t->owner = NULL;
}

/* Closes it; the controller forgets it, if it knows of it. */
static void take_back(struct ticket *t)
{
    struct tickets *ts = t->owner;
    bool told = !ticket_untold(t);

    close_ticket(t);
    if (told)
        tickets_send_gone(ts, &t->id, 1);
}

static void on_timer(struct loop_timer *timer)
{
    struct ticket *t = list_entry(timer, struct ticket, timer);
    struct tickets *ts = t->owner;

    ts->stats.deadlines++;
    take_back(t);
    t->ops->on_deadline(t);
}

int tickets_submit(struct tickets *ts, struct ticket *t)
{
    if (ts->stats.open >= ts->config.limit) {
        ts->stats.refused_count++;
        return -ENOBUFS;
    }
    if (t->held_bytes > ts->config.held_limit - ts->stats.held_bytes) {
        ts->stats.refused_bytes++;
        return -EDQUOT;
    }
    t->queue = queue_make(ts, t->function_key);
    if (!t->queue)
        return -ENOMEM;
    t->id = ++ts->next_id;
    if (map_put(&ts->by_id, &t->by_id, (const char *)&t->id, sizeof(t->id)) < 0) {
        queue_drop_if_empty(ts, t->queue);
        return -ENOMEM;
    }
    t->owner = ts;
    insert_by_age(&ts->all, &t->all_link, offsetof(struct ticket, all_link));
    insert_by_age(&t->queue->list, &t->queue_link, offsetof(struct ticket, queue_link));
    t->queue->count++;
    ts->stats.held_bytes += t->held_bytes;
    ts->stats.open++;
    ts->stats.submitted++;
    t->timer.fn = on_timer;
    loop_timer_set(ts->config.loop, &t->timer, t->deadline_ns + ACTIVATOR_GRACE_MS * NS_PER_MS);
    list_init(&t->untold_link);
    if (t->queue->turning) {
        list_push_back(&ts->untold, &t->untold_link);
        ts->untold_count++;
        tickets_tell_later(ts);
    } else {
        ticket_send(ts, t);
    }
    return 0;
}

void tickets_cancel(struct ticket *t)
{
    struct tickets *ts = t->owner;

    if (!ts)
        return;
    ts->stats.cancelled++;
    take_back(t);
}

void tickets_served(struct ticket *t)
{
    struct tickets *ts = t->owner;
    bool told, last;

    if (!ts)
        return;
    told = !ticket_untold(t);
    last = t->queue->count == 1; /* slots that are offered for it would stand idle */
    t->queue->turning = true;
    ts->stats.cancelled++;
    ts->stats.untold += !told;
    close_ticket(t);
    if (!told)
        return;
    ts->gone[ts->gone_count++] = t->id;
    if (last)
        tickets_tell(ts);
    else
        tickets_tell_later(ts);
}

void tickets_resubmit(struct tickets *ts)
{
    while (list_pop_front(&ts->untold))
        ;
    ts->untold_count = 0;
    list_for_each(it, &ts->all)
    {
        ticket_send(ts, list_entry(it, struct ticket, all_link));
        ts->stats.resubmitted++;
    }
}

static struct ticket *take(struct tickets *ts, uint64_t id)
{
    struct map_node *n = map_get(&ts->by_id, &id, sizeof(id));
    struct ticket *t = n ? map_entry(n, struct ticket, by_id) : NULL;

    if (t)
        close_ticket(t);
    return t;
}

bool tickets_grant(struct tickets *ts, const Rouse__Control__V1__Grant *g)
{
    struct ticket *t = take(ts, g->ticket);

    /* Its client left, or it was served here, while the grant was under way: the slot is for who waits
     * longest now. */
    if (!t) {
        ts->stats.unknown_grants++;
        t = tickets_oldest(ts, g->function_key);
        if (!t)
            return false;
        take_back(t);
    }
    ts->stats.granted++;
    t->ops->on_grant(t, g);
    return true;
}

void tickets_refuse(struct tickets *ts, const Rouse__Control__V1__Refuse *r)
{
    struct ticket *t = take(ts, r->ticket);

    if (!t)
        return;
    ts->stats.refused++;
    t->ops->on_refuse(t, r);
}

unsigned tickets_waiting(const struct tickets *ts, const char *function_key)
{
    const struct ticket_queue *q = ts->stats.open ? queue_get(ts, function_key) : NULL;

    return q ? q->count : 0;
}

bool tickets_turn(struct tickets *ts, const char *function_key, unsigned wanted)
{
    struct ticket_queue *q = queue_get(ts, function_key);

    if (!q || wanted <= q->count)
        return q != NULL;
    q->share += q->count;
    if (q->share < wanted)
        return false;
    q->share -= wanted;
    return true;
}

struct ticket *tickets_oldest(const struct tickets *ts, const char *function_key)
{
    struct ticket_queue *q = ts->stats.open ? queue_get(ts, function_key) : NULL;

    return q ? list_entry(q->list.next, struct ticket, queue_link) : NULL;
}

void tickets_each_function(struct tickets *ts, void (*fn)(void *user, struct ticket *oldest),
                           void *user)
{
    /* fn may empty and make queues: walk a copy. A queue goes away in its own visit only. */
    struct ticket_queue **queues = calloc(ts->queues.count + 1, sizeof(*queues));
    size_t n = 0;

    if (!queues)
        return;
    map_for_each(it, &ts->queues) queues[n++] = map_entry(it, struct ticket_queue, node);
    for (size_t i = 0; i < n; i++)
        if (queues[i]->function_key[0])
            fn(user, list_entry(queues[i]->list.next, struct ticket, queue_link));
    free(queues);
}

void tickets_take_all(struct tickets *ts, void (*fn)(void *user, struct ticket *t), void *user)
{
    while (!list_empty(&ts->all)) {
        struct ticket *t = list_entry(ts->all.next, struct ticket, all_link);

        close_ticket(t);
        fn(user, t);
    }
}

const struct tickets_stats *tickets_stats(const struct tickets *ts)
{
    return &ts->stats;
}
