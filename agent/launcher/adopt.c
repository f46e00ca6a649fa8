#include "launcher/adopt.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "launcher/adopt_exit.h"
#include "launcher/attach.h"
#include "launcher/removal.h"
#include "launcher/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define REAP_STEP_NS   NS_PER_MS
#define REAP_TIME_NS   (100 * NS_PER_MS) /* its parent is foreign code, and may never */
#define REMOVE_STEP_NS (2 * NS_PER_MS)
#define REMOVE_TIME_NS (5 * NS_PER_S)

enum adopt_state {
    ADOPT_ATTACHING, /* a helper writes its pid into the cgroups */
    ADOPT_RUNNING,
    ADOPT_STOPPING, /* SIGTERM sent, grace running */
    ADOPT_KILLED,
    ADOPT_ENDED, /* its cgroup goes */
    ADOPT_STATES
};
static const char *const state_names[ADOPT_STATES] = {"Attaching", "Running", "Stopping", "Killed",
                                                      "Ended"};
#define TO(s) (1u << (s))
static const unsigned state_edges[ADOPT_STATES] = {
    [ADOPT_ATTACHING] = TO(ADOPT_RUNNING) | TO(ADOPT_KILLED) | TO(ADOPT_ENDED),
    [ADOPT_RUNNING] = TO(ADOPT_STOPPING) | TO(ADOPT_KILLED) | TO(ADOPT_ENDED),
    [ADOPT_STOPPING] = TO(ADOPT_KILLED) | TO(ADOPT_ENDED),
    [ADOPT_KILLED] = TO(ADOPT_ENDED),
};

struct adopted {
    struct map_node node;
    struct server *server;
    char id[64], of[64], cgroup[CGROUP_NAME_MAX];
    enum adopt_state state;
    uint64_t arrived, until;
    pid_t pid, helper;
    struct loop_watch process, attach; /* pidfds: its own, the helper's */
    struct loop_timer timer;
    struct err error; /* why it never ran */
    bool started;
    int status; /* -1: not known */
    struct cgroup_total total;
};

static void set_state(struct adopted *a, enum adopt_state to)
{
    assert(state_edges[a->state] & TO(to));
    log_debug("adopted %s: %s -> %s", a->id, state_names[a->state], state_names[to]);
    a->state = to;
}

struct adopted *adopt_find(struct server *s, const char *id)
{
    struct map_node *n = map_get_str(&s->adopted, id);

    return n ? map_entry(n, struct adopted, node) : NULL;
}

static void adopted_free(struct adopted *a)
{
    struct server *s = a->server;

    loop_timer_cancel(s->loop, &a->timer);
    loop_watch_close(s->loop, &a->process);
    loop_watch_close(s->loop, &a->attach);
    map_del(&s->adopted, &a->node);
    free(a);
    server_sandbox_gone(s);
}

/* ---- the end: the process, what else is in its cgroup, the cgroup, then the word to the agent */
static void tell_end(struct adopted *a)
{
    struct message m = {.type = MESSAGE_EXIT, .id = a->id};

    if (!a->started) {
        server_send_failed(a->server, a->id, &a->error);
        return;
    }
    m.exit.code = a->status >= 0 && WIFEXITED(a->status) ? WEXITSTATUS(a->status) : -1;
    m.exit.signal = a->status >= 0 && WIFSIGNALED(a->status) ? WTERMSIG(a->status) : 0;
    m.exit.oom = a->total.oom_kills && m.exit.code != 0;
    m.exit.memory_peak = a->total.memory_peak;
    m.exit.cpu_ns = a->total.cpu_ns;
    server_send(a->server, &m, NULL, 0);
}

static void on_remove(struct loop_timer *t)
{
    struct adopted *a = container_of(t, struct adopted, timer);
    struct server *s = a->server;
    int r = cgroup_remove(&s->cgroups, a->cgroup);

    if (r < 0 && clock_monotonic_ns() < a->until) {
        cgroup_kill(&s->cgroups, a->cgroup);
        loop_timer_set(s->loop, t, clock_monotonic_ns() + REMOVE_STEP_NS);
        return;
    }
    if (r < 0)
        removal_begin(s, a->cgroup, -1, NULL);
    tell_end(a);
    adopted_free(a);
}

