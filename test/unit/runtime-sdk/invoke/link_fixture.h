/* link_fixture.h - a link, a runtime made by hand at its other end, and what the link says of it as lines
 * of text. Include it once a test. */
#pragma once
#include "invoke/link.h"
#include "base/log.h"
#include "support.h"
#include "unit.h"

static struct runtime_link *l;
static char path[108];
static uint16_t port;
static struct peer rt;

/* What the link said, as one line of text after the other. */
static char said[8192];
static char last_result[64];
static size_t last_size;

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
    size_t n = strlen(said);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(said + n, sizeof(said) - n, fmt, ap);
    va_end(ap);
}
static void on_hello(void *user)
{
    (void)user;
    say("hello\n");
}
static void on_credit(void *user, unsigned credit)
{
    (void)user;
    say("credit %u\n", credit);
}
static void on_init_error(void *user, const struct function_error *e)
{
    (void)user;
    say("init error %s: %s\n", e->type, e->message);
}
static void on_result(void *user, struct runtime_call *c, const struct result *r)
{
    (void)user;
    last_size = r->n;
    snprintf(last_result, sizeof(last_result), "%.*s", (int)(r->n < 60 ? r->n : 60),
             (const char *)r->data);
    say("result %s kind %d: %s\n", c->request_id, (int)r->kind, last_result);
}
static void on_too_large(void *user, struct runtime_call *c)
{
    (void)user;
    say("too large %s\n", c->request_id);
}
static void on_error(void *user, struct runtime_call *c, const struct function_error *e)
{
    (void)user;
    say("error %s %s: %s %s%s\n", c->request_id, e->type, e->message, e->trace,
        e->fatal ? " fatal" : "");
}
static void on_log(void *user, const char *request_id, const char *line, size_t n)
{
    (void)user;
    say("log %s: %.*s\n", request_id ? request_id : "-", (int)n, line);
}
static void on_metric(void *user, const char *name, double value, const char *refused)
{
    (void)user;
    say("metric %s %g: %s\n", name, value, refused ? refused : "-");
}
static void on_hook(void *user, enum frame_hook_kind hook, const struct function_error *e)
{
    (void)user;
    say("hook %d: %s %s\n", (int)hook, e ? e->type : "ended", e ? e->message : "");
}
static void on_no_fork(void *user, uint64_t id, const struct function_error *e)
{
    (void)user;
    say("no fork %llu: %s\n", (unsigned long long)id, e->message);
}
static void on_head(void *user, struct runtime_call *c, struct answer_head *h, const char *wrong)
{
    (void)user;
    say("head %s %d %s\n", c->request_id, h->status, wrong ? wrong : "-");
}
static void on_body(void *user, struct runtime_call *c, const uint8_t *data, size_t n, bool last)
{
    (void)user, (void)data;
    say("body %s %zu%s\n", c->request_id, n, last ? " last" : "");
}
static void on_room(void *user, struct runtime_call *c)
{
    (void)user;
    say("room %s\n", c->request_id);
}
static void on_closed(void *user, const char *violation)
{
    (void)user;
    say("closed: %s\n", violation ? violation : "-");
}
static const struct runtime_link_ops ops = {
    .on_hello = on_hello,
    .on_credit = on_credit,
    .on_init_error = on_init_error,
    .on_result = on_result,
    .on_too_large = on_too_large,
    .on_error = on_error,
    .on_hook = on_hook,
    .on_no_fork = on_no_fork,
    .on_head = on_head,
    .on_body = on_body,
    .on_room = on_room,
    .on_log = on_log,
    .on_metric = on_metric,
    .on_closed = on_closed,
};

static bool has_said(void *user)
{
    return strstr(said, user) != NULL;
}
#define expect_said(text) wait_for(has_said, (void *)(text))

static const char *const *environment; /* of a parked runtime; set it before begin() */

static void begin(bool frames, bool api, uint32_t concurrency)
{
    struct runtime_link_config c = {
        .function = "hello",
        .namespace = "default",
        .revision = "r1",
        .handler = "index.handler",
        .concurrency = concurrency,
        .timeout_ms = 3000,
        .memory = 128u << 20,
        .environment = environment,
        .frames_fd = -1,
        .api_fd = -1,
        .ops = &ops,
    };

    log_set_level(LOG_WARN);
    ck_assert_int_eq(loop_new(&loop), 0);
    c.loop = loop;
    if (frames)
        c.frames_fd = listen_unix(path);
    if (api)
        c.api_fd = listen_tcp(&port);
    ck_assert_int_eq(runtime_link_new(&c, &l), 0);
    rt.fd = -1;
}

static bool once(void *user)
{
    return ++*(int *)user > 2;
}

static void end(void)
{
    int turns = 0;

    l = runtime_link_free(l);
    wait_for(once, &turns);
    peer_close(&rt);
    loop_free(loop);
    if (path[0])
        unlink(path);
}

static inline void begin_ready(uint32_t concurrency)
{
    begin(true, false, concurrency);
    peer_connect_unix(&rt, path);
    frame_hello(&rt);
    frame_send_credit(&rt, concurrency);
    expect_said("credit");
}

static inline void call(struct runtime_call *c, const char *id, const char *event)
{
    c->request_id = id;
    c->trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    c->deadline_ms = 1583348638390;
    if (!c->result_limit)
        c->result_limit = 6 << 20;
    ck_assert_int_eq(runtime_link_start(l, c, event, strlen(event)), 0);
}
