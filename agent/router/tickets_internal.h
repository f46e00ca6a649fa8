/* tickets_internal.h - the table of open tickets, shared by tickets.c and tickets_tell.c. */
#pragma once
#include "router/tickets.h"

/* The open tickets of one function, oldest first. */
struct ticket_queue {
    struct map_node node;
    struct list list;
    unsigned count;
    bool turning;   /* slots of this node serve it */
    uint64_t share; /* of free slots; what was not had yet */
    char function_key[];
};
struct tickets {
    struct tickets_config config;
    uint64_t next_id;
    struct map by_id, queues;
    struct list all; /* oldest first */
    struct list untold;
    unsigned untold_count, gone_count;
    uint64_t gone[TICKETS_LATER]; /* served, and the controller is not yet told */
    struct loop_timer later;
    struct tickets_stats stats;
};

static inline bool ticket_untold(const struct ticket *t)
{
    return !list_empty(&t->untold_link);
}

/* ---- tickets_tell.c */
void ticket_send(struct tickets *ts, const struct ticket *t);
void tickets_send_gone(struct tickets *ts, uint64_t *ids, size_t n);
void tickets_tell(struct tickets *ts);       /* what waits for it, now */
void tickets_tell_later(struct tickets *ts); /* one more waits */
void tickets_on_later(struct loop_timer *timer);
