/* Links against runtimes that speak frames, on a Unix socket. */
#include "link_fixture.h"

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
    call(&d, "D", "1");
    frame_send_text(&rt, FRAME_ERROR, FRAME_FATAL, 2, "{}");
    frame_send_text(&rt, FRAME_RESPONSE, FRAME_FIN, 3, "1"); /* behind the last word */
    expect_said("error B Function.Unknown:  [] fatal\nclosed: -\n");
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

/* Several may be asked for at once, and each is refused. */
START_TEST(frames_forks_that_cannot_be)
{
    static const char why[] = "{\"errorType\":\"Runtime.CannotFork\",\"errorMessage\":\"threads\"}";
    struct runtime_call c = {0};
    struct buffer b = {0};
    uint64_t first, second;

    begin_ready(1);
    ck_assert_int_eq(runtime_link_fork(l, &first), 0);
    ck_assert_int_eq(runtime_link_fork(l, &second), 0);
    ck_assert_uint_eq(frame_take(&rt, &b).id, first);
    ck_assert_uint_eq(frame_take(&rt, &b).id, second);
    call(&c, "A", "1");
    ck_assert_uint_eq(frame_take(&rt, &b).id, second + 1);
    frame_send_text(&rt, FRAME_ERROR, 0, first, why);
    frame_send_text(&rt, FRAME_ERROR, 0, second, why);
    expect_said("no fork 1: threads\nno fork 2: threads\n");
    frame_send_text(&rt, FRAME_RESPONSE, FRAME_FIN, second + 1, "1");
    expect_said("result A");
    frame_send_text(&rt, FRAME_ERROR, 0, second + 1, why); /* no fork was asked for by that */
    expect_said("closed: an ERROR of 3, which does not run");
    runtime_call_done(&c);
    buffer_done(&b);
    end();
}
END_TEST

START_TEST(frames_parked)
{
    static const char *const all[] = {"A=1", "EMPTY=", "EQ=a=b", "SAY=\"\n\xc3\xa9", NULL};
    struct buffer b = {0};
    struct frame f;

    environment = all;
    begin(true, false, 1);
    peer_connect_unix(&rt, path);
    frame_send_text(&rt, FRAME_HELLO, 0, 0, "{\"protocol\":1,\"parked\":true}");
    f = frame_take(&rt, &b);
    ck_assert_int_eq(f.type, FRAME_HELLO);
    ck_assert_str_eq(
        (const char *)f.payload,
        "{\"protocol\":1,\"function\":\"hello\",\"namespace\":\"default\",\"revision\":\"r1\","
        "\"handler\":\"index.handler\",\"concurrency\":1,\"timeout\":3000,\"memory\":134217728,"
        "\"environment\":{\"A\":\"1\",\"EMPTY\":\"\",\"EQ\":\"a=b\",\"SAY\":\"\\\"\\n\xc3\xa9\"}}");
    frame_send_credit(&rt, 1);
    expect_said("hello\ncredit 1\n");
    buffer_done(&b);
    end();
}
END_TEST

/* Every byte of the largest environment takes six in JSON, and it still is one frame. */
START_TEST(frames_parked_largest)
{
    size_t n = LINK_ENVIRONMENT_MAX - 3;
    char *text = malloc(n + 3);
    const char *all[] = {text, NULL};
    struct buffer b = {0};
    struct runtime_link_config c = {.function = "f",
                                    .namespace = "n",
                                    .revision = "r",
                                    .handler = "h",
                                    .environment = all,
                                    .frames_fd = -1,
                                    .api_fd = -1,
                                    .ops = &ops};
    struct frame f;

    ck_assert_ptr_nonnull(text);
    memset(text, 1, n + 2);
    text[0] = 'A';
    text[1] = '=';
    text[n + 2] = '\0';
    environment = all;
    begin(true, false, 1);
    peer_connect_unix(&rt, path);
    frame_send_text(&rt, FRAME_HELLO, 0, 0, "{\"protocol\":1,\"parked\":true}");
    f = frame_take(&rt, &b);
    ck_assert_int_eq(f.type, FRAME_HELLO);
    ck_assert_uint_gt(f.length, 6 * n);
    end();
    text = realloc(text, n + 4);
    ck_assert_ptr_nonnull(text);
    memcpy(text + n + 2, "x", 2);
    all[0] = text;
    ck_assert_int_eq(runtime_link_new(&c, &l), -E2BIG);
    free(text);
    buffer_done(&b);
}
END_TEST

