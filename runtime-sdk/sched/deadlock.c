/* deadlock.c - SIGQUIT's report, and the one of a deadlock: both are made by the monitor, a thread that holds no
 * lock and no processor when it comes to it.
 *
 * The last thread that goes to sleep only suspects a deadlock: the monitor may
 * just then hold tasks that timers or the poller made ready. It looks again
 * itself, with nothing in its hands. */
#include "sched/internal.h"
#include "sched/report.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic bool asked, suspected;

/* sched.lock is held. Only a task, a timer or a descriptor can make a task ready. */
static bool asleep_for_ever(void)
{
    uint32_t n = atomic_load(&sched.made);

    if (sched.idle_machine_count < sched.machine_count || sched.global.count ||
        atomic_load(&sched.idle_count) < atomic_load(&sched.procs) || atomic_load(&sched.done) ||
        poller_waited_for())
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!queue_empty(&sched.all[i]->queue) ||
            atomic_load(&sched.all[i]->timers.first) != INT64_MAX)
            return false;
    }
    return true;
}

void deadlock_check(void)
{
    if (!asleep_for_ever())
        return;
    atomic_store(&suspected, true);
    monitor_notice(PACE_FAST);
}

void report_ask(void)
{
    atomic_store(&asked, true);
    monitor_notice(PACE_FAST);
}

static void check_again(void)
{
    struct text to = {.fd = STDERR_FILENO};

    lock_acquire(&sched.lock);
    if (asleep_for_ever()) {
        text_put(&to, "rouse: all tasks are asleep: deadlock\n");
        report_tasks(NULL, true, &to);
        abort();
    }
    lock_release(&sched.lock);
}

static __attribute__((noreturn)) void quit(void)
{
    struct text to = {.fd = STDERR_FILENO};
    sigset_t set;

    world_stop(NULL);
    text_put(&to, "rouse: SIGQUIT\n");
    report_tasks(NULL, false, &to);
    sigemptyset(&set);
    sigaddset(&set, SIGQUIT);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(SIGQUIT); /* its action is the default one again */
    _exit(2);
}

void report_turn(void)
{
    if (atomic_exchange(&asked, false))
        quit();
    if (atomic_exchange(&suspected, false))
        check_again();
}
