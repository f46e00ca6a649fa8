/* serve_conn.c - one connection of rouse/reactor.h: its events, its ends.
 *
 * A connection is made on the loop that accepted it and from then on belongs to
 * the one that was chosen for it. Other threads reach it by one mail that it
 * carries in itself: what they ask for gathers in `asked` until the mail is read.
 * A reference that another thread gives back travels the same way, so the count
 * is the loop's alone and "nobody references it" can be acted on at once. */
#include "reactor/serve_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define LEAVE_NS                                                                                   \
    (10 * NS_PER_S) /* for the last output to make progress, without an idle_timeout_ms */
enum { ASK_START = 1, ASK_WAKE = 2, ASK_UNREF = 4 }; /* the last one counts */

static const struct conn_ops ops;

static struct rouse_events *events_of(const struct rouse_conn *c)
{
    return &c->loop->server->events;
}

/* ---- references and mail */

static void unref(struct rouse_conn *c)
{
    struct rouse_server *s = c->loop->server;

    if (--c->references)
        return;
    if (c->own)
        buffer_done(c->own);
    free(c->own);
    free(c);
    serve_token_gone(s);
}

static void ask(struct rouse_conn *c, unsigned what)
{
    unsigned before = atomic_load_explicit(&c->asked, memory_order_relaxed), after;

    do
        after = what == ASK_UNREF ? before + what : before | what;
    while (!atomic_compare_exchange_weak_explicit(&c->asked, &before, after, memory_order_acq_rel,
                                                  memory_order_relaxed));
    if (!before) /* otherwise whoever asked first posts, or has */
        serve_post(c->loop->server, c->loop, &c->mail);
}

struct rouse_conn *rouse_conn_ref(struct rouse_conn *c)
{
    c->references++;
    return c;
}

void rouse_conn_unref(struct rouse_conn *c)
{
    ask(c, ASK_UNREF);
}

void rouse_wake(struct rouse_conn *c)
{
    if (!c->datagram)
        ask(c, ASK_WAKE);
}

/* ---- what follows a callback */

static bool has_unread(const struct rouse_conn *c)
{
    int n = 0;

    return ioctl(conn_fd(c->conn), FIONREAD, &n) == 0 && n > 0;
}

static void wait_for_drained(struct rouse_conn *c)
{
    c->active_at = loop_now(c->loop->loop);
    conn_pause(c->conn);
    conn_drain(c->conn);
    serve_loop_sweep(c->loop);
}

/* All output has gone out. */
static void end_stream(struct rouse_conn *c)
{
    c->state = SERVE_ENDING;
    /* Closing with input unread resets the stream, and that may destroy an answer on its way. */
    if (!c->eof && has_unread(c))
        conn_linger(c->conn);
    else
        conn_close(c->conn);
}

static void close_stream(struct rouse_conn *c)
{
    c->state = SERVE_CLOSING;
    conn_flush(c->conn);
    if (!conn_pending(c->conn)) {
        end_stream(c);
        return;
    }
    wait_for_drained(c);
}

static void cut(struct rouse_conn *c, int error, struct serve_count *counter)
{
    if (counter)
        count_up(counter, 1);
    c->state = SERVE_ENDING;
    conn_abort(c->conn, error);
}

static void act(struct rouse_conn *c, enum rouse_action action)
{
    switch (action) {
    case ROUSE_NONE:
        break;
    case ROUSE_DETACH:
        c->state = SERVE_DETACHING;
        wait_for_drained(c);
        break;
    case ROUSE_CLOSE:
        close_stream(c);
        break;
    case ROUSE_SHUTDOWN:
        rouse_shutdown(c->loop->server);
        break;
    }
}

