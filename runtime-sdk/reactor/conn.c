/* conn.c - a connection's life: open, dial, close, detach.
 *
 * Owned by the loop; every function runs on the loop's thread. Closing closes
 * the descriptor at once and tells the owner at the end of the turn. Input is
 * conn_read.c's, output conn_write.c's. */
#include "reactor/conn_internal.h"
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLOSE_BOUND_NS (10 * NS_PER_S)

static size_t drop_data(struct conn *c, const uint8_t *in, size_t n)
{
    (void)c, (void)in;
    return n;
}
static void ignore_closed(struct conn *c, int error)
{
    (void)c, (void)error;
}
const struct conn_ops conn_no_ops = {.on_data = drop_data, .on_closed = ignore_closed};

void conn_set_state(struct conn *c, enum conn_state to)
{
    static const char *const names[] = {"connecting", "open", "closing", "lingering", "closed"};

    /* A connection only ever moves on. */
    assert(to > c->state);
    log_debug("conn %d: %s -> %s", c->watch.fd, names[c->state], names[to]);
    c->state = (uint8_t)to;
}

/* ---- what the turn still has to do */

static void enlist(struct conn *c)
{
    list_del(&c->turn.link);
    if (c->todo & TURN_GONE)
        list_push_back(&c->loop->deferred, &c->turn.link);
    else if (c->todo & TURN_RESUME)
        list_push_back(&c->loop->soon, &c->turn.link);
    else if (c->todo & TURN_FLUSH)
        list_push_back(&c->loop->flushing, &c->turn.link);
}

void conn_todo(struct conn *c, unsigned what)
{
    unsigned before = c->todo;

    if (before & what)
        return;
    c->todo = (uint8_t)(before | what);
    if (!before || what < before) /* the most urgent bit is the smallest */
        enlist(c);
}

void conn_not_todo(struct conn *c, unsigned what)
{
    if (!(c->todo & what))
        return;
    c->todo = (uint8_t)(c->todo & ~what);
    enlist(c);
}

/* ---- closing */

static void gone(struct conn *c)
{
    c->ops->on_closed(c, c->error);
    c->told = true;
    chunk_free(c->loop, &c->in);
    chunk_free(c->loop, &c->out);
    if (!c->held)
        free(c);
}

void conn_release(struct conn *c)
{
    c->held = false;
    if (c->told)
        free(c);
}

static void on_turn(struct loop_deferred *d)
{
    struct conn *c = container_of(d, struct conn, turn);

    if (c->todo & TURN_GONE) {
        gone(c);
    } else if (c->todo & TURN_RESUME) {
        conn_not_todo(c, TURN_RESUME);
        conn_hand_over_kept(c);
    } else {
        c->todo = 0;
        conn_flush_turn(c);
    }
}

/* Everything but the buffers lets go of the connection. */
static void disconnect(struct conn *c, bool keep_fd)
{
    loop_timer_cancel(c->loop, &c->timer);
    listener_leave(c->listener);
    c->listener = NULL;
    c->held = !c->loop->backend->conn_stop(c, keep_fd);
    c->blocked = false;
    c->todo = 0;
    conn_todo(c, TURN_GONE);
}

void conn_abort(struct conn *c, int error)
{
    struct linger reset = {.l_onoff = 1};

    if (c->state == CONN_CLOSED)
        return;
    conn_set_state(c, CONN_CLOSED);
    c->loop->stats.closed++;
    c->error = error;
    conn_splice_lost(c, error);
    /* A cut stream must not look complete to the peer, nor keep its bytes in the kernel. */
    if (error < 0 && c->stream_tcp)
        setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    disconnect(c, false);
    conn_files_drop(c);
    chunk_free(c->loop, &c->out);
    if (!c->in_data)
        chunk_free(c->loop, &c->in);
}

void conn_close(struct conn *c)
{
    if (c->state >= CONN_CLOSING)
        return;
    if (c->state == CONN_CONNECTING) {
        conn_abort(c, 0);
        return;
    }
    if (conn_splice_unfinished(c)) {
        conn_abort(c, -ECANCELED);
        return;
    }
    conn_set_state(c, CONN_CLOSING);
    conn_splice_lost(c, 0);
    loop_timer_set(c->loop, &c->timer, loop_now(c->loop) + CLOSE_BOUND_NS);
    conn_not_todo(c, TURN_RESUME);
    if (!c->in_data)
        chunk_free(c->loop, &c->in);
    c->loop->backend->conn_want(c);
    if (c->state == CONN_CLOSING)
        conn_todo(c, TURN_FLUSH);
}

void conn_linger(struct conn *c)
{
    c->linger = true;
    conn_close(c);
}

static void on_timer(struct loop_timer *t)
{
    struct conn *c = container_of(t, struct conn, timer);

    conn_abort(c, c->state == CONN_LINGERING ? 0 : -ETIMEDOUT);
}

