/* Links against runtimes that take HTTP over frames. */
#include "link_fixture.h"

static const char hello[] = "{\"protocol\":1,\"http\":true}";

static void begin_http(uint32_t concurrency)
{
    begin(true, false, concurrency);
    peer_connect_unix(&rt, path);
    frame_hello_as(&rt, hello);
    frame_send_credit(&rt, concurrency);
    expect_said("credit");
    ck_assert(runtime_link_takes_http(l));
}

static void ask(struct runtime_call *c, const char *id, bool whole)
{
    c->request_id = id;
    c->deadline_ms = 7;
    ck_assert_int_eq(runtime_link_start_http(l, c, "{}", 2, whole), 0);
}

static void answer(uint64_t id, uint8_t flags, const char *head)
{
    frame_send_text(&rt, FRAME_RESPONSE, FRAME_HTTP | flags, id, head);
}

START_TEST(bodies_and_windows)
{
    static uint8_t big[FRAME_WINDOW + 7];
    struct buffer b = {0};
    struct runtime_call c = {0};
    struct frame f;
    size_t got = 0;

    begin_http(1);
    ask(&c, "A", false);
    f = frame_take(&rt, &b);
    ck_assert_int_eq(f.flags, FRAME_HTTP);
    ck_assert_int_eq(runtime_link_send(l, &c, big, sizeof(big), true), FRAME_WINDOW);
    while (got < FRAME_WINDOW) {
        f = frame_take(&rt, &b);
        ck_assert_int_eq(f.type, FRAME_BODY);
        ck_assert_int_eq(f.flags, 0);
        got += f.length;
    }
    frame_credit_body(&rt, 1, 3);
    expect_said("room A\n");
    ck_assert_int_eq(runtime_link_send(l, &c, big, 7, true), 3);
    frame_credit_body(&rt, 1, 100);
    expect_said("room A\nroom A\n");
    ck_assert_int_eq(runtime_link_send(l, &c, big, 4, true), 4);
    ck_assert_int_eq(frame_take(&rt, &b).flags, 0);
    f = frame_take(&rt, &b);
    ck_assert_uint_eq(f.length, 4);
    ck_assert_int_eq(f.flags, FRAME_FIN);
    /* Over: nothing more of it goes out. */
    ck_assert_int_eq(runtime_link_send(l, &c, big, 4, true), 4);

    answer(1, 0, "{\"status\":103}");
    answer(1, 0, "{\"status\":200}");
    frame_send(&rt, FRAME_BODY, 0, 1, big, FRAME_WINDOW / 4);
    expect_said("head A 103 -\nhead A 200 -\nbody A 65536\n");
    runtime_link_consumed(l, &c, FRAME_WINDOW / 4 - 1);
    ck_assert(!frame_parse(buffer_bytes(&rt.in), buffer_size(&rt.in), &f, &got));
    runtime_link_consumed(l, &c, 1);
    f = frame_take(&rt, &b);
    ck_assert_int_eq(f.type, FRAME_CREDIT);
    ck_assert_uint_eq(f.id, 1);
    ck_assert_int_eq(memcmp(f.payload, "\0\0\1\0", 4), 0);
    frame_send(&rt, FRAME_BODY, 0, 1, big, FRAME_WINDOW);
    frame_send(&rt, FRAME_END, 0, 1, NULL, 0);
    expect_said("body A 262144\nbody A 0 last\n");
    ck_assert_int_eq(c.state, CALL_IDLE);
    frame_credit_body(&rt, 1, 100); /* of one that is over */
    ask(&c, "B", true);
    ck_assert_int_eq(frame_take(&rt, &b).flags, FRAME_HTTP | FRAME_FIN);
    answer(2, FRAME_FIN, "{\"status\":200}");
    expect_said("head B 200 -\nbody B 0 last\n");
    runtime_call_done(&c);
    buffer_done(&b);
    end();
}
END_TEST

START_TEST(an_empty_body_ends_without_one)
{
    struct buffer b = {0};
    struct runtime_call c = {0};

    begin_http(1);
    ask(&c, "A", false);
    frame_take(&rt, &b);
    ck_assert_int_eq(runtime_link_send(l, &c, NULL, 0, true), 0);
    ck_assert_int_eq(frame_take(&rt, &b).type, FRAME_END);
    runtime_link_cancel(l, &c);
    runtime_link_cancel(l, &c);
    ck_assert_int_eq(frame_take(&rt, &b).type, FRAME_CANCEL);
    ck_assert_int_eq(runtime_link_hook(l, HOOK_PRE_STOP, "x", 1), 0);
    ck_assert_int_eq(frame_take(&rt, &b).type, FRAME_HOOK); /* no second CANCEL before it */
    runtime_call_done(&c);
    buffer_done(&b);
    end();
}
END_TEST

