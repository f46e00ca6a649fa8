/* work.c - an instance at work: what its runtime says, what it writes, what becomes of its requests. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "local/instance_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define CANCEL_GRACE_NS (1 * NS_PER_S)
#define STOP_NS         (2 * NS_PER_S)
#define NO_TIMEOUT_MS   (24 * 3600 * 1000u)
#define BODY_LIMIT      (6ull << 20)

uint32_t work_timeout_ms(const struct instance *i)
{
    return i->config.debug ? NO_TIMEOUT_MS : i->function->timeout_ms;
}

/* ---------------------------------------------------------------- what it writes */

/* One runs at a time: then every line is that one's. */
static const char *current_request(const struct instance *i)
{
    if (i->function->concurrency != 1 || list_empty(&i->running))
        return NULL;
    return invocation_request_id(invocation_from_list(i->running.next));
}

static void on_out_line(struct log_pipe *p, const char *line, size_t n)
{
    struct instance *i = container_of(p, struct instance, out);

    console_line(i->config.console, current_request(i), line, n);
}

static void on_err_line(struct log_pipe *p, const char *line, size_t n)
{
    struct instance *i = container_of(p, struct instance, err);

    console_line(i->config.console, current_request(i), line, n);
}

/* What was written before a result counts to that request: it is heard first. */
static void hear(struct instance *i)
{
    bool told = runtime_link_first_word(i->link);

    if (i->function->concurrency > 1)
        return;
    log_pipe_drain(&i->out, told);
    log_pipe_drain(&i->err, told);
}

/* ---------------------------------------------------------------- its link */

static void lose_all(struct instance *i, const char *message)
{
    while (!list_empty(&i->running))
        invocation_lost(invocation_from_list(i->running.next), "InstanceLost", message);
}

static void on_hello(void *user)
{
    (void)user;
}

static void on_credit(void *user, unsigned credit)
{
    hooks_loaded(user, credit);
}

static void on_init_error(void *user, const struct function_error *e)
{
    struct instance *i = user;

    log_pipe_drain(&i->out, false);
    log_pipe_drain(&i->err, false);
    console_function_error(i->config.console, NULL, e);
    snprintf(i->why, sizeof(i->why), "%s: %.180s", e->type, e->message);
    instance_end(i, false, STOP_NS);
}

static void on_hook(void *user, enum frame_hook_kind hook, const struct function_error *e)
{
    struct instance *i = user;

    log_pipe_drain(&i->out, false);
    log_pipe_drain(&i->err, false);
    hooks_answered(i, hook, e);
}

static void on_result(void *user, struct runtime_call *c, const struct result *r)
{
    hear(user);
    invocation_result(invocation_of(c), r);
}

static void on_too_large(void *user, struct runtime_call *c)
{
    struct instance *i = user;

    hear(i);
    console_error(i->config.console, c->request_id, "the response is over the limit of %llu bytes",
                  BODY_LIMIT);
    invocation_too_large(invocation_of(c));
}

static void on_error(void *user, struct runtime_call *c, const struct function_error *e)
{
    struct instance *i = user;

    hear(i);
    console_function_error(i->config.console, c->request_id, e);
    if (e->fatal)
        instance_end(i, false, STOP_NS);
    invocation_error(invocation_of(c), e);
    if (e->fatal)
        lose_all(i, "the function ended with another request's failure");
}

static void on_head(void *user, struct runtime_call *c, struct answer_head *h, const char *wrong)
{
    (void)user;
    invocation_head(invocation_of(c), h, wrong);
}

static void on_body(void *user, struct runtime_call *c, const uint8_t *data, size_t n, bool last)
{
    (void)user;
    invocation_body(invocation_of(c), data, n, last);
}

static void on_room(void *user, struct runtime_call *c)
{
    (void)user;
    invocation_room(invocation_of(c));
}

static void on_log(void *user, const char *request_id, const char *line, size_t n)
{
    struct instance *i = user;

    console_line(i->config.console, request_id, line, n);
}

