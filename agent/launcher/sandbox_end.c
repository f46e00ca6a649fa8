/* sandbox_end.c - how a sandbox is stopped or fails, and its end: process and builder gone, the word to the agent; the
 * rest is removal.c's. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "launcher/park.h"
#include "launcher/removal.h"
#include "launcher/sandbox.h"
#include "sandbox/message.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define REKILL_TIME_NS NS_PER_S

static void close_fds(struct sandbox *b)
{
    int *const fds[] = {&b->stdout_fd, &b->stderr_fd, &b->frames_fd,
                        &b->api_fd,    &b->hosts_fd,  &b->hostname_fd};

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close_fd(fds[i]);
}

static void sandbox_free(struct sandbox *b)
{
    struct server *s = b->server;

    loop_timer_cancel(s->loop, &b->timer);
    loop_watch_close(s->loop, &b->channel);
    loop_watch_close(s->loop, &b->process);
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

void sandbox_end_if_over(struct sandbox *b)
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

void sandbox_kill_now(struct sandbox *b)
{
    /* Both: the init's death ends the namespace too, should the cgroup have missed one. */
    if (*b->cgroup)
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
    sandbox_kill_now(container_of(t, struct sandbox, timer));
}

void sandbox_kill(struct sandbox *b)
{
    sandbox_turn(b, SANDBOX_KILLED);
    sandbox_kill_now(b);
}

static void on_grace_over(struct loop_timer *t)
{
    sandbox_kill(container_of(t, struct sandbox, timer));
}

void sandbox_fail(struct sandbox *b, int code, const char *fmt, ...)
{
    va_list ap;

    if (!b->error.code) {
        b->error.code = code;
        va_start(ap, fmt);
        vsnprintf(b->error.message, sizeof(b->error.message), fmt, ap);
        va_end(ap);
    }
    if (b->state != SANDBOX_KILLED)
        sandbox_kill(b);
}

void sandbox_stop(struct sandbox *b, uint64_t grace_ns)
{
    uint64_t at = clock_monotonic_ns() + grace_ns;

    if (b->state < SANDBOX_RUNNING) {
        sandbox_fail(b, ECANCELED, "stopped before it started");
    } else if (b->state == SANDBOX_RUNNING && grace_ns) {
        sandbox_turn(b, SANDBOX_STOPPING);
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
            sandbox_kill(b);
    } else if (b->state == SANDBOX_RUNNING) {
        sandbox_kill(b);
    }
}

void sandbox_stop_all(struct server *s)
{
    list_for_each(it, &s->boxes) sandbox_stop(list_entry(it, struct sandbox, link), 0);
}
