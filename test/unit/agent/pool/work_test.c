/* What becomes of invocations: answers, errors, time-outs, clients that leave, bodies, logs. */
#include "fixture.h"
#include "pool/internal.h"

#include <fcntl.h>

#define ERROR_JSON                                                                                 \
    "{\"errorType\":\"ValueError\",\"errorMessage\":\"no \\\"x\\\"\",\"stackTrace\":[\"line 1\"]}"

static struct box *one_ready(uint32_t concurrency, uint32_t timeout_ms)
{
    const struct revision_options o = {.concurrency = concurrency, .timeout_ms = timeout_ms};

    begin();
    ck_assert_int_eq(desire(&o, "i-1", "", 0), 0);
    return box_ready("i-1", concurrency);
}

static void log_request(uint64_t id, uint32_t lines, bool follow, bool cancel)
{
    Rouse__Control__V1__LogRequest r = ROUSE__CONTROL__V1__LOG_REQUEST__INIT;

    r.id = id;
    r.function_key = (char *)FUNCTION;
    r.tail_lines = lines;
    r.follow = follow;
    r.cancel = cancel;
    pool_log_request(pool, &r);
}

static void print(int fd, const char *text)
{
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* ---------------------------------------------------------------- results */

START_TEST(results_of_each_kind)
{
    static const struct {
        enum invoke_shape shape;
        uint8_t flags;
        const char *in, *status, *part;
    } rows[] = {
        {INVOKE_HTTP, FRAME_TEXT, "hi", "HTTP/1.1 200", "Content-Type: text/plain; charset=utf-8\r\n"},
        {INVOKE_HTTP, FRAME_BYTES, "\x01", "HTTP/1.1 200",
         "Content-Type: application/octet-stream\r\n"},
        {INVOKE_HTTP, 0, "{\"a\":1}", "HTTP/1.1 200", "Content-Type: application/json\r\n"},
        {INVOKE_HTTP, FRAME_ANSWER, "{\"statusCode\":404,\"body\":\"b\"}", "HTTP/1.1 404",
         "\r\n\r\nb"},
        {INVOKE_HTTP, FRAME_ANSWER, "{\"statusCode\":1}", "HTTP/1.1 502",
         "\"reason\":\"InvalidAnswer\""},
        {INVOKE_RAW, FRAME_ANSWER, "{\"statusCode\":404}", "HTTP/1.1 200",
         "\r\n\r\n{\"statusCode\":404}"},
        {INVOKE_RAW, FRAME_TEXT, "text", "HTTP/1.1 200", "\r\n\r\ntext"},
        {INVOKE_RAW, 0, "\"json\"", "HTTP/1.1 200", "\r\n\r\n\"json\""},
    };
    struct box *b = one_ready(1, 0);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer c;
        char event[512];
        uint64_t id;

        params.shape = rows[i].shape;
        client_ask(&c, "req-1", "{\"my\":\"event\"}");
        id = invoke_take(b, event, sizeof(event));
        ck_assert(!strcmp(event, "{\"my\":\"event\"}") == (rows[i].shape == INVOKE_RAW));
        frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN | rows[i].flags, id, rows[i].in);
        expect_answer(&c, rows[i].status, rows[i].part);
    }
    end();
}
END_TEST

