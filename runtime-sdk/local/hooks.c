/* hooks.c - spec.lifecycle, as on the platform: the initializer is called when the code is loaded, and
 * ready waits for it; preStop before the stop, where nothing runs any more. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "local/instance_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PRE_STOP_MAX_NS (5 * NS_PER_S)

static int call(struct instance *i, enum frame_hook_kind hook, const char *name, uint64_t within_ns,
                void (*on_late)(struct loop_timer *t))
{
    uint64_t deadline = clock_wall_ms() + within_ns / NS_PER_MS;
    int r = runtime_link_hook(i->link, hook, name, deadline);

    if (r == 0 && !i->config.debug)
        instance_set_timer(i, within_ns, on_late);
    return r;
}

static void on_initializer_late(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);

    snprintf(i->why, sizeof(i->why), "the initializer '%.100s' did not end within %.1f s",
             i->function->initializer, i->function->initializer_timeout_ms / 1e3);
    instance_end(i, true);
}

void hooks_loaded(struct instance *i, unsigned slots)
{
    const struct local_function *f = i->function;
    int r;

    if (i->state != INSTANCE_STARTING || !f->initializer) {
        instance_ready(i, slots);
        return;
    }
    i->slots = slots;
    if (i->initializing)
        return;
    i->initializing = true;
    r = call(i, HOOK_INITIALIZER, f->initializer, f->initializer_timeout_ms * NS_PER_MS,
             on_initializer_late);
    if (r < 0) {
        snprintf(i->why, sizeof(i->why), "the initializer cannot be called: %s",
                 r == -ENOTSUP ? "the Lambda Runtime API has no hooks" : strerror(-r));
        instance_end(i, true);
    }
}

static void on_pre_stop_late(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);

    console_error(i->config.console, NULL, "the preStop hook '%.100s' did not end in time",
                  i->function->pre_stop);
    instance_terminate(i);
}

bool hooks_pre_stop(struct instance *i)
{
    uint64_t limit = work_timeout_ms(i) * NS_PER_MS;

    if (i->state != INSTANCE_READY || i->taken || !i->function->pre_stop)
        return false;
    i->pre_stopping = true;
    return call(i, HOOK_PRE_STOP, i->function->pre_stop,
                limit < PRE_STOP_MAX_NS ? limit : PRE_STOP_MAX_NS, on_pre_stop_late) == 0;
}

void hooks_answered(struct instance *i, enum frame_hook_kind hook, const struct function_error *e)
{
    if (e)
        console_function_error(i->config.console, NULL, e);
    if (hook == HOOK_PRE_STOP && i->pre_stopping) {
        instance_terminate(i);
    } else if (hook == HOOK_INITIALIZER && i->state == INSTANCE_STARTING) {
        if (!e) {
            instance_ready(i, i->slots);
            return;
        }
        snprintf(i->why, sizeof(i->why), "the initializer '%.60s' failed: %.40s: %.100s",
                 i->function->initializer, e->type, e->message);
        instance_end(i, true);
    }
}
