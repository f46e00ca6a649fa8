/* tickets.h - requests of this entry that wait for a slot, as the activator knows them.
 *
 * A ticket is open from tickets_submit() until a grant, a refusal, its deadline
 * or tickets_cancel(). It says so to the controller at once, and again, with
 * its age, whenever the controller comes back; meanwhile it only waits. Tickets
 * are bounded in count and in the bytes their requests hold here. On the loop. */
#pragma once
#include "base/clock.h"
#include "base/map.h"
#include "control.pb-c.h"
#include "reactor/loop.h"

enum { TICKETS_MAX = 10000 };
#define TICKETS_HELD_MAX (1ull << 30) /* bytes */
/* What need not be told at once is told after that, or when there are so many. */
#define TICKETS_LATER_NS (2 * NS_PER_MS)
enum { TICKETS_LATER = 32 };

struct tickets;
struct ticket;

struct tickets_config {
    struct loop *loop;
    unsigned limit;      /* 0: TICKETS_MAX */
    uint64_t held_limit; /* bytes; 0: TICKETS_HELD_MAX */
    uint64_t id_base;    /* ids count from here */
    /* To the controller; -ENOTCONN is fine, tickets_resubmit() follows some day. */
    int (*send)(void *user, const Rouse__Control__V1__AgentMessage *m);
    void *user;
};

/* The ticket is closed when one of these runs, once; it may be submitted again or freed there. */
struct ticket_ops {
    void (*on_grant)(struct ticket *t, const Rouse__Control__V1__Grant *g);
    void (*on_refuse)(struct ticket *t, const Rouse__Control__V1__Refuse *r);
    void (*on_deadline)(struct ticket *t);
};

struct ticket { /* zero-initialise; embed in the request */
    /* the owner's; unchanged and alive while it is open */
    const struct ticket_ops *ops;
    const char *function_key; /* "" if the function is not known here */
    const char *method, *host, *path;
    uint64_t since_ns, deadline_ns; /* monotonic; when the request came and when it is given up */
    uint32_t held_bytes, attempt;
    /* tickets.c's */
    struct tickets *owner; /* NULL while closed */
    uint64_t id;
    struct map_node by_id;
    struct list all_link, queue_link;
    struct list untold_link; /* the controller does not know of it */
    struct ticket_queue *queue;
    struct loop_timer timer;
};

struct tickets_stats {
    uint64_t submitted, resubmitted, granted, refused, deadlines, cancelled, unknown_grants;
    uint64_t refused_count, refused_bytes; /* limits that were hit */
    uint64_t held_bytes;
    size_t open;
    uint64_t untold; /* that were served before they were told of */
};

unsigned tickets_waiting(const struct tickets *ts, const char *function_key);
/* A slot here, of that function, is free; `wanted` wait for one in all, at every entry, as far as the
 * activator said. True if it is one for a ticket of ours: a share by numbers. */
bool tickets_turn(struct tickets *ts, const char *function_key, unsigned wanted);

int tickets_new(const struct tickets_config *c, struct tickets **ret);
struct tickets *tickets_free(struct tickets *ts); /* none may be open */

/* -ENOBUFS: too many; -EDQUOT: too many bytes held; -ENOMEM. The ticket stays closed then. */
int tickets_submit(struct tickets *ts, struct ticket *t);
/* Nobody waits for it any more: told at once. A closed ticket is fine. */
void tickets_cancel(struct ticket *t);
/* A slot of this node has taken it. Told before long; at once when nobody of its function is left here, since
 * the activator may hold slots for it. */
void tickets_served(struct ticket *t);
/* The controller is there (again): every open ticket is sent, oldest first. */
void tickets_resubmit(struct tickets *ts);
/* False: nobody of that function waits here any more. */
bool tickets_grant(struct tickets *ts, const Rouse__Control__V1__Grant *g);
void tickets_refuse(struct tickets *ts, const Rouse__Control__V1__Refuse *r);

/* The oldest open ticket of that function, or NULL. */
struct ticket *tickets_oldest(const struct tickets *ts, const char *function_key);
/* Calls fn with the oldest ticket of every function (known ones only); fn may close and submit tickets of that one. */
void tickets_each_function(struct tickets *ts, void (*fn)(void *user, struct ticket *oldest),
                           void *user);
/* Takes every open ticket, oldest first, without telling the controller; fn owns it. */
void tickets_take_all(struct tickets *ts, void (*fn)(void *user, struct ticket *t), void *user);
const struct tickets_stats *tickets_stats(const struct tickets *ts);
