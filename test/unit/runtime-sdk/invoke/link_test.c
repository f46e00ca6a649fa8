/* Links against runtimes made by hand: frames on a Unix socket, the Lambda Runtime API on loopback
 * TCP. */
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
static void on_hook(void *user, enum frame_hook_kind hook, const struct function_error *e)
{
    (void)user;
    say("hook %d: %s %s\n", (int)hook, e ? e->type : "ended", e ? e->message : "");
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
    .on_log = on_log,
    .on_closed = on_closed,
};

static bool has_said(void *user)
{
    return strstr(said, user) != NULL;
}
#define expect_said(text) wait_for(has_said, (void *)(text))

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

static void begin_ready(uint32_t concurrency)
{
    begin(true, false, concurrency);
    peer_connect_unix(&rt, path);
    frame_hello(&rt);
    frame_send_credit(&rt, concurrency);
    expect_said("credit");
}

static void call(struct runtime_call *c, const char *id, const char *event)
{
    c->request_id = id;
    c->trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    c->deadline_ms = 1583348638390;
    if (!c->result_limit)
        c->result_limit = 6 << 20;
    ck_assert_int_eq(runtime_link_start(l, c, event, strlen(event)), 0);
}

START_TEST(frames_whole_way)
{
    struct buffer b = {0};
    struct runtime_call c = {0};
    struct frame_invoke inv;
    struct frame f;

    begin(true, false, 4);
    ck_assert_int_eq(runtime_link_start(l, &c, "{}", 2), -ENOTCONN);
    ck_assert_str_eq(runtime_link_protocol(l), "");
    peer_connect_unix(&rt, path);
    frame_send_text(&rt, FRAME_HELLO, 0, 0, "{\"protocol\":1,\"runtime\":\"python3\",\"pid\":7}");
    f = frame_take(&rt, &b);
    ck_assert_int_eq(f.type, FRAME_HELLO);
    ck_assert_str_eq(
        (const char *)f.payload,
        "{\"protocol\":1,\"function\":\"hello\",\"namespace\":\"default\",\"revision\":\"r1\","
        "\"handler\":\"index.handler\",\"concurrency\":4,\"timeout\":3000,\"memory\":134217728}");
    frame_send_credit(&rt, 9);
    expect_said("hello\ncredit 4\n");
    ck_assert_str_eq(runtime_link_protocol(l), "frames");

    call(&c, "req-1", "{\"a\":1}");
    f = frame_take(&rt, &b);
    ck_assert_int_eq(f.type, FRAME_INVOKE);
    ck_assert_int_eq(f.flags, FRAME_FIN);
    ck_assert_uint_eq(f.id, 1);
    ck_assert_int_eq(frame_invoke_parse(&f, &inv), 0);
    ck_assert_uint_eq(inv.deadline_ms, 1583348638390);
    ck_assert_int_eq(memcmp(inv.request_id, "req-1", 5), 0);
    ck_assert_int_eq(
        memcmp(inv.trace, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 55), 0);
    ck_assert_int_eq(memcmp(inv.event, "{\"a\":1}", 7), 0);
    frame_send_text(&rt, FRAME_LOG, 0, 1, "a line");
    frame_send_text(&rt, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "hi");
    expect_said("log req-1: a line\nresult req-1 kind 1: hi\n");
    frame_send_text(&rt, FRAME_LOG, 0, 1, "too late to be known");
    expect_said("log -: too late to be known\n");
    runtime_call_done(&c);
    buffer_done(&b);
    end();
}
END_TEST

START_TEST(frames_out_of_order_and_in_parts)
{
    struct buffer b = {0};
    struct runtime_call a = {0}, c = {0};

    begin_ready(2);
    call(&a, "A", "1");
    call(&c, "C", "2");
    ck_assert_uint_eq(frame_take(&rt, &b).id, 1);
    ck_assert_uint_eq(frame_take(&rt, &b).id, 2);
    frame_send_text(&rt, FRAME_RESPONSE, FRAME_BYTES, 2, "ab");
    frame_send_text(&rt, FRAME_RESPONSE, 0, 1, "{");
    frame_send_text(&rt, FRAME_BODY, 0, 2, "cd");
    frame_send_text(&rt, FRAME_BODY, FRAME_FIN, 1, "}");
    frame_send(&rt, FRAME_END, 0, 2, NULL, 0);
    expect_said("result A kind 0: {}\nresult C kind 2: abcd\n");

    /* Used again: nothing of the last time is left. */
    call(&a, "A2", "1");
    ck_assert_uint_eq(frame_take(&rt, &b).id, 3);
    frame_send_text(&rt, FRAME_RESPONSE, FRAME_FIN, 3, "[]");
    expect_said("result A2 kind 0: []\n");
    runtime_call_done(&a);
    runtime_call_done(&c);
    buffer_done(&b);
    end();
}
END_TEST

