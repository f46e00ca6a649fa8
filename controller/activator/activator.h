/* activator.h - where requests wait: tickets, first in first out per function, fair between
 * functions.
 *
 * Pure and single-threaded (the brain's): no clock, no socket. A ticket is
 * about 150 bytes and its route; the request's own bytes stay at its entry. Bounds in count
 * and in held bytes hold per function and in all; when all is full, a function
 * with less than its share pushes out the newest ticket of the largest queue. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct activator;

struct activator_limits {
    uint32_t tickets_per_function, tickets_total;
    uint64_t held_per_function, held_total; /* bytes */
};

/* Embedded in the function; activator_queue_init() first. */
struct activator_queue {
    struct list tickets; /* struct ticket, oldest first */
    struct list link;    /* activator's queues that are not empty */
    uint32_t count;
    uint64_t held;
    double area; /* tickets x seconds since area_since */
    uint64_t area_since, area_at;
};

struct ticket_key {
    uint64_t peer; /* the entry's channel; 0: the controller's own front */
    uint64_t id;   /* the entry's */
};
struct ticket {
    struct ticket_key key;
    struct map_node node;
    struct list link, peer_link;
    struct activator_queue *queue;
    uint64_t since_ns; /* when the request began to wait: its place in the line */
    uint64_t deadline_ns;
    size_t heap_at;
    uint32_t held, attempt;
    bool pushed_out; /* refused for another function's sake: see activator_pushed_out() */
    char route[];    /* see the request's */
};
struct ticket_request {
    struct ticket_key key;
    uint64_t waited_ns;
    uint64_t deadline_ns; /* absolute */
    uint32_t held, attempt;
    const char *route; /* what the grant tells of the trigger that led here; copied; NULL: "" */
};

int activator_new(const struct activator_limits *l, struct activator **ret);
struct activator *activator_free(struct activator *a); /* and every ticket */

void activator_queue_init(struct activator_queue *q, uint64_t now);
/* 0: it waits. -EEXIST: that ticket waits already. -ENOBUFS: the function's queue is full. -ENOSPC:
 * all is full. -ENOMEM. */
int activator_submit(struct activator *a, struct activator_queue *q, const struct ticket_request *r,
                     uint64_t now, struct ticket **ret);
struct ticket *activator_find(struct activator *a, struct ticket_key key);
struct ticket *activator_oldest(const struct activator_queue *q); /* NULL: nobody waits */
/* The next one of this entry, NULL: none. */
struct ticket *activator_of_peer(struct activator *a, uint64_t peer);
/* A ticket over its deadline, or NULL. It is still in its queue. */
struct ticket *activator_expired(struct activator *a, uint64_t now);
/* A ticket that was pushed out, or NULL. It is in no queue any more, `queue` still tells whose it
 * was. */
struct ticket *activator_pushed_out(struct activator *a);
uint64_t activator_next_deadline(const struct activator *a); /* 0: none */
/* Out of the queue and freed. */
void activator_remove(struct activator *a, struct ticket *t, uint64_t now);
/* The mean's time begins now. */
void activator_queue_since(struct activator_queue *q, uint64_t now);
/* Mean number of waiting tickets since the last call, or over least_ns if that is longer: who began to wait just
 * before a sample is no load of a whole second. */
double activator_queue_mean(struct activator_queue *q, uint64_t now, uint64_t least_ns);

struct activator_stats {
    uint64_t tickets, held;
};
const struct activator_stats *activator_stats(const struct activator *a);
