/* adopt_end.c - how an adopted process is stopped, and what follows its end: what else is in its cgroup, the cgroup,
 * then the word to the agent. Launcher only. */
#include "launcher/adopt_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "launcher/adopt_exit.h"
#include "launcher/removal.h"
#include "launcher/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAP_STEP_NS   NS_PER_MS
#define REAP_TIME_NS   (100 * NS_PER_MS) /* its parent is foreign code, and may never */
#define REMOVE_STEP_NS (2 * NS_PER_MS)
#define REMOVE_TIME_NS (5 * NS_PER_S)

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

void adopted_remove(struct adopted *a)
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
        adopted_remove(a);
}

void adopted_on_process(struct loop_watch *w, uint32_t events)
{
    struct adopted *a = container_of(w, struct adopted, process);
    const struct sandbox *b = sandbox_find(a->server, a->of);

    (void)events;
    loop_watch_cancel(a->server->loop, w);
    if (b) /* its parent may be frozen, and is to reap it */
        cgroup_freeze(&a->server->cgroups, b->cgroup, false);
    if (!a->started && !a->error.code)
        err_set(&a->error, ESRCH, "the process ended before it had its cgroup");
    adopted_set_state(a, ADOPT_ENDED);
    if (a->helper) /* it still writes there: on_attached() goes on */
        return;
    a->until = clock_monotonic_ns() + REAP_TIME_NS;
    a->timer.fn = on_reaped;
    on_reaped(&a->timer);
}

/* ---- stopping */
void adopted_kill(struct adopted *a)
{
    adopted_set_state(a, ADOPT_KILLED);
    loop_timer_cancel(a->server->loop, &a->timer);
    syscall(SYS_pidfd_send_signal, a->process.fd, SIGKILL, NULL, 0);
    cgroup_kill(&a->server->cgroups, a->cgroup);
}

static void on_grace_over(struct loop_timer *t)
{
    adopted_kill(container_of(t, struct adopted, timer));
}

void adopt_stop(struct adopted *a, uint64_t grace_ns)
{
    struct server *s = a->server;

    switch (a->state) {
    case ADOPT_ATTACHING:
        err_set(&a->error, ECANCELED, "stopped before it started");
        adopted_kill(a);
        break;
    case ADOPT_RUNNING:
        if (!grace_ns) {
            adopted_kill(a);
            break;
        }
        adopted_set_state(a, ADOPT_STOPPING);
        /* A frozen one would sleep through its SIGTERM. */
        cgroup_freeze(&s->cgroups, a->cgroup, false);
        syscall(SYS_pidfd_send_signal, a->process.fd, SIGTERM, NULL, 0);
        a->timer.fn = on_grace_over;
        loop_timer_set(s->loop, &a->timer, clock_monotonic_ns() + grace_ns);
        break;
    case ADOPT_STOPPING: /* a second stop can only shorten */
        if (!grace_ns)
            adopted_kill(a);
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