START_TEST(frames_large_event_and_result)
{
    struct buffer b = {0}, event = {0};
    struct runtime_call c = {.result_limit = 3 << 20};
    size_t total = 0, size = (2 << 20) + 12345;
    char *big = malloc(size + 1);
    struct frame f;

    memset(big, 'e', size);
    big[size] = '\0';
    begin_ready(1);
    call(&c, "L", big);
    do {
        f = frame_take(&rt, &b);
        ck_assert_int_eq(f.type, total ? FRAME_BODY : FRAME_INVOKE);
        total += total ? f.length : f.length - 16 - 1 - 55;
    } while (!(f.flags & FRAME_FIN));
    ck_assert_uint_eq(total, size);
    frame_send(&rt, FRAME_RESPONSE, FRAME_BYTES, 1, big, FRAME_PAYLOAD_MAX);
    frame_send(&rt, FRAME_BODY, FRAME_FIN, 1, big, FRAME_PAYLOAD_MAX);
    expect_said("result L kind 2");
    ck_assert_uint_eq(last_size, 2u << 20);

    /* Over the limit: the rest is taken from the wire, kept by nobody. */
    call(&c, "M", "{}");
    frame_take(&rt, &b);
    for (int i = 0; i < 4; i++)
        frame_send(&rt, i ? FRAME_BODY : FRAME_RESPONSE, i == 3 ? FRAME_FIN : 0, 2, big,
                   FRAME_PAYLOAD_MAX);
    expect_said("too large M\n");
    call(&c, "N", "{}");
    frame_take(&rt, &b);
    frame_send_text(&rt, FRAME_RESPONSE, FRAME_FIN, 3, "1");
    expect_said("result N kind 0: 1\n");
    free(big);
    buffer_done(&event);
    runtime_call_done(&c);
    buffer_done(&b);
    end();
}
END_TEST

START_TEST(frames_errors_and_cancel)
{
    struct buffer b = {0};
    struct runtime_call c = {0}, d = {0};
    struct frame f;

    begin_ready(2);
    call(&c, "A", "1");
    frame_take(&rt, &b);
    runtime_link_cancel(l, &c);
    f = frame_take(&rt, &b);
    ck_assert_int_eq(f.type, FRAME_CANCEL);
    ck_assert_uint_eq(f.id, 1);
    frame_send_text(&rt, FRAME_ERROR, 0, 1,
                    "{\"errorType\":\"ValueError\",\"errorMessage\":\"no\",\"stackTrace\":[\"l1\"]}");
    expect_said("error A ValueError: no [\"l1\"]\n");
    /* An error may come in the middle of a response. */
    call(&c, "B", "1");
    frame_send_text(&rt, FRAME_RESPONSE, 0, 2, "{");
    frame_send_text(&rt, FRAME_ERROR, FRAME_FATAL, 2, "{}");
    expect_said("error B Function.Unknown:  [] fatal\n");
    call(&d, "D", "1");
    peer_close(&rt);
    expect_said("closed: -\n");
    ck_assert_int_eq(runtime_link_start(l, &c, "{}", 2), -ENOTCONN);
    runtime_link_drop(l, &d);
    ck_assert_int_eq(d.state, CALL_IDLE);
    runtime_call_done(&c);
    runtime_call_done(&d);
    buffer_done(&b);
    end();
}
END_TEST

START_TEST(frames_init_error)
{
    begin(true, false, 1);
    peer_connect_unix(&rt, path);
    frame_hello(&rt);
    frame_send_text(&rt, FRAME_ERROR, FRAME_FATAL, 0,
                    "{\"errorType\":\"Runtime.ImportModuleError\",\"errorMessage\":\"No module "
                    "named 'index'\"}");
    expect_said("init error Runtime.ImportModuleError: No module named 'index'\n");
    end();
}
END_TEST

