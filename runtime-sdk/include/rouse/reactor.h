/* reactor.h - serve byte streams and datagrams on event loops.
 *
 *     #include <rouse/reactor.h>
 *
 *     static enum rouse_action echo(struct rouse_conn *c, struct rouse_input *in,
 *                                   struct rouse_output *out)
 *     {
 *         rouse_append(out, in->data, in->size);
 *         return ROUSE_NONE;
 *     }
 *     int main(void)
 *     {
 *         const char *const addresses[] = {"tcp://:5000", "unix:///tmp/echo.sock"};
 *
 *         return rouse_serve(&(struct rouse_events){.data = echo}, addresses, 2, NULL) < 0;
 *     }
 *
 * Build it with `cc echo.c $(pkg-config --cflags --libs rouse-reactor)`.
 *
 * Threads: every loop is one thread, loop 0 the one that called rouse_serve().
 * A connection belongs to one loop for all its life, and its callbacks run on
 * that thread, one at a time. A callback that blocks holds up all connections
 * of its loop. Callbacks of different loops run at the same time: what they
 * share, `user` above all, is theirs to guard. Only rouse_wake(),
 * rouse_conn_unref(), rouse_shutdown() and rouse_server_stats() may be called
 * from any thread; everything else only inside a callback that was given the
 * connection or server in question.
 *
 * Functions return 0 or -errno unless they say otherwise. Times are
 * milliseconds on the monotonic clock, sizes are bytes. Every limit has a
 * default, taken where the field is 0. SIGPIPE is never raised. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rouse_server; /* lives from serving() until rouse_serve() returns */
struct rouse_conn;   /* lives until closed() or detached() has returned; longer while referenced */
struct rouse_output; /* an answer being made; lives until the callback returns */

/* What a callback wants done when it has returned. The output it made always goes first; a peer that
 * takes nothing of it for idle_timeout_ms, or 10 s if there is none, is cut off (-ETIMEDOUT). */
enum rouse_action {
    ROUSE_NONE,
    ROUSE_DETACH,   /* hand the descriptor to detached(); a datagram: as ROUSE_NONE */
    ROUSE_CLOSE,    /* close when all output has gone out; a datagram: as ROUSE_NONE */
    ROUSE_SHUTDOWN, /* stop the server, as rouse_shutdown() */
};

/* Which loop a new connection goes to. */
enum rouse_balance { ROUSE_RANDOM, ROUSE_ROUND_ROBIN, ROUSE_LEAST_CONNECTIONS };

/* What the loops stand on. auto: io_uring where the kernel has what it needs, else epoll. */
enum rouse_backend { ROUSE_BACKEND_AUTO, ROUSE_BACKEND_EPOLL, ROUSE_BACKEND_IO_URING };

/* Bytes that came. `data` lives until the callback returns (but see reuse_input_buffer). The
 * callback may set `keep`, 0 before it: so many bytes at the end are not used yet and come again,
 * in front of what follows. More of them than input_limit cuts the connection off (-ENOBUFS).
 * After rouse_wake() the input is empty, and what was kept stays kept. */
struct rouse_input {
    const char *data;
    size_t size;
    size_t keep;
};

/* Zero before opened(), which may set them. */
struct rouse_conn_options {
    unsigned tcp_keepalive_s; /* seconds of silence before a probe, and between probes; 0: none */
    /* true: in->data lies in a buffer that all connections of the loop share; it is gone when
     * data() returns. false: it is a copy of the connection's own, valid until the next data() or
     * the end of closed(), and costs memory of that size for as long. */
    bool reuse_input_buffer;
};

struct rouse_events {
    void *user; /* yours: rouse_server_user() */

    int loops; /* 0: one; negative: one for each cpu this process may use; else so many, up to 1024 */
    enum rouse_balance balance;
    enum rouse_backend backend;

