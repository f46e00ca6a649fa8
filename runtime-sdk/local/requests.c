/* requests.c - an instance's requests: those that wait, those that run, and those that run too long. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "local/instance_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CANCEL_GRACE_NS (1 * NS_PER_S)
#define BODY_LIMIT      (6ull << 20)

static void on_started(void *owner, struct invocation *v)
{
    struct instance *i = owner;

    (void)v;
    i->served = true;
}

static void on_overdue_grace(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, overdue);
    uint64_t longest = 0;

    list_for_each(it, &i->running)
    {
        uint64_t ns = invocation_overdue_ns(invocation_from_list(it));

        if (ns > longest)
            longest = ns;
    }
    if (longest >= CANCEL_GRACE_NS) {
        console_note(i->config.console, "an invocation did not end when it was cancelled");
        i->cut = true;
        instance_end(i, true);
    } else if (longest) {
        loop_timer_set(i->config.loop, t, loop_now(i->config.loop) + CANCEL_GRACE_NS - longest);
    }
}

/* As on the platform: one that runs alone is ended at once, of several each has a second to end. */
static void on_overdue(void *owner, struct invocation *v)
{
    struct instance *i = owner;
    char text[64];

    snprintf(text, sizeof(text), "Task timed out after %.2f seconds", invocation_timeout_ms(v) / 1e3);
    work_hear(i);
    console_error(i->config.console, invocation_request_id(v), "%s", text);
    if (i->function->concurrency == 1) {
        i->cut = true;
        instance_end(i, true);
    } else if (i->function->port) {
        bool stuck = runtime_link_stuck(i->link);

        invocation_lost(v, "Timeout", text);
        i->cut = i->cut || stuck;
        if (stuck)
            instance_end(i, true);
    } else if (!loop_timer_armed(&i->overdue)) {
        i->overdue.fn = on_overdue_grace;
        loop_timer_set(i->config.loop, &i->overdue, loop_now(i->config.loop) + CANCEL_GRACE_NS);
    }
}

static void on_answered(void *owner, struct invocation *v)
{
    (void)v;
    work_hear(owner);
}

static void on_released(void *owner, struct invocation *v, bool ran, uint64_t run_ns)
{
    struct instance *i = owner;

    (void)v, (void)ran, (void)run_ns;
    i->taken--;
    requests_pump(i);
}

static const struct invocation_ops invocation_ops = {.on_started = on_started,
                                                     .on_answered = on_answered,
                                                     .on_overdue = on_overdue,
                                                     .on_released = on_released};

static void fail(struct instance_request *r, int status, const char *reason, const char *message)
{
    const struct failure f = {.status = status,
                              .reason = reason,
                              .message = message,
                              .request_id = r->params.request_id,
                              .error_type = status == 502 ? "Runtime.InitError" : NULL,
                              .shape = r->params.shape,
                              .trusted = true,
                              .refused = status != 502};

    r->on_failed(r, &f);
}

static void on_invocation_done(void *user, const struct invoke_outcome *o)
{
    struct instance_request *r = user;

    if (o->refused)
        fail(r, 502, "InstanceLost", "the function does not accept connections any more");
    else
        r->on_done(r, o);
}

static void run(struct instance *i, struct instance_request *r)
{
    struct invocation_start s = {
        .params = &r->params,
        .function = i->function->name,
        .link = i->link,
        .ops = &invocation_ops,
        .owner = i,
        .cold = !i->served,
        .on_done = on_invocation_done,
        .user = r,
    };
    struct invocation *v;

    r->params.timeout_ms = work_timeout_ms(i);
    r->params.body_limit = BODY_LIMIT;
    i->taken++;
    if (invocation_begin(i->invocations, r->x, &s, &v) < 0) {
        i->taken--;
        fail(r, 503, "NoMemory", "out of memory");
        return;
    }
    list_push_back(&i->running, invocation_list(v));
}

void requests_pump(struct instance *i)
{
    while (i->state == INSTANCE_READY && !i->stopping && i->taken < i->slots &&
           !list_empty(&i->waiting)) {
        struct instance_request *r = list_entry(i->waiting.next, struct instance_request, link);

        instance_withdraw(r);
        run(i, r);
    }
}

void requests_fail(struct instance *i, int status, const char *reason, const char *message)
{
    while (!list_empty(&i->waiting)) {
        struct instance_request *r = list_entry(i->waiting.next, struct instance_request, link);

        instance_withdraw(r);
        fail(r, status, reason, message);
    }
}

void instance_submit(struct instance *i, struct instance_request *r)
{
    r->instance = NULL;
    if (i->stopping || i->waiting_count == INSTANCE_WAITING_MAX) {
        fail(r, 503, i->stopping ? "ShuttingDown" : "QueueFull",
             i->stopping ? "`rouse run` ends" : "too many requests wait");
        return;
    }
    r->instance = i;
    list_push_back(&i->waiting, &r->link);
    i->waiting_count++;
    instance_start(i);
    requests_pump(i);
}

void instance_withdraw(struct instance_request *r)
{
    if (!r->instance)
        return;
    list_del(&r->link);
    r->instance->waiting_count--;
    r->instance = NULL;
}
