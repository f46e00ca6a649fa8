/* hooks.c - spec.lifecycle, as on the platform: the initializer is called when the code is loaded, then
 * afterFork, and ready waits for them; preStop before the stop, where nothing runs any more. */
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

/* What ready waits for, one after the other. Here an instance is never a fork, but the function relies on what
 * its afterFork has done. */
static const char *name_of(const struct instance *i)
{
    return i->hook == HOOK_INITIALIZER ? i->function->initializer : i->function->after_fork;
}

static const char *title_of(const struct instance *i)
{
    return i->hook == HOOK_INITIALIZER ? "initializer" : "afterFork hook";
}

static void on_first_late(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, timer);

    snprintf(i->why, sizeof(i->why), "the %s '%.100s' did not end within %.1f s", title_of(i),
             name_of(i), i->function->initializer_timeout_ms / 1e3);
    instance_end(i, true);
}

/* Calls the next one after `i->hook`, or it is ready. */
static void go_on(struct instance *i)
{
    const struct local_function *f = i->function;
    int r;

    if (!i->hook && f->initializer) {
        i->hook = HOOK_INITIALIZER;
    } else if (i->hook != HOOK_AFTER_FORK && f->after_fork) {
        i->hook = HOOK_AFTER_FORK;
    } else {
        instance_ready(i, i->slots);
        return;
    }
    r = call(i, i->hook, name_of(i), f->initializer_timeout_ms * NS_PER_MS, on_first_late);
    if (r < 0) {
        snprintf(i->why, sizeof(i->why), "the %s cannot be called: %s", title_of(i),
                 r == -ENOTSUP ? "the Lambda Runtime API has no hooks" : strerror(-r));
        instance_end(i, true);
    }
}

void hooks_loaded(struct instance *i, unsigned slots)
{
    if (i->state != INSTANCE_STARTING) {
        instance_ready(i, slots);
        return;
    }
    i->slots = slots;
    if (!i->hook)
        go_on(i);
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
    } else if (hook == i->hook && i->state == INSTANCE_STARTING) {
        if (!e) {
            go_on(i);
            return;
        }
        snprintf(i->why, sizeof(i->why), "the %s '%.60s' failed: %.40s: %.100s", title_of(i),
                 name_of(i), e->type, e->message);
        instance_end(i, true);
    }
}