/* Its id is one of the invocations' numbers, and its answer is nobody else's. */
START_TEST(frames_hooks)
{
    struct buffer b = {0};
    struct runtime_call c = {0};
    struct frame_hook h;
    struct frame f;

    begin(true, false, 1);
    ck_assert_int_eq(runtime_link_hook(l, HOOK_INITIALIZER, "index.init", 7), -ENOTCONN);
    peer_connect_unix(&rt, path);
    frame_hello(&rt);
    frame_send_credit(&rt, 1);
    expect_said("credit");
    ck_assert_int_eq(runtime_link_hook(l, HOOK_INITIALIZER, "index.init", 1583348638390), 0);
    f = frame_take(&rt, &b);
    ck_assert_int_eq(frame_hook_parse(&f, &h), 0);
    ck_assert_uint_eq(f.id, 1);
    ck_assert_int_eq(h.hook, HOOK_INITIALIZER);
    ck_assert_uint_eq(h.deadline_ms, 1583348638390);
    ck_assert_uint_eq(h.name_size, 10);
    ck_assert_int_eq(memcmp(h.name, "index.init", 10), 0);
    frame_send_text(&rt, FRAME_LOG, 0, 1, "hooked");
    frame_send(&rt, FRAME_END, 0, 1, NULL, 0);
    expect_said("log -: hooked\nhook 1: ended");

    call(&c, "A", "1");
    ck_assert_uint_eq(frame_take(&rt, &b).id, 2);
    frame_send_text(&rt, FRAME_RESPONSE, FRAME_FIN, 2, "1");
    expect_said("result A");
    ck_assert_int_eq(runtime_link_hook(l, HOOK_PRE_FREEZE, "f", 1), 0);
    ck_assert_int_eq(runtime_link_hook(l, HOOK_PRE_STOP, "s", 1), 0);
    ck_assert_uint_eq(frame_take(&rt, &b).id, 3);
    ck_assert_uint_eq(frame_take(&rt, &b).id, 4);
    frame_send_text(&rt, FRAME_ERROR, 0, 4,
                    "{\"errorType\":\"Runtime.NoSuchHook\",\"errorMessage\":\"s\"}");
    expect_said("hook 3: Runtime.NoSuchHook s\n");
    /* Answered once: the second answer is to nothing. */
    frame_send(&rt, FRAME_END, 0, 4, NULL, 0);
    expect_said("closed: a END for 4");
    ck_assert_int_eq(runtime_link_hook(l, HOOK_PRE_STOP, "s", 1), -ENOTCONN);
    runtime_call_done(&c);
    buffer_done(&b);
    end();
}
END_TEST