/* The call of id 1 waits for its head, 2 has one, 3 is over, 4 does not exist. */
static const struct {
    uint8_t type, flags;
    uint64_t id;
    const char *payload;
    size_t n;
    const char *reason;
} violations[] = {
    {FRAME_RESPONSE, FRAME_FIN, 1, "x", 1, "RESPONSE to 1, which is HTTP"},
    {FRAME_RESPONSE, FRAME_HTTP, 2, "{}", 2, "RESPONSE to 2, which awaits none"},
    {FRAME_RESPONSE, FRAME_HTTP, 3, "{}", 2, "RESPONSE to 3, which awaits none"},
    {FRAME_RESPONSE, FRAME_HTTP | FRAME_FIN, 1, "{\"status\":103}", 14, "status 103 with FIN"},
    {FRAME_RESPONSE, FRAME_HTTP, 1, NULL, FRAME_ANSWER_HEAD_MAX + 1, "head over 65536 bytes"},
    {FRAME_BODY, 0, 1, "x", 1, "BODY for 1, which has no open body"},
    {FRAME_END, 0, 3, "", 0, "END for 3, which has no open body"},
    {FRAME_BODY, 0, 2, NULL, FRAME_WINDOW + 1, "BODY of 262145 bytes for 2, whose window is 262144"},
    {FRAME_CREDIT, 0, 1, "\0\0\0\0", 4, "CREDIT of 0"},
    {FRAME_CREDIT, 0, 4, "\0\0\0\0", 4, "CREDIT of 0"},
    {FRAME_CREDIT, 0, 2, "\0\0\xfc\x7f", 4, "CREDIT for 2 beyond a window of 2^31-1"},
    {FRAME_CREDIT, 0, 2, "\xff\xff\xff\xff", 4, "CREDIT for 2 beyond a window of 2^31-1"},
};

START_TEST(violations_of_http)
{
    static char zeros[FRAME_WINDOW + 1];
    struct buffer b = {0};
    struct runtime_call c[3] = {0};
    char text[200];

    begin_http(3);
    for (int i = 0; i < 3; i++) {
        ask(&c[i], "x", false);
        frame_take(&rt, &b);
    }
    answer(2, 0, "{\"status\":200}");
    answer(3, FRAME_FIN, "{\"status\":200}");
    expect_said("last");
    frame_send(&rt, violations[_i].type, violations[_i].flags, violations[_i].id,
               violations[_i].payload ? violations[_i].payload : zeros, violations[_i].n);
    snprintf(text, sizeof(text), "%s", violations[_i].reason);
    expect_said("closed: a");
    ck_assert_msg(strstr(said, text), "%s: %s", text, said);
    ck_assert_int_eq(runtime_link_send(l, &c[0], (const uint8_t *)"x", 1, true), 1);
    runtime_link_consumed(l, &c[0], 1);
    for (int i = 0; i < 3; i++) {
        runtime_link_drop(l, &c[i]);
        runtime_call_done(&c[i]);
    }
    buffer_done(&b);
    end();
}
END_TEST

START_TEST(interim_answers_have_a_limit)
{
    struct buffer b = {0};
    struct runtime_call c = {0};

    begin_http(1);
    ask(&c, "x", true);
    frame_take(&rt, &b);
    for (int i = 0; i < 17; i++)
        answer(1, 0, "{\"status\":103}");
    expect_said("closed: more than 16 RESPONSEs");
    runtime_link_drop(l, &c);
    runtime_call_done(&c);
    buffer_done(&b);
    end();
}
END_TEST

START_TEST(events_know_no_http)
{
    struct buffer b = {0};
    struct runtime_call c = {.request_id = "x"};

    begin_ready(1);
    ck_assert(!runtime_link_takes_http(l));
    ck_assert_int_eq(runtime_link_start_http(l, &c, "{}", 2, true), -ENOTCONN);
    call(&c, "A", "1");
    frame_take(&rt, &b);
    answer(1, FRAME_FIN, "{\"status\":200}");
    expect_said("closed: a RESPONSE to 1, which is not HTTP");
    runtime_link_drop(l, &c);
    runtime_call_done(&c);
    buffer_done(&b);
    end();
}
END_TEST

START_TEST(hello_of_another_kind)
{
    begin(true, false, 1);
    peer_connect_unix(&rt, path);
    frame_send_text(&rt, FRAME_HELLO, 0, 0, "{\"protocol\":1,\"http\":1}");
    expect_said("closed: a HELLO that is not of protocol 1");
    end();
}
END_TEST

int main(void)
{
    SRunner *r;
    TCase *t = unit_case("link_http", &r);

    tcase_add_test(t, bodies_and_windows);
    tcase_add_test(t, an_empty_body_ends_without_one);
    tcase_add_loop_test(t, violations_of_http, 0, (int)ARRAY_LEN(violations));
    tcase_add_test(t, interim_answers_have_a_limit);
    tcase_add_test(t, events_know_no_http);
    tcase_add_test(t, hello_of_another_kind);
    return unit_run(r);
}