/* Sends what a callback made and does what it asked for. */
static void finish(struct rouse_conn *c, struct rouse_output *out, enum rouse_action action)
{
    size_t n = buffer_size(&out->bytes);
    int r;

    if (out->error) {
        cut(c, out->error, &c->loop->counts.cut_output);
        return;
    }
    if (n) {
        if (events_of(c)->prewrite)
            events_of(c)->prewrite(c);
        count_up(&c->loop->counts.bytes_out, n);
        r = conn_write(c->conn, buffer_bytes(&out->bytes), n);
        serve_output_end(out);
        if (r < 0) { /* it is on its way to on_closed() */
            c->state = SERVE_ENDING;
            return;
        }
        if (conn_congested(c->conn))
            conn_pause(c->conn);
    }
    act(c, action);
}

void serve_conn_settle(struct rouse_conn *c)
{
    if (c->state != SERVE_OPEN || c->references > 1)
        return;
    if (c->eof || (c->loop->draining && !c->kept && !has_unread(c)))
        close_stream(c);
}

static struct rouse_output *output_of(struct rouse_conn *c)
{
    return serve_output_begin(c->loop, conn_pending(c->conn), events_of(c)->output_limit);
}

/* ---- events of the stream */

/* False: no memory. */
static bool copy_input(struct rouse_conn *c, struct rouse_input *in)
{
    if (!c->own)
        c->own = calloc(1, sizeof(*c->own));
    if (!c->own)
        return false;
    buffer_clear(c->own);
    if (buffer_append(c->own, in->data, in->size) < 0)
        return false;
    in->data = (const char *)buffer_bytes(c->own);
    return true;
}

static size_t on_data(struct conn *conn, const uint8_t *bytes, size_t n)
{
    struct rouse_conn *c = conn_user(conn);
    struct rouse_events *e = events_of(c);
    struct rouse_input in = {.data = (const char *)bytes, .size = n};
    struct rouse_output *out;
    enum rouse_action action;
    bool full;

    if (!e->data || c->state != SERVE_OPEN)
        return n;
    c->active_at = loop_now(c->loop->loop);
    count_up(&c->loop->counts.bytes_in, n - c->kept);
    if (!c->reuse_input && !copy_input(c, &in)) {
        cut(c, -ENOMEM, NULL);
        return n;
    }
    out = output_of(c);
    action = e->data(c, &in, out);
    if (in.keep > n)
        in.keep = n;
    if (in.keep && (!c->kept || in.keep < n)) /* a message began */
        c->kept_at = c->active_at;
    c->kept = in.keep;
    full = rouse_output_full(out);
    finish(c, out, action);
    if (c->state == SERVE_OPEN && c->kept && full && !conn_congested(conn)) {
        /* It was kept for want of room, and the kernel has taken all: it comes again at once. */
        conn_pause(conn);
        conn_resume(conn);
    } else if (c->state == SERVE_OPEN && c->kept > e->input_limit && !conn_congested(conn)) {
        cut(c, -ENOBUFS, &c->loop->counts.cut_input);
    }
    serve_conn_settle(c);
    return n - in.keep;
}

static void on_woken(struct rouse_conn *c)
{
    struct rouse_input in = {.data = ""};
    struct rouse_output *out;

    if (!events_of(c)->data)
        return;
    out = output_of(c);
    finish(c, out, events_of(c)->data(c, &in, out));
}

/* Its connection is gone from the loop; `action` is what its last callback wanted. */
static void left(struct rouse_conn *c, enum rouse_action action)
{
    if (action == ROUSE_SHUTDOWN)
        rouse_shutdown(c->loop->server);
    list_del(&c->link);
    serve_left(c->loop);
    unref(c);
}

static void detach(struct rouse_conn *c)
{
    struct rouse_events *e = events_of(c);
    enum rouse_action action = ROUSE_NONE;
    cleanup_free uint8_t *rest = NULL;
    size_t n = 0;
    int fd = conn_detach(c->conn, &rest, &n);

    if (fd < 0) {
        cut(c, fd, NULL);
        return;
    }
    c->conn = NULL;
    c->state = SERVE_GONE;
    count_up(&c->loop->counts.detached, 1);
    if (e->detached)
        action = e->detached(c, fd, rest, n);
    else
        close(fd);
    left(c, action);
}