START_TEST(errors_are_for_the_trusted)
{
    struct box *b = one_ready(1, 0);
    struct peer c;
    char *text;

    client_ask(&c, "req-1", NULL);
    invoke_take(b, NULL, 0);
    frame_send_text(&b->rt, FRAME_ERROR, 0, 1, ERROR_JSON);
    text = http_take(&c);
    expect_text(text, "HTTP/1.1 502");
    expect_text(text, "{\"reason\":\"FunctionError\",\"message\":\"the function "
                      "failed\",\"requestId\":\"req-1\"}");
    expect_no_text(text, "ValueError");
    free(text);
    peer_close(&c);

    params.trusted = true;
    client_ask(&c, "req-2", NULL);
    invoke_take(b, NULL, 0);
    frame_send_text(&b->rt, FRAME_ERROR, 0, 2, ERROR_JSON);
    text = http_take(&c);
    expect_text(text, "\"errorType\":\"ValueError\",\"errorMessage\":\"no "
                      "\\\"x\\\"\",\"stackTrace\":[\"line 1\"]");
    free(text);
    peer_close(&c);

    /* A direct call has Lambda's form. */
    params.shape = INVOKE_RAW;
    client_ask(&c, "req-3", NULL);
    invoke_take(b, NULL, 0);
    frame_send_text(&b->rt, FRAME_ERROR, 0, 3, ERROR_JSON);
    text = http_take(&c);
    expect_text(text, "HTTP/1.1 200");
    expect_text(text, "X-Amz-Function-Error: Unhandled\r\n");
    expect_text(text, "\r\n\r\n{\"errorType\":\"ValueError\"");
    free(text);
    peer_close(&c);
    params.trusted = false;
    client_ask(&c, "req-4", NULL);
    invoke_take(b, NULL, 0);
    frame_send_text(&b->rt, FRAME_ERROR, 0, 4, ERROR_JSON);
    text = http_take(&c);
    expect_text(text, "X-Amz-Function-Error: Unhandled\r\n");
    expect_no_text(text, "ValueError");
    free(text);
    peer_close(&c);

    /* All of it is in the log, whoever asked. */
    log_request(1, 0, false, false);
    expect_text(sent, "Z req-1 [ERROR] ValueError: no \"x\"\n");
    expect_text(sent, "Z req-1 line 1\n");
    expect_text(sent, "Z req-4 [ERROR]");
    end();
}
END_TEST

START_TEST(a_raw_event_is_json)
{
    struct box *b = one_ready(1, 0);
    char event[64];
    struct peer c;

    params.shape = INVOKE_RAW;
    client_ask(&c, "req-1", "not json");
    expect_answer(&c, "HTTP/1.1 400", "\"reason\":\"InvalidRequestContent\"");
    client_ask(&c, "req-2", "{} trailing");
    expect_answer(&c, "HTTP/1.1 400", NULL);
    client_ask(&c, "req-3", "42");
    invoke_take(b, event, sizeof(event));
    ck_assert_str_eq(event, "42");
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 1, "1");
    expect_answer(&c, "HTTP/1.1 200", NULL);
    client_ask(&c, "req-4", NULL);
    invoke_take(b, event, sizeof(event));
    ck_assert_str_eq(event, "{}");
    end();
}
END_TEST

/* ---------------------------------------------------------------- bodies */

START_TEST(body_limits)
{
    static const char head[] = "POST /h HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct box *b = one_ready(1, 0);
    struct peer c;

    params.body_limit = 10;
    client_ask(&c, "req-1", "eleven byte");
    expect_answer(
        &c, "HTTP/1.1 413",
        "\"reason\":\"RequestTooLarge\",\"message\":\"the request body is over the limit of 10 bytes\"");
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    peer_connect_tcp(&c, front_port);
    peer_send(&c, head, sizeof(head) - 1);
    peer_send(&c, "6\r\n123456\r\n", 11);
    peer_send(&c, "6\r\n123456\r\n0\r\n\r\n", 16);
    expect_answer(&c, "HTTP/1.1 413", NULL);
    client_ask(&c, "req-2", "ten bytes!");
    ck_assert_uint_eq(invoke_take(b, NULL, 0), 1);
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "eleven byte");
    expect_answer(&c, "HTTP/1.1 502", "\"reason\":\"ResponseTooLarge\"");
    end();
}
END_TEST

/* More than the server holds: it is read while the slot is taken. */
START_TEST(a_long_body)
{
    size_t size = 3 << 20;
    char *big = malloc(size), head[128];
    struct box *b = one_ready(1, 0);
    struct buffer payload = {0};
    struct peer c;
    struct frame f;
    size_t total = 0;
    int n = snprintf(head, sizeof(head),
                     "POST /h HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", size);

    memset(big, 'x', size);
    peer_connect_tcp(&c, front_port);
    peer_send(&c, head, (size_t)n);
    peer_send(&c, big, size);
    do {
        f = frame_take(&b->rt, &payload);
        total += f.length;
    } while (!(f.flags & FRAME_FIN));
    ck_assert_uint_gt(total, size);
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "ok");
    expect_answer(&c, "HTTP/1.1 200", "ok");
    buffer_done(&payload);
    free(big);
    end();
}
END_TEST

/* ---------------------------------------------------------------- time-outs and clients that leave
 */