START_TEST(lambda_has_no_hooks)
{
    static const char next[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";

    begin(true, true, 1);
    peer_connect_tcp(&rt, port);
    peer_send(&rt, next, sizeof(next) - 1);
    expect_said("credit");
    ck_assert_int_eq(runtime_link_hook(l, HOOK_INITIALIZER, "index.init", 7), -ENOTSUP);
    end();
}
END_TEST

/* Each of them ends the connection with a reason that names the fault. */
static const struct {
    bool hello; /* HELLO was exchanged; then a call of id 1 runs, and one of id 2 answers */
    uint8_t type, flags;
    uint64_t id;
    const char *payload, *reason;
} violations[] = {
    {false, FRAME_CREDIT, 0, 0, "\1\0\0\0", "CREDIT before HELLO"},
    {false, FRAME_HELLO, 0, 0, "{\"protocol\":2}", "not of protocol 1"},
    {false, FRAME_HELLO, 0, 0, "[]", "not of protocol 1"},
    {false, FRAME_HELLO, 0, 0, "", "not of protocol 1"},
    {false, FRAME_HELLO, 0, 5, "{\"protocol\":1}", "not of protocol 1"},
    {true, FRAME_HELLO, 0, 0, "{\"protocol\":1}", "second HELLO"},
    {true, FRAME_CREDIT, 0, 0, "123", "CREDIT of 3 bytes"},
    {true, FRAME_RESPONSE, FRAME_FIN, 99, "x", "RESPONSE to 99"},
    {true, FRAME_RESPONSE, FRAME_FIN, 2, "x", "RESPONSE to 2"},
    {true, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT | FRAME_BYTES, 1, "x", "two kinds"},
    {true, FRAME_BODY, FRAME_FIN, 1, "x", "BODY for 1"},
    {true, FRAME_END, 0, 1, "", "END for 1"},
    {true, FRAME_END, 0, 7, "", "END for 7"},
    {true, FRAME_ERROR, 0, 7, "{}", "ERROR of 7"},
    {true, FRAME_ERROR, 0, 0, "{}", "not FATAL"},
    {true, FRAME_INVOKE, FRAME_FIN, 1, "0123456789abcdef", "INVOKE from a runtime"},
    {true, FRAME_CANCEL, 0, 1, "", "CANCEL from a runtime"},
    {true, FRAME_HOOK, 0, 1, "1", "HOOK from a runtime"},
};

START_TEST(frames_violations)
{
    for (size_t i = 0; i < sizeof(violations) / sizeof(violations[0]); i++) {
        struct runtime_call c = {0}, d = {0};
        size_t n = violations[i].type == FRAME_CREDIT && !violations[i].hello
                       ? 4
                       : strlen(violations[i].payload);

        said[0] = '\0';
        if (violations[i].hello) {
            begin_ready(2);
            call(&c, "A", "1");
            call(&d, "B", "1");
            frame_send_text(&rt, FRAME_RESPONSE, 0, 2, "[");
        } else {
            begin(true, false, 2);
            peer_connect_unix(&rt, path);
        }
        frame_send(&rt, (enum frame_type)violations[i].type, violations[i].flags, violations[i].id,
                   violations[i].payload, n);
        wait_for(peer_at_eof, &rt);
        ck_assert_msg(strstr(said, "closed: ") && strstr(said, violations[i].reason), "row %zu: %s",
                      i, said);
        runtime_link_drop(l, &c);
        runtime_link_drop(l, &d);
        runtime_call_done(&c);
        runtime_call_done(&d);
        end();
    }
}
END_TEST

START_TEST(frames_garbage_and_unknown)
{
    begin_ready(1);
    frame_send_text(&rt, (enum frame_type)200, 0x80, 10, "skip me");
    frame_send_text(&rt, FRAME_LOG, 0, 0, "still here");
    expect_said("log -: still here\n");
    peer_send(&rt, "GET / HTTP/1.1\r\n\r\n", 18);
    wait_for(peer_at_eof, &rt);
    ck_assert_ptr_nonnull(strstr(said, "closed: "));
    end();
}
END_TEST

START_TEST(one_connection_only)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct peer other;

    begin_ready(1);
    other.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(a.sun_path, path);
    ck_assert_int_eq(connect(other.fd, (struct sockaddr *)&a, sizeof(a)), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    close(other.fd);
    end();
}
END_TEST

/* Results begun and never ended: one instance's are bounded together, and what ends makes room. */
START_TEST(frames_unfinished_results)
{
    enum { CALLS = 80, FIT = 64 };
    struct runtime_call c[CALLS] = {0}, again = {0};
    char *big = calloc(1, FRAME_PAYLOAD_MAX);
    struct buffer b = {0};

    begin_ready(CALLS);
    for (int i = 0; i < CALLS; i++) {
        call(&c[i], i == CALLS - 1 ? "last" : i ? "other" : "first", "{}");
        frame_take(&rt, &b);
        frame_send(&rt, FRAME_RESPONSE, FRAME_BYTES, (uint64_t)i + 1, big, FRAME_PAYLOAD_MAX);
    }
    frame_send(&rt, FRAME_END, 0, CALLS, NULL, 0);
    expect_said("too large last\n");
    frame_send(&rt, FRAME_END, 0, 1, NULL, 0);
    expect_said("result first kind 2");
    ck_assert_uint_eq(last_size, FRAME_PAYLOAD_MAX);
    call(&again, "again", "{}");
    frame_take(&rt, &b);
    frame_send(&rt, FRAME_RESPONSE, FRAME_BYTES, CALLS + 1, big, FRAME_PAYLOAD_MAX);
    frame_send(&rt, FRAME_END, 0, CALLS + 1, NULL, 0);
    expect_said("result again kind 2");
    for (int i = 0; i < CALLS; i++) {
        runtime_link_drop(l, &c[i]);
        runtime_call_done(&c[i]);
    }
    runtime_call_done(&again);
    free(big);
    buffer_done(&b);
    end();
}
END_TEST

START_TEST(a_runtime_that_does_not_read)
{
    enum { CALLS = 40, SIZE = 4 << 20 };
    struct runtime_call c[CALLS] = {0};
    char *big = malloc(SIZE);
    int r = 0, started = 0;

    memset(big, 'e', SIZE);
    begin_ready(CALLS);
    for (int i = 0; i < CALLS && r == 0; i++) {
        c[i] = (struct runtime_call){.request_id = "r", .result_limit = 1};
        r = runtime_link_start(l, &c[i], big, SIZE);
        started += r == 0;
    }
    ck_assert_int_eq(r, -ENOBUFS);
    ck_assert_int_ge(started, 10);
    ck_assert_int_le(started, 20);
    for (int i = 0; i < started; i++)
        runtime_link_drop(l, &c[i]);
    free(big);
    end();
}
END_TEST

/* ---------------------------------------------------------------- Lambda */

static void http_ask(struct peer *p, const char *text)
{
    peer_send(p, text, strlen(text));
}

#define NEXT "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"

static char *post(struct peer *p, const char *target, const char *headers, const char *body)
{
    char text[2048];

    snprintf(text, sizeof(text),
             "POST /2018-06-01/runtime/%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s",
             target, headers, strlen(body), body);
    http_ask(p, text);
    return http_take(p);
}

static void expect_post(struct peer *p, const char *target, const char *headers, const char *body,
                        const char *part, const char *more)
{
    char *text = post(p, target, headers, body);

    expect_text(text, part);
    if (more)
        expect_text(text, more);
    free(text);
}

START_TEST(lambda_whole_way)
{
    struct runtime_call c = {0};
    char *text;

    begin(true, true, 1);
    peer_connect_tcp(&rt, port);
    http_ask(&rt, NEXT);
    expect_said("hello\ncredit 1\n");
    ck_assert_str_eq(runtime_link_protocol(l), "lambda");
    call(&c, "req-1", "{\"a\":1}");
    text = http_take(&rt);
    expect_text(text, "HTTP/1.1 200");
    expect_text(text, "Lambda-Runtime-Aws-Request-Id: req-1\r\n");
    expect_text(text, "Lambda-Runtime-Deadline-Ms: 1583348638390\r\n");
    expect_text(text, "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:");
    expect_text(text,
                "Lambda-Runtime-Trace-Id: "
                "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1\r\n");
    expect_text(text, "Content-Type: application/json\r\n");
    expect_text(text, "\r\n\r\n{\"a\":1}");
    free(text);
    expect_post(&rt, "invocation/other/response", "", "\"x\"", "HTTP/1.1 400",
                "\"errorType\":\"InvalidRequestID\"");
    expect_post(&rt, "invocation/req-1/response", "", "\"done\"", "HTTP/1.1 202",
                "{\"status\":\"OK\"}");
    expect_said("result req-1 kind 4: \"done\"\n");
    expect_post(&rt, "invocation/req-1/response", "", "\"twice\"", "HTTP/1.1 403",
                "InvalidStateTransition");

    /* The call comes before the GET: it waits. */
    call(&c, "req-2", "2");
    http_ask(&rt, NEXT);
    text = http_take(&rt);
    expect_text(text, "Aws-Request-Id: req-2");
    free(text);
    http_ask(&rt, NEXT);
    text = http_take(&rt);
    expect_text(text, "HTTP/1.1 403");
    expect_text(text, "InvalidStateTransition");
    free(text);
    expect_post(&rt, "invocation/req-2/error", "Lambda-Runtime-Function-Error-Type: Runtime.Oops\r\n",
                "{\"errorMessage\":\"m\",\"errorType\":\"T\",\"stackTrace\":[]}", "HTTP/1.1 202",
                NULL);
    expect_said("error req-2 T: m []\n");
    runtime_call_done(&c);
    end();
}
END_TEST

START_TEST(lambda_error_types)
{
    static const struct {
        const char *header, *type;
    } types[] = {
        {"Runtime.ExitError", "Runtime.ExitError"}, {"Function.Timeout", "Function.Timeout"},
        {"Function.lower", "Function.Unknown"},     {"Runtime.A1", "Runtime.Unknown"},
        {"Other.Thing", "Runtime.Unknown"},         {"Runtime.", "Runtime.Unknown"},
    };
    struct runtime_call c = {0};

    begin(false, true, 1);
    peer_connect_tcp(&rt, port);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        char headers[128], wanted[128], id[16], target[64];

        snprintf(id, sizeof(id), "r%zu", i);
        http_ask(&rt, NEXT);
        expect_said("credit");
        call(&c, id, "{}");
        free(http_take(&rt));
        snprintf(headers, sizeof(headers), "Lambda-Runtime-Function-Error-Type: %s\r\n",
                 types[i].header);
        snprintf(target, sizeof(target), "invocation/%s/error", id);
        expect_post(&rt, target, headers, "{\"errorMessage\":\"m\"}", "HTTP/1.1 202", NULL);
        snprintf(wanted, sizeof(wanted), "error %s %s: m", id, types[i].type);
        expect_said(wanted);
    }
    runtime_call_done(&c);
    end();
}
END_TEST

