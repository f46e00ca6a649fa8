/* epoll_conn.c - a connection on epoll: told when it can be read or written, then recv(2) and send(2).
 *
 * On the loop's thread. A request that fits one read costs one recv, one send
 * and its share of one wait: a short read is not followed by another. TCP is
 * watched edge triggered, so that the kernel does not look at every socket again
 * when the next wait begins; whoever leaves bytes in the kernel changes the watch
 * or sets it again, either of which looks. Unix sockets read short at the border
 * of two senders' bytes, and are watched level triggered. */
#include "reactor/epoll_internal.h"

#include <errno.h>
#include <unistd.h>

void epoll_conn_want(struct conn *c)
{
    uint32_t want = 0;
    int r;

    switch ((enum conn_state)c->state) {
    case CONN_CONNECTING:
        want = LOOP_WRITE;
        break;
    case CONN_OPEN:
        if (c->eof || c->end_kept || c->hung)
            break;
        if (c->splice ? conn_splice_wants(c) : !c->paused)
            want |= LOOP_READ;
        if (!c->left_told)
            want |= LOOP_PEER_CLOSED;
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
    if (want && c->stream_tcp)
        want |= EPOLLET;
    r = loop_watch_set(c->loop, &c->watch, want);
    if (r < 0)
        conn_abort(c, r);
}

static bool reads(const struct conn *c)
{
    return c->state == CONN_LINGERING || (c->state == CONN_OPEN && !c->eof && !c->end_kept);
}

/* There may be more, and no new event will say so. */
static void look_again(struct conn *c)
{
    if (!(c->watch.events & EPOLLET) || !reads(c))
        return;
    if (c->paused)
        epoll_conn_want(c); /* looks when it is resumed */
    else
        epoll_watch_set(c->loop, &c->watch, c->watch.events);
}

static void read_some(struct conn *c, uint32_t events)
{
    uint8_t *to = epoll_of(c->loop)->read_buffer;
    ssize_t n = recv(c->watch.fd, to, LOOP_READ_BUFFER, 0);

    c->loop->stats.system_calls++;
    if (n > 0) {
        conn_got_input(c, to, (size_t)n);
        if (n == LOOP_READ_BUFFER || (events & (LOOP_PEER_CLOSED | LOOP_HANGUP)))
            look_again(c);
    } else if (n == 0) {
        conn_got_end(c, 0);
    } else if (errno == EINTR) {
        look_again(c);
    } else if (errno != EAGAIN) {
        conn_got_end(c, -errno);
    }
}

static void readable(struct conn *c, uint32_t events)
{
    if (c->state == CONN_OPEN && c->splice && conn_splice_wants(c)) {
        conn_splice_readable(c);
    } else if (c->state == CONN_OPEN && (c->paused || c->splice)) {
        c->hung |= (events & LOOP_HANGUP) != 0;
        if (events & (LOOP_PEER_CLOSED | LOOP_HANGUP))
            conn_got_left(c);
        else
            epoll_conn_want(c);
    } else if (reads(c)) {
        read_some(c, events);
    }
}

static void on_event(struct loop_watch *w, uint32_t events)
{
    struct conn *c = list_entry(w, struct conn, watch);

    if (c->state == CONN_CONNECTING) {
        conn_connected(c);
        return;
    }
    if (c->blocked && (events & (LOOP_WRITE | LOOP_HANGUP))) {
        c->blocked = false;
        conn_flush_turn(c);
        if (c->state != CONN_CLOSED)
            epoll_conn_want(c);
    }
    if (events & (LOOP_READ | LOOP_PEER_CLOSED | LOOP_HANGUP))
        readable(c, events);
}

int epoll_conn_start(struct conn *c)
{
    uint32_t want = c->state == CONN_CONNECTING ? LOOP_WRITE : LOOP_READ | LOOP_PEER_CLOSED;

    c->watch.fn = on_event;
    return epoll_watch_set(c->loop, &c->watch, c->stream_tcp ? want | EPOLLET : want);
}

void epoll_conn_flush(struct conn *c)
{
    conn_wrote_out(c, conn_write_out(c));
}

bool epoll_conn_receiving(const struct conn *c)
{
    (void)c;
    return false;
}

bool epoll_conn_stop(struct conn *c, bool keep)
{
    loop_watch_cancel(c->loop, &c->watch);
    if (!keep) {
        close(c->watch.fd);
        c->loop->stats.system_calls++;
    }
    return true;
}
