/* epoll_internal.h - what the two files of the epoll backend share. */
#pragma once
#include "reactor/conn_internal.h"

#include <sys/epoll.h>

enum { EPOLL_BATCH = 256 }; /* descriptors handled in one turn */

struct epoll_state {
    int fd;
    bool coarse; /* no epoll_pwait2(2) here */
    int count;   /* of the batch being handled; a cancelled watch is blanked in it */
    struct loop_watch wake;
    struct epoll_event events[EPOLL_BATCH];
    uint8_t read_buffer[LOOP_READ_BUFFER];
};

static inline struct epoll_state *epoll_of(const struct loop *l)
{
    return l->kernel;
}
int epoll_watch_set(struct loop *l, struct loop_watch *w, uint32_t events);
void epoll_watch_cancel(struct loop *l, struct loop_watch *w);

int epoll_conn_start(struct conn *c);
void epoll_conn_want(struct conn *c);
void epoll_conn_flush(struct conn *c);
bool epoll_conn_receiving(const struct conn *c);
bool epoll_conn_stop(struct conn *c, bool keep);