static void on_drained(struct conn *conn)
{
    struct rouse_conn *c = conn_user(conn);

    if (c->state == SERVE_DETACHING) {
        detach(c);
    } else if (c->state == SERVE_CLOSING) {
        end_stream(c);
    } else if (c->state == SERVE_OPEN) {
        c->kept_at = loop_now(c->loop->loop);
        conn_resume(conn);
    }
}

static void on_eof(struct conn *conn)
{
    struct rouse_conn *c = conn_user(conn);

    c->eof = true;
    serve_conn_settle(c);
}

static void on_closed(struct conn *conn, int error)
{
    struct rouse_conn *c = conn_user(conn);
    enum rouse_action action = ROUSE_NONE;

    c->conn = NULL;
    c->state = SERVE_GONE;
    count_up(&c->loop->counts.closed, 1);
    if (events_of(c)->closed)
        action = events_of(c)->closed(c, error);
    left(c, action);
}

static const struct conn_ops ops = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_eof = on_eof,
    .on_closed = on_closed,
};

/* ---- its beginning */

static void apply_options(struct rouse_conn *c, const struct rouse_conn_options *o)
{
    int on = 1, seconds = o->tcp_keepalive_s > 32767 ? 32767 : (int)o->tcp_keepalive_s;
    int fd = conn_fd(c->conn);

    c->reuse_input = o->reuse_input_buffer;
    /* A Unix socket refuses the TCP ones, and has no use for them. */
    if (seconds && setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds)) == 0)
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
}

void serve_conn_start(struct rouse_conn *c)
{
    struct rouse_events *e = events_of(c);
    struct conn_options options = {
        .input_limit = SIZE_MAX, /* on_data() judges it: only there is known why bytes are kept */
        .high_water = e->output_high,
        .low_water = e->output_low,
    };
    struct rouse_conn_options wanted = {0};
    struct rouse_output *out;
    enum rouse_action action;

    c->remote_size = sizeof(c->remote);
    if (getpeername(c->fd, &c->remote.sa, &c->remote_size) < 0) {
        c->remote.sa.sa_family = AF_UNSPEC;
        c->remote_size = 0;
    }
    if (conn_open(c->loop->loop, c->fd, &ops, &options, c, &c->conn) < 0) {
        close(c->fd);
        c->state = SERVE_GONE;
        left(c, ROUSE_NONE);
        return;
    }
    list_push_back(&c->loop->conns, &c->link);
    count_up(&c->loop->counts.opened, 1);
    c->active_at = loop_now(c->loop->loop);
    if (!e->opened)
        return;
    out = output_of(c);
    action = e->opened(c, &wanted, out);
    apply_options(c, &wanted);
    finish(c, out, action);
}

static void on_mail(struct mail *m)
{
    struct rouse_conn *c = container_of(m, struct rouse_conn, mail);
    unsigned asked = atomic_exchange_explicit(&c->asked, 0, memory_order_acq_rel);

    c->references++; /* for as long as this runs */
    if (asked & ASK_START)
        serve_conn_start(c);
    if ((asked & ASK_WAKE) && c->state == SERVE_OPEN)
        on_woken(c);
    c->references -= asked / ASK_UNREF + 1;
    serve_conn_settle(c);
    c->references++;
    unref(c);
}

int serve_conn_new(struct serve_loop *to, unsigned address, int fd, struct rouse_conn **ret)
{
    struct rouse_conn *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->loop = to;
    c->address = address;
    c->fd = fd;
    c->references = 1;
    c->mail.fn = on_mail;
    list_init(&c->link);
    atomic_fetch_add(&to->server->alive, 1);
    *ret = c;
    return 0;
}

void serve_conn_hand_over(struct rouse_conn *c)
{
    ask(c, ASK_START);
}

/* ---- bounds of time */

