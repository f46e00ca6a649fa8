/* serve_internal.h - what the files behind rouse/reactor.h share and nobody else includes.
 *
 * A server has loops, a loop has listeners, datagram sockets and connections.
 * serve.c starts and ends it, serve_loop.c is one loop's part, serve_conn.c a
 * connection's, serve_output.c an answer's, datagram.c the packets'. */
#pragma once
#include "base/buffer.h"
#include "reactor/conn.h"
#include "reactor/datagram.h"
#include "reactor/serve_address.h"

#include <netinet/in.h>
#include <pthread.h>
#include <rouse/reactor.h>
#include <stdatomic.h>

struct listening;
struct serve_loop;

struct rouse_output {
    struct buffer bytes; /* its limit is what output_limit leaves */
    size_t pending;      /* of the connection, before */
    size_t full_at;
    bool no_room;
    int error; /* of the first append that failed */
};

/* A counter that one loop writes and any thread reads. */
struct serve_count {
    _Atomic(uint64_t) n;
};
static inline void count_up(struct serve_count *c, uint64_t by)
{
    atomic_store_explicit(&c->n, atomic_load_explicit(&c->n, memory_order_relaxed) + by,
                          memory_order_relaxed);
}
static inline uint64_t count_of(const struct serve_count *c)
{
    return atomic_load_explicit(&c->n, memory_order_relaxed);
}

struct serve_loop {
    struct rouse_server *server;
    unsigned index;
    struct loop *loop;
    pthread_t thread;
    struct listening *listening; /* one for each address */
    struct list conns;
    struct rouse_output out; /* of the callback that runs */
    struct loop_timer tick, sweep, drain, deadline;
    uint64_t tick_ms, sweep_ns;
    bool draining;    /* what is done is closed */
    bool stopped;     /* accepts no more */
    atomic_uint open; /* connections that were given to this loop, for the balance */
    struct mail stop, resume;
    atomic_bool resume_posted;
    uint64_t random;
    struct {
        struct serve_count accepted, opened, closed, detached, bytes_in, bytes_out, refused;
        struct serve_count cut_input, cut_output, timed_out;
        struct serve_count datagrams_in, datagrams_out, datagrams_dropped;
    } counts;
};

struct rouse_server {
    struct rouse_events events; /* limits filled in */
    struct serve_address *addresses;
    size_t address_count;
    struct serve_loop *loops;
    unsigned loop_count;
    atomic_uint next; /* round-robin */
    atomic_uint open; /* connections accepted and not closed, for max_connections */
    /* A token for each loop that may still accept and for each connection object. The last one
     * to go stops all loops, so none ends while another may still hand it something. */
    atomic_size_t alive;
    /* Threads inside loop_post(): a sender touches the loop after its mail may have been read. */
    atomic_uint posting;
    atomic_bool stopping;
    atomic_bool failed; /* a loop broke: all end without waiting for anything */

    pthread_mutex_t lock; /* the start: one loop after the other, then all together */
    pthread_cond_t changed;
    unsigned ready, ended;
    enum { SERVE_START, SERVE_RUN, SERVE_LEAVE } phase;
    struct rouse_error error; /* the first */
};

enum serve_state {
    SERVE_OPEN,
    SERVE_DETACHING, /* once its output is out */
    SERVE_CLOSING,   /* likewise */
    SERVE_ENDING,    /* the rest is the stream's own */
    SERVE_GONE,
};

struct rouse_conn {
    struct serve_loop *loop;
    struct conn *conn; /* NULL: not yet open, gone, or a datagram */
    void *context;
    struct list link;    /* of the loop's */
    struct mail mail;    /* the way to the loop's thread: handed over, woken, unreferenced */
    atomic_uint asked;   /* what the mail is to do; 0: it is not posted */
    unsigned references; /* loop's thread only */
    unsigned address;
    enum serve_state state;
    bool datagram, eof, reuse_input;
    socklen_t remote_size;
    int fd;                                 /* handed over, not yet open */
    size_t kept;                            /* bytes of input that data() left */
    struct buffer *own;                     /* the input's copy, without reuse_input */
    uint64_t active_at, kept_at, sent_seen; /* for the time-outs */
    union datagram_peer remote; /* the largest that has a meaning; a Unix peer has no name */
};

/* One address as one loop listens on it: either of the two, or neither. */
struct listening {
    struct serve_loop *loop;
    unsigned index; /* of the address */
    struct listener *stream;
    struct datagram_socket *datagram;
    struct rouse_conn packet; /* what data() is given for a datagram */
};

/* ---- serve.c */
void serve_post(struct rouse_server *s, struct serve_loop *to, struct mail *m); /* any thread */
void serve_token_gone(struct rouse_server *s);
void serve_fail(struct rouse_server *s, int code, const char *what, const char *why);

/* ---- serve_loop.c */
int serve_loop_open(struct serve_loop *sl);
void serve_loop_begin(struct serve_loop *sl);
void serve_loop_done(struct serve_loop *sl);
/* A connection has output to finish before it leaves: sees to it that it gets on. */
void serve_loop_sweep(struct serve_loop *sl);
/* A connection has left; accepting may go on. */
void serve_left(struct serve_loop *sl);

/* ---- serve_conn.c */
int serve_conn_new(struct serve_loop *to, unsigned address, int fd, struct rouse_conn **ret);
void serve_conn_start(struct rouse_conn *c); /* on its loop */
void serve_conn_hand_over(struct rouse_conn *c);
void serve_conn_settle(struct rouse_conn *c); /* closes it if it is done */
/* Cuts it off if it is late. True: it has to be looked at again even if no time-outs are set. */
bool serve_conn_sweep(struct rouse_conn *c, uint64_t now);
void serve_conn_cut(struct rouse_conn *c); /* the deadline of a shutdown */

/* The datagram event of one packet. */
void serve_packet(void *listening, const union datagram_peer *from, socklen_t from_size,
                  const uint8_t *in, size_t n);

/* ---- serve_output.c */
/* Empties the loop's output for an answer to someone who has `pending` bytes to take. */
struct rouse_output *serve_output_begin(struct serve_loop *sl, size_t pending, size_t limit);
void serve_output_end(struct rouse_output *out);
