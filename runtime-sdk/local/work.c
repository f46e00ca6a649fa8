/* work.c - an instance at work: what its runtime says, what it writes, what becomes of its requests. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "local/instance_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define NO_TIMEOUT_MS (24 * 3600 * 1000u)

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
void work_hear(struct instance *i)
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
    instance_end(i, false);
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
    work_hear(user);
    invocation_result(invocation_of(c), r);
}

static void on_too_large(void *user, struct runtime_call *c)
{
    struct instance *i = user;

    work_hear(i);
    console_error(i->config.console, c->request_id, "the response is over the limit of %zu bytes",
                  c->result_limit);
    invocation_too_large(invocation_of(c));
}

static void on_error(void *user, struct runtime_call *c, const struct function_error *e)
{
    struct instance *i = user;

    work_hear(i);
    console_function_error(i->config.console, c->request_id, e);
    if (e->fatal)
        instance_end(i, false);
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

/* Each new value of it, as far as its outputs' budget goes: nobody scales by it here. */
static void on_metric(void *user, const char *name, double value, const char *refused)
{
    struct instance *i = user;
    char text[128];
    int n;

    if (!log_budget_left(&i->budget, loop_now(i->config.loop)))
        return;
    n = snprintf(text, sizeof(text), "metric %s = %.15g", name, value);
    log_budget_spend(&i->budget, (size_t)n, 1);
    if (refused)
        console_error(i->config.console, NULL, "metric %s was refused: %s", name, refused);
    else
        console_line(i->config.console, NULL, text, (size_t)n);
}

static void on_closed(void *user, const char *violation)
{
    struct instance *i = user;

    if (violation) {
        snprintf(i->why, sizeof(i->why), "it broke the protocol: %.200s", violation);
        instance_end(i, true);
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
    .on_metric = on_metric,
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
