#include "pool/log_pipe.h"
#include "base/cleanup.h"
#include "pool/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { READ_SIZE = 16 << 10, DRAIN_READS = 64 };

static void give(struct log_pipe *p, const char *line, size_t n)
{
    if (n && line[n - 1] == '\r')
        n--;
    p->on_line(p, line, n);
}

static void give_partial(struct log_pipe *p)
{
    give(p, (const char *)buffer_bytes(&p->partial), buffer_size(&p->partial));
    buffer_clear(&p->partial);
}

/* Lines that lie whole in what was read are not copied. */
static void split(struct log_pipe *p, const char *in, size_t n)
{
    while (n) {
        size_t room = LOG_LINE_MAX - buffer_size(&p->partial);
        const char *end = memchr(in, '\n', n <= room ? n : room + 1);
        size_t part = end ? (size_t)(end - in) : n < room ? n : room;

        if (end && !buffer_size(&p->partial)) {
            give(p, in, part);
        } else {
            if (buffer_append(&p->partial, in, part) < 0)
                buffer_clear(&p->partial);
            if (end || buffer_size(&p->partial) == LOG_LINE_MAX)
                give_partial(p);
        }
        in += part + (end ? 1 : 0);
        n -= part + (end ? 1 : 0);
    }
}

/* False at the end of the stream. */
static bool read_some(struct log_pipe *p, int reads)
{
    char in[READ_SIZE];

    while (reads--) {
        ssize_t n = read(p->watch.fd, in, sizeof(in));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return false;
        split(p, in, (size_t)n);
        if ((size_t)n < sizeof(in))
            return true;
    }
    return true;
}

static void shut(struct log_pipe *p)
{
    loop_watch_cancel(p->loop, &p->watch);
    close(p->watch.fd);
    p->open = false;
    if (buffer_size(&p->partial))
        give_partial(p);
    buffer_done(&p->partial);
    if (p->on_end)
        p->on_end(p);
}

static void on_readable(struct loop_watch *w, uint32_t events)
{
    struct log_pipe *p = container_of(w, struct log_pipe, watch);

    (void)events;
    if (!read_some(p, 4))
        shut(p);
}

int log_pipe_open(struct log_pipe *p, struct loop *loop, int fd,
                  void (*on_line)(struct log_pipe *p, const char *line, size_t n))
{
    int r, flags = fcntl(fd, F_GETFL);

    p->loop = loop;
    p->on_line = on_line;
    p->watch = (struct loop_watch){.fd = fd, .fn = on_readable};
    if (flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    r = loop_watch_set(loop, &p->watch, LOOP_READ);
    if (r < 0) {
        close(fd);
        return r;
    }
    p->open = true;
    return 0;
}

void log_pipe_drain(struct log_pipe *p, bool flush)
{
    if (!p->open)
        return;
    if (!read_some(p, DRAIN_READS)) {
        shut(p);
        return;
    }
    if (flush && buffer_size(&p->partial))
        give_partial(p);
}

void log_pipe_close(struct log_pipe *p)
{
    if (!p->open)
        return;
    read_some(p, DRAIN_READS);
    shut(p);
}