void conn_connected(struct conn *c)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(c->watch.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error) {
        conn_abort(c, -error);
        return;
    }
    loop_timer_cancel(c->loop, &c->timer);
    conn_set_state(c, CONN_OPEN);
    c->loop->backend->conn_want(c);
    if (c->state == CONN_OPEN && c->ops->on_connected)
        c->ops->on_connected(c);
    if (c->state != CONN_CLOSED)
        conn_todo(c, TURN_FLUSH);
}

/* ---- opening */

static uint32_t limit_of(size_t given, uint32_t otherwise)
{
    return given > UINT32_MAX ? UINT32_MAX : given ? (uint32_t)given : otherwise;
}

static int conn_new(struct loop *l, int fd, enum conn_state state, const struct conn_ops *ops,
                    const struct conn_options *o, void *user, struct conn **ret)
{
    static const struct conn_options defaults;
    struct conn *c = malloc(sizeof(*c));
    int one = 1, r;

    if (!c)
        return -ENOMEM;
    if (!o)
        o = &defaults;
    *c = (struct conn){
        .watch.fd = fd,
        .loop = l,
        .ops = ops ? ops : &conn_no_ops,
        .user = user,
        .state = (uint8_t)state,
        .input_limit = limit_of(o->input_limit, 64 * 1024),
        .high_water = limit_of(o->high_water, 256 * 1024),
        .low_water = limit_of(o->low_water, 64 * 1024),
        .timer.fn = on_timer,
        .turn.fn = on_turn,
    };
    list_init(&c->turn.link);
    /* Unix sockets refuse it; that tells them apart. */
    c->stream_tcp = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0;
    r = l->backend->conn_start(c);
    if (r < 0) {
        free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int conn_open(struct loop *l, int fd, const struct conn_ops *ops, const struct conn_options *o,
              void *user, struct conn **ret)
{
    int flags = fcntl(fd, F_GETFL), r;

    if (flags < 0)
        return -errno;
    if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    r = conn_new(l, fd, CONN_OPEN, ops, o, user, ret);
    if (r == 0)
        (*ret)->listener = listener_join(l);
    return r;
}

int conn_dial(struct loop *l, const char *address, uint64_t deadline_ns, const struct conn_ops *ops,
              const struct conn_options *o, void *user, struct conn **ret)
{
    cleanup_fd int fd = -1;
    struct sockaddr_storage sa;
    socklen_t size;
    struct conn *c;
    int r = address_parse(address, &sa, &size), failed = 0;
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

    if (r < 0)
        return r;
    fd = o && o->open_socket ? o->open_socket(o->socket_user, sa.ss_family, type)
                             : socket(sa.ss_family, type, 0);
    if (fd < 0)
        return o && o->open_socket ? fd : -errno;
    if (connect(fd, (struct sockaddr *)&sa, size) < 0 && errno != EINPROGRESS && errno != EINTR)
        failed = -errno;
    r = conn_new(l, fd, CONN_CONNECTING, ops, o, user, &c);
    if (r < 0)
        return r;
    (void)TAKE_FD(fd);
    l->stats.dialled++;
    if (failed)
        conn_abort(c, failed); /* told at the end of the turn, as every failure */
    else if (deadline_ns)
        loop_timer_set(l, &c->timer, deadline_ns);
    *ret = c;
    return 0;
}

void *conn_user(const struct conn *c)
{
    return c->user;
}

void conn_set_user(struct conn *c, const struct conn_ops *ops, void *user)
{
    c->ops = ops ? ops : &conn_no_ops;
    c->user = user;
}

int conn_fd(const struct conn *c)
{
    return c->watch.fd;
}

struct loop *conn_loop(const struct conn *c)
{
    return c->loop;
}

void conn_peer_text(const struct conn *c, char out[128])
{
    struct sockaddr_storage sa = {0};
    socklen_t size = sizeof(sa);

    if (c->state == CONN_CLOSED || getpeername(c->watch.fd, (struct sockaddr *)&sa, &size) < 0)
        sa.ss_family = AF_UNSPEC;
    address_text(&sa, size, out);
}

int conn_detach(struct conn *c, uint8_t **ret_rest, size_t *ret_n)
{
    struct loop *l = c->loop;
    uint8_t *copy = NULL;
    int fd = c->watch.fd;
    size_t n;

    if (c->state != CONN_OPEN || conn_pending(c) || c->files || c->splice)
        return -EBUSY;
    /* Within on_data() all that was handed over counts as not consumed. */
    if (c->in_data && l->current != chunk_bytes(c->in) && conn_keep(c, l->current, l->current_n) < 0)
        return -ENOMEM;
    n = chunk_size(c->in);
    if (n && !(copy = malloc(n)))
        return -ENOMEM;
    if (n)
        memcpy(copy, chunk_bytes(c->in), n);
    conn_set_state(c, CONN_CLOSED);
    c->ops = &conn_no_ops;
    disconnect(c, true);
    if (chunk_size(c->in) > n) { /* it had come and was not told yet */
        uint8_t *grown = realloc(copy, chunk_size(c->in));

        if (grown) {
            copy = grown;
            memcpy(copy + n, chunk_bytes(c->in) + n, chunk_size(c->in) - n);
            n = chunk_size(c->in);
        }
    }
    *ret_rest = copy;
    *ret_n = n;
    return fd;
}
