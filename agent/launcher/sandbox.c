/* sandbox.c - one sandbox's life as the launcher sees it: built, parked, taken, watched, stopped. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "launcher/kind.h"
#include "sandbox/message.h"
#include "launcher/park.h"
#include "launcher/removal.h"
#include "launcher/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SETUP_TIME_NS  (10 * NS_PER_S)
#define REKILL_TIME_NS NS_PER_S

static const char *const state_names[SANDBOX_STATES] = {"Building", "Parked",   "Starting",
                                                        "Running",  "Stopping", "Killed"};
#define TO(s) (1u << (s))
static const unsigned state_edges[SANDBOX_STATES] = {
    [SANDBOX_BUILDING] = TO(SANDBOX_PARKED) | TO(SANDBOX_KILLED),
    [SANDBOX_PARKED] = TO(SANDBOX_STARTING) | TO(SANDBOX_KILLED),
    [SANDBOX_STARTING] = TO(SANDBOX_RUNNING) | TO(SANDBOX_KILLED),
    [SANDBOX_RUNNING] = TO(SANDBOX_STOPPING) | TO(SANDBOX_KILLED),
    [SANDBOX_STOPPING] = TO(SANDBOX_KILLED),
};

static void set_state(struct sandbox *b, enum sandbox_state to)
{
    assert(state_edges[b->state] & TO(to));
    log_debug("sandbox %s %s: %s -> %s", b->cgroup, b->id, state_names[b->state], state_names[to]);
    b->state = to;
}

static void close_fds(struct sandbox *b)
{
    int *const fds[] = {&b->stdout_fd, &b->stderr_fd, &b->frames_fd,
                        &b->api_fd,    &b->hosts_fd,  &b->hostname_fd};

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close_fd(fds[i]);
}

struct sandbox *sandbox_find(struct server *s, const char *id)
{
    struct map_node *n = map_get_str(&s->sandboxes, id);

    return n ? map_entry(n, struct sandbox, node) : NULL;
}

static void watch_close(struct server *s, struct loop_watch *w)
{
    if (w->events)
        loop_watch_cancel(s->loop, w);
    close_fd(&w->fd);
}

/* ---- the end: process and builder gone, the word to the agent, and removal.c has the rest */
static void sandbox_free(struct sandbox *b)
{
    struct server *s = b->server;

    loop_timer_cancel(s->loop, &b->timer);
    watch_close(s, &b->channel);
    watch_close(s, &b->process);
    close_fds(b);
    if (*b->id)
        map_del(&s->sandboxes, &b->node);
    list_del(&b->link);
    free(b->wish);
    removal_begin(s, b->cgroup, b->slot, b->linked ? &b->net : NULL);
    free(b);
    server_sandbox_gone(s);
}

static void explain_silent_end(struct sandbox *b)
{
    if (b->total.oom_kills)
        err_set(&b->error, ENOMEM, "set-up was killed for memory: the limit of %llu bytes is too low",
                (unsigned long long)b->limits.memory);
    else if (WIFSIGNALED(b->status))
        err_set(&b->error, EIO, "set-up was killed by signal %d", WTERMSIG(b->status));
    else
        err_set(&b->error, EIO, "set-up ended without a word");
}

/* A parked one that was lost while it was taken: nothing has run in it. */
static bool wish_again(struct sandbox *b)
{
    char id[sizeof(b->id)];

    if (b->error.code || !b->wish || b->server->closing)
        return false;
    memcpy(id, b->id, sizeof(id));
    map_del(&b->server->sandboxes, &b->node);
    b->id[0] = '\0';
    if (park_again(b->server, id, b->wish, b->wish_size, b->arrived) == 0)
        return true;
    explain_silent_end(b);
    server_send_failed(b->server, id, &b->error);
    return true;
}

