/* adopt.c - an adopted process is made one: found in its sandbox, attached to a cgroup of its own. Launcher only. */
#include "launcher/adopt_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "launcher/attach.h"
#include "launcher/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const char *const state_names[ADOPT_STATES] = {"Attaching", "Running", "Stopping", "Killed",
                                                      "Ended"};
#define TO(s) (1u << (s))
static const unsigned state_edges[ADOPT_STATES] = {
    [ADOPT_ATTACHING] = TO(ADOPT_RUNNING) | TO(ADOPT_KILLED) | TO(ADOPT_ENDED),
    [ADOPT_RUNNING] = TO(ADOPT_STOPPING) | TO(ADOPT_KILLED) | TO(ADOPT_ENDED),
    [ADOPT_STOPPING] = TO(ADOPT_KILLED) | TO(ADOPT_ENDED),
    [ADOPT_KILLED] = TO(ADOPT_ENDED),
};

void adopted_set_state(struct adopted *a, enum adopt_state to)
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

void adopted_free(struct adopted *a)
{
    struct server *s = a->server;

    loop_timer_cancel(s->loop, &a->timer);
    loop_watch_close(s->loop, &a->process);
    loop_watch_close(s->loop, &a->attach);
    map_del(&s->adopted, &a->node);
    free(a);
    server_sandbox_gone(s);
}

static void tell_started(struct adopted *a)
{
    struct message m = {.type = MESSAGE_STARTED, .id = a->id};

    a->started = true;
    adopted_set_state(a, ADOPT_RUNNING);
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
        adopted_remove(a);
    } else if (a->state == ADOPT_KILLED) {
        cgroup_kill(&a->server->cgroups, a->cgroup); /* it is in there only now */
    } else if (status) {
        err_set(&a->error, WIFEXITED(status) ? WEXITSTATUS(status) : EIO,
                "attach process %d to cgroup %s: %s", a->pid, a->cgroup,
                WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "killed");
        adopted_kill(a);
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
        a->process = (struct loop_watch){.fd = -1, .fn = adopted_on_process};
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
        adopted_kill(a); /* its end is not seen: the agent's stop, or the sandbox's end, ends it */
}
