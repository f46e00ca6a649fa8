/* work.c - an instance at work: what its runtime says, what it writes, what became of its
 * invocations. */
#include "pool/internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "invoke/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CANCEL_GRACE_NS (1 * NS_PER_S)
#define BODY_LIMIT      (6ull << 20)

/* ---------------------------------------------------------------- logs */

/* One runs at a time: then every line is that one's. */
static const char *current_request(const struct instance *i)
{
    if (i->revision->spec->concurrency != 1 || list_empty(&i->invocations))
        return NULL;
    return invocation_request_id(invocation_from_list(i->invocations.next));
}

static void keep_tail(struct instance *i, const char *line, size_t n)
{
    if (n > TAIL_MAX / 2)
        n = TAIL_MAX / 2;
    if (buffer_size(&i->tail) + n + 1 > TAIL_MAX)
        buffer_consume(&i->tail, buffer_size(&i->tail) + n + 1 - TAIL_MAX);
    if (buffer_append(&i->tail, line, n) == 0)
        buffer_append(&i->tail, "\n", 1);
}

static void write_line(struct instance *i, const char *request_id, const char *line, size_t n)
{
    function_log_line(i->log, request_id, line, n);
    keep_tail(i, line, n);
}

static void on_out_line(struct log_pipe *p, const char *line, size_t n)
{
    struct instance *i = container_of(p, struct instance, out);

    write_line(i, current_request(i), line, n);
}

static void on_err_line(struct log_pipe *p, const char *line, size_t n)
{
    struct instance *i = container_of(p, struct instance, err);

    write_line(i, current_request(i), line, n);
}

void work_drain_logs(struct instance *i)
{
    log_pipe_drain(&i->out, false);
    log_pipe_drain(&i->err, false);
}

/* What a function wrote before its result counts to that request: it is heard first. With several at
 * once nobody can tell whose it is. */
static void hear_logs(struct instance *i)
{
    bool told = runtime_link_first_word(i->link);

    if (i->revision->spec->concurrency > 1)
        return;
    log_pipe_drain(&i->out, told);
    log_pipe_drain(&i->err, told);
}

/* ---------------------------------------------------------------- the link */

static void on_hello(void *user)
{
    struct instance *i = user;

    i->phase_ns[PHASE_RUNTIME] = instance_phase_end(i);
}

static void on_credit(void *user, unsigned credit)
{
    hooks_loaded(user, credit);
}

static void on_hook(void *user, enum frame_hook_kind hook, const struct function_error *e)
{
    struct instance *i = user;

    work_drain_logs(i);
    hooks_answered(i, hook, e);
}

void work_log(struct instance *i, const char *line)
{
    write_line(i, NULL, line, strlen(line));
}

void work_log_error(struct instance *i, const char *request_id, const struct function_error *e)
{
    struct buffer b = {0};

    buffer_puts(&b, "[ERROR] ");
    function_error_text(e, &b);
    write_line(i, request_id, (const char *)buffer_bytes(&b), buffer_size(&b));
    buffer_done(&b);
}

static void on_init_error(void *user, const struct function_error *e)
{
    struct instance *i = user;
    char message[512];

    work_drain_logs(i);
    work_log_error(i, NULL, e);
    snprintf(message, sizeof(message), "%s: %.300s", e->type, e->message);
    instance_fail(i, i->state == STATE_INITIALIZING ? "InitFailed" : "Error", message);
}

static void on_result(void *user, struct runtime_call *c, const struct result *r)
{
    struct instance *i = user;

    hear_logs(i);
    invocation_result(invocation_of(c), r);
}