static void tell_end(struct sandbox *b)
{
    struct message m = {.type = MESSAGE_EXIT, .id = b->id};

    if (!b->started) {
        if (wish_again(b))
            return;
        if (!b->error.code)
            explain_silent_end(b);
        if (b->kind)
            park_box_gone(b);
        else if (*b->id)
            server_send_failed(b->server, b->id, &b->error);
        return;
    }
    m.exit.code = WIFEXITED(b->status) ? WEXITSTATUS(b->status) : -1;
    m.exit.signal = WIFSIGNALED(b->status) ? WTERMSIG(b->status) : 0;
    /* A runtime that outlived the kill of a child and then ended well was not ended by it. */
    m.exit.oom = b->total.oom_kills && m.exit.code != 0;
    m.exit.memory_peak = b->total.memory_peak;
    m.exit.cpu_ns = b->total.cpu_ns;
    server_send(b->server, &m, NULL, 0);
}

static void end_if_over(struct sandbox *b)
{
    if (b->builder || b->pid)
        return;
    if (*b->cgroup)
        cgroup_total(&b->server->cgroups, b->cgroup, &b->total);
    tell_end(b);
    sandbox_free(b);
}

/* ---- killing */
static void on_still_there(struct loop_timer *t);

static void kill_now(struct sandbox *b)
{
    /* Both: the init's death ends the namespace too, should the cgroup have missed one. */
    cgroup_kill(&b->server->cgroups, b->cgroup);
    if (b->builder)
        builder_kill(b->builder);
    if (b->pid)
        syscall(SYS_pidfd_send_signal, b->process.fd, SIGKILL, NULL, 0);
    b->timer.fn = on_still_there;
    loop_timer_set(b->server->loop, &b->timer, clock_monotonic_ns() + REKILL_TIME_NS);
}

static void on_still_there(struct loop_timer *t)
{
    kill_now(container_of(t, struct sandbox, timer));
}

static void kill_sandbox(struct sandbox *b)
{
    set_state(b, SANDBOX_KILLED);
    kill_now(b);
}

static void on_grace_over(struct loop_timer *t)
{
    kill_sandbox(container_of(t, struct sandbox, timer));
}

/* The first reason is the one that is told. */
__attribute__((format(printf, 3, 4))) static void fail(struct sandbox *b, int code, const char *fmt,
                                                       ...)
{
    va_list ap;

    if (!b->error.code) {
        b->error.code = code;
        va_start(ap, fmt);
        vsnprintf(b->error.message, sizeof(b->error.message), fmt, ap);
        va_end(ap);
    }
    if (b->state != SANDBOX_KILLED)
        kill_sandbox(b);
}

static void on_setup_late(struct loop_timer *t)
{
    struct sandbox *b = container_of(t, struct sandbox, timer);

    fail(b, ETIMEDOUT, "set-up took longer than %llu s",
         (unsigned long long)(SETUP_TIME_NS / NS_PER_S));
}

void sandbox_stop(struct sandbox *b, uint64_t grace_ns)
{
    uint64_t at = clock_monotonic_ns() + grace_ns;

    if (b->state < SANDBOX_RUNNING) {
        fail(b, ECANCELED, "stopped before it started");
    } else if (b->state == SANDBOX_RUNNING && grace_ns) {
        set_state(b, SANDBOX_STOPPING);
        /* A frozen runtime would sleep through its SIGTERM. */
        cgroup_freeze(&b->server->cgroups, b->cgroup, false);
        syscall(SYS_pidfd_send_signal, b->process.fd, SIGTERM, NULL, 0);
        b->timer.fn = on_grace_over;
        loop_timer_set(b->server->loop, &b->timer, at);
    } else if (b->state == SANDBOX_STOPPING && at < b->timer.at) {
        /* A second stop can only shorten. */
        if (grace_ns)
            loop_timer_set(b->server->loop, &b->timer, at);
        else
            kill_sandbox(b);
    } else if (b->state == SANDBOX_RUNNING) {
        kill_sandbox(b);
    }
}

void sandbox_stop_all(struct server *s)
{
    list_for_each(it, &s->boxes) sandbox_stop(list_entry(it, struct sandbox, link), 0);
}