static void begin_remove(struct adopted *a)
{
    cgroup_kill(&a->server->cgroups, a->cgroup);
    cgroup_total(&a->server->cgroups, a->cgroup, &a->total);
    a->until = clock_monotonic_ns() + REMOVE_TIME_NS;
    a->timer.fn = on_remove;
    on_remove(&a->timer);
}

/* A zombie's status is told when its parent has reaped it. */
static void on_reaped(struct loop_timer *t)
{
    struct adopted *a = container_of(t, struct adopted, timer);
    uint64_t now = clock_monotonic_ns();

    if (adopt_exit_status(a->process.fd, &a->status) == -EAGAIN && now < a->until)
        loop_timer_set(a->server->loop, t, now + REAP_STEP_NS);
    else
        begin_remove(a);
}

static void on_process(struct loop_watch *w, uint32_t events)
{
    struct adopted *a = container_of(w, struct adopted, process);
    const struct sandbox *b = sandbox_find(a->server, a->of);

    (void)events;
    loop_watch_cancel(a->server->loop, w);
    if (b) /* its parent may be frozen, and is to reap it */
        cgroup_freeze(&a->server->cgroups, b->cgroup, false);
    if (!a->started && !a->error.code)
        err_set(&a->error, ESRCH, "the process ended before it had its cgroup");
    set_state(a, ADOPT_ENDED);
    if (a->helper) /* it still writes there: on_attached() goes on */
        return;
    a->until = clock_monotonic_ns() + REAP_TIME_NS;
    a->timer.fn = on_reaped;
    on_reaped(&a->timer);
}

/* ---- stopping */
static void kill_now(struct adopted *a)
{
    set_state(a, ADOPT_KILLED);
    loop_timer_cancel(a->server->loop, &a->timer);
    syscall(SYS_pidfd_send_signal, a->process.fd, SIGKILL, NULL, 0);
    cgroup_kill(&a->server->cgroups, a->cgroup);
}

static void on_grace_over(struct loop_timer *t)
{
    kill_now(container_of(t, struct adopted, timer));
}

void adopt_stop(struct adopted *a, uint64_t grace_ns)
{
    struct server *s = a->server;

    switch (a->state) {
    case ADOPT_ATTACHING:
        err_set(&a->error, ECANCELED, "stopped before it started");
        kill_now(a);
        break;
    case ADOPT_RUNNING:
        if (!grace_ns) {
            kill_now(a);
            break;
        }
        set_state(a, ADOPT_STOPPING);
        /* A frozen one would sleep through its SIGTERM. */
        cgroup_freeze(&s->cgroups, a->cgroup, false);
        syscall(SYS_pidfd_send_signal, a->process.fd, SIGTERM, NULL, 0);
        a->timer.fn = on_grace_over;
        loop_timer_set(s->loop, &a->timer, clock_monotonic_ns() + grace_ns);
        break;
    case ADOPT_STOPPING: /* a second stop can only shorten */
        if (!grace_ns)
            kill_now(a);
        else if (clock_monotonic_ns() + grace_ns < a->timer.at)
            loop_timer_set(s->loop, &a->timer, clock_monotonic_ns() + grace_ns);
        break;
    default:
        break;
    }
}

void adopt_stop_all(struct server *s)
{
    map_for_each(it, &s->adopted) adopt_stop(map_entry(it, struct adopted, node), 0);
}

/* ---- the start */
static void tell_started(struct adopted *a)
{
    struct message m = {.type = MESSAGE_STARTED, .id = a->id};

    a->started = true;
    set_state(a, ADOPT_RUNNING);
    memcpy(m.started.cgroup, a->cgroup, sizeof(m.started.cgroup));
    m.started.pid = a->pid;
    m.started.create_ns = clock_monotonic_ns() - a->arrived;
    server_send(a->server, &m, NULL, 0);
}

static void on_attached(struct loop_watch *w, uint32_t events)
{
    struct adopted *a = container_of(w, struct adopted, attach);
    int status = 0;

    (void)events;
    if (waitpid(a->helper, &status, WNOHANG) != a->helper)
        return;
    a->helper = 0;
    loop_watch_close(a->server->loop, w);
    if (a->state == ADOPT_ENDED) {
        begin_remove(a);
    } else if (a->state == ADOPT_KILLED) {
        cgroup_kill(&a->server->cgroups, a->cgroup); /* it is in there only now */
    } else if (status) {
        err_set(&a->error, WIFEXITED(status) ? WEXITSTATUS(status) : EIO,
                "attach process %d to cgroup %s: %s", a->pid, a->cgroup,
                WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "killed");
        kill_now(a);
    } else {
        tell_started(a);
    }
}

