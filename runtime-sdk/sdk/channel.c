/* channel.c - see channel.h. */
#include "sdk/channel.h"

#include "base/cleanup.h"
#include "rouse/net.h"
#include "sched/quiet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The first task, and the one that receives. */
enum { SERVER_TASKS = 2 };
enum { RECEIVE_SIZE = 64 << 10 };

int channel_connect(const char *path, struct channel *ret)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_fd int fd = -1;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    *ret = (struct channel){.fd = TAKE_FD(fd)};
    return 0;
}

void channel_done(struct channel *ch)
{
    close(ch->fd);
    buffer_done(&ch->in);
}

/* Not in recv(2) itself: there the kernel wakes a reader also when its peer has taken what it sent
 * before (unix_write_space), for nothing. */
__attribute__((noinline)) static void wait_without_others(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    (void)poll(&p, 1, -1);
}

__attribute__((noinline)) static ssize_t try_receive(int fd, void *to, size_t n)
{
    ssize_t got = recv(fd, to, n, MSG_DONTWAIT);

    return got < 0 ? -errno : got;
}

/* What came before has its turn first, and what it queued goes out. With no other task about after that, the
 * thread itself waits, which is cheaper than by the poller. The edges that rouse_read() waits for are kept by
 * epoll meanwhile. */
static ssize_t receive(struct channel *ch, void *to)
{
    outbox_attend(ch->outbox);
    if (!sched_quiet_begin(SERVER_TASKS))
        return rouse_read(ch->fd, to, RECEIVE_SIZE, ROUSE_NEVER);
    wait_without_others(ch->fd);
    sched_quiet_end();
    return try_receive(ch->fd, to, RECEIVE_SIZE);
}

/* 1: more bytes, 0: the end. */
static int fill(struct channel *ch)
{
    uint8_t *to = buffer_reserve(&ch->in, RECEIVE_SIZE);
    ssize_t n;

    if (!to)
        return -ENOMEM;
    do
        n = receive(ch, to);
    while (n == -EAGAIN || n == -EINTR);
    if (n == -ECONNRESET)
        n = 0;
    if (n <= 0)
        return (int)n;
    buffer_commit(&ch->in, (size_t)n);
    return 1;
}

int channel_receive(struct channel *ch, struct frame *ret)
{
    buffer_consume(&ch->in, ch->taken);
    ch->taken = 0;
    for (;;) {
        int r = 0;

        if (buffer_size(&ch->in))
            r = frame_parse(buffer_bytes(&ch->in), buffer_size(&ch->in), ret, &ch->taken);
        if (r == 0) {
            r = fill(ch);
            if (r > 0)
                continue;
        }
        return r;
    }
}
