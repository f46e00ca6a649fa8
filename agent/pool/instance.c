/* instance.c - one instance's states, and how it ends.
 *
 * The launcher, the code cache, the link and timers call in; every change of
 * state goes through instance_set_state(), which knows the edges and tells the
 * controller. An ended instance stays in the table until the launcher has no
 * sandbox of it any more. */
#include "pool/internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/quantity.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DRAIN_SPARE_NS (5 * NS_PER_S)
#define HANGUP_NS      (2 * NS_PER_S)   /* a runtime that hung up ends within that */
#define LAST_WORDS_NS  (20 * NS_PER_MS) /* what it sent before it ended is read by then */

static bool is_live(enum instance_state s)
{
    return s != STATE_DRAINING && !instance_state_final(s);
}

static void move(struct instance *i, enum instance_state to)
{
    assert(instance_state_edge(i->state, to));
    if (i->state == STATE_FROZEN)
        freeze_undo(i);
    if (is_live(i->state) && !is_live(to)) {
        i->revision->live--;
        template_forget(i);
    }
    i->state = to;
    slot_update(i);
}

void instance_set_state(struct instance *i, enum instance_state to)
{
    log_info("instance %s of %s: %s -> %s%s%s", i->id, i->revision->function_key,
             instance_state_name(i->state), instance_state_name(to), i->reason[0] ? " " : "",
             i->reason);
    move(i, to);
    status_send(i);
}

void instance_turn(struct instance *i, enum instance_state to)
{
    assert(to == STATE_READY || to == STATE_FROZEN);
    move(i, to); /* not logged: it comes and goes with requests */
}

static void set_reason(struct instance *i, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void set_reason(struct instance *i, const char *reason, const char *fmt, ...)
{
    va_list ap;

    snprintf(i->reason, sizeof(i->reason), "%s", reason);
    va_start(ap, fmt);
    vsnprintf(i->message, sizeof(i->message), fmt, ap);
    va_end(ap);
}

static void add_last_lines(struct instance *i)
{
    size_t n = strlen(i->message);

    if (buffer_size(&i->tail))
        snprintf(i->message + n, sizeof(i->message) - n, "%sthe last lines of its log:\n%.*s",
                 n ? "; " : "", (int)buffer_size(&i->tail), (const char *)buffer_bytes(&i->tail));
}

void instance_set_timer(struct instance *i, uint64_t in_ns, void (*fn)(struct loop_timer *t))
{
    i->timer.fn = fn;
    loop_timer_set(i->pool->loop, &i->timer, loop_now(i->pool->loop) + in_ns);
}

struct instance *instance_find(struct pool *p, const char *id)
{
    struct map_node *n = map_get_str(&p->instances, id);

    return n ? map_entry(n, struct instance, node) : NULL;
}

/* ---------------------------------------------------------------- the end */

struct instance *instance_free(struct instance *i)
{
    struct pool *p;

    if (!i)
        return NULL;
    p = i->pool;
    slot_revoke_leases(i);
    template_forget(i);
    if (i->forked)
        forked_drop(i->forked);
    work_close(i);
    outside_code_forget(p, i);
    if (i->code_held)
        outside_code_release(p, i->revision->spec->package);
    loop_timer_cancel(p->loop, &i->timer);
    loop_timer_cancel(p->loop, &i->overdue);
    loop_timer_cancel(p->loop, &i->reap);
    loop_timer_cancel(p->loop, &i->idle);
    slot_unlist(i);
    list_del(&i->of_revision);
    i->revision->count--;
    if (is_live(i->state))
        i->revision->live--;
    report_instance(p->config.report, i->revision->function_key, i->revision->revision, -1);
    map_del(&p->instances, &i->node);
    function_log_put(i->log);
    buffer_done(&i->tail);
    free(i->id);
    free(i);
    return NULL;
}

static void on_reap(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, reap);
    struct pool *p = i->pool;

    status_bury(i);
    instance_free(i);
    if (p->ending && !p->instances.count)
        loop_stop(p->loop);
}

/* Not under a caller that may still touch it. */
static void reap_when_gone(struct instance *i)
{
    if (instance_state_final(i->state) && !i->sandbox && !loop_timer_armed(&i->reap)) {
        i->reap.fn = on_reap;
        loop_timer_set(i->pool->loop, &i->reap, loop_now(i->pool->loop));
    }
}

void instance_stop(struct instance *i, uint64_t grace_ns)
{
    if (!i->sandbox || (i->stop_sent && grace_ns))
        return;
    i->stop_sent = true;
    if (i->link)
        runtime_link_deafen(i->link);
    outside_stop(i->pool, i->forked ? forked_id(i->forked) : i->id, grace_ns);
}

static void end_failed(struct instance *i, const char *lost_reason, const char *lost_message)
{
    loop_timer_cancel(i->pool->loop, &i->timer);
    slot_revoke_leases(i);
    instance_set_state(i, STATE_FAILED);
    work_lose_all(i, lost_reason, lost_message);
    instance_stop(i, 0);
    reap_when_gone(i);
}

void instance_fail(struct instance *i, const char *reason, const char *message)
{
    if (instance_state_final(i->state))
        return;
    work_drain_logs(i);
    set_reason(i, reason, "%s", message);
    if (i->sandbox)
        add_last_lines(i);
    end_failed(i, "InstanceLost", message);
}