static void on_closed(void *user, const char *violation)
{
    struct instance *i = user;

    if (violation) {
        snprintf(i->why, sizeof(i->why), "it broke the protocol: %.200s", violation);
        instance_end(i, true, STOP_NS);
    }
    instance_hung_up(i);
}

static const struct runtime_link_ops link_ops = {
    .on_hello = on_hello,
    .on_credit = on_credit,
    .on_init_error = on_init_error,
    .on_result = on_result,
    .on_too_large = on_too_large,
    .on_error = on_error,
    .on_log = on_log,
    .on_closed = on_closed,
    .on_hook = on_hook,
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
};

static int open_pipe(struct instance *i, struct log_pipe *p, int fd,
                     void (*on_line)(struct log_pipe *p, const char *line, size_t n))
{
    *p = (struct log_pipe){0};
    return fd < 0 ? 0 : log_pipe_open(p, i->config.loop, fd, &i->budget, on_line);
}

int work_open_outputs(struct instance *i, int out, int err)
{
    int out_r = open_pipe(i, &i->out, out, on_out_line);
    int err_r = open_pipe(i, &i->err, err, on_err_line);

    return out_r < 0 ? out_r : err_r;
}

int work_open_link(struct instance *i)
{
    const struct local_function *f = i->function;
    struct runtime_link_config c = {
        .loop = i->config.loop,
        .function = f->name,
        .namespace = f->namespace,
        .revision = "local",
        .handler = f->handler,
        .concurrency = f->concurrency,
        .timeout_ms = work_timeout_ms(i),
        .memory = f->memory,
        .port = f->port,
        .frames_fd = -1,
        .api_fd = -1,
        .ops = &link_ops,
        .user = i,
    };

    i->slots = i->taken = 0;
    if (i->frames_fd >= 0)
        c.frames_fd = fcntl(i->frames_fd, F_DUPFD_CLOEXEC, 0);
    if (i->api_fd >= 0)
        c.api_fd = fcntl(i->api_fd, F_DUPFD_CLOEXEC, 0);
    return runtime_link_new(&c, &i->link);
}

void work_close(struct instance *i)
{
    log_pipe_close(&i->out);
    log_pipe_close(&i->err);
    lose_all(i, "the function ended with the request");
    loop_timer_cancel(i->config.loop, &i->overdue);
    i->link = runtime_link_free(i->link);
}

/* ---------------------------------------------------------------- requests */

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
        instance_end(i, true, STOP_NS);
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
    hear(i);
    console_error(i->config.console, invocation_request_id(v), "%s", text);
    if (i->function->concurrency == 1) {
        i->cut = true;
        instance_end(i, true, STOP_NS);
    } else if (i->function->port) {
        bool stuck = runtime_link_stuck(i->link);

        invocation_lost(v, "Timeout", text);
        i->cut = i->cut || stuck;
        if (stuck)
            instance_end(i, true, STOP_NS);
    } else if (!loop_timer_armed(&i->overdue)) {
        i->overdue.fn = on_overdue_grace;
        loop_timer_set(i->config.loop, &i->overdue, loop_now(i->config.loop) + CANCEL_GRACE_NS);
    }
}

static void on_answered(void *owner, struct invocation *v)
{
    (void)v;
    hear(owner);
}

static void on_released(void *owner, struct invocation *v, bool ran, uint64_t run_ns)
{
    struct instance *i = owner;

    (void)v, (void)ran, (void)run_ns;
    i->taken--;
    work_pump(i);
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

void work_pump(struct instance *i)
{
    while (i->state == INSTANCE_READY && !i->stopping && i->taken < i->slots &&
           !list_empty(&i->waiting)) {
        struct instance_request *r = list_entry(i->waiting.next, struct instance_request, link);

        instance_withdraw(r);
        run(i, r);
    }
}

void work_fail_waiting(struct instance *i, int status, const char *reason, const char *message)
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
    work_pump(i);
}

void instance_withdraw(struct instance_request *r)
{
    if (!r->instance)
        return;
    list_del(&r->link);
    r->instance->waiting_count--;
    r->instance = NULL;
}
