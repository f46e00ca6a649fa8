/* channel.c - frames over the blocking Unix socket of $ROUSE_RUNTIME_SOCKET. */
#include "sdk/channel.h"

#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { RECEIVE_SIZE = 64 << 10, QUEUE_MAX = 256 << 10, LAST_WORD_TRIES = 100 };

struct channel {
    int fd;
    struct buffer in;
    size_t taken;         /* bytes of `in` that the last frame still shows */
    pthread_mutex_t lock; /* over `out` and the order of frames */
    struct buffer out;
};

int channel_connect(const char *path, struct channel **ret)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_fd int fd = -1;
    struct channel *ch;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    ch = calloc(1, sizeof(*ch));
    if (!ch)
        return -ENOMEM;
    pthread_mutex_init(&ch->lock, NULL);
    ch->fd = TAKE_FD(fd);
    *ret = ch;
    return 0;
}

struct channel *channel_free(struct channel *ch)
{
    if (!ch)
        return NULL;
    close(ch->fd);
    pthread_mutex_destroy(&ch->lock);
    buffer_done(&ch->in);
    buffer_done(&ch->out);
    free(ch);
    return NULL;
}

/* Not in recv(2) itself: there the kernel wakes a reader also when its peer has taken what it sent
 * before (unix_write_space), for nothing. */
static int wait_for_input(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (poll(&p, 1, -1) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int channel_receive(struct channel *ch, struct frame *ret)
{
    buffer_consume(&ch->in, ch->taken);
    ch->taken = 0;
    for (;;) {
        uint8_t *to;
        ssize_t n;
        int r = 0;

        if (buffer_size(&ch->in))
            r = frame_parse(buffer_bytes(&ch->in), buffer_size(&ch->in), ret, &ch->taken);
        if (r)
            return r;
        r = channel_flush(ch);
        if (r == 0)
            r = wait_for_input(ch->fd);
        if (r < 0)
            return r;
        to = buffer_reserve(&ch->in, RECEIVE_SIZE);
        if (!to)
            return -ENOMEM;
        n = recv(ch->fd, to, RECEIVE_SIZE, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != ECONNRESET)
            return -errno;
        if (n <= 0)
            return 0;
        buffer_commit(&ch->in, (size_t)n);
    }
}

static int send_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -errno;
        p += sent;
        n -= (size_t)sent;
    }
    return 0;
}

static int flush_locked(struct channel *ch)
{
    int r = send_all(ch->fd, buffer_bytes(&ch->out), buffer_size(&ch->out));

    if (ch->out.capacity > 2 * QUEUE_MAX)
        buffer_done(&ch->out);
    buffer_clear(&ch->out);
    return r;
}

int channel_flush(struct channel *ch)
{
    int r;

    pthread_mutex_lock(&ch->lock);
    r = flush_locked(ch);
    pthread_mutex_unlock(&ch->lock);
    return r;
}

static int add(struct channel *ch, bool now, enum frame_type type, uint8_t flags, uint64_t id,
               const void *payload, size_t n)
{
    int r;

    pthread_mutex_lock(&ch->lock);
    r = frame_append(&ch->out, type, flags, id, payload, n);
    if (r == 0 && (now || buffer_size(&ch->out) > QUEUE_MAX))
        r = flush_locked(ch);
    pthread_mutex_unlock(&ch->lock);
    return r;
}

int channel_queue(struct channel *ch, enum frame_type type, uint8_t flags, uint64_t id,
                  const void *payload, size_t n)
{
    return add(ch, false, type, flags, id, payload, n);
}

int channel_send(struct channel *ch, enum frame_type type, uint8_t flags, uint64_t id,
                 const void *payload, size_t n)
{
    return add(ch, true, type, flags, id, payload, n);
}

int channel_queue_body(struct channel *ch, enum frame_type type, uint8_t flags, uint64_t id,
                       const uint8_t *body, size_t n)
{
    for (;;) {
        size_t part = n < FRAME_PAYLOAD_MAX ? n : FRAME_PAYLOAD_MAX;
        uint8_t fin = part == n ? FRAME_FIN : 0;
        int r = channel_queue(ch, type, (uint8_t)(flags | fin), id, body, part);

        if (r < 0 || fin)
            return r;
        body += part;
        n -= part;
        type = FRAME_BODY;
        flags = 0;
    }
}

/* pthread_mutex_trylock() of a normal mutex is one compare-and-swap. */
void channel_send_raw(struct channel *ch, const void *data, size_t n)
{
    for (int i = 0; i < LAST_WORD_TRIES; i++) {
        if (pthread_mutex_trylock(&ch->lock) == 0) {
            if (buffer_size(&ch->out))
                (void)send_all(ch->fd, buffer_bytes(&ch->out), buffer_size(&ch->out));
            (void)send_all(ch->fd, data, n);
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}