/* As aws-lambda-go sends it: chunked, trailers announced and, on success, absent. */
START_TEST(lambda_chunked_with_trailers)
{
    struct runtime_call c = {0};
    char *text;

    begin(false, true, 1);
    peer_connect_tcp(&rt, port);
    http_ask(&rt, NEXT);
    expect_said("credit 1\n");
    call(&c, "go-1", "{}");
    free(http_take(&rt));
    http_ask(&rt, "POST /2018-06-01/runtime/invocation/go-1/response HTTP/1.1\r\nHost: x\r\n"
                  "Transfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Body,"
                  "Lambda-Runtime-Function-Error-Type\r\n\r\n4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n");
    text = http_take(&rt);
    expect_text(text, "HTTP/1.1 202");
    free(text);
    expect_said("result go-1 kind 4: {\"a\":1}\n");

    http_ask(&rt, NEXT);
    call(&c, "go-2", "{}");
    free(http_take(&rt));
    http_ask(&rt, "POST /2018-06-01/runtime/invocation/go-2/response HTTP/1.1\r\nHost: x\r\n"
                  "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
                  "Transfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Body,"
                  "Lambda-Runtime-Function-Error-Type\r\n\r\n4\r\nhalf\r\n0\r\n"
                  "Lambda-Runtime-Function-Error-Type: Function.Broken\r\n"
                  "Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJtaWQifQ==\r\n\r\n");
    text = http_take(&rt);
    expect_text(text, "HTTP/1.1 202");
    free(text);
    expect_said("error go-2 Function.Broken: mid []\n");
    runtime_call_done(&c);
    end();
}
END_TEST

