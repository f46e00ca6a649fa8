/* conn.h - a byte stream on a loop: TCP or Unix, accepted or dialled.
 *
 * Writes are kept in order and finished when the peer takes them; a second
 * write while one is pending is appended. Reading stops while paused. Past
 * `high_water` pending bytes conn_write() still takes the data but
 * conn_congested() is true until it falls below `low_water` and on_drained()
 * runs. The owner is told once, by on_closed(), when the stream is gone. */
#pragma once
#include "base/address.h"
#include "reactor/loop.h"
#include <sys/socket.h>

struct conn;

struct conn_ops {
    /* Bytes came. What is not consumed must be copied: `in` lives until the return.
     * Returns how many bytes were taken; the rest is kept and handed over again
     * with what comes next, up to conn_options.input_limit (then: closed, -ENOBUFS). */
    size_t (*on_data)(struct conn *c, const uint8_t *in, size_t n);
    void (*on_drained)(struct conn *c);   /* may be NULL */
    void (*on_eof)(struct conn *c);       /* peer half-closed; NULL: close */
    void (*on_connected)(struct conn *c); /* dialled ones; may be NULL */
    /* 0 or -errno. Always at the end of a turn, never inside a call of the owner; the conn is
     * freed after it. An owner that leaves earlier first calls conn_set_user(c, NULL, NULL). */
    void (*on_closed)(struct conn *c, int error);
    /* While paused: the peer closed its side, or both; unread bytes may remain. May be NULL. Told once. */
    void (*on_left)(struct conn *c);
};
struct conn_options {
    size_t input_limit;           /* unconsumed bytes kept; 0: 64 KiB */
    size_t high_water, low_water; /* 0: 256 KiB, 64 KiB */
    /* conn_dial() only: makes the socket, e.g. in another network namespace. -errno; NULL: socket(2) */
    int (*open_socket)(void *socket_user, int family, int type);
    void *socket_user;
};

/* Takes over a connected stream descriptor (non-blocking is set here). */
/* The descriptor stays the caller's on failure. */
int conn_open(struct loop *l, int fd, const struct conn_ops *ops, const struct conn_options *o,
              void *user, struct conn **ret);
/* Starts to connect; on_connected() or on_closed(-ETIMEDOUT, -ECONNREFUSED, ...) follows, never before the return. */
int conn_dial(struct loop *l, const char *address, uint64_t deadline_ns, const struct conn_ops *ops,
              const struct conn_options *o, void *user, struct conn **ret);
void *conn_user(const struct conn *c);
void conn_set_user(struct conn *c, const struct conn_ops *ops,
                   void *user); /* ops NULL: input is dropped */
int conn_fd(const struct conn *c);
struct loop *conn_loop(const struct conn *c);
void conn_peer_text(const struct conn *c, char out[128]);

int conn_write(struct conn *c, const void *data,
               size_t n); /* copies; flushed at the end of the turn or by conn_flush */
int conn_writev(struct conn *c, const struct iovec *iov, int n);
/* Sends `n` bytes of a file from `offset`, in order with what is written before and after, without
 * copying them through this process. Takes `file` over on success. They count as pending. A file that
 * proves shorter ends the connection with -EIO. -EPIPE, -ENOMEM. */
int conn_send_file(struct conn *c, int file, off_t offset, uint64_t n);
/* Moves the next `n` bytes that `from` receives, or all to the end of its stream, to `to` inside the
 * kernel, in order with what is written to `to` before and after. Bytes of `from` that are kept go first,
 * by copy. `from` tells no on_data() until on_done(), then goes on as before; conn_pause(from) holds it.
 * While `to` takes nothing, nothing is read; at most one pipe's bytes (1 MiB) are between the two, and
 * count as pending on `to`. */