/* To make a cgroup waits for attaches elsewhere, and each attach for an RCU grace period, which the launcher must not:
 * a fork of it does. It ends at once, and its exit code is what went wrong. */
_Noreturn static void attach_run(const struct adopted *a, const struct sandbox_adoption *what,
                                 pid_t init)
{
    const struct cgroup_limits limits = {.memory = what->memory,
                                         .cpu_millis = what->cpu_millis,
                                         .pids = what->pids ? what->pids : SANDBOX_PIDS};
    const struct cgroups *c = &a->server->cgroups;
    int unified = -1, r;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    r = cgroup_create(c, a->cgroup, &limits, &unified, NULL);
    if (r == 0)
        r = attach_process(c, a->cgroup, a->process.fd, a->pid, init);
    _exit(r < 0 ? -r : 0);
}

static int attach(struct adopted *a, const struct sandbox_adoption *what, pid_t init, struct err *e)
{
    int r;

    a->helper = fork();
    if (a->helper == 0)
        attach_run(a, what, init);
    a->attach.fd = a->helper < 0 ? -1 : (int)syscall(SYS_pidfd_open, a->helper, 0);
    if (a->attach.fd >= 0 && loop_watch_set(a->server->loop, &a->attach, LOOP_READ) == 0)
        return 0;
    r = err_errno(e, errno, "attach to a cgroup");
    if (a->helper > 0)
        waitpid(a->helper, NULL, 0);
    a->helper = 0;
    cgroup_remove(&a->server->cgroups, a->cgroup);
    return r;
}

/* The agent has the pid from a socket, and it may be another process's by now: one of that sandbox is good
 * enough, since all of them are the same function's. */
static int open_process(const struct sandbox *b, pid_t pid, int *ret_pidfd, struct err *e)
{
    cleanup_fd int fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

    if (fd < 0)
        return err_set(e, ESRCH, "process %d is gone", pid);
    if (!attach_descends(pid, b->pid))
        return err_set(e, EPERM, "process %d is none of sandbox %s", pid, b->id);
    if (attach_has_ended(fd)) /* so what was looked at was it */
        return err_set(e, ESRCH, "process %d is gone", pid);
    *ret_pidfd = TAKE_FD(fd);
    return 0;
}

static int prepare(struct adopted *a, const struct sandbox_adoption *what, struct err *e)
{
    struct server *s = a->server;
    struct sandbox *b = sandbox_find(s, what->of);
    int r;

    if (!b || b->state != SANDBOX_RUNNING)
        return err_set(e, ENOENT, "sandbox %s does not run", what->of);
    r = open_process(b, what->pid, &a->process.fd, e);
    if (r == 0 && s->cgroups.count)
        r = attach(a, what, b->pid, e);
    return r;
}

void adopt_begin(struct server *s, const struct sandbox_adoption *what, uint64_t arrived)
{
    struct adopted *a = s->adopted.count < SERVER_SANDBOXES_MAX ? calloc(1, sizeof(*a)) : NULL;
    struct err e = {0};
    int r = -ENOMEM;

    if (a) {
        *a = (struct adopted){.server = s, .arrived = arrived, .pid = what->pid, .status = -1};
        a->process = (struct loop_watch){.fd = -1, .fn = on_process};
        a->attach = (struct loop_watch){.fd = -1, .fn = on_attached};
        snprintf(a->id, sizeof(a->id), "%s", what->id);
        snprintf(a->of, sizeof(a->of), "%s", what->of);
        snprintf(a->cgroup, sizeof(a->cgroup), "fork-%u", s->serial++);
        r = map_put(&s->adopted, &a->node, a->id, strlen(a->id));
    }
    if (r < 0) {
        err_errno(&e, -r, "the launcher's room for %u forks", SERVER_SANDBOXES_MAX);
        server_send_failed(s, what->id, &e);
        free(a);
        return;
    }
    r = prepare(a, what, &e);
    if (r < 0) {
        server_send_failed(s, a->id, &e);
        adopted_free(a);
        return;
    }
    if (!a->helper)
        tell_started(a);
    if (loop_watch_set(s->loop, &a->process, LOOP_READ) < 0)
        kill_now(a); /* its end is not seen: the agent's stop, or the sandbox's end, ends it */
}
