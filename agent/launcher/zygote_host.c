#include "launcher/zygote_host.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "launcher/removal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PAUSE_FIRST_NS NS_PER_S
#define PAUSE_MAX_NS   (60 * NS_PER_S)
#define STEADY_NS      (60 * NS_PER_S) /* one that served so long did not end for its own sake */
#define START_TIME_NS  (20 * NS_PER_S)
#define SPEECH_MAX     2048 /* bytes of what one says, for the log */

static void pause_then_start(struct zygote *z)
{
    uint64_t now = clock_monotonic_ns();

    if (z->serves_since && now - z->serves_since > STEADY_NS)
        z->pause = PAUSE_FIRST_NS;
    z->serves_since = 0;
    loop_timer_set(z->loop, &z->timer, now + z->pause);
    z->pause = z->pause * 2 < PAUSE_MAX_NS ? z->pause * 2 : PAUSE_MAX_NS;
}

/* Who waits to hear whether there is one has it now. */
static void tried(struct zygote *z)
{
    z->tried = true;
    park_pump(z->server);
}

static void forget_process(struct zygote *z)
{
    z->serves = false;
    loop_watch_close(z->loop, &z->process);
    loop_watch_close(z->loop, &z->orders);
    loop_watch_close(z->loop, &z->words);
    buffer_done(&z->said);
    z->pid = 0;
    if (z->cgroup[0])
        removal_begin(z->server, z->cgroup, -1, NULL);
    z->cgroup[0] = '\0';
}

static void say(struct zygote *z)
{
    struct buffer *b = &z->said;
    size_t n = buffer_size(b);

    if (n)
        log_warn("zygote of %s: %.*s", z->runtime_root, (int)n, (const char *)buffer_bytes(b));
    buffer_clear(b);
}

static void on_words(struct loop_watch *w, uint32_t events)
{
    struct zygote *z = container_of(w, struct zygote, words);
    char part[256];
    ssize_t n = read(w->fd, part, sizeof(part));

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        loop_watch_close(z->loop, w);
        return;
    }
    if (buffer_size(&z->said) + (size_t)n > SPEECH_MAX)
        say(z);
    buffer_append(&z->said, part, (size_t)n);
}

static void on_orders(struct loop_watch *w, uint32_t events)
{
    struct zygote *z = container_of(w, struct zygote, orders);
    char word;

    (void)events;
    if (recv(w->fd, &word, 1, MSG_DONTWAIT) == 1 && word == ZYGOTE_READY) {
        z->serves = true;
        z->serves_since = clock_monotonic_ns();
        loop_timer_cancel(z->loop, &z->timer);
        tried(z);
        return;
    }
    z->serves = false; /* its end, which the process's follows */
    loop_watch_close(z->loop, w);
}

static void on_process(struct loop_watch *w, uint32_t events)
{
    struct zygote *z = container_of(w, struct zygote, process);
    int status;

    (void)events;
    if (waitpid(z->pid, &status, WNOHANG) != z->pid)
        return;
    if (z->words.fd >= 0)
        on_words(&z->words, 0);
    say(z);
    log_warn("the zygote of %s ended (status 0x%x): its sandboxes are made without it meanwhile",
             z->runtime_root, (unsigned)status);
    forget_process(z);
    pause_then_start(z);
    tried(z);
}

static int make_place(struct zygote *z, struct zygote_place *ret, struct err *e)
{
    const struct cgroups *c = &z->server->cgroups;
    const struct cgroup_limits none = {0};
    cleanup_fd int cgroup = -1;
    int r;

    snprintf(z->cgroup, sizeof(z->cgroup), "_zygote-%u", z->serial++);
    r = cgroup_create(c, z->cgroup, &none, &cgroup, e);
    if (r < 0) {
        z->cgroup[0] = '\0';
        return r;
    }
    r = cgroup_open_procs(c, z->cgroup, ret->procs, &ret->n, e);
    if (r < 0 || cgroup < 0)
        return r;
    ret->procs[ret->n] = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (ret->procs[ret->n] < 0)
        return err_errno(e, errno, "cgroup: open %s", z->cgroup);
    ret->n++;
    return 0;
}

static int make_process(struct zygote *z, const struct zygote_place *place, struct err *e)
{
    int orders[2], words[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, orders) < 0)
        return err_errno(e, errno, "socket pair");
    if (pipe2(words, O_CLOEXEC) < 0 || fcntl(words[0], F_SETFL, O_NONBLOCK) < 0) {
        close(orders[0]);
        close(orders[1]);
        return err_errno(e, errno, "pipe");
    }
    z->orders.fd = orders[0];
    z->words.fd = words[0];
    z->pid = fork();
    if (z->pid == 0)
        zygote_exec(z, place, words[1], orders[1]);
    close(orders[1]);
    close(words[1]);
    if (z->pid < 0) {
        z->pid = 0;
        return err_errno(e, errno, "fork");
    }
    z->process.fd = (int)syscall(SYS_pidfd_open, z->pid, 0);
    return z->process.fd < 0 ? err_errno(e, errno, "pidfd") : 0;
}

static int start(struct zygote *z, struct err *e)
{
    struct zygote_place place = {0};
    int r = make_place(z, &place, e);

    if (r == 0)
        r = make_process(z, &place, e);
    for (size_t i = 0; i < place.n; i++)
        close(place.procs[i]);
    if (r < 0)
        return r;
    r = loop_watch_set(z->loop, &z->process, LOOP_READ);
    if (r == 0)
        r = loop_watch_set(z->loop, &z->orders, LOOP_READ);
    if (r == 0)
        r = loop_watch_set(z->loop, &z->words, LOOP_READ);
    return r < 0 ? err_errno(e, -r, "watch it") : 0;
}

static void end_process(struct zygote *z)
{
    if (z->pid > 0) {
        kill(z->pid, SIGKILL);
        while (waitpid(z->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    forget_process(z);
}

static void on_time(struct loop_timer *t)
{
    struct zygote *z = container_of(t, struct zygote, timer);
    struct err e = {0};

    if (z->pid) {
        log_warn("the zygote of %s does not come to serve", z->runtime_root);
        kill(z->pid, SIGKILL); /* on_process() goes on */
        return;
    }
    if (start(z, &e) == 0) {
        loop_timer_set(z->loop, t, clock_monotonic_ns() + START_TIME_NS);
        return;
    }
    log_warn("zygote of %s: %s", z->runtime_root, e.message);
    end_process(z);
    pause_then_start(z);
    tried(z);
}

void zygote_init(struct zygote *z)
{
    z->pause = PAUSE_FIRST_NS;
    z->process = (struct loop_watch){.fd = -1, .fn = on_process};
    z->orders = (struct loop_watch){.fd = -1, .fn = on_orders};
    z->words = (struct loop_watch){.fd = -1, .fn = on_words};
    z->timer.fn = on_time;
    loop_timer_set(z->loop, &z->timer, clock_monotonic_ns() + 1);
}

void zygote_end(struct zygote *z)
{
    loop_timer_cancel(z->loop, &z->timer);
    end_process(z);
}