START_TEST(timeout_with_one_at_a_time_kills)
{
    struct box *b = one_ready(1, 50);
    struct peer c;

    exits_when_stopped = true;
    client_ask(&c, "req-1", NULL);
    invoke_take(b, NULL, 0);
    expect_answer(&c, "HTTP/1.1 504",
                  "\"reason\":\"Timeout\",\"message\":\"Task timed out after 0.05 seconds\"");
    ck_assert_int_eq(outcome.status, 504);
    expect_sent("status i-1 Draining Timeout");
    expect_sent("status i-1 Stopped Timeout");
    ck_assert_str_eq(stops, "i-1 0\n");
    ck_assert_int_eq(outcomes, 1);
    log_request(1, 0, false, false);
    expect_text(sent, "Z req-1 Task timed out after 0.05 seconds\n");
    end();
}
END_TEST

START_TEST(raw_timeout_has_lambdas_form)
{
    struct box *b = one_ready(1, 50);
    struct peer c;
    char *text;

    params.shape = INVOKE_RAW;
    client_ask(&c, "req-1", NULL);
    invoke_take(b, NULL, 0);
    text = http_take(&c);
    expect_text(text, "HTTP/1.1 200");
    expect_text(text, "X-Amz-Function-Error: Unhandled");
    expect_text(text, "\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\"Task timed out after "
                      "0.05 seconds\"");
    free(text);
    peer_close(&c);
    end();
}
END_TEST

static bool was_stopped(void *user)
{
    return strstr(stops, user) != NULL;
}

START_TEST(timeout_with_several_cancels_first)
{
    struct box *b = one_ready(2, 50);
    struct buffer payload = {0};
    struct peer c;
    struct frame f;

    client_ask(&c, "req-1", NULL);
    invoke_take(b, NULL, 0);
    expect_answer(&c, "HTTP/1.1 504", NULL);
    f = frame_take(&b->rt, &payload);
    ck_assert_int_eq(f.type, FRAME_CANCEL);
    ck_assert_uint_eq(f.id, 1);
    /* It answers in time: the instance lives on, its slot is free. */
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 1, "late");
    params.timeout_ms = 60000;
    client_ask(&c, "req-2", NULL);
    ck_assert_uint_eq(invoke_take(b, NULL, 0), 2);
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 2, "2");
    expect_answer(&c, "HTTP/1.1 200", NULL);
    ck_assert_str_eq(stops, "");

    /* This one does not: the instance goes. */
    params.timeout_ms = 50;
    client_ask(&c, "req-3", NULL);
    invoke_take(b, NULL, 0);
    expect_answer(&c, "HTTP/1.1 504", NULL);
    wait_for(was_stopped, (void *)"i-1 0\n");
    expect_sent("status i-1 Draining Timeout");
    buffer_done(&payload);
    end();
}
END_TEST

START_TEST(a_client_that_leaves_keeps_the_slot_taken)
{
    struct box *b = one_ready(1, 0);
    struct buffer payload = {0};
    struct peer c;
    int one = 1;

    client_ask(&c, "req-1", NULL);
    invoke_take(b, NULL, 0);
    peer_close(&c);
    ck_assert_int_eq(frame_take(&b->rt, &payload).type, FRAME_CANCEL);
    wait_for(outcomes_are, &one);
    ck_assert(outcome.client_gone);
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    slot_frees = 0;
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 1, "1");
    client_ask(&c, "req-2", NULL);
    while (refusal < 0 || outcomes == 1) {
        if (refusal < 0) {
            expect_answer(&c, "refused", NULL);
            refusal = 0;
            client_ask(&c, "req-2", NULL);
            continue;
        }
        ck_assert_uint_eq(invoke_take(b, NULL, 0), 2);
        frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 2, "2");
        expect_answer(&c, "HTTP/1.1 200", NULL);
    }
    ck_assert_int_eq(outcomes, 2);
    buffer_done(&payload);
    end();
}
END_TEST

/* ---------------------------------------------------------------- logs */

