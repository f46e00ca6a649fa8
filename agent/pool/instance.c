/* instance.c - one instance from the wish for it to its end.
 *
 * The launcher, the code cache, the link and timers call in; every change of
 * state goes through set_state(), which knows the edges and tells the
 * controller. An ended instance stays in the table until the launcher has no
 * sandbox of it any more. */
#include "pool/internal.h"
#include "invoke/program.h"
#include "invoke/environment.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/quantity.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define INIT_TIMEOUT_NS (10 * NS_PER_S)
#define DRAIN_SPARE_NS  (5 * NS_PER_S)
#define HANGUP_NS       (2 * NS_PER_S)   /* a runtime that hung up ends within that */
#define LAST_WORDS_NS   (20 * NS_PER_MS) /* what it sent before it ended is read by then */

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

static void set_state(struct instance *i, enum instance_state to)
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

/* Phases are shorter than a turn of the loop at times, so this reads the clock itself. */
uint64_t instance_phase_end(struct instance *i)
{
    uint64_t now = clock_monotonic_ns(), ns = now > i->since_ns ? now - i->since_ns : 0;

    i->since_ns = now;
    return ns;
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
    set_state(i, STATE_FAILED);
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
    set_state(i, STATE_STOPPED);
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
    set_state(i, STATE_DRAINING);
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
        set_state(i, STATE_DRAINING);
    }
    if (i->exited)
        instance_check_end(i);
    else
        instance_stop(i, 0);
}

/* ---------------------------------------------------------------- the way up */

static void on_init_late(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);
    uint64_t limit =
        i->pool->config.init_timeout_ns ? i->pool->config.init_timeout_ns : INIT_TIMEOUT_NS;
    char message[96];

    snprintf(message, sizeof(message), "the runtime was not ready after %.1f s", (double)limit / 1e9);
    instance_fail(i, "InitTimeout", message);
}

static void on_code(void *user, const char *dir, const struct err *e)
{
    struct instance *i = user;
    Rouse__Control__V1__RevisionSpec *s = i->revision->spec;
    struct sandbox_spec spec = {
        .id = i->id,
        .hostname = i->id,
        .code_dir = dir,
        .memory = s->memory,
        .cpu_millis = s->cpu,
    };
    struct program program = {0};
    struct environment env = {0};
    int r;

    if (e) {
        instance_fail(i, "FetchFailed", e->message);
        return;
    }
    i->code_held = true;
    i->phase_ns[PHASE_FETCH] = instance_phase_end(i);
    set_state(i, STATE_CREATING);
    r = program_build((const char *const *)i->runtime->argv, "/var/task",
                      s->port ? s->handler : NULL, &program);
    if (r == 0)
        r = instance_environment(i, &env);
    if (r == 0) {
        instance_kind(i->runtime, s->network_none, s->port != 0, &spec.kind);
        spec.argv = program_argv(&program);
        spec.env = (const char *const *)env.all;
        i->parked = !s->port && parking_suits(i->runtime, &env);
        if (i->parked)
            parking_kind(i->runtime, &spec.kind);
        r = outside_create(i->pool, &spec);
    }
    environment_done(&env);
    program_done(&program);
    if (r < 0) {
        instance_fail(i, "SandboxFailed", strerror(-r));
        return;
    }
    i->sandbox = true;
}

static void initialise(struct instance *i, const struct sandbox_started *s, bool connected)
{
    uint64_t limit =
        i->pool->config.init_timeout_ns ? i->pool->config.init_timeout_ns : INIT_TIMEOUT_NS;
    int r = work_open(i, s, connected);

    if (r == -EPERM)
        instance_fail(i, "SandboxFailed",
                      "a function with a port needs an agent that runs as root: it reaches the port "
                      "inside the sandbox's network");
    else if (r < 0)
        instance_fail(i, "SandboxFailed", "the agent is out of descriptors or memory");
    else
        instance_set_timer(i, limit, on_init_late);
}

void instance_forked(struct instance *i, const struct sandbox_started *s)
{
    i->sandbox = true;
    memcpy(i->cgroup, s->cgroup, sizeof(i->cgroup));
    if (i->state == STATE_FETCHING) {
        i->phase_ns[PHASE_SANDBOX] = instance_phase_end(i);
        set_state(i, STATE_CREATING);
        set_state(i, STATE_INITIALIZING);
    }
    initialise(i, s, true);
}