START_TEST(lambda_limits_and_modes)
{
    struct runtime_call c = {.result_limit = 10};

    begin(false, true, 1);
    peer_connect_tcp(&rt, port);
    http_ask(&rt, NEXT);
    expect_said("credit 1\n");
    call(&c, "r", "{}");
    free(http_take(&rt));
    expect_post(&rt, "invocation/r/response", "Lambda-Runtime-Function-Response-Mode: odd\r\n", "1",
                "HTTP/1.1 400", "InvalidFunctionResponseMode");
    expect_post(&rt, "invocation/r/response", "", "\"more than ten bytes\"", "HTTP/1.1 413",
                "\"errorType\":\"RequestEntityTooLarge\"");
    expect_said("too large r\n");
    http_ask(&rt, NEXT);
    call(&c, "s", "{}");
    free(http_take(&rt));
    expect_post(&rt, "invocation/s/response",
                "Content-Type: application/vnd.awslambda.http-integration-response\r\n", "x",
                "HTTP/1.1 202", NULL);
    expect_said("result s kind 5: x\n");
    runtime_call_done(&c);
    end();
}
END_TEST

/* Refused at its head: a body that belongs to nobody is not waited for. */
START_TEST(lambda_posts_to_nobody)
{
    char *text;

    begin(false, true, 1);
    peer_connect_tcp(&rt, port);
    http_ask(&rt, "POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\r\nHost: x\r\n"
                  "Content-Length: 6000000\r\n\r\n");
    text = http_take(&rt);
    expect_text(text, "HTTP/1.1 400");
    expect_text(text, "InvalidRequestID");
    free(text);
    end();
}
END_TEST