START_TEST(lines_belong_to_the_request_that_wrote_them)
{
    struct box *b = one_ready(1, 0);
    struct peer c;

    print(b->out, "while idle\n");
    client_ask(&c, "req-1", NULL);
    invoke_take(b, NULL, 0);
    print(b->out, "first\nsecond"); /* no newline: it ends with the invocation */
    print(b->err, "to stderr\n");
    frame_send_text(&b->rt, FRAME_LOG, 0, 1, "by a frame");
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 1, "1");
    expect_answer(&c, "HTTP/1.1 200", NULL);
    client_ask(&c, "req-2", NULL);
    invoke_take(b, NULL, 0);
    print(b->out, "third\n");
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_FIN, 2, "1");
    expect_answer(&c, "HTTP/1.1 200", NULL);
    log_request(1, 0, false, false);
    expect_text(sent, "chunk 1:\n20");
    expect_text(sent, "Z - while idle\n");
    expect_text(sent, "Z req-1 first\n");
    expect_text(sent, "Z req-1 second\n");
    expect_text(sent, "Z req-1 to stderr\n");
    expect_text(sent, "Z req-1 by a frame\n");
    expect_text(sent, "Z req-2 third\n");
    expect_text(sent, "chunk 1 last:\n");
    end();
}
END_TEST

START_TEST(tail_and_follow)
{
    struct box *b = one_ready(1, 0);

    print(b->out, "one\ntwo\nthree\n");
    log_request(9, 0, true, false);
    expect_sent("three\n");
    sent[0] = '\0';
    log_request(1, 2, false, false);
    expect_no_text(sent, " one\n");
    expect_text(sent, " two\n");
    expect_text(sent, " three\n");
    expect_text(sent, "chunk 1 last:\n");
    sent[0] = '\0';
    log_request(2, 1, true, false);
    expect_text(sent, " three\n");
    expect_not_sent("chunk 2 last");
    print(b->out, "four\n");
    expect_sent("chunk 2:\n20");
    expect_sent(" four\n");
    log_request(2, 0, false, true);
    log_request(9, 0, false, true);
    sent[0] = '\0';
    print(b->out, "five\n");
    log_request(3, 0, true, false);
    expect_sent("five\n");
    expect_not_sent("chunk 2");
    end();
}
END_TEST

START_TEST(a_function_that_is_not_here_has_no_log)
{
    Rouse__Control__V1__LogRequest r = ROUSE__CONTROL__V1__LOG_REQUEST__INIT;

    begin();
    r.id = 5;
    r.function_key = (char *)"default/none";
    pool_log_request(pool, &r);
    expect_sent("chunk 5 last:\n");
    end();
}
END_TEST

static bool ring_is_full(void *user)
{
    (void)user;
    sent[0] = '\0';
    log_request(1, 1, false, false);
    return strstr(sent, "the last one") != NULL;
}

START_TEST(long_lines_and_the_bound_of_a_ring)
{
    struct box *b = one_ready(1, 0);
    struct peer out = {.fd = b->out};
    size_t size = 40 << 10;
    char *line = malloc(size + 1);
    const char *at;

    memset(line, 'y', size);
    line[size] = '\n';
    fcntl(b->out, F_SETPIPE_SZ, 1 << 20);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(write(out.fd, line, size + 1), (ssize_t)size + 1);
    print(b->out, "the last one\n");
    wait_for(ring_is_full, NULL);
    /* 40 KiB is three lines: 16, 16 and 8. */
    sent[0] = '\0';
    log_request(1, 4, false, false);
    at = strchr(sent, '\n') + 1;
    for (int i = 0; i < 3; i++) {
        const char *y = strchr(at, 'y'), *stop = strchr(at, '\n');

        ck_assert_int_eq(stop - y, i == 2 ? 8 << 10 : 16 << 10);
        at = stop + 1;
    }
    free(line);
    end();
}
END_TEST

static bool file_has(void *user)
{
    struct buffer b = {0};
    char path[200];
    bool has;

    snprintf(path, sizeof(path), "%s/logs/default.hello.log", state);
    file_read(AT_FDCWD, path, 1 << 20, &b);
    has = buffer_append(&b, "", 1) == 0 && strstr((const char *)buffer_bytes(&b), user);
    buffer_done(&b);
    return has;
}

START_TEST(a_file_keeps_it)
{
    struct box *b = one_ready(1, 0);

    print(b->out, "for the record\n");
    wait_for(file_has, (void *)"Z - for the record\n");
    end();
}
END_TEST

static void set_metric(struct box *b, const char *name, double value)
{
    uint8_t payload[FRAME_METRIC_MAX];

    frame_send(&b->rt, FRAME_METRIC, 0, 0, payload,
               frame_metric_put(payload, name, strlen(name), value));
}

static char shown[4096]; /* what Prometheus is shown */