static void on_started(void *user, const char *id, const struct sandbox_started *s)
{
    struct instance *i;

    if (forked_started(user, id, s))
        return;
    i = instance_find(user, id);
    if (!i || i->state != STATE_CREATING) {
        close(s->stdout_fd);
        close(s->stderr_fd);
        if (s->frames_listen_fd >= 0)
            close(s->frames_listen_fd);
        if (s->api_listen_fd >= 0)
            close(s->api_listen_fd);
        if (i)
            instance_stop(i, 0);
        return;
    }
    memcpy(i->cgroup, s->cgroup, sizeof(i->cgroup));
    i->phase_ns[PHASE_SANDBOX] = s->create_ns;
    report_sandbox(i->pool->config.report, s->pooled);
    instance_phase_end(i);
    set_state(i, STATE_INITIALIZING);
    template_keep_socket(i, s->frames_listen_fd);
    initialise(i, s, false);
}

static void on_failed(void *user, const char *id, const struct err *e)
{
    struct instance *i = instance_find(user, id);

    if (forked_failed(user, id, e) || !i)
        return;
    i->sandbox = false;
    if (i->state == STATE_DRAINING)
        end_stopped(i);
    else
        instance_fail(i, "SandboxFailed", e->message);
    reap_when_gone(i);
}

static void on_exit_of(void *user, const char *id, const struct sandbox_exit *e)
{
    struct instance *i;
    bool forked;

    if (template_told(user, id)) {
        template_exited(user, id);
        return;
    }
    i = forked_exited(user, id, &forked);
    if (!forked)
        i = instance_find(user, id);
    if (!i)
        return;
    i->sandbox = false;
    i->exited = true;
    i->exit = *e;
    work_drain_logs(i);
    instance_check_end(i);
}

static void on_lost(void *user)
{
    struct pool *p = user;

    log_error("the launcher ended: so does the agent");
    loop_stop(p->loop);
}

const struct launcher_ops pool_launcher_ops = {
    .on_started = on_started, .on_failed = on_failed, .on_exit = on_exit_of, .on_lost = on_lost};

void instance_ready(struct instance *i, unsigned slots)
{
    i->slots = slots;
    if (instance_is_up(i)) {
        slot_update(i);
        slots_offer(i->revision);
        return;
    }
    if (i->state != STATE_INITIALIZING || template_tries(i))
        return;
    i->phase_ns[PHASE_INIT] = instance_phase_end(i);
    for (int p = PHASE_SCHEDULE; p <= PHASE_INIT; p++)
        report_phase(i->pool->config.report, (enum start_phase)p, i->phase_ns[p]);
    loop_timer_cancel(i->pool->loop, &i->timer);
    i->ready_at_ms = i->idle_since_ms = clock_wall_ms();
    i->idle_ns = loop_now(i->pool->loop);
    set_state(i, STATE_READY);
    slots_offer(i->revision);
    freeze_when_idle(i);
}

static int instance_new(struct pool *p, struct revision *r, const char *id, struct instance **ret)
{
    struct instance *i = calloc(1, sizeof(*i));

    if (!i)
        return -ENOMEM;
    i->pool = p;
    i->revision = r;
    i->state = STATE_PENDING;
    list_init(&i->of_revision);
    list_init(&i->free);
    list_init(&i->invocations);
    list_init(&i->leases);
    list_init(&i->waiting);
    i->fork_socket = -1;
    i->id = strdup(id);
    i->log = logs_get(p->logs, r->function_key);
    if (!i->id || !i->log || map_put(&p->instances, &i->node, i->id, strlen(id)) < 0) {
        function_log_put(i->log);
        free(i->id);
        free(i);
        return -ENOMEM;
    }
    list_push_back(&r->instances, &i->of_revision);
    r->count++;
    r->live++;
    report_instance(p->config.report, r->function_key, r->revision, 1);
    *ret = i;
    return 0;
}

void instance_start(struct instance *i)
{
    int r = outside_code_get(i->pool, i->revision->spec->package, on_code, i);

    if (r < 0)
        instance_fail(i, "FetchFailed",
                      r == -EINVAL ? "its package has no valid digest" : strerror(-r));
}

int instance_create(struct pool *p, const Rouse__Control__V1__DesiredInstance *d)
{
    struct revision *r = revision_get(p, d->function_key, d->revision);
    struct instance *i;
    int e;

    if (!r || p->instances.count >= INSTANCES_MAX)
        return -ENOBUFS;
    e = instance_new(p, r, d->id, &i);
    if (e < 0)
        return e;
    i->phase_ns[PHASE_SCHEDULE] = d->schedule_us * NS_PER_US;
    i->since_ns = clock_monotonic_ns();
    if (!r->spec) {
        instance_fail(i, "UnknownRevision", "its specification has never been sent to this node");
        return 0;
    }
    i->runtime = runtimes_get(p->config.runtimes, r->spec->runtime);
    if (!i->runtime) {
        instance_fail(i, "UnknownRuntime", "this node does not have its runtime");
        return 0;
    }
    set_state(i, STATE_FETCHING);
    if (!template_takes(i))
        instance_start(i);
    return 0;
}
