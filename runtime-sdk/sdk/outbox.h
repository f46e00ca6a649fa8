/* outbox.h - frames to the agent: queued by any task or thread, sent together.
 *
 * Frames are queued whole and in order. Whoever queued something sees that it is
 * flushed: outbox_flush() at once, or outbox_flush_soon() when the tasks that can
 * run now have had their turn, so that one write takes what they queue. */
#pragma once
#include "rouse/sched.h"
#include "sched/lock.h"
#include "wire/frame.h"

struct outbox {
    int fd;
    _Atomic uint32_t state; /* enum outbox_state, in outbox.c */
    struct buffer flight;   /* what is being sent: of whoever has the state */
    struct spin lock;       /* over `pending` */
    struct buffer pending;  /* whole frames */
    _Atomic size_t waiting; /* bytes of both, at least */
    _Atomic bool soon;      /* a task was made to flush */
    _Atomic bool attended;  /* the task in outbox_attend() will */
    _Atomic bool failed;    /* the connection: what is queued is thrown away */
    _Atomic uint32_t crowd; /* tasks that wait for room */
    struct rouse_mutex room_lock;
    struct rouse_cond room;
};

void outbox_init(struct outbox *o, int fd);
void outbox_done(struct outbox *o);
/* -ENOMEM, -EMSGSIZE. Never waits. Any thread. */
int outbox_queue(struct outbox *o, enum frame_type type, uint8_t flags, uint64_t id,
                 const void *payload, size_t n);
/* A body of any size: a frame of `type`, then BODY frames; FIN on the last. A task; it waits for room
 * between them, unless it is cancelled. */
int outbox_queue_body(struct outbox *o, enum frame_type type, uint8_t flags, uint64_t id,
                      const uint8_t *body, size_t n);
/* Any thread; waits only where there is no task, and only for the socket. */
void outbox_flush(struct outbox *o);
void outbox_flush_soon(struct outbox *o);
/* The calling task lets others have their turn and then flushes: nobody else is made to, meanwhile. */
void outbox_attend(struct outbox *o);
/* Ends the connection, which tells the reader; what is queued is thrown away, nobody waits to send it. Any thread. */
void outbox_give_up(struct outbox *o);
/* Until less than OUTBOX_ROOM waits to be sent. A task. -ETIMEDOUT, -ECANCELED */
enum { OUTBOX_ROOM = 1 << 20 };
int outbox_wait_room(struct outbox *o, int64_t deadline);
/* From a signal handler: sends what is queued and the bytes, unless a thread is in the middle of a
 * frame and stays there. Nobody can send after it. */
void outbox_last_word(struct outbox *o, const void *data, size_t n);
