/* sandbox.c - one sandbox's life as the launcher sees it: made, watched, stopped, removed. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "sandbox/child.h"
#include "sandbox/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SETUP_TIME_NS  (10 * NS_PER_S)
#define REKILL_TIME_NS NS_PER_S
#define REMOVE_STEP_NS (2 * NS_PER_MS)
#define REMOVE_TIME_NS (5 * NS_PER_S)

static const char *const state_names[SANDBOX_STATES] = {"SettingUp", "Running", "Stopping",
                                                        "Killed", "Removing"};
#define TO(s) (1u << (s))
static const unsigned state_edges[SANDBOX_STATES] = {
    [SANDBOX_SETTING_UP] = TO(SANDBOX_RUNNING) | TO(SANDBOX_KILLED) | TO(SANDBOX_REMOVING),
    [SANDBOX_RUNNING] = TO(SANDBOX_STOPPING) | TO(SANDBOX_KILLED) | TO(SANDBOX_REMOVING),
    [SANDBOX_STOPPING] = TO(SANDBOX_KILLED) | TO(SANDBOX_REMOVING),
    [SANDBOX_KILLED] = TO(SANDBOX_REMOVING),
};

static void set_state(struct sandbox *b, enum sandbox_state to)
{
    assert(state_edges[b->state] & TO(to));
    log_debug("sandbox %s: %s -> %s", b->id, state_names[b->state], state_names[to]);
    b->state = to;
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

static void send_failed(struct server *s, const char *id, const struct err *e)
{
    struct message m = {.type = MESSAGE_FAILED, .id = id, .error = *e};

    server_send(s, &m, NULL, 0);
}

/* ---- the end: process gone, then cgroups and link, then the word to the agent */
static void sandbox_free(struct sandbox *b)
{
    struct server *s = b->server;

    loop_timer_cancel(s->loop, &b->timer);
    watch_close(s, &b->channel);
    watch_close(s, &b->process);
    close_fd(&b->stdout_fd);
    close_fd(&b->stderr_fd);
    map_del(&s->sandboxes, &b->node);
    idpool_give(&s->slots, b->slot);
    free(b);
    server_sandbox_gone(s);
}

static void explain_silent_end(struct sandbox *b)
{
    if (b->total.oom_kills)
        err_set(&b->error, ENOMEM, "set-up was killed for memory: the limit of %llu bytes is too low",
                (unsigned long long)b->memory);
    else if (WIFSIGNALED(b->status))
        err_set(&b->error, EIO, "set-up was killed by signal %d", WTERMSIG(b->status));
    else
        err_set(&b->error, EIO, "set-up ended without a word");
}