static void end_stopped(struct instance *i)
{
    loop_timer_cancel(i->pool->loop, &i->timer);
    if (!i->reason[0])
        set_reason(i, "Completed", "%s", "");
    instance_set_state(i, STATE_STOPPED);
    work_lose_all(i, "InstanceLost", "the instance was stopped");
    reap_when_gone(i);
}

/* Names what the kernel told of the exit. */
static void describe_exit(const struct instance *i, char *reason, size_t reason_size, char *message,
                          size_t size)
{
    char limit[24];

    if (i->exit.oom) {
        quantity_memory_text(i->revision->spec->memory, limit);
        snprintf(reason, reason_size, "OOMKilled");
        snprintf(message, size, "the function used more memory than its limit of %s", limit);
    } else if (i->exit.code < 0 && !i->exit.signal) {
        snprintf(reason, reason_size, "Error");
        snprintf(message, size, "the forked process ended; this kernel does not tell how");
    } else if (i->exit.signal) {
        const char *name = sigabbrev_np(i->exit.signal);

        snprintf(reason, reason_size, "SIG%s", name ? name : "RT");
        snprintf(message, size, "the runtime was ended by signal %d (%s)", i->exit.signal,
                 sigdescr_np(i->exit.signal) ? sigdescr_np(i->exit.signal) : "real-time");
    } else {
        snprintf(reason, reason_size, "%s", i->exit.code ? "Error" : "Completed");
        snprintf(message, size, "the runtime ended with exit code %d", i->exit.code);
    }
}

/* The sandbox is gone and all that it said has been read. */
static void conclude(struct instance *i)
{
    char reason[32], message[160];

    if (i->state == STATE_DRAINING) {
        end_stopped(i);
        return;
    }
    describe_exit(i, reason, sizeof(reason), message, sizeof(message));
    set_reason(i, reason, "%s", message);
    add_last_lines(i);
    end_failed(i, i->exit.oom ? "OOMKilled" : "InstanceLost", message);
}

static void on_last_words(struct loop_timer *t)
{
    conclude(container_of(t, struct instance, timer));
}

static void on_hangup(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);

    if (i->state == STATE_DRAINING)
        instance_stop(i, 0);
    else
        instance_fail(i, "RuntimeDisconnected",
                      "the runtime closed its connection and went on running");
}

/* The exit and the end of the connection come in either order; the first one waits for the other.
 */
void instance_check_end(struct instance *i)
{
    if (instance_state_final(i->state)) {
        reap_when_gone(i);
        return;
    }
    i->closing = true;
    slot_update(i);
    if (freeze_wake(i)) /* who was killed in there cannot be reaped in there */
        status_send(i);
    if (!i->exited)
        instance_set_timer(i, HANGUP_NS, on_hangup);
    else if (i->link && runtime_link_open(i->link))
        instance_set_timer(i, LAST_WORDS_NS, on_last_words);
    else
        conclude(i);
}

/* ---------------------------------------------------------------- drain */

static void on_drain_over(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);

    log_warn("instance %s: %u invocations did not end within the drain's limit", i->id, i->in_flight);
    instance_stop(i, STOP_GRACE_NS);
}

void instance_quiet(struct instance *i)
{
    if (i->state == STATE_DRAINING && !i->exited && !hooks_pre_stop(i))
        instance_stop(i, STOP_GRACE_NS);
}

static uint64_t drain_limit(const struct instance *i)
{
    if (i->pool->config.drain_limit_ns)
        return i->pool->config.drain_limit_ns;
    return i->revision->spec->timeout_ms * NS_PER_MS + DRAIN_SPARE_NS;
}

void instance_drain(struct instance *i, const char *reason)
{
    enum instance_state from = i->state;

    if (from == STATE_DRAINING || instance_state_final(from))
        return;
    set_reason(i, reason, "%s", "");
    loop_timer_cancel(i->pool->loop, &i->timer);
    slot_revoke_leases(i);
    instance_set_state(i, STATE_DRAINING);
    switch (from) {
    case STATE_PENDING:
    case STATE_FETCHING:
        outside_code_forget(i->pool, i);
        end_stopped(i);
        break;
    case STATE_CREATING: /* on_started() or on_failed() goes on */
        break;
    case STATE_INITIALIZING:
        instance_stop(i, STOP_GRACE_NS);
        break;
    default:
        if (i->in_flight)
            instance_set_timer(i, drain_limit(i), on_drain_over);
        else
            instance_quiet(i);
    }
    /* An exit that was waiting for last words has lost its timer. */
    if (i->exited && !instance_state_final(i->state))
        instance_check_end(i);
}

void instance_time_out(struct instance *i, const char *message)
{
    if (instance_state_final(i->state))
        return;
    if (i->state != STATE_DRAINING) {
        set_reason(i, "Timeout", "%s", message);
        loop_timer_cancel(i->pool->loop, &i->timer);
        slot_revoke_leases(i);
        instance_set_state(i, STATE_DRAINING);
    }
    if (i->exited)
        instance_check_end(i);
    else
        instance_stop(i, 0);
}

void instance_gone(struct instance *i, const struct sandbox_exit *e)
{
    i->sandbox = false;
    i->exited = true;
    i->exit = *e;
    work_drain_logs(i);
    instance_check_end(i);
}

void instance_never_was(struct instance *i, const struct err *e)
{
    i->sandbox = false;
    if (i->state == STATE_DRAINING)
        end_stopped(i);
    else
        instance_fail(i, "SandboxFailed", e->message);
    reap_when_gone(i);
}
