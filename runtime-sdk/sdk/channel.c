/* channel.c - see channel.h. */
#include "sdk/channel.h"

#include "base/cleanup.h"
#include "rouse/net.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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

/* 1: more bytes, 0: the end. */
static int fill(struct channel *ch)
{
    uint8_t *to = buffer_reserve(&ch->in, RECEIVE_SIZE);
    ssize_t n;

    if (!to)
        return -ENOMEM;
    n = rouse_read(ch->fd, to, RECEIVE_SIZE, ROUSE_NEVER);
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
