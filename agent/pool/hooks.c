/* hooks.c - spec.lifecycle: what of the function's code is called around its instance's life.
 *
 * The initializer is called when the code is loaded, afterFork in a forked instance, and ready waits for it; preFreeze when the instance
 * has been idle, and the freeze waits for it; preStop when the last invocation has ended, and the stop waits
 * for it. Each has its time, and goes over the frames link. */
#include "pool/internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>

static const char *name_of(const struct instance *i, enum frame_hook_kind hook)
{
    const Rouse__Control__V1__Lifecycle *l = i->revision->spec->lifecycle;
    const char *name = !l                         ? ""
                       : hook == HOOK_INITIALIZER ? l->initializer
                       : hook == HOOK_AFTER_FORK  ? l->after_fork
                       : hook == HOOK_PRE_STOP    ? l->pre_stop
                                                  : l->pre_freeze;

    return *name ? name : NULL;
}

static int call(struct instance *i, enum frame_hook_kind hook, uint64_t within_ns,
                void (*on_late)(struct loop_timer *t))
{
    int r =
        runtime_link_hook(i->link, hook, name_of(i, hook), clock_wall_ms() + within_ns / NS_PER_MS);

    if (r == 0)
        instance_set_timer(i, within_ns, on_late);
    return r;
}

/* ---------------------------------------------------------------- initializer, afterFork */

/* What ready waits for: a fork has been initialised. */
static enum frame_hook_kind first_hook(const struct instance *i)
{
    return i->forked ? HOOK_AFTER_FORK : HOOK_INITIALIZER;
}

static const char *title(const struct instance *i)
{
    return i->forked ? "afterFork hook" : "initializer";
}

static uint64_t initializer_limit(const struct instance *i)
{
    return i->revision->spec->lifecycle->initializer_timeout_ms * NS_PER_MS;
}

static void on_initializer_late(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);
    char message[FRAME_HOOK_NAME_MAX + 96];

    snprintf(message, sizeof(message), "the %s '%s' did not end within %.1f s", title(i),
             name_of(i, first_hook(i)), (double)initializer_limit(i) / 1e9);
    instance_fail(i, "InitializerTimeout", message);
}

static void initialize(struct instance *i)
{
    int r = call(i, first_hook(i), initializer_limit(i), on_initializer_late);

    i->initializing = true;
    if (r < 0)
        instance_fail(i, "InitFailed",
                      r == -ENOTCONN ? "the runtime closed its connection"
                                     : "the agent is out of memory");
}

void hooks_loaded(struct instance *i, unsigned slots)
{
    bool starting = i->state == STATE_INITIALIZING;

    if (starting && i->revision->spec->lifecycle &&
        strcmp(runtime_link_protocol(i->link), "frames") != 0) {
        instance_fail(i, "InitFailed",
                      "spec.lifecycle: its runtime uses the Lambda Runtime API, which has no hooks");
        return;
    }
    if (!starting || !name_of(i, first_hook(i))) {
        instance_ready(i, slots);
        return;
    }
    i->slots = slots;
    if (!i->initializing)
        initialize(i);
}

static void initialized(struct instance *i, const struct function_error *e)
{
    char message[512];

    if (i->state != STATE_INITIALIZING)
        return;
    if (!e) {
        instance_ready(i, i->slots);
        return;
    }
    snprintf(message, sizeof(message), "the %s '%.100s' failed: %s: %.300s", title(i),
             name_of(i, first_hook(i)), e->type, e->message);
    instance_fail(i, "InitFailed", message);
}

/* ---------------------------------------------------------------- preFreeze, preStop */

static uint64_t pre_limit(const struct instance *i)
{
    uint64_t timeout = i->revision->spec->timeout_ms * NS_PER_MS;

    return timeout < PRE_HOOK_MAX_NS ? timeout : PRE_HOOK_MAX_NS;
}

static void log_late(struct instance *i, const char *hook, const char *name)
{
    char line[FRAME_HOOK_NAME_MAX + 96];

    snprintf(line, sizeof(line), "[ERROR] the %s hook '%s' did not end within %.1f s", hook, name,
             (double)pre_limit(i) / 1e9);
    work_log(i, line);
}

static void on_pre_freeze_late(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);

    log_late(i, "preFreeze", name_of(i, HOOK_PRE_FREEZE));
    freeze_hooked(i);
}

bool hooks_pre_freeze(struct instance *i)
{
    return name_of(i, HOOK_PRE_FREEZE) &&
           call(i, HOOK_PRE_FREEZE, pre_limit(i), on_pre_freeze_late) == 0;
}

static void on_pre_stop_late(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);

    log_late(i, "preStop", name_of(i, HOOK_PRE_STOP));
    instance_stop(i, STOP_GRACE_NS);
}

bool hooks_pre_stop(struct instance *i)
{
    if (i->stopping)
        return true;
    if (i->stop_sent || i->closing || !name_of(i, HOOK_PRE_STOP))
        return false;
    i->stopping = call(i, HOOK_PRE_STOP, pre_limit(i), on_pre_stop_late) == 0;
    return i->stopping;
}

void hooks_answered(struct instance *i, enum frame_hook_kind hook, const struct function_error *e)
{
    if (e)
        work_log_error(i, NULL, e);
    if (hook == first_hook(i)) {
        initialized(i, e);
    } else if (hook == HOOK_PRE_FREEZE && i->state == STATE_READY && i->freezing && !i->closing) {
        loop_timer_cancel(i->pool->loop, &i->timer);
        freeze_hooked(i);
    } else if (hook == HOOK_PRE_STOP && i->state == STATE_DRAINING && !i->exited) {
        loop_timer_cancel(i->pool->loop, &i->timer);
        instance_stop(i, STOP_GRACE_NS);
    }
}
