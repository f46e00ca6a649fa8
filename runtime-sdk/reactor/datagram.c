/* datagram.c - recvmmsg(2), on_packet() for each, sendmmsg(2) for the answers.
 *
 * On the loop's thread. A batch costs two system calls however many packets it
 * has. The batch's buffers are reserved once; only what packets have filled is
 * resident. One answer that the kernel refuses (too big for the path, no route)
 * is dropped and counted, the others go on. */
#include "reactor/datagram.h"
#include "base/buffer.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 32, BATCHES_PER_TURN = 4, PACKET_ROOM = 65536, ANSWERS_KEPT = 256 * 1024 };

struct datagram_socket {
    struct loop_watch watch;
    struct loop *loop;
    const struct datagram_ops *ops;
    void *user;
    uint8_t *room; /* BATCH packets */
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_parts[BATCH], out_parts[BATCH];
    union datagram_peer from[BATCH], to[BATCH];
    struct buffer answers; /* their bytes, one behind the other; pointers are made when all are there */
    unsigned current;      /* the packet being handled; BATCH: none */
    unsigned queued, done; /* answers; those before `done` have left */
};

/* True when nothing is queued any more. */
static bool send_answers(struct datagram_socket *d)
{
    unsigned sent = 0, dropped = 0;

    while (d->done < d->queued) {
        int n = sendmmsg(d->watch.fd, d->out + d->done, d->queued - d->done, MSG_NOSIGNAL);

        if (n > 0) {
            sent += (unsigned)n;
            d->done += (unsigned)n;
        } else if (n < 0 && errno == EAGAIN) {
            break;
        } else if (n < 0 && errno != EINTR) {
            dropped++;
            d->done++;
        }
    }
    if (sent || dropped)
        d->ops->on_sent(d->user, sent, dropped);
    if (d->done < d->queued)
        return false;
    d->queued = d->done = 0;
    if (d->answers.capacity > ANSWERS_KEPT)
        buffer_done(&d->answers);
    else
        buffer_clear(&d->answers);
    return true;
}

static void point_at_answers(struct datagram_socket *d)
{
    const uint8_t *at = buffer_bytes(&d->answers);

    for (unsigned i = 0; i < d->queued; i++) {
        d->out_parts[i].iov_base = (void *)(uintptr_t)at;
        at += d->out_parts[i].iov_len;
    }
}

int datagram_answer(struct datagram_socket *d, const void *data, size_t n)
{
    unsigned i = d->queued;
    int r;

    if (d->current == BATCH || i == BATCH)
        return -ENOTCONN;
    if (n > DATAGRAM_MAX)
        return -EMSGSIZE;
    r = buffer_append(&d->answers, data, n);
    if (r < 0)
        return r;
    d->to[i] = d->from[d->current];
    d->out_parts[i].iov_len = n;
    d->out[i].msg_hdr = (struct msghdr){
        .msg_name = &d->to[i],
        .msg_namelen = d->in[d->current].msg_hdr.msg_namelen,
        .msg_iov = &d->out_parts[i],
        .msg_iovlen = 1,
    };
    d->queued++;
    return 0;
}

/* False when there is nothing more to read, or no way to answer. */
static bool one_batch(struct datagram_socket *d)
{
    int n;

    for (unsigned i = 0; i < BATCH; i++) {
        d->in_parts[i] = (struct iovec){d->room + (size_t)i * PACKET_ROOM, PACKET_ROOM};
        d->in[i].msg_hdr = (struct msghdr){
            .msg_name = &d->from[i],
            .msg_namelen = sizeof(d->from[i]),
            .msg_iov = &d->in_parts[i],
            .msg_iovlen = 1,
        };
    }
    n = recvmmsg(d->watch.fd, d->in, BATCH, 0, NULL);
    if (n <= 0)
        return n < 0 && errno != EAGAIN && errno != EINTR; /* the error of an earlier answer */
    for (d->current = 0; d->current < (unsigned)n; d->current++)
        d->ops->on_packet(d->user, &d->from[d->current], d->in[d->current].msg_hdr.msg_namelen,
                          d->in_parts[d->current].iov_base, d->in[d->current].msg_len);
    d->current = BATCH;
    point_at_answers(d);
    if (!send_answers(d)) {
        loop_watch_set(d->loop, &d->watch, LOOP_WRITE);
        return false;
    }
    return n == BATCH;
}

static void on_event(struct loop_watch *w, uint32_t events)
{
    struct datagram_socket *d = container_of(w, struct datagram_socket, watch);

    (void)events;
    if (d->queued) {
        if (!send_answers(d))
            return;
        loop_watch_set(d->loop, &d->watch, LOOP_READ);
    }
    for (int i = 0; i < BATCHES_PER_TURN && one_batch(d); i++)
        ;
}

int datagram_open(struct loop *l, const struct sockaddr *sa, socklen_t size,
                  const struct datagram_options *o, const struct datagram_ops *ops, void *user,
                  struct datagram_socket **ret)
{
    cleanup_fd int fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct datagram_socket *d;
    int one = 1, r;

    if (fd < 0)
        return -errno;
    if (o->v6only && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
        return -errno;
    if (o->reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
        return -errno;
    if (bind(fd, sa, size) < 0)
        return -errno;
    d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->room = malloc((size_t)BATCH * PACKET_ROOM);
    d->watch = (struct loop_watch){.fd = fd, .fn = on_event};
    d->loop = l;
    d->ops = ops;
    d->user = user;
    d->current = BATCH;
    r = d->room ? loop_watch_set(l, &d->watch, LOOP_READ) : -ENOMEM;
    if (r < 0) {
        free(d->room);
        free(d);
        return r;
    }
    (void)TAKE_FD(fd);
    *ret = d;
    return 0;
}

int datagram_fd(const struct datagram_socket *d)
{
    return d->watch.fd;
}

struct datagram_socket *datagram_close(struct datagram_socket *d)
{
    if (!d)
        return NULL;
    send_answers(d);
    loop_watch_cancel(d->loop, &d->watch);
    close(d->watch.fd);
    buffer_done(&d->answers);
    free(d->room);
    free(d);
    return NULL;
}
