/* instance_start.c - an instance's way up: its package, its sandbox, its runtime, until it is ready. */
#include "pool/internal.h"
#include "invoke/program.h"
#include "invoke/environment.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define INIT_TIMEOUT_NS (10 * NS_PER_S)

/* ---------------------------------------------------------------- the wish */
/* Phases are shorter than a turn of the loop at times, so this reads the clock itself. */
uint64_t instance_phase_end(struct instance *i)
{
    uint64_t now = clock_monotonic_ns(), ns = now > i->since_ns ? now - i->since_ns : 0;

    i->since_ns = now;
    return ns;
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
    instance_set_state(i, STATE_FETCHING);
    if (!template_takes(i))
        instance_start(i);
    return 0;
}

/* ---------------------------------------------------------------- package, sandbox, runtime */
static uint64_t init_limit(const struct instance *i)
{
    return i->pool->config.init_timeout_ns ? i->pool->config.init_timeout_ns : INIT_TIMEOUT_NS;
}

static void on_init_late(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);
    char message[96];

    snprintf(message, sizeof(message), "the runtime was not ready after %.1f s",
             (double)init_limit(i) / 1e9);
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
    instance_set_state(i, STATE_CREATING);
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

void instance_start(struct instance *i)
{
    int r = outside_code_get(i->pool, i->revision->spec->package, on_code, i);

    if (r < 0)
        instance_fail(i, "FetchFailed",
                      r == -EINVAL ? "its package has no valid digest" : strerror(-r));
}

static void initialise(struct instance *i, const struct sandbox_started *s, bool connected)
{
    int r = work_open(i, s, connected);

    if (r == -EPERM)
        instance_fail(i, "SandboxFailed",
                      "a function with a port needs an agent that runs as root: it reaches the port "
                      "inside the sandbox's network");
    else if (r < 0)
        instance_fail(i, "SandboxFailed", "the agent is out of descriptors or memory");
    else
        instance_set_timer(i, init_limit(i), on_init_late);
}

void instance_forked(struct instance *i, const struct sandbox_started *s)
{
    i->sandbox = true;
    memcpy(i->cgroup, s->cgroup, sizeof(i->cgroup));
    if (i->state == STATE_FETCHING) {
        i->phase_ns[PHASE_SANDBOX] = instance_phase_end(i);
        instance_set_state(i, STATE_CREATING);
        instance_set_state(i, STATE_INITIALIZING);
    }
    initialise(i, s, true);
}

void instance_started(struct instance *i, const struct sandbox_started *s)
{
    memcpy(i->cgroup, s->cgroup, sizeof(i->cgroup));
    i->phase_ns[PHASE_SANDBOX] = s->create_ns;
    report_sandbox(i->pool->config.report, s->pooled);
    instance_phase_end(i);
    instance_set_state(i, STATE_INITIALIZING);
    template_keep_socket(i, s->frames_listen_fd);
    initialise(i, s, false);
}

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
    instance_set_state(i, STATE_READY);
    slots_offer(i->revision);
    freeze_when_idle(i);
}
