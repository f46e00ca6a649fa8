/* template_link.c - what is heard of a template: its connection, its outputs, its end; and what is said of it in the
 * function's log. */
#include "pool/template.h"
#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void template_say(struct template *t, const char *what, const char *why)
{
    char line[640];
    int n = snprintf(line, sizeof(line), "[rouse] %s: %.400s", what, why);

    function_log_line(t->log, NULL, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void on_out_line(struct log_pipe *p, const char *line, size_t n)
{
    function_log_line(container_of(p, struct template, out)->log, NULL, line, n);
}

static void on_err_line(struct log_pipe *p, const char *line, size_t n)
{
    function_log_line(container_of(p, struct template, err)->log, NULL, line, n);
}

static void on_log(void *user, const char *request_id, const char *line, size_t n)
{
    struct template *t = user;

    (void)request_id;
    if (!log_budget_left(&t->log_budget, loop_now(t->pool->loop)))
        return;
    log_budget_spend(&t->log_budget, n, 1);
    function_log_line(t->log, NULL, line, n);
}

static void on_credit(void *user, unsigned credit)
{
    (void)user, (void)credit;
}

static void on_hook(void *user, enum frame_hook_kind hook, const struct function_error *e)
{
    (void)user, (void)hook, (void)e;
}

static void on_no_fork(void *user, uint64_t id, const struct function_error *e)
{
    (void)id;
    template_failed(user, e->message);
}

static void on_last_error(void *user, const struct function_error *e)
{
    template_failed(user, e->message);
}

static void on_closed(void *user, const char *violation)
{
    struct template *t = user;

    if (violation)
        template_failed(t, violation);
    else
        template_end(t, "its runtime closed its connection");
}

/* It has no invocation: nothing is told of one. */
static const struct runtime_link_ops link_ops = {.on_credit = on_credit,
                                                 .on_hook = on_hook,
                                                 .on_init_error = on_last_error,
                                                 .on_no_fork = on_no_fork,
                                                 .on_log = on_log,
                                                 .on_closed = on_closed};

/* Its processes are gone, and the launcher waits for its network, which our sockets hold. */
static void on_init_gone(struct loop_watch *w, uint32_t events)
{
    struct template *t = container_of(w, struct template, init);

    (void)events;
    loop_watch_cancel(t->pool->loop, w);
    close(w->fd);
    template_end(t, "its processes are gone");
    runtime_link_deafen(t->link_to);
}

void template_take_link(struct template *t, struct instance *i)
{
    int out, err, init;

    t->link_to = work_part(i, &out, &err, &init);
    runtime_link_hand_over(t->link_to, &link_ops, t);
    memcpy(t->cgroup, i->cgroup, sizeof(t->cgroup));
    t->code_held = i->code_held;
    i->code_held = i->sandbox = i->initializing = i->parked = false;
    if (out >= 0)
        log_pipe_open(&t->out, t->pool->loop, out, &t->log_budget, on_out_line);
    if (err >= 0)
        log_pipe_open(&t->err, t->pool->loop, err, &t->log_budget, on_err_line);
    t->init = (struct loop_watch){.fd = init, .fn = on_init_gone};
    if (init >= 0 && loop_watch_set(t->pool->loop, &t->init, LOOP_READ) < 0)
        close(init);
}
