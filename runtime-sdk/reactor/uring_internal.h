/* uring_internal.h - the io_uring backend's state, shared by its files.
 *
 * Submission entries are made only between two handlers' runs, in
 * uring_prepare(): whoever wants something of the kernel marks its object dirty,
 * and what the object wants then is compared with what the kernel holds. So a
 * pause and a resume in one turn cost nothing, and no entry names an object that
 * has gone. What the kernel holds is named by the object's address and a tag; a
 * connection's memory stays until the last completion of its operations. */
#pragma once
#include "reactor/conn_internal.h"

#include <liburing.h>
#include <sys/types.h>

/* Newer than Debian 12's liburing; tried at run time. */
#define URING_PBUF_INC   2 /* IOU_PBUF_RING_INC, Linux 6.12: a buffer is filled bit by bit */
#define URING_F_BUF_MORE (1u << 4) /* IORING_CQE_F_BUF_MORE: and is not full yet */

#define URING_FEAT_MIN_TIMEOUT (1u << 15) /* IORING_FEAT_MIN_TIMEOUT, Linux 6.12 */
#define URING_ENTER_ABS_TIMER  (1u << 5)  /* and with it IORING_ENTER_ABS_TIMER */

enum {
    URING_SQ = 256,
    URING_CQ = 4096,
    URING_SLOTS = 16384, /* registered descriptors; connections past it use their plain ones */
    /* Receive buffers: filled bit by bit few large ones, else many small ones. They are also what may
     * come for a connection before its pause reaches the kernel. */
    URING_BUFFERS = 8,
    URING_BUFFER = 32768,
    URING_WHOLE_BUFFERS = 128,
    URING_WHOLE_BUFFER = 4096,
    URING_GROUP = 1,
};

/* The low bits of user_data. */
enum {
    TAG_NONE, /* nobody waits for it: failures of cancels and closes */
    TAG_RECV,
    TAG_POLL,
    TAG_SEND,
    TAG_ACCEPT,
    TAG_WATCH, /* slot << 4, generation << 32 */
    TAG_WAKE,
    TAG_MASK = 15,
};

/* conn.armed: what the kernel holds, what is cancelled, and what is to be compared. */
enum {
    ARM_RECV = 1,
    ARM_POLL = 2, /* for watch.events */
    ARM_SEND = 4, /* `busy` */
    ARM_ALL = ARM_RECV | ARM_POLL | ARM_SEND,
    CANCEL_RECV = 8,
    CANCEL_POLL = 16,
    DIRTY = 32, /* is in uring.dirty */
    WANT_CHECK = 64,
    WANT_SEND = 128,
};

struct uring_poll {           /* a loop_watch's side that outlives it */
    struct loop_watch *watch; /* NULL: cancelled, or the slot is free */
    uint32_t generation;
    uint32_t armed; /* events the kernel waits for; 0: none */
    bool multishot; /* told of changes alone: what it asks for is always there and not meant */
    bool dirty;
};

/* As the ring has it, but for its bytes: where they are in a buffer follows from the completions before it,
 * so they are found when it is taken out of the ring. */
struct uring_completion {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
    uint8_t *bytes; /* what a receive brought; stays until uring_buffers_return() */
};

struct uring_vector { /* of pointers or numbers */
    uintptr_t *at;
    size_t count, capacity;
};

struct uring {
    struct io_uring ring;
    struct loop *loop;
    bool opened;
    bool started; /* a thread is its submitter: */
    pid_t thread;
    bool fixed;       /* descriptors are registered */
    bool incremental; /* URING_PBUF_INC */
    bool absolute;    /* URING_ENTER_ABS_TIMER */
    bool wake_armed;
    uint64_t wake_count;
    struct io_uring_buf_ring *buffers; /* NULL until the first connection */
    uint8_t *memory;
    unsigned buffer_count, buffer_size;
    uint32_t offset[URING_WHOLE_BUFFERS]; /* how far each buffer is filled */
    int returned;                         /* buffers to give back */
    struct uring_vector conns;            /* all whose memory the kernel may name */
    struct uring_vector accepting;        /* all listeners */
    struct uring_vector dirty, sending, listeners, polls_dirty, polls_free, slots_free;
    struct uring_poll *polls;
    size_t poll_count;
    uint64_t *watched; /* a bit a descriptor that has a watch */
    size_t watched_words;
    uint32_t slots_used, slots;
    /* Out of the ring and not yet told: at, up to count. */
    struct uring_completion *taken;
    size_t taken_at, taken_count, taken_capacity;
    bool held; /* a listener that may go on has descriptors in hand */
    bool owed; /* a send is handed over whose outcome an owner waits for: this turn does not wait */
};