bool serve_conn_sweep(struct rouse_conn *c, uint64_t now)
{
    const struct rouse_events *e = events_of(c);
    bool leaving = c->state == SERVE_CLOSING || c->state == SERVE_DETACHING;
    uint64_t sent = conn_sent(c->conn), idle = e->idle_timeout_ms * NS_PER_MS;

    if (c->state == SERVE_ENDING)
        return false; /* has bounds of its own */
    if (sent != c->sent_seen || (c->references > 1 && !conn_pending(c->conn))) {
        c->sent_seen = sent;
        c->active_at = now;
    }
    if (leaving && !idle)
        idle = LEAVE_NS;
    if ((idle && now - c->active_at >= idle) ||
        (e->message_timeout_ms && c->kept && !conn_congested(c->conn) &&
         now - c->kept_at >= e->message_timeout_ms * NS_PER_MS))
        cut(c, -ETIMEDOUT, &c->loop->counts.timed_out);
    return leaving;
}

void serve_conn_cut(struct rouse_conn *c)
{
    if (c->state == SERVE_OPEN && !conn_pending(c->conn))
        close_stream(c); /* nothing of ours is lost: no reset */
    else
        cut(c, -ETIMEDOUT, &c->loop->counts.timed_out);
}

/* ---- datagrams */

void serve_packet(void *listening, const union datagram_peer *from, socklen_t from_size,
                  const uint8_t *bytes, size_t n)
{
    struct listening *at = listening;
    struct rouse_conn *c = &at->packet;
    struct rouse_events *e = events_of(c);
    struct rouse_input in = {.data = (const char *)bytes, .size = n};
    struct rouse_output *out;
    enum rouse_action action;

    count_up(&c->loop->counts.datagrams_in, 1);
    if (!e->data)
        return;
    c->remote = *from;
    c->remote_size = from_size;
    c->context = NULL;
    out = serve_output_begin(c->loop, 0, DATAGRAM_MAX);
    action = e->data(c, &in, out);
    n = buffer_size(&out->bytes);
    if (n && !out->error) {
        if (e->prewrite)
            e->prewrite(c);
        if (datagram_answer(at->datagram, buffer_bytes(&out->bytes), n) < 0)
            out->error = -ENOMEM;
    }
    if (out->error)
        count_up(&c->loop->counts.datagrams_dropped, 1);
    if (action == ROUSE_SHUTDOWN)
        rouse_shutdown(c->loop->server);
}

/* ---- what a callback may ask */

struct rouse_server *rouse_conn_server(const struct rouse_conn *c)
{
    return c->loop->server;
}

void *rouse_conn_context(const struct rouse_conn *c)
{
    return c->context;
}

void rouse_conn_set_context(struct rouse_conn *c, void *context)
{
    c->context = context;
}

size_t rouse_conn_address_index(const struct rouse_conn *c)
{
    return c->address;
}

unsigned rouse_conn_loop(const struct rouse_conn *c)
{
    return c->loop->index;
}

void rouse_conn_local_address(const struct rouse_conn *c, char out[ROUSE_ADDRESS_MAX])
{
    struct sockaddr_storage sa = {0};
    socklen_t size = sizeof(sa);

    if (c->conn && getsockname(conn_fd(c->conn), (struct sockaddr *)&sa, &size) == 0)
        serve_address_text(&sa, size, c->datagram, out);
    else
        snprintf(out, ROUSE_ADDRESS_MAX, "%s", rouse_server_address(c->loop->server, c->address));
}

void rouse_conn_remote_address(const struct rouse_conn *c, char out[ROUSE_ADDRESS_MAX])
{
    struct sockaddr_storage sa = {0};

    memcpy(&sa, &c->remote, sizeof(c->remote));
    serve_address_text(&sa, c->remote_size, c->datagram, out);
}

const struct sockaddr *rouse_conn_remote_sockaddr(const struct rouse_conn *c, socklen_t *ret_size)
{
    *ret_size = c->remote_size;
    return &c->remote.sa;
}