    /* ---- limits; 0: the default in brackets */
    unsigned max_connections; /* [10000] open at once; past it new ones wait in the backlog */
    size_t input_limit;       /* [64 KiB] bytes that data() keeps */
    /* Past `output_high` bytes [256 KiB] that the peer does not take, its input is left unread
     * until `output_low` [64 KiB] are left. Past `output_limit` [16 MiB] the connection is cut off
     * (-ENOBUFS); data() can stay far below it with rouse_output_full(). */
    size_t output_high, output_low, output_limit;
    unsigned idle_timeout_ms;     /* [none] nothing came and nothing went for so long: -ETIMEDOUT */
    unsigned message_timeout_ms;  /* [none] bytes have been kept for so long: -ETIMEDOUT */
    unsigned shutdown_timeout_ms; /* [5000] what accepted connections get to finish in */
    unsigned unix_mode;           /* [0600] of the files of unix:// addresses */

    /* ---- events; each may be NULL */

    /* Every address listens, nothing is accepted yet. On the thread of rouse_serve(). */
    enum rouse_action (*serving)(struct rouse_server *s);
    /* A connection was accepted; not for datagrams. `out` is sent first. */
    enum rouse_action (*opened)(struct rouse_conn *c, struct rouse_conn_options *options,
                                struct rouse_output *out);
    /* The connection is gone. `error`: 0 when either side closed it in order, -errno otherwise
     * (-ECONNRESET, -ETIMEDOUT, -ENOBUFS, ...). Only ROUSE_SHUTDOWN has a meaning. */
    enum rouse_action (*closed)(struct rouse_conn *c, int error);
    /* After ROUSE_DETACH, once all output has gone out: `fd` (non-blocking, close-on-exec) is now
     * the callee's; the `n` bytes at `rest` were read and not used, they live until the return.
     * closed() is not called. Without a callee the descriptor is closed. */
    enum rouse_action (*detached)(struct rouse_conn *c, int fd, const void *rest, size_t n);
    /* Right before an answer is handed to the kernel, on the loop's thread; what a full kernel
     * leaves of it goes later without another call. The place to make a log durable first. */
    void (*prewrite)(struct rouse_conn *c);
    /* Input came, or rouse_wake() was called, or one datagram came (`c` then lives until the
     * return, has no context, and `out` goes back to its sender as one datagram). */
    enum rouse_action (*data)(struct rouse_conn *c, struct rouse_input *in, struct rouse_output *out);
    /* On loop 0: at once when it starts, then each time `*delay_ms` have passed, which it may
     * change (1000 before the first call, at least 1). */
    enum rouse_action (*tick)(struct rouse_server *s, uint64_t *delay_ms);
};

struct rouse_error {
    int code; /* a positive errno */
    char message[256];
};

/* Listens on `count` addresses and serves until ROUSE_SHUTDOWN or rouse_shutdown(); then 0. What
 * goes wrong before serving() is -errno and, unless `ret_error` is NULL, a message that names the
 * address. `events` and `addresses` are copied.
 *
 * tcp://HOST:PORT   HOST: an IPv4 address, [an IPv6 address], localhost, or empty for all
 * tcp4:// tcp6://   addresses of the one family alone
 * udp:// udp4:// udp6://
 * unix:///PATH      a socket file; one that nobody answers on is replaced
 *
 * PORT 0 takes a free one. "?reuseport=true" behind a port shares it with other sockets of the
 * same user that ask for it; with several loops each then has a socket of its own and the kernel
 * spreads new connections (`balance` has no say), so that each wakes its loop and no other.
 * Without it an address is accepted on one loop, which hands on what is for the others. */
int rouse_serve(const struct rouse_events *events, const char *const *addresses, size_t count,
                struct rouse_error *ret_error);

/* Stops accepting, then closes each connection when it is done: its output is out, it has no bytes
 * kept or unread, and nobody references it. What is not done after shutdown_timeout_ms is cut off
 * (-ETIMEDOUT). Any thread and signal handlers, from serving() until rouse_serve() returns. */
