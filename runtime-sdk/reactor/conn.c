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
    c->state = to;
}

void conn_update_watch(struct conn *c)
{
    uint32_t want = 0;
    int r;

    switch (c->state) {
    case CONN_CONNECTING:
        want = LOOP_WRITE;
        break;
    case CONN_OPEN:
        if (!c->eof && !c->paused)
            want |= LOOP_READ;
        if (!c->eof && !c->left_told)
            want |= LOOP_PEER_CLOSED;
        if (c->hung)
            want = 0;
        break;
    case CONN_LINGERING:
        want = LOOP_READ;
        break;
    case CONN_CLOSING:
    case CONN_CLOSED:
        break;
    }
    if (c->blocked)
        want |= LOOP_WRITE;
    r = loop_watch_set(c->loop, &c->watch, want);
    if (r < 0)
        conn_abort(c, r);
}

/* ---- closing */

static void gone(struct loop_deferred *d)
{
    struct conn *c = container_of(d, struct conn, gone);

    c->ops->on_closed(c, c->error);
    buffer_done(&c->in);
    buffer_done(&c->out);
    free(c);
}

/* Everything but the descriptor and the buffers lets go of the connection. */
static void disconnect(struct conn *c)
{
    loop_watch_cancel(c->loop, &c->watch);
    loop_timer_cancel(c->loop, &c->timer);
    list_del(&c->resume.link);
    list_del(&c->flush.link);
    listener_leave(&c->member);
    c->blocked = false;
}

void conn_abort(struct conn *c, int error)
{
    struct linger reset = {.l_onoff = 1};

    if (c->state == CONN_CLOSED)
        return;
    conn_set_state(c, CONN_CLOSED);
    disconnect(c);
    c->error = error;
    /* A cut stream must not look complete to the peer, nor keep its bytes in the kernel. */
    if (error < 0 && c->stream_tcp)
        setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(c->watch.fd);
    buffer_done(&c->out);
    if (!c->in_data)
        buffer_done(&c->in);
    loop_defer(c->loop, &c->gone);
}

void conn_close(struct conn *c)
{
    if (c->state >= CONN_CLOSING)
        return;
    if (c->state == CONN_CONNECTING) {
        conn_abort(c, 0);
        return;
    }
    conn_set_state(c, CONN_CLOSING);
    loop_timer_set(c->loop, &c->timer, loop_now(c->loop) + CLOSE_BOUND_NS);
    list_del(&c->resume.link);
    if (!c->in_data)
        buffer_done(&c->in);
    conn_update_watch(c);
    loop_queue(&c->loop->flushing, &c->flush);
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

static void finish_connect(struct conn *c)
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
    conn_update_watch(c);
    if (c->state == CONN_OPEN && c->ops->on_connected)
        c->ops->on_connected(c);
    if (c->state != CONN_CLOSED)
        loop_queue(&c->loop->flushing, &c->flush);
}

static void on_event(struct loop_watch *w, uint32_t events)
{
    struct conn *c = container_of(w, struct conn, watch);

    if (c->state == CONN_CONNECTING) {
        finish_connect(c);
        return;
    }
    if (c->blocked && (events & (LOOP_WRITE | LOOP_HANGUP))) {
        c->blocked = false;
        conn_flush_turn(c);
        if (c->state != CONN_CLOSED)
            conn_update_watch(c);
    }
    if (events & (LOOP_READ | LOOP_PEER_CLOSED | LOOP_HANGUP))
        conn_readable(c, events);
}

/* ---- opening */

static void flush(struct loop_deferred *d)
{
    conn_flush_turn(container_of(d, struct conn, flush));
}

static int conn_new(struct loop *l, int fd, enum conn_state state, const struct conn_ops *ops,
                    const struct conn_options *o, void *user, struct conn **ret)
{
    static const struct conn_options defaults;
    int domain = 0, one = 1, r;
    socklen_t size = sizeof(domain);
    struct conn *c = malloc(sizeof(*c));

    if (!c)
        return -ENOMEM;
    if (!o)
        o = &defaults;
    *c = (struct conn){
        .watch = {.fd = fd, .fn = on_event},
        .loop = l,
        .ops = ops ? ops : &conn_no_ops,
        .user = user,
        .state = state,
        .input_limit = o->input_limit ? o->input_limit : 64 * 1024,
        .high_water = o->high_water ? o->high_water : 256 * 1024,
        .low_water = o->low_water ? o->low_water : 64 * 1024,
        .timer.fn = on_timer,
        .resume.fn = conn_hand_over_kept,
        .flush.fn = flush,
        .gone.fn = gone,
    };
    list_init(&c->resume.link);
    list_init(&c->flush.link);
    list_init(&c->gone.link);
    list_init(&c->member.link);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain != AF_UNIX) {
        c->stream_tcp = true;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    r = loop_watch_set(l, &c->watch,
                       state == CONN_CONNECTING ? LOOP_WRITE : LOOP_READ | LOOP_PEER_CLOSED);
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
        listener_join(l, &(*ret)->member);
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
    const uint8_t *rest = c->in_data ? c->current : c->in.data + c->in.start;
    size_t n = c->in_data ? c->current_n : buffer_size(&c->in);
    uint8_t *copy = NULL;
    int fd = c->watch.fd;

    if (c->state != CONN_OPEN || buffer_size(&c->out))
        return -EBUSY;
    if (n) {
        copy = malloc(n);
        if (!copy)
            return -ENOMEM;
        memcpy(copy, rest, n);
    }
    conn_set_state(c, CONN_CLOSED);
    disconnect(c);
    c->ops = &conn_no_ops;
    loop_defer(c->loop, &c->gone);
    *ret_rest = copy;
    *ret_n = n;
    return fd;
}