START_TEST(lambda_init_error_and_extension)
{
    char *text;

    begin(false, true, 1);
    peer_connect_tcp(&rt, port);
    http_ask(&rt,
             "POST /2020-01-01/extension/register HTTP/1.1\r\nHost: x\r\nLambda-Extension-Name: e\r\n"
             "Content-Length: 15\r\n\r\n{\"events\":null}");
    text = http_take(&rt);
    expect_text(text, "HTTP/1.1 200");
    expect_text(text, "Lambda-Extension-Identifier: ");
    expect_text(text, "\"functionName\":\"hello\"");
    free(text);
    expect_post(&rt, "init/error", "Lambda-Runtime-Function-Error-Type: Runtime.NoHandler\r\n",
                "{\"errorMessage\":\"no handler\"}", "HTTP/1.1 202", "{\"status\":\"OK\"}");
    expect_said("init error Runtime.NoHandler: no handler\n");
    http_ask(&rt, NEXT);
    expect_said("credit 1\n");
    peer_close(&rt);
    peer_connect_tcp(&rt, port);
    expect_post(&rt, "init/error", "", "{}", "HTTP/1.1 403", "InvalidStateTransition");
    end();
}
END_TEST

START_TEST(lambda_unknown_paths)
{
    static const struct {
        const char *line, *status;
    } asks[] = {
        {"GET / HTTP/1.1", "HTTP/1.1 404"},
        {"GET /2018-06-01/runtime/invocation/ HTTP/1.1", "HTTP/1.1 404"},
        {"GET /2018-06-01/runtime/invocation/x/response HTTP/1.1", "HTTP/1.1 405"},
        {"GET /2018-06-01/runtime/invocation/x/other HTTP/1.1", "HTTP/1.1 404"},
        {"POST /2018-06-01/runtime/invocation/next HTTP/1.1\r\nContent-Length: 0", "HTTP/1.1 405"},
        {"DELETE /2018-06-01/runtime/init/error HTTP/1.1", "HTTP/1.1 405"},
    };

    begin(false, true, 1);
    peer_connect_tcp(&rt, port);
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        char text[256], *got;

        snprintf(text, sizeof(text), "%s\r\nHost: x\r\n\r\n", asks[i].line);
        http_ask(&rt, text);
        got = http_take(&rt);
        expect_text(got, asks[i].status);
        free(got);
    }
    end();
}
END_TEST

START_TEST(lambda_several_pollers)
{
    struct runtime_call a = {0}, b = {0};
    struct peer second;

    begin(false, true, 2);
    peer_connect_tcp(&rt, port);
    peer_connect_tcp(&second, port);
    http_ask(&rt, NEXT);
    expect_said("credit 1\n");
    http_ask(&second, NEXT);
    expect_said("credit 2\n");
    call(&a, "A", "1");
    call(&b, "B", "2");
    free(http_take(&rt));
    free(http_take(&second));
    expect_post(&second, "invocation/B/response", "", "2", "HTTP/1.1 202", NULL);
    expect_post(&rt, "invocation/A/response", "", "1", "HTTP/1.1 202", NULL);
    expect_said("result B kind 4: 2\nresult A kind 4: 1\n");
    /* A poller that left is not handed a call. */
    http_ask(&second, NEXT);
    peer_close(&second);
    http_ask(&rt, NEXT);
    {
        int turns = 0;

        wait_for(once, &turns);
    }
    call(&a, "A2", "1");
    free(http_take(&rt));
    runtime_link_drop(l, &a);
    runtime_call_done(&a);
    runtime_call_done(&b);
    end();
}
END_TEST

START_TEST(whoever_speaks_first_wins)
{
    struct peer api;
    char *text;

    begin(true, true, 1);
    peer_connect_unix(&rt, path);
    frame_hello(&rt);
    peer_connect_tcp(&api, port);
    http_ask(&api, NEXT);
    text = http_take(&api);
    expect_text(text, "HTTP/1.1 403");
    expect_text(text, "InvalidStateTransition");
    free(text);
    ck_assert_str_eq(runtime_link_protocol(l), "frames");
    peer_close(&api);
    end();
}
END_TEST

UNIT_MAIN("link", frames_whole_way, frames_out_of_order_and_in_parts, frames_large_event_and_result,
          frames_errors_and_cancel, frames_init_error, frames_hooks, lambda_has_no_hooks,
          frames_violations, frames_garbage_and_unknown, one_connection_only,
          frames_unfinished_results, a_runtime_that_does_not_read, lambda_posts_to_nobody,
          lambda_whole_way, lambda_error_types, lambda_chunked_with_trailers,
          lambda_limits_and_modes, lambda_init_error_and_extension, lambda_unknown_paths,
          lambda_several_pollers, whoever_speaks_first_wins)