void rouse_shutdown(struct rouse_server *s);
void *rouse_server_user(const struct rouse_server *s);
unsigned rouse_server_loops(const struct rouse_server *s);
size_t rouse_server_addresses(const struct rouse_server *s);
/* The address as bound ("tcp://127.0.0.1:40913"), NULL past the last; lives as long as `s`. */
const char *rouse_server_address(const struct rouse_server *s, size_t index);

/* Counters of one loop since it started. Each is exact, together they are no snapshot. */
struct rouse_loop_stats {
    uint64_t turns, wakeups; /* of the loop; wake-ups by other threads among them */
    uint64_t accepted;       /* by this loop, whichever got them */
    uint64_t opened, closed, detached;
    uint64_t bytes_in, bytes_out;              /* of streams: read; answered, sent or not */
    uint64_t refused;                          /* closed at once, past max_connections */
    uint64_t cut_input, cut_output, timed_out; /* by input_limit, output_limit, the time-outs */
    uint64_t datagrams_in, datagrams_out, datagrams_dropped; /* dropped: answers the kernel refused */
};
/* -EINVAL: no such loop. Any thread. */
int rouse_server_stats(const struct rouse_server *s, unsigned loop, struct rouse_loop_stats *ret);

/* ---- connections */
struct rouse_server *rouse_conn_server(const struct rouse_conn *c);
void *rouse_conn_context(const struct rouse_conn *c); /* yours, NULL at first */
void rouse_conn_set_context(struct rouse_conn *c, void *context);
size_t rouse_conn_address_index(const struct rouse_conn *c); /* of the address it came in by */
unsigned rouse_conn_loop(const struct rouse_conn *c);
#define ROUSE_ADDRESS_MAX 128
/* "tcp://[::1]:40913", "unix://" for the usual nameless peer. */
void rouse_conn_local_address(const struct rouse_conn *c, char out[ROUSE_ADDRESS_MAX]);
void rouse_conn_remote_address(const struct rouse_conn *c, char out[ROUSE_ADDRESS_MAX]);
/* The peer's address as the kernel gave it; lives as long as `c`. */
const struct sockaddr *rouse_conn_remote_sockaddr(const struct rouse_conn *c, socklen_t *ret_size);

/* To answer later, from another thread: take a reference in a callback, leave the answer where
 * data() finds it (the context), rouse_wake(), rouse_conn_unref(). A reference keeps the pointer
 * valid after closed(), holds back the end of a connection whose peer has shut down its side or
 * whose server is shutting down, and rouse_serve() does not return before the last one is back. */
struct rouse_conn *rouse_conn_ref(struct rouse_conn *c); /* in a callback of `c`; not for datagrams */
void rouse_conn_unref(struct rouse_conn *c);             /* any thread */
/* data() runs soon with empty input, once for all calls before it; never after closed(). Any
 * thread that holds a reference, or a callback of `c`. */
void rouse_wake(struct rouse_conn *c);

/* ---- answers: what is appended goes out in order, behind what is already on its way. A failed
 * append leaves a hole, so the connection is cut off with its error whether or not the caller
 * looks at it; a datagram is dropped. */
int rouse_append(struct rouse_output *out, const void *data, size_t n); /* copies; -ENOMEM, -ENOBUFS */
int rouse_append_text(struct rouse_output *out, const char *text);
int rouse_appendf(struct rouse_output *out, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for `n` bytes to write in place, NULL as -ENOMEM or -ENOBUFS; rouse_commit() appends up to
 * `n` of them. Nothing else may be appended in between. */
void *rouse_reserve(struct rouse_output *out, size_t n);
void rouse_commit(struct rouse_output *out, size_t n);
size_t rouse_output_size(const struct rouse_output *out); /* appended in this callback */
/* true: more than output_high is on its way. data() may then keep the rest of its input; it comes
 * again when the peer has taken enough. */
bool rouse_output_full(const struct rouse_output *out);

#ifdef __cplusplus
}
#endif