/* What this kernel can; one probe a process. */
struct uring_abilities {
    char reason[160]; /* "": usable */
    bool fixed, incremental;
};
const struct uring_abilities *uring_abilities(void);
extern unsigned uring_without; /* a test's: abilities to do without, as an older kernel */
enum { WITHOUT_FIXED = 1, WITHOUT_INCREMENTAL = 2, WITHOUT_ABSOLUTE = 4 };

static inline struct uring *uring_of(const struct loop *l)
{
    return l->kernel;
}
static inline uint64_t uring_name(const void *object, unsigned tag)
{
    return (uintptr_t)object | tag;
}
void vector_push(struct uring_vector *v, uintptr_t x);
void vector_remove(struct uring_vector *v, uintptr_t x);

/* A cleared submission entry; submits when there is no room. */
struct io_uring_sqe *uring_sqe(struct uring *u);
void uring_cancel(struct uring *u, uint64_t name);
/* This thread may submit. */
bool uring_mine(const struct uring *u);
/* Outside a run: hands over what is dirty now. */
void uring_settle(struct uring *u);

/* ---- uring_complete.c */
/* More has come than the ring has room for. */
bool uring_overflowed(const struct uring *u);
/* Tells what is there now. */
void uring_run_completions(struct uring *u);
/* Sends that did not take all post a completion: found before their outcome is acted on. */
void uring_note_sends(struct uring *u);
/* Does all the work that waits for this thread in the kernel. */
void uring_run_work(struct uring *u);
/* Empties the ring into `taken`, so that nothing is left behind its end either. */
void uring_take_all(struct uring *u);
/* Ends an operation at once; `each` gets its completions, true at the last one. */
void uring_end_now(struct uring *u, uint64_t name,
                   bool (*each)(void *object, const struct uring_completion *cqe), void *object);

/* ---- uring_buffers.c */
int uring_buffers_open(struct uring *u);
void uring_buffers_close(struct uring *u);
/* Where a completion's bytes are, once for each and in the ring's order; NULL: it has no buffer. */
uint8_t *uring_buffer_take(struct uring *u, uint32_t cqe_flags, int res);
/* All that has been taken has been told. */
void uring_buffers_return(struct uring *u);

/* ---- uring_conn.c */
int uring_conn_start(struct conn *c);
void uring_conn_want(struct conn *c);
bool uring_conn_receiving(const struct conn *c);
void uring_conn_flush(struct conn *c);
bool uring_conn_stop(struct conn *c, bool keep);
void uring_conn_prepare(struct uring *u, struct conn *c);
void uring_conn_completed(struct conn *c, unsigned tag, const struct uring_completion *cqe);
/* The kernel holds nothing of any connection any more. */
void uring_conns_forget(struct uring *u, bool closed_only);
/* The sends of the last submission have been executed. */
void uring_conns_sent(struct uring *u);

/* ---- uring_watch.c */
int uring_watch_set(struct loop *l, struct loop_watch *w, uint32_t events);
void uring_watch_cancel(struct loop *l, struct loop_watch *w);
void uring_watches_prepare(struct uring *u);
void uring_watches_forget(struct uring *u); /* the kernel holds none any more */
void uring_watch_completed(struct uring *u, const struct uring_completion *cqe);

/* ---- uring_accept.c */
int uring_accept_set(struct listener *ls, bool on);
void uring_accept_done(struct listener *ls);
void uring_accepts_prepare(struct uring *u);
void uring_accept_completed(struct uring *u, struct listener *ls, const struct uring_completion *cqe);
void uring_accepts_held(struct uring *u);
void uring_accepts_forget(struct uring *u);
