#include "invoke/log_pipe.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { READ_SIZE = 16 << 10, DRAIN_READS = 64 };
#define PAUSE_NS (50 * NS_PER_MS)

bool log_budget_left(struct log_budget *b, uint64_t now_ns)
{
    uint64_t us = (now_ns - b->at_ns) / NS_PER_US;
    int64_t back = us < 60000000 ? (int64_t)(us * LOG_RATE / 1000000) : INT64_MAX;

    if (back > 0) {
        b->spent = b->spent > back ? b->spent - back : 0;
        b->at_ns = now_ns;
    }
    return b->spent < LOG_BURST;
}

void log_budget_spend(struct log_budget *b, size_t bytes, size_t lines)
{
    b->spent += (int64_t)(bytes + lines * LOG_LINE_COST);
}

static bool may_read(struct log_pipe *p)
{
    return log_budget_left(p->budget, loop_now(p->loop));
}

static void give(struct log_pipe *p, const char *line, size_t n)
{
    log_budget_spend(p->budget, n, 1);
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

    p->rest = true;
    while (reads-- && may_read(p)) {
        ssize_t n = read(p->watch.fd, in, sizeof(in));

        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return false;
        if (n > 0)
            split(p, in, (size_t)n);
        if (n < (ssize_t)sizeof(in)) {
            p->rest = false;
            return true;
        }
    }
    return true;
}

static void shut(struct log_pipe *p)
{
    loop_timer_cancel(p->loop, &p->pause);
    loop_watch_cancel(p->loop, &p->watch);
    close(p->watch.fd);
    p->open = false;
    if (buffer_size(&p->partial))
        give_partial(p);
    buffer_done(&p->partial);
}

static void on_pause_over(struct loop_timer *t)
{
    struct log_pipe *p = container_of(t, struct log_pipe, pause);

    if (may_read(p))
        loop_watch_set(p->loop, &p->watch, LOOP_READ);
    else
        loop_timer_set(p->loop, t, loop_now(p->loop) + PAUSE_NS);
}

/* Its writers are gone while it was paused: what they left beyond the budget is lost, since their
 * sandbox waits for us to let go. */
static void give_up(struct log_pipe *p)
{
    static const char lost[] = "[rouse] output beyond the limit was dropped";

    if (read_some(p, DRAIN_READS) && !may_read(p))
        give(p, lost, sizeof(lost) - 1);
    shut(p);
}

static void on_readable(struct loop_watch *w, uint32_t events)
{
    struct log_pipe *p = container_of(w, struct log_pipe, watch);

    if (loop_timer_armed(&p->pause) && events & LOOP_HANGUP) {
        give_up(p);
    } else if (!read_some(p, 4)) {
        shut(p);
    } else if (!may_read(p)) {
        loop_watch_set(p->loop, w, LOOP_HANGUP);
        loop_timer_set(p->loop, &p->pause, loop_now(p->loop) + PAUSE_NS);
    }
}

int log_pipe_open(struct log_pipe *p, struct loop *loop, int fd, struct log_budget *budget,
                  void (*on_line)(struct log_pipe *p, const char *line, size_t n))
{
    int r, flags = fcntl(fd, F_GETFL);

    p->loop = loop;
    p->budget = budget;
    p->pause.fn = on_pause_over;
    p->on_line = on_line;
    p->watch = (struct loop_watch){.fd = fd, .fn = on_readable, .early = true};
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

void log_pipe_drain(struct log_pipe *p, bool told)
{
    if (!p->open)
        return;
    if ((p->rest || !told || !loop_early_told(p->loop)) && !read_some(p, DRAIN_READS)) {
        shut(p);
        return;
    }
    if (buffer_size(&p->partial))
        give_partial(p);
}

void log_pipe_close(struct log_pipe *p)
{
    if (!p->open)
        return;
    read_some(p, DRAIN_READS);
    shut(p);
}