static void tell_end(struct sandbox *b)
{
    struct message m = {.type = MESSAGE_EXIT, .id = b->id};

    if (!b->started) {
        if (!b->error.code)
            explain_silent_end(b);
        send_failed(b->server, b->id, &b->error);
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

static void on_remove(struct loop_timer *t)
{
    struct sandbox *b = container_of(t, struct sandbox, timer);
    struct server *s = b->server;
    uint64_t now = clock_monotonic_ns();
    int r = cgroup_remove(&s->cgroups, b->cgroup);

    if (b->linked && network_unlinked(&s->network, &b->link))
        b->linked = false;
    if ((r < 0 || b->linked) && now < b->remove_until) {
        loop_timer_set(s->loop, t, now + REMOVE_STEP_NS);
        return;
    }
    if (r < 0 || b->linked)
        log_warn("sandbox %s: %s", b->id, r < 0 ? strerror(-r) : "its link stays");
    tell_end(b);
    sandbox_free(b);
}

static void begin_remove(struct sandbox *b)
{
    set_state(b, SANDBOX_REMOVING);
    cgroup_total(&b->server->cgroups, b->cgroup, &b->total);
    b->remove_until = clock_monotonic_ns() + REMOVE_TIME_NS;
    b->timer.fn = on_remove;
    on_remove(&b->timer);
}

/* ---- killing */
static void on_still_there(struct loop_timer *t);

static void kill_now(struct sandbox *b)
{
    /* Both: the init's death ends the namespace too, should the cgroup have missed one. */
    cgroup_kill(&b->server->cgroups, b->cgroup);
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

static void on_setup_late(struct loop_timer *t)
{
    struct sandbox *b = container_of(t, struct sandbox, timer);

    err_set(&b->error, ETIMEDOUT, "set-up took longer than %llu s",
            (unsigned long long)(SETUP_TIME_NS / NS_PER_S));
    kill_sandbox(b);
}

void sandbox_stop(struct sandbox *b, uint64_t grace_ns)
{
    uint64_t at = clock_monotonic_ns() + grace_ns;

    if (b->state == SANDBOX_SETTING_UP) {
        err_set(&b->error, ECANCELED, "stopped before it started");
        kill_sandbox(b);
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
    map_for_each(it, &s->sandboxes) sandbox_stop(map_entry(it, struct sandbox, node), 0);
}

/* ---- what the child says */
static void tell_started(struct sandbox *b, const int *fds, size_t n, bool frames, bool api)
{
    struct message m = {.type = MESSAGE_STARTED, .id = b->id};
    int all[MESSAGE_FDS_MAX] = {TAKE_FD(b->stdout_fd), TAKE_FD(b->stderr_fd)};

    memcpy(all + 2, fds, n * sizeof(*fds));
    m.fds = MESSAGE_FD_STDOUT | MESSAGE_FD_STDERR | (frames ? MESSAGE_FD_FRAMES : 0u) |
            (api ? MESSAGE_FD_API : 0u);
    memcpy(m.started.cgroup, b->cgroup, sizeof(m.started.cgroup));
    m.started.pid = b->pid;
    m.started.create_ns = clock_monotonic_ns() - b->arrived;
    server_send(b->server, &m, all, n + 2);
}

static bool listens_on(int fd, int family)
{
    int got = 0;
    socklen_t n = sizeof(got);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &got, &n) == 0 && got == family;
}

static void take_report(struct sandbox *b, const struct child_report *r, int *fds, size_t n)
{
    bool frames = n > 0 && listens_on(fds[0], AF_UNIX);

    switch (r->kind) {
    case CHILD_STARTED:
        if (b->state != SANDBOX_SETTING_UP || n > 2)
            break;
        b->started = true;
        set_state(b, SANDBOX_RUNNING);
        loop_timer_cancel(b->server->loop, &b->timer);
        tell_started(b, fds, n, frames, n > (frames ? 1u : 0u));
        return;
    case CHILD_FAILED:
        if (!b->error.code) {
            b->error = r->error;
            b->error.message[sizeof(b->error.message) - 1] = '\0';
        }
        break;
    case CHILD_EXITED:
        b->exited = true;
        b->status = r->status;
        break;
    }
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
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
    watch_close(b->server, &b->process);
    watch_close(b->server, &b->channel);
    begin_remove(b);
}

/* ---- the start */
static int watch_both(struct sandbox *b, struct err *e)
{
    struct loop *l = b->server->loop;
    int r = loop_watch_set(l, &b->channel, LOOP_READ);

    if (r == 0)
        r = loop_watch_set(l, &b->process, LOOP_READ);
    return r < 0 ? err_errno(e, -r, "watch the sandbox") : 0;
}

/* Nothing was cloned: what was gathered goes, at once. */
static void give_up(struct sandbox *b, const struct err *e)
{
    send_failed(b->server, b->id, e);
    cgroup_remove(&b->server->cgroups, b->cgroup);
    sandbox_free(b);
}

void sandbox_create(struct server *s, const struct sandbox_spec *spec, uint64_t arrived)
{
    struct sandbox *b = calloc(1, sizeof(*b));
    struct err e = {0};
    int r = b ? idpool_take(&s->slots, &b->slot) : -ENOMEM;

    if (r == 0) {
        snprintf(b->id, sizeof(b->id), "%s", spec->id);
        snprintf(b->cgroup, sizeof(b->cgroup), "box-%u", s->serial++);
        r = map_put(&s->sandboxes, &b->node, b->id, strlen(b->id));
        if (r < 0)
            idpool_give(&s->slots, b->slot);
    }
    if (r < 0) {
        err_errno(&e, -r, "the launcher's room for %u sandboxes", SERVER_SANDBOXES_MAX);
        send_failed(s, spec->id, &e);
        free(b);
        return;
    }
    b->server = s;
    b->arrived = arrived;
    b->memory = spec->memory;
    b->stdout_fd = b->stderr_fd = -1;
    b->channel = (struct loop_watch){.fd = -1, .fn = on_channel};
    b->process = (struct loop_watch){.fd = -1, .fn = on_process};
    r = sandbox_start(b, spec, &e);
    if (!b->pid) {
        give_up(b, &e);
        return;
    }
    if (watch_both(b, &e) < 0) {
        /* Without a watch its end would not be seen: end it here; it runs nothing foreign yet. */
        kill(b->pid, SIGKILL);
        waitpid(b->pid, NULL, 0);
        give_up(b, &e);
        return;
    }
    if (r < 0) {
        b->error = e;
        kill_sandbox(b);
        return;
    }
    b->timer.fn = on_setup_late;
    loop_timer_set(s->loop, &b->timer, clock_monotonic_ns() + SETUP_TIME_NS);
}