/* ---- what the child says */
static void tell_started(struct sandbox *b)
{
    struct message m = {.type = MESSAGE_STARTED, .id = b->id};
    int fds[MESSAGE_FDS_MAX] = {TAKE_FD(b->stdout_fd), TAKE_FD(b->stderr_fd)};
    size_t n = 2;

    m.fds = MESSAGE_FD_STDOUT | MESSAGE_FD_STDERR;
    if (b->frames_fd >= 0) {
        m.fds |= MESSAGE_FD_FRAMES;
        fds[n++] = TAKE_FD(b->frames_fd);
    }
    if (b->api_fd >= 0) {
        m.fds |= MESSAGE_FD_API;
        fds[n++] = TAKE_FD(b->api_fd);
    }
    memcpy(m.started.cgroup, b->cgroup, sizeof(m.started.cgroup));
    m.started.pid = b->pid;
    m.started.pooled = b->pooled;
    m.started.create_ns = clock_monotonic_ns() - b->arrived;
    server_send(b->server, &m, fds, n);
}

static void become_running(struct sandbox *b)
{
    b->started = true;
    set_state(b, SANDBOX_RUNNING);
    loop_timer_cancel(b->server->loop, &b->timer);
    tell_started(b);
}

/* Takes the descriptors that it names. */
static void become_parked(struct sandbox *b, unsigned which, int *fds, size_t n)
{
    int *const to[] = {&b->frames_fd, &b->api_fd, &b->hosts_fd, &b->hostname_fd};
    size_t k = 0;

    for (size_t i = 0; i < ARRAY_LEN(to); i++)
        if (which & 1u << i && k < n) {
            *to[i] = fds[k];
            fds[k++] = -1;
        }
    set_state(b, SANDBOX_PARKED);
    loop_timer_cancel(b->server->loop, &b->timer);
    park_box_ready(b);
}

static void take_report(struct sandbox *b, struct child_report *r, int *fds, size_t n)
{
    switch (r->kind) {
    case CHILD_PARKED:
        if (b->state == SANDBOX_BUILDING)
            become_parked(b, r->fds, fds, n);
        break;
    case CHILD_STARTED:
        if (b->state == SANDBOX_STARTING)
            become_running(b);
        break;
    case CHILD_FAILED:
        r->error.message[sizeof(r->error.message) - 1] = '\0';
        if (!b->error.code)
            b->error = r->error;
        break;
    case CHILD_EXITED:
        b->exited = true;
        b->status = r->status;
        break;
    }
    for (size_t i = 0; i < n; i++)
        close_fd(&fds[i]);
}

static void read_channel(struct sandbox *b)
{
    for (;;) {
        int fds[MESSAGE_FDS_MAX];
        struct child_report report;
        size_t n, n_fds;
        int r = message_recv(b->channel.fd, &report, sizeof(report), &n, fds, &n_fds);

        if (r == -EAGAIN)
            return;
        if (r == 0 && n == sizeof(report)) {
            take_report(b, &report, fds, n_fds);
            continue;
        }
        /* Its end is closed; the process's end follows and decides. */
        watch_close(b->server, &b->channel);
        return;
    }
}

static void on_channel(struct loop_watch *w, uint32_t events)
{
    (void)events;
    read_channel(container_of(w, struct sandbox, channel));
}

/* Init is a zombie only when all else in its namespace is gone. */
static void on_process(struct loop_watch *w, uint32_t events)
{
    struct sandbox *b = container_of(w, struct sandbox, process);
    int status;

    (void)events;
    if (b->channel.fd >= 0)
        read_channel(b);
    if (waitpid(b->pid, &status, WNOHANG) != b->pid)
        return;
    if (!b->exited)
        b->status = status;
    b->pid = 0;
    watch_close(b->server, &b->process);
    watch_close(b->server, &b->channel);
    end_if_over(b);
}