enum { CONN_PIPES_KEPT = 4 }; /* by a loop, for its next splices */
#define CONN_SPLICE_ALL UINT64_MAX
struct conn_splice;
struct conn_splice_ops {
    void (*on_moved)(void *user,
                     size_t n); /* `to` took `n` more; closes neither of the two; may be NULL */
    /* Once, at the end of a turn, before any on_closed() or on_eof() of the two that explains it; freed
     * behind it. 0, -EIO: the stream of `from` ended before, or what ended either; -ECANCELED: its
     * owner closed it. What `to` did not take any more is handed over by `from`. */
    void (*on_done)(void *user, int error, uint64_t moved);
};
/* Both on one loop. -EPIPE: one of the two has ended; -EBUSY: `from` is spliced; -EMFILE, -ENOMEM. An
 * owner that closes `to` (conn_close()) before all has come cuts it: what it got must not look complete. */
int conn_splice(struct conn *from, struct conn *to, uint64_t n, const struct conn_splice_ops *ops,
                void *user, struct conn_splice **ret);
bool conn_splice_pays(const struct conn *from); /* TCP: a Unix stream's bytes are copied even so */
void conn_splice_cancel(struct conn_splice *s); /* on_done() does not follow; not within on_moved() */
void conn_flush(struct conn *c);
size_t conn_pending(const struct conn *c);
uint64_t conn_sent(const struct conn *c); /* bytes the kernel has taken so far */
/* With those that it was offered and has not answered for (io_uring): all that may have reached the peer. */
uint64_t conn_maybe_sent(const struct conn *c);
bool conn_congested(const struct conn *c);
void conn_drain(struct conn *c);  /* on_drained() follows, once, when nothing is pending any more */
void conn_pause(struct conn *c);  /* stop reading */
void conn_resume(struct conn *c); /* on_data() runs again for kept bytes, not before the return */
/* Half-close: the peer gets the end of the stream behind what is pending, reading goes on. What is
 * written later is refused (-EPIPE). The owner still closes. */
void conn_shutdown(struct conn *c);
void conn_close(struct conn *c); /* after what is pending went out (10 s at most) */
/* As conn_close() for a peer that may still be sending: after the last byte went out its input is
 * thrown away for a while, so that a reset does not destroy what it has not read yet. */
void conn_linger(struct conn *c);
void conn_abort(struct conn *c, int error); /* now; pending bytes are dropped; error < 0: reset */
/* Takes the kept unconsumed bytes (malloc'ed; NULL if none). Within on_data() `in` stays the callee's. */
int conn_take_kept(struct conn *c, uint8_t **ret_rest, size_t *ret_n);
/* Gives the descriptor and the unconsumed bytes to the caller; on_closed() is not called. Within
 * on_data() all of `in` counts as unconsumed. -EBUSY while bytes are pending or not connected. */
int conn_detach(struct conn *c, uint8_t **ret_rest, size_t *ret_n);

/* ---- listening */
struct listener;
struct listener_options {
    bool reuseport;
    bool v6only;      /* [::] is all IPv6 addresses, not IPv4's too */
    mode_t unix_mode; /* 0: 0600 */
    int backlog;      /* 0: 4096 */
    unsigned max_connections; /* 0: 10000, those conn_open()ed in on_accept(); past it new ones wait in the backlog */
};
/* -EADDRINUSE of a TCP port is said after 250 ms: a process that died a moment ago may still hold it.
 * on_accept() owns fd. The peer's credentials and address are there to ask the fd for. */
int listener_open(struct loop *l, const char *address, const struct listener_options *o,
                  void (*on_accept)(void *user, int fd), void *user, struct listener **ret);
int listener_open_fd(struct loop *l, int fd, void (*on_accept)(void *user, int fd), void *user,
                     struct listener **ret);
void listener_text(const struct listener *ls, char out[128]); /* the bound address; port 0 resolved */
struct listener *listener_close(struct listener *ls);         /* NULL is a no-op */
void listener_pause(struct listener *ls, bool paused);