static bool shows(void *user)
{
    struct buffer m = {0};

    pool_function_metrics(pool, &m);
    buffer_append(&m, "", 1);
    snprintf(shown, sizeof(shown), "%s", (const char *)buffer_bytes(&m));
    buffer_done(&m);
    return strstr(shown, user) != NULL;
}

static bool log_has(void *user)
{
    sent[0] = '\0';
    log_request(1, 4, false, false);
    return has_sent(user);
}

static double told(const Rouse__Control__V1__Report *m, const char *id, const char *name)
{
    for (size_t i = 0; i < m->n_instances; i++)
        for (size_t k = 0; k < m->instances[i]->n_metrics; k++)
            if (!strcmp(m->instances[i]->id, id) && !strcmp(m->instances[i]->metrics[k]->name, name))
                return m->instances[i]->metrics[k]->value;
    return -1;
}

/* How many are told of it where a message has room for so many. */
static size_t told_with(const char *id, size_t left)
{
    size_t room = left;
    Rouse__Control__V1__Metric **list;
    struct map_node *node = map_get_str(&pool->instances, id);
    size_t n = gauges_tell(map_entry(node, struct instance, node), &left, &list);

    ck_assert_uint_eq(left, room - n);
    gauges_untell(n, list);
    return n;
}

START_TEST(metrics_of_instances)
{
    Rouse__Control__V1__Report m;
    struct box *one, *two;

    begin();
    ck_assert_int_eq(desire(NULL, "i-1 i-2", "", 0), 0);
    one = box_ready("i-1", 1);
    two = box_ready("i-2", 1);
    ck_assert(!shows((void *)"rouse_function_metric{"));
    set_metric(one, "jobs", 7);
    set_metric(two, "jobs", 5);
    set_metric(two, "lag", 0.5);
    wait_for(
        shows,
        (void *)"rouse_function_metric{namespace=\"default\",function=\"hello\",metric=\"jobs\"} 12\n");
    wait_for(shows, (void *)"metric=\"lag\"} 0.5\n");
    report_load(the_report, clock_monotonic_ns(), &m);
    ck_assert_double_eq(told(&m, "i-1", "jobs"), 7);
    ck_assert_double_eq(told(&m, "i-2", "jobs"), 5);
    ck_assert_double_eq(told(&m, "i-1", "lag"), -1);
    report_load_done(&m);
    ck_assert_uint_eq(told_with("i-2", 2), 2);
    ck_assert(shows((void *)"\nrouse_function_metrics_untold_total 0\n"));
    ck_assert_uint_eq(told_with("i-2", 1), 0); /* all or none */
    ck_assert_uint_eq(told_with("i-1", 0), 0);
    ck_assert(shows((void *)"\nrouse_function_metrics_untold_total 3\n"));
    set_metric(one, "jobs", 3); /* the last value wins */
    wait_for(shows, (void *)"metric=\"jobs\"} 8\n");
    /* One that is over the limit is named in the log, and nothing else comes of it. */
    set_metric(one, "Jobs", 1);
    sent[0] = '\0';
    wait_for(log_has, (void *)"metric Jobs was refused: a metric's name is [a-z_][a-z0-9_]{0,62}\n");
    /* What has failed says nothing any more, though its processes are still there. */
    frame_send(&two->rt, FRAME_METRIC, 0, 1, "12345678a", 9);
    wait_for(shows, (void *)"metric=\"jobs\"} 3\n");
    ck_assert_ptr_null(strstr(shown, "lag"));
    report_load(the_report, clock_monotonic_ns(), &m);
    ck_assert_double_eq(told(&m, "i-2", "jobs"), -1);
    ck_assert_double_eq(told(&m, "i-1", "jobs"), 3);
    report_load_done(&m);
    end();
}
END_TEST

UNIT_MAIN("work", metrics_of_instances, results_of_each_kind, errors_are_for_the_trusted,
          a_raw_event_is_json, body_limits, a_long_body, timeout_with_one_at_a_time_kills,
          raw_timeout_has_lambdas_form, timeout_with_several_cancels_first,
          a_client_that_leaves_keeps_the_slot_taken, lines_belong_to_the_request_that_wrote_them,
          tail_and_follow, a_function_that_is_not_here_has_no_log,
          long_lines_and_the_bound_of_a_ring, a_file_keeps_it)