static void on_too_large(void *user, struct runtime_call *c)
{
    static const char text[] = "[ERROR] the response is over the limit";
    struct instance *i = user;

    hear_logs(i);
    write_line(i, c->request_id, text, sizeof(text) - 1);
    invocation_too_large(invocation_of(c));
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

static void on_error(void *user, struct runtime_call *c, const struct function_error *e)
{
    struct instance *i = user;

    hear_logs(i);
    work_log_error(i, c->request_id, e);
    if (e->fatal) {
        i->closing = true; /* it ends by itself now */
        slot_update(i);
    }
    invocation_error(invocation_of(c), e);
    if (e->fatal)
        work_lose_all(i, "InstanceLost", "the instance ended with another request's failure");
}

static size_t count_lines(const char *text, size_t n)
{
    size_t lines = 1;

    for (const char *p = text; (p = memchr(p, '\n', n - (size_t)(p - text))); p++)
        lines++;
    return lines;
}

/* A frame cannot be left unread, since results come the same way: over the budget it is dropped. */
static void on_log(void *user, const char *request_id, const char *line, size_t n)
{
    struct instance *i = user;
    char text[80];

    if (!log_budget_left(&i->log_budget, loop_now(i->pool->loop))) {
        i->log_dropped++;
        return;
    }
    if (i->log_dropped) {
        int size = snprintf(text, sizeof(text), "[rouse] %llu lines beyond the limit were dropped",
                            (unsigned long long)i->log_dropped);

        i->log_dropped = 0;
        write_line(i, NULL, text, (size_t)size);
    }
    log_budget_spend(&i->log_budget, n, count_lines(line, n));
    write_line(i, request_id, line, n);
}

static void on_metric(void *user, const char *name, double value, const char *refused)
{
    char text[200];
    int n;

    (void)value; /* the link keeps it */
    if (!refused)
        return;
    n = snprintf(text, sizeof(text), "[rouse] metric %s was refused: %s", name, refused);
    on_log(user, NULL, text, (size_t)n);
}

static void on_closed(void *user, const char *violation)
{
    struct instance *i = user;

    if (violation && !instance_state_final(i->state))
        instance_fail(i, "ProtocolError", violation);
    else
        instance_check_end(i);
}

static void on_no_fork(void *user, uint64_t id, const struct function_error *e)
{
    (void)id;
    template_refused(user, e);
}

static const struct runtime_link_ops link_ops = {
    .on_hello = on_hello,
    .on_credit = on_credit,
    .on_init_error = on_init_error,
    .on_result = on_result,
    .on_too_large = on_too_large,
    .on_error = on_error,
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_hook = on_hook,
    .on_no_fork = on_no_fork,
    .on_log = on_log,
    .on_metric = on_metric,
    .on_closed = on_closed,
};

/* ---------------------------------------------------------------- its init */

static void unwatch_init(struct instance *i)
{
    if (!i->init.events)
        return;
    loop_watch_cancel(i->pool->loop, &i->init);
    close(i->init.fd);
}

/* Its processes are gone, and the launcher waits for its network, which our sockets hold. That its
 * outputs are closed says nothing: a runtime may have sent them elsewhere. */
static void on_init_gone(struct loop_watch *w, uint32_t events)
{
    struct instance *i = container_of(w, struct instance, init);

    (void)events;
    unwatch_init(i);
    i->closing = true;
    slot_update(i);
    if (i->link)
        runtime_link_deafen(i->link);
}

static void watch_init(struct instance *i, pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    i->init = (struct loop_watch){.fd = fd, .fn = on_init_gone};
    if (fd >= 0 && loop_watch_set(i->pool->loop, &i->init, LOOP_READ) < 0)
        close(fd);
    /* It may have been reaped already. */
    if (fd < 0 && errno == ESRCH && i->link)
        runtime_link_deafen(i->link);
}

/* Takes all descriptors of `s`, also on failure. */
int work_open(struct instance *i, const struct sandbox_started *s, bool connected)
{
    const Rouse__Control__V1__RevisionSpec *spec = i->revision->spec;
    struct runtime_link_config c = {
        .loop = i->pool->loop,
        .function = i->revision->name,
        .namespace = i->revision->namespace,
        .revision = i->revision->revision,
        .handler = spec->handler,
        .concurrency = spec->concurrency,
        .timeout_ms = spec->timeout_ms,
        .memory = spec->memory,
        .port = (uint16_t)spec->port,
        .frames_fd = s->frames_listen_fd,
        .connected = connected,
        .api_fd = s->api_listen_fd,
        .ops = &link_ops,
        .user = i,
    };
    struct environment env = {0};
    int out = log_pipe_open(&i->out, i->pool->loop, s->stdout_fd, &i->log_budget, on_out_line);
    int err = log_pipe_open(&i->err, i->pool->loop, s->stderr_fd, &i->log_budget, on_err_line);
    int r = i->parked ? instance_environment(i, &env) : 0;

    c.environment = (const char *const *)env.all;
    if (r == 0) {
        r = runtime_link_new(&c, &i->link);
    } else if (s->frames_listen_fd >= 0) {
        close(s->frames_listen_fd); /* one that may be parked has no other */
    }
    environment_done(&env);
    watch_init(i, s->pid);
    return out < 0 ? out : err < 0 ? err : r;
}

static int part_pipe(struct log_pipe *p)
{
    int fd = p->open ? fcntl(p->watch.fd, F_DUPFD_CLOEXEC, 3) : -1;

    log_pipe_close(p);
    *p = (struct log_pipe){0};
    return fd;
}

struct runtime_link *work_part(struct instance *i, int *ret_out, int *ret_err, int *ret_init)
{
    struct runtime_link *link = i->link;

    *ret_out = part_pipe(&i->out);
    *ret_err = part_pipe(&i->err);
    *ret_init = i->init.events ? fcntl(i->init.fd, F_DUPFD_CLOEXEC, 3) : -1;
    unwatch_init(i);
    i->link = NULL;
    return link;
}

void work_close(struct instance *i)
{
    unwatch_init(i);
    work_lose_all(i, "InstanceLost", "the agent stops");
    i->link = runtime_link_free(i->link);
    log_pipe_close(&i->out);
    log_pipe_close(&i->err);
}

/* ---------------------------------------------------------------- invocations */

static void on_overdue_grace(struct loop_timer *t)
{
    struct instance *i = container_of(t, struct instance, overdue);
    uint64_t longest = 0;

    list_for_each(it, &i->invocations)
    {
        uint64_t ns = invocation_overdue_ns(invocation_from_list(it));

        if (ns > longest)
            longest = ns;
    }
    if (longest >= CANCEL_GRACE_NS)
        instance_time_out(i, "an invocation did not end when it was cancelled after its timeout");
    else if (longest)
        loop_timer_set(i->pool->loop, t, loop_now(i->pool->loop) + CANCEL_GRACE_NS - longest);
}

static void on_started(void *owner, struct invocation *v)
{
    struct instance *i = owner;

    if (i->served)
        return;
    i->served = true;
    i->first = v;
    report_cold_start(i->pool->config.report, i->revision->function_key);
}

/* With one at a time the handler may spin for ever and is in nobody's way but ours: it goes at
 * once. */
static void on_overdue(void *owner, struct invocation *v)
{
    struct instance *i = owner;
    char text[64];
    int n = snprintf(text, sizeof(text), "Task timed out after %.2f seconds",
                     invocation_timeout_ms(v) / 1e3);

    hear_logs(i);
    write_line(i, invocation_request_id(v), text, (size_t)n);
    if (i->revision->spec->concurrency == 1) {
        instance_time_out(i, text);
    } else if (i->revision->spec->port) {
        bool stuck = runtime_link_stuck(i->link);

        /* Its connection is closed, and whether the server noticed cannot be seen. */
        i->closing = i->closing || stuck;
        slot_update(i);
        invocation_lost(v, "Timeout", text);
        if (stuck)
            instance_drain(i, "Timeout");
    } else if (!loop_timer_armed(&i->overdue)) {
        i->overdue.fn = on_overdue_grace;
        loop_timer_set(i->pool->loop, &i->overdue, loop_now(i->pool->loop) + CANCEL_GRACE_NS);
    }
}

static void on_answered(void *owner, struct invocation *v)
{
    struct instance *i = owner;

    (void)v;
    hear_logs(i);
}

static void on_released(void *owner, struct invocation *v, bool ran, uint64_t run_ns)
{
    struct instance *i = owner;

    if (ran && v == i->first) {
        i->first = NULL;
        report_phase(i->pool->config.report, PHASE_FIRST_BYTE, run_ns);
    } else if (ran) { /* the first one is slower than those that follow */
        slot_ran(i, run_ns);
    }
    slot_release(i);
}

static const struct invocation_ops invocation_ops = {.on_started = on_started,
                                                     .on_answered = on_answered,
                                                     .on_overdue = on_overdue,
                                                     .on_released = on_released};

int work_invoke(struct instance *i, struct http_exchange *x, const struct invoke_params *params,
                void (*on_done)(void *user, const struct invoke_outcome *o), void *user)
{
    struct invoke_params all = *params;
    struct invocation_start s = {
        .params = &all,
        .function = i->revision->name,
        .link = i->link,
        .ops = &invocation_ops,
        .owner = i,
        .cold = !i->served,
        .on_done = on_done,
        .user = user,
    };
    struct invocation *v;
    bool woken;
    int r;

    if (!all.timeout_ms)
        all.timeout_ms = i->revision->spec->timeout_ms;
    if (!all.body_limit)
        all.body_limit = BODY_LIMIT;
    woken = freeze_wake(i);
    slot_take(i);
    r = invocation_begin(i->pool->invocations, x, &s, &v);
    if (r == 0)
        list_push_back(&i->invocations, invocation_list(v));
    if (woken)
        status_send(i);
    if (r < 0)
        slot_release(i);
    return r;
}

void work_lose_all(struct instance *i, const char *reason, const char *message)
{
    while (!list_empty(&i->invocations))
        invocation_lost(invocation_from_list(i->invocations.next), reason, message);
}