START_TEST(frames_parked_or_not)
{
    static const char *const some[] = {"A=1", NULL};
    static const struct {
        const char *const *environment;
        const char *hello, *reason;
    } rows[] = {{some, "{\"protocol\":1}", "a HELLO that is not parked"},
                {some, "{\"protocol\":1,\"parked\":false}", "a HELLO that is not parked"},
                {some, "{\"protocol\":1,\"parked\":1}", "not of protocol 1"},
                {NULL, "{\"protocol\":1,\"parked\":true}", "a parked HELLO"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        said[0] = '\0';
        environment = rows[i].environment;
        begin(true, false, 1);
        peer_connect_unix(&rt, path);
        frame_send_text(&rt, FRAME_HELLO, 0, 0, rows[i].hello);
        wait_for(peer_at_eof, &rt);
        ck_assert_msg(strstr(said, rows[i].reason), "row %zu: %s", i, said);
        end();
    }
}
END_TEST

static void send_metric(const char *name, size_t n, double value)
{
    uint8_t payload[8 + 200];

    ck_assert_uint_le(n, 200);
    frame_send(&rt, FRAME_METRIC, 0, 0, payload, frame_metric_put(payload, name, n, value));
}

static void set_metric(const char *name, double value, const char *wanted)
{
    said[0] = '\0';
    send_metric(name, strlen(name), value);
    expect_said(wanted);
    ck_assert_str_eq(said, wanted);
}

START_TEST(frames_metrics)
{
    static char longer[201];
    char name[16], wanted[64];

    begin(true, false, 1);
    ck_assert_uint_eq(runtime_link_gauges(l)->count, 0);
    peer_connect_unix(&rt, path);
    frame_hello(&rt);
    set_metric("a", 12.5, "metric a 12.5: -\n"); /* before it is ready */
    frame_send_credit(&rt, 1);
    expect_said("credit");
    said[0] = '\0';
    send_metric("a", 1, 12.5); /* the same again is nothing new */
    set_metric("a", 3, "metric a 3: -\n");
    set_metric("concurrency", 1,
               "metric concurrency 1: concurrency and requests_per_second are the platform's own\n");
    set_metric("a", -1, "metric a -1: a metric's value is a number from 0 to 1e18\n");
    ck_assert_double_eq(gauges_find(runtime_link_gauges(l), "a", 1)->value, 3);
    set_metric("a\n\"\\\x1b\xff", 1, "metric a????? 1: a metric's name is [a-z_][a-z0-9_]{0,62}\n");
    memset(longer, 'x', 200);
    said[0] = '\0';
    send_metric(longer, 200, 1);
    expect_said("xxx 1: a metric's name is [a-z_][a-z0-9_]{0,62}\n");
    ck_assert_uint_lt(strlen(said), 130);
    for (int i = 1; i < 16; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        snprintf(wanted, sizeof(wanted), "metric m%d %d: -\n", i, i);
        set_metric(name, i, wanted);
    }
    set_metric("m16", 1, "metric m16 1: an instance has at most 16 metrics\n");
    ck_assert_uint_eq(runtime_link_gauges(l)->count, 16);
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
    {true, FRAME_METRIC, 0, 0, "12345678", "METRIC of 8 bytes"},
    {true, FRAME_METRIC, 0, 1, "12345678a", "METRIC of 9 bytes for 1"},
    {false, FRAME_METRIC, 0, 0, "12345678a", "METRIC before HELLO"},
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

UNIT_MAIN("link", frames_whole_way, frames_out_of_order_and_in_parts, frames_large_event_and_result,
          frames_errors_and_cancel, frames_init_error, frames_hooks, frames_forks_that_cannot_be,
          frames_parked, frames_parked_largest, frames_parked_or_not, frames_violations,
          frames_garbage_and_unknown, one_connection_only, frames_unfinished_results,
          a_runtime_that_does_not_read, frames_metrics)