/* ---- what its builder says */
void sandbox_on_cloned(void *order, pid_t pid, int pidfd)
{
    struct sandbox *b = order;
    int r;

    b->pid = pid;
    b->process.fd = pidfd;
    r = loop_watch_set(b->server->loop, &b->process, LOOP_READ);
    if (r < 0)
        fail(b, -r, "watch the sandbox: %s", strerror(-r));
    if (b->state == SANDBOX_KILLED)
        kill_now(b);
}

void sandbox_on_failed(void *order, const struct err *e)
{
    fail(order, e->code, "%s", e->message);
}

void sandbox_on_builder_ended(void *order, bool killed)
{
    struct sandbox *b = order;

    b->builder = NULL;
    if (b->state == SANDBOX_BUILDING && !b->error.code && (killed || !b->pid)) {
        b->lost = true;
        fail(b, EIO, "its builder ended before it had done its work");
    }
    end_if_over(b);
}

/* ---- the start */
int sandbox_new(struct server *s, struct kind *k, struct sandbox **ret)
{
    struct sandbox *b = calloc(1, sizeof(*b));
    int r = b ? idpool_take(&s->slots, &b->slot) : -ENOMEM;

    if (r < 0) {
        free(b);
        return r;
    }
    b->server = s;
    b->kind = k;
    b->has_argv = k->kind.argv != NULL;
    b->stdout_fd = b->stderr_fd = b->frames_fd = b->api_fd = b->hosts_fd = b->hostname_fd = -1;
    b->channel = (struct loop_watch){.fd = -1, .fn = on_channel};
    b->process = (struct loop_watch){.fd = -1, .fn = on_process};
    list_init(&b->parked);
    list_push_back(&s->boxes, &b->link);
    *ret = b;
    return 0;
}

int sandbox_watch(struct sandbox *b, struct err *e)
{
    int r = loop_watch_set(b->server->loop, &b->channel, LOOP_READ);

    b->timer.fn = on_setup_late;
    loop_timer_set(b->server->loop, &b->timer, clock_monotonic_ns() + SETUP_TIME_NS);
    return r < 0 ? err_errno(e, -r, "watch the sandbox") : 0;
}

void sandbox_discard(struct sandbox *b, const struct err *e)
{
    fail(b, e->code, "%s", e->message);
    end_if_over(b);
}

bool sandbox_alive(const struct sandbox *b)
{
    struct pollfd p = {.fd = b->process.fd, .events = POLLIN};

    return poll(&p, 1, 0) == 0;
}

int sandbox_remember(struct sandbox *b, const void *bytes, size_t size)
{
    b->wish = malloc(size);
    if (!b->wish)
        return -ENOMEM;
    memcpy(b->wish, bytes, size);
    b->wish_size = size;
    return 0;
}

void sandbox_take(struct sandbox *b, const struct sandbox_spec *spec, uint64_t arrived, bool pooled)
{
    struct server *s = b->server;
    struct err e = {0};
    int r;

    snprintf(b->id, sizeof(b->id), "%s", spec->id);
    r = map_put(&s->sandboxes, &b->node, b->id, strlen(b->id));
    if (r < 0) {
        err_errno(&e, -r, "sandbox");
        b->id[0] = '\0';
        server_send_failed(s, spec->id, &e);
        b->kind = NULL;
        kill_sandbox(b);
        return;
    }
    b->kind = NULL;
    b->arrived = arrived;
    b->pooled = pooled;
    set_state(b, SANDBOX_STARTING);
    loop_timer_set(s->loop, &b->timer, clock_monotonic_ns() + SETUP_TIME_NS);
    r = sandbox_assign(b, spec, &e);
    close_fd(&b->hosts_fd);
    close_fd(&b->hostname_fd);
    /* One that is being killed has no namespaces any more, and is no zombie yet. */
    if (r < 0 && b->wish && (r == -ESRCH || !sandbox_alive(b)))
        kill_sandbox(b);
    else if (r < 0)
        fail(b, e.code, "%s", e.message);
    else if (b->has_argv)
        become_running(b);
}
