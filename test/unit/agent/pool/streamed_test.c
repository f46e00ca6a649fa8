/* HTTP over frames through a pool: clients on loopback, the runtime by hand. */
#include "fixture.h"

static bool some_turns(void *user)
{
    return ++*(int *)user > 5;
}

static struct box *b;
static struct peer client;
static struct buffer payload;

/* 0: one that does not pass meanwhile, on whatever machine. */
static void start(uint32_t concurrency, uint32_t timeout_ms)
{
    const struct revision_options o = {.concurrency = concurrency,
                                       .timeout_ms = timeout_ms ? timeout_ms : 60000};

    begin();
    ck_assert_int_eq(desire(&o, "i-1", "", 0), 0);
    b = box_start("i-1");
    peer_connect_unix(&b->rt, b->path);
    frame_hello_as(&b->rt, "{\"protocol\":1,\"http\":true}");
    frame_send_credit(&b->rt, concurrency ? concurrency : 1);
    expect_sent("status i-1 Ready");
}

static void finish(void)
{
    peer_close(&client);
    buffer_done(&payload);
    end();
}

static void ask(struct peer *p, const char *request)
{
    peer_connect_tcp(p, front_port);
    peer_send(p, request, strlen(request));
}

static bool client_has(void *user)
{
    peer_read(&client);
    return memmem(buffer_bytes(&client.in), buffer_size(&client.in), user, strlen(user)) != NULL;
}
#define expect_client(text)                                                                        \
    ck_assert_msg(turn_until(client_has, (void *)(text)), "no \"%s\" in: %.*s", (text),            \
                  (int)buffer_size(&client.in), (const char *)buffer_bytes(&client.in))

/* The next INVOKE, as text without its fixed part. */
static struct frame take_invoke(char *head, size_t size)
{
    struct frame f = frame_take(&b->rt, &payload);
    struct frame_invoke inv;

    ck_assert_int_eq(frame_invoke_parse(&f, &inv), 0);
    ck_assert(f.flags & FRAME_HTTP);
    if (head)
        snprintf(head, size, "%.*s", (int)inv.event_size, (const char *)inv.event);
    return f;
}

static void expect_frame(enum frame_type type, uint8_t flags, uint64_t id, const char *text)
{
    struct frame f = frame_take(&b->rt, &payload);

    ck_assert_str_eq(frame_type_name(f.type), frame_type_name((uint8_t)type));
    ck_assert_int_eq(f.flags, flags);
    ck_assert_uint_eq(f.id, id);
    if (text)
        ck_assert_str_eq((const char *)f.payload, text);
}

static void answer(uint64_t id, uint8_t flags, const char *head)
{
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_HTTP | flags, id, head);
}

START_TEST(whole_way)
{
    char head[1024];
    struct frame f;

    start(1, 0);
    ask(&client,
        "POST /a%20b?x=1&y HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nCookie: a=1\r\n"
        "X-Two: 1\r\nCookie: b=2\r\nx-two: 2\r\nConnection: keep-alive\r\nRouse-Trusted: 1\r\n\r\nda");
    f = take_invoke(head, sizeof(head));
    ck_assert_int_eq(f.flags, FRAME_HTTP);
    expect_text(
        head,
        "{\"method\":\"POST\",\"path\":\"/a%20b\",\"query\":\"x=1&y\",\"scheme\":\"http\","
        "\"protocol\":\"HTTP/1.1\",\"sourceIp\":\"127.0.0.1\",\"routeKey\":\"$default\",\"headers\":[");
    expect_text(head, "[\"host\",\"h\"],[\"content-length\",\"4\"],[\"cookie\",\"a=1\"],"
                      "[\"x-two\",\"1\"],[\"cookie\",\"b=2\"],[\"x-two\",\"2\"]]}");
    /* Each part as it comes, both ways, and before the request has ended. */
    expect_frame(FRAME_BODY, 0, 1, "da");
    answer(
        1, 0,
        "{\"status\":201,\"headers\":[[\"content-type\",\"text/x\"],[\"set-cookie\",\"a\"],"
        "[\"set-cookie\",\"b\"],[\"connection\",\"close\"],[\"date\",\"never\"],[\"rouse-a\",\"b\"]]}");
    frame_send_text(&b->rt, FRAME_BODY, 0, 1, "one");
    expect_client("\r\n3\r\none\r\n");
    expect_client("HTTP/1.1 201 Created\r\n");
    expect_client(
        "content-type: text/x\r\nset-cookie: a\r\nset-cookie: b\r\nRouse-Request-Id: req-0\r\n");
    expect_client("Transfer-Encoding: chunked");
    ck_assert(!client_has((void *)"never") && !client_has((void *)"rouse-a"));
    peer_send(&client, "ta", 2);
    expect_frame(FRAME_BODY, FRAME_FIN, 1, "ta");
    frame_send_text(&b->rt, FRAME_BODY, FRAME_FIN, 1, "two");
    expect_client("3\r\ntwo\r\n0\r\n\r\n");
    wait_for(outcomes_are, &(int){1});
    ck_assert_int_eq(outcome.status, 201);

    /* The connection and the slot serve the next one: no body, a declared answer. */
    peer_send(&client, "GET /n HTTP/1.1\r\nHost: h\r\n\r\n", 28);
    f = take_invoke(head, sizeof(head));
    ck_assert_int_eq(f.flags, FRAME_HTTP | FRAME_FIN);
    ck_assert_uint_eq(f.id, 2);
    answer(2, 0, "{\"status\":200,\"headers\":[[\"content-length\",\"5\"]]}");
    frame_send_text(&b->rt, FRAME_BODY, 0, 2, "hello");
    frame_send(&b->rt, FRAME_END, 0, 2, NULL, 0);
    expect_client("Content-Length: 5\r\n");
    expect_client("\r\n\r\nhello");
    wait_for(outcomes_are, &(int){2});
    finish();
}
END_TEST

START_TEST(bare_answers)
{
    static const struct {
        const char *method, *head, *has;
    } cases[] = {
        {"HEAD", "{\"status\":200,\"headers\":[[\"content-length\",\"7\"]]}", "Content-Length: 7"},
        {"GET", "{\"status\":204}", "HTTP/1.1 204"},
        {"GET", "{\"status\":304,\"headers\":[[\"etag\",\"\\\"x\\\"\"]]}", "etag: \"x\""},
    };

    start(1, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char request[100];
        uint64_t id;

        snprintf(request, sizeof(request), "%s / HTTP/1.1\r\nHost: h\r\n\r\n", cases[i].method);
        ask(&client, request);
        id = take_invoke(NULL, 0).id;
        answer(id, i == 1 ? FRAME_FIN : 0, cases[i].head);
        if (i != 1)
            frame_send_text(&b->rt, FRAME_BODY, FRAME_FIN, id, "swallowed");
        wait_for(outcomes_are, &(int){(int)i + 1});
        expect_client(cases[i].has);
        expect_client("\r\n\r\n");
        ck_assert(!client_has((void *)"swallowed") && !client_has((void *)"chunked"));
        peer_close(&client);
    }
    finish();
}
END_TEST

START_TEST(interim_answers_come_first)
{
    start(1, 0);
    ask(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    take_invoke(NULL, 0);
    expect_client("HTTP/1.1 100 Continue\r\n\r\n");
    answer(1, 0, "{\"status\":103,\"headers\":[[\"link\",\"</a>\"]]}");
    expect_client("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    peer_send(&client, "hi", 2);
    expect_frame(FRAME_BODY, FRAME_FIN, 1, "hi");
    answer(1, FRAME_FIN, "{\"status\":200}");
    expect_client("HTTP/1.1 200 OK");
    wait_for(outcomes_are, &(int){1});
    finish();
}
END_TEST

START_TEST(http10_gets_the_end_of_the_stream)
{
    start(1, 0);
    ask(&client, "GET / HTTP/1.0\r\nHost: h\r\n\r\n");
    take_invoke(NULL, 0);
    answer(1, 0, "{\"status\":200}");
    frame_send_text(&b->rt, FRAME_BODY, FRAME_FIN, 1, "all");
    wait_for(peer_at_eof, &client);
    expect_client("Connection: close");
    expect_client("\r\n\r\nall");
    ck_assert(!client_has((void *)"chunked"));
    finish();
}
END_TEST

START_TEST(direct_calls)
{
    char head[1024];

    start(1, 0);
    params.shape = INVOKE_RAW;
    ask(&client, "POST /2015-03-31/x HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
    take_invoke(head, sizeof(head));
    expect_text(head, "{\"method\":\"POST\",\"path\":\"/\",\"query\":\"\",");
    expect_text(head, "\"routeKey\":\"$default\",\"headers\":[");
    expect_text(head, "[\"content-type\",\"application/json\"],[\"content-length\",\"7\"]]}");
    expect_frame(FRAME_BODY, FRAME_FIN, 1, "{\"a\":1}");
    answer(1, 0, "{\"status\":103,\"headers\":[[\"link\",\"</a>\"]]}");
    answer(1, 0, "{\"status\":404,\"headers\":[[\"content-type\",\"text/plain\"]]}");
    frame_send_text(&b->rt, FRAME_BODY, FRAME_FIN, 1, "nothing");
    expect_client("nothing\r\n0\r\n\r\n");
    expect_client("HTTP/1.1 200 OK\r\n");
    expect_client("X-Amz-Function-Error: Unhandled\r\n");
    ck_assert(!client_has((void *)"link"));
    finish();
}
END_TEST

/* As much as the window, and no more; then as much as is credited. */
START_TEST(an_upload_keeps_to_the_window)
{
    size_t size = FRAME_WINDOW + 300000, got = 0;
    char *big = malloc(size), head[200];
    struct frame f;
    int n = snprintf(head, sizeof(head),
                     "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", size);

    start(1, 0);
    memset(big, 'u', size);
    peer_connect_tcp(&client, front_port);
    peer_send(&client, head, (size_t)n);
    peer_send(&client, big, 400000); /* the rest would block, as nobody reads it */
    take_invoke(NULL, 0);
    while (got < FRAME_WINDOW) {
        f = frame_take(&b->rt, &payload);
        ck_assert_int_eq(f.type, FRAME_BODY);
        ck_assert_int_eq(f.flags, 0);
        got += f.length;
    }
    ck_assert_uint_eq(got, FRAME_WINDOW);
    wait_for(some_turns, &(int){0});
    ck_assert_msg(!buffer_size(&b->rt.in), "more than the window");
    frame_credit_body(&b->rt, 1, 1);
    f = frame_take(&b->rt, &payload);
    ck_assert_uint_eq(f.length, 1);
    got++;
    frame_credit_body(&b->rt, 1, INT32_MAX);
    peer_send(&client, big, size - 400000);
    do {
        f = frame_take(&b->rt, &payload);
        ck_assert_int_eq(f.type, FRAME_BODY);
        got += f.length;
    } while (!(f.flags & FRAME_FIN));
    ck_assert_uint_eq(got, size);
    answer(1, FRAME_FIN, "{\"status\":200}");
    expect_client("HTTP/1.1 200");
    free(big);
    finish();
}
END_TEST

/* The answer ends the id in the middle of the upload; what comes of that still is nobody's, and the connection
 * serves on. */
START_TEST(an_answer_before_the_upload_has_ended)
{
    static uint8_t body[FRAME_WINDOW + 100000];
    struct frame f;
    char head[100];
    int n = snprintf(head, sizeof(head),
                     "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", sizeof(body));

    start(1, 60000);
    peer_connect_tcp(&client, front_port);
    peer_send(&client, head, (size_t)n);
    peer_send(&client, body, sizeof(body) - 1000);
    take_invoke(NULL, 0);
    for (size_t got = 0; got < FRAME_WINDOW; got += f.length)
        f = frame_take(&b->rt, &payload);
    answer(1, FRAME_FIN, "{\"status\":403}");
    expect_client("HTTP/1.1 403");
    frame_credit_body(&b->rt, 1, 100000); /* crossed the end */
    peer_send(&client, body, 1000);
    peer_send(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27 + 1);
    f = take_invoke(NULL, 0);
    ck_assert_uint_eq(f.id, 2);
    answer(2, FRAME_FIN, "{\"status\":200}");
    expect_client("HTTP/1.1 200");
    finish();
}
END_TEST

/* The client is read no further than the window and what lies on the way. */
START_TEST(an_upload_fills_no_memory)
{
    static uint8_t part[65536];
    size_t total = 0;

    start(1, 60000);
    params.body_limit = 1u << 30;
    ask(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n");
    take_invoke(NULL, 0);
    for (int idle = 0; idle < 5 && total < (64u << 20);) {
        ssize_t n = send(client.fd, part, sizeof(part), MSG_DONTWAIT | MSG_NOSIGNAL);

        total += n > 0 ? (size_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        turn_until(some_turns, &(int){0});
    }
    ck_assert_uint_lt(total, 64u << 20);
    frame_send_text(&b->rt, FRAME_ERROR, 0, 1, "{}");
    finish();
}
END_TEST

/* Their windows have room, the connection has not: all go on when it is read. */
START_TEST(a_runtime_that_does_not_read_holds_all)
{
    enum { COUNT = 12, SIZE = FRAME_WINDOW };
    static uint8_t body[SIZE];
    struct peer all[COUNT];
    size_t got = 0, ended = 0;

    start(COUNT, 60000);
    for (int i = 0; i < COUNT; i++) {
        ask(&all[i], "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 262144\r\n\r\n");
        peer_send(&all[i], body, SIZE);
        turn_until(some_turns, &(int){0});
    }
    while (ended < COUNT) {
        struct frame f = frame_take(&b->rt, &payload);

        got += f.type == FRAME_BODY ? f.length : 0;
        if (f.type == FRAME_INVOKE || !(f.flags & FRAME_FIN))
            continue;
        ended++;
        answer(f.id, FRAME_FIN, "{\"status\":200}");
    }
    ck_assert_uint_eq(got, (size_t)COUNT * SIZE);
    for (int i = 0; i < COUNT; i++)
        expect_answer(&all[i], "HTTP/1.1 200", NULL);
    finish();
}
END_TEST

/* What the client does not take is not credited: the runtime is held, and no memory filled. */
START_TEST(a_download_keeps_to_the_window)
{
    static uint8_t part[32768];
    size_t window = FRAME_WINDOW, written = 0, total = 24u << 20, credited = 0, given;

    start(1, 0);
    ask(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    take_invoke(NULL, 0);
    answer(1, 0, "{\"status\":200,\"headers\":[[\"content-length\",\"25165824\"]]}");
    while (written < total) {
        if (window < sizeof(part)) {
            struct frame f;

            if (!turn_until(some_turns, &(int){0}) || !frame_whole(&b->rt))
                peer_read(&client); /* now the client reads, and so the credit comes */
            if (!frame_whole(&b->rt))
                continue;
            f = frame_take(&b->rt, &payload);
            ck_assert_int_eq(f.type, FRAME_CREDIT);
            given = (size_t)f.payload[0] | (size_t)f.payload[1] << 8 | (size_t)f.payload[2] << 16;
            window += given;
            credited += given;
            ck_assert_uint_le(credited, written);
            continue;
        }
        frame_send(&b->rt, FRAME_BODY, written + sizeof(part) == total ? FRAME_FIN : 0, 1, part,
                   sizeof(part));
        written += sizeof(part);
        window -= sizeof(part);
    }
    wait_for(outcomes_are, &(int){1});
    ck_assert_int_eq(outcome.status, 200);
    while (buffer_size(&client.in) < total)
        ck_assert(turn_until(client_has, (void *)"HTTP/1.1"));
    finish();
}
END_TEST

START_TEST(a_window_that_is_overrun_ends_the_instance)
{
    static uint8_t part[FRAME_WINDOW];

    start(2, 0);
    ask(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    take_invoke(NULL, 0);
    answer(1, 0, "{\"status\":200}");
    /* Nothing is read by the client, and each part is credited as long as its connection takes it. */
    for (int i = 0; i < 200 && !strstr(sent, "Failed"); i++) {
        frame_send(&b->rt, FRAME_BODY, 0, 1, part, sizeof(part));
        turn_until(some_turns, &(int){0});
    }
    expect_sent("status i-1 Failed ProtocolError");
    expect_text(last_message, "whose window is");
    wait_for(peer_at_eof, &client);
    finish();
}
END_TEST

START_TEST(a_client_that_leaves_cancels)
{
    start(2, 0);
    ask(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx");
    take_invoke(NULL, 0);
    expect_frame(FRAME_BODY, 0, 1, "x");
    peer_close(&client);
    expect_frame(FRAME_CANCEL, 0, 1, "");
    wait_for(outcomes_are, &(int){1});
    ck_assert(outcome.client_gone);
    /* What comes for it is dropped, without a window; then the slot is free. */
    answer(1, 0, "{\"status\":200}");
    for (int i = 0; i < 3; i++) {
        static uint8_t part[FRAME_WINDOW];

        frame_send(&b->rt, FRAME_BODY, 0, 1, part, sizeof(part));
    }
    frame_credit_body(&b->rt, 1, 5);
    frame_send_text(&b->rt, FRAME_ERROR, 0, 1, "{}");
    /* In the middle of the answer the same. */
    ask(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_uint_eq(take_invoke(NULL, 0).id, 2);
    answer(2, 0, "{\"status\":200}");
    frame_send_text(&b->rt, FRAME_BODY, 0, 2, "part");
    expect_client("part");
    peer_close(&client);
    expect_frame(FRAME_CANCEL, 0, 2, "");
    frame_send(&b->rt, FRAME_END, 0, 2, NULL, 0);
    ask(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ck_assert_uint_eq(take_invoke(NULL, 0).id, 3);
    answer(3, FRAME_FIN, "{\"status\":200}");
    expect_client("HTTP/1.1 200");
    finish();
}
END_TEST

START_TEST(errors_before_and_after_the_head)
{
    static const char error[] = "{\"errorType\":\"ValueError\",\"errorMessage\":\"no\"}";

    start(2, 0);
    ask(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    take_invoke(NULL, 0);
    frame_send_text(&b->rt, FRAME_ERROR, 0, 1, error);
    expect_client("HTTP/1.1 502");
    expect_client("FunctionError");
    peer_close(&client);
    ask(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    take_invoke(NULL, 0);
    answer(2, 0, "{\"status\":200}");
    frame_send_text(&b->rt, FRAME_BODY, 0, 2, "begun");
    expect_client("begun");
    frame_send_text(&b->rt, FRAME_ERROR, 0, 2, error);
    wait_for(peer_at_eof, &client);
    ck_assert(!client_has((void *)"\r\n0\r\n"));
    wait_for(outcomes_are, &(int){2});
    ck_assert_int_eq(outcome.status, 502);
    expect_not_sent("Failed");
    finish();
}
END_TEST

/* An answer that cannot be sent, or not to its end: the client never takes it for a whole one. */
START_TEST(answers_that_break_their_word)
{
    static const struct {
        const char *head, *body, *client;
        bool cut;
    } cases[] = {
        {"[]", "", "InvalidAnswer", false},
        {"{\"status\":\"200\"}", "", "InvalidAnswer", false},
        {"{\"status\":101}", "", "InvalidAnswer", false},
        {"{\"status\":600}", "", "InvalidAnswer", false},
        {"{\"status\":200,\"headers\":{}}", "", "InvalidAnswer", false},
        {"{\"status\":200,\"headers\":[[\"a b\",\"c\"]]}", "", "InvalidAnswer", false},
        {"{\"status\":200,\"headers\":[[\"a\",\"b\\r\\nc: d\"]]}", "", "InvalidAnswer", false},
        {"{\"status\":200,\"headers\":[[\"content-length\",\"-1\"]]}", "", "InvalidAnswer", false},
        {"{\"status\":200,\"headers\":[[\"content-length\",\"3\"]]}", "four", "HTTP/1.1 200", true},
        {"{\"status\":200,\"headers\":[[\"content-length\",\"5\"]]}", "four", "HTTP/1.1 200", true},
    };

    start(1, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t id;

        ask(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        id = take_invoke(NULL, 0).id;
        answer(id, 0, cases[i].head);
        if (cases[i].cut)
            expect_client(cases[i].client);
        else
            expect_frame(FRAME_CANCEL, 0, id, "");
        frame_send_text(&b->rt, FRAME_BODY, FRAME_FIN, id, cases[i].body);
        expect_client(cases[i].client);
        wait_for(outcomes_are, &(int){(int)i + 1});
        ck_assert_int_eq(outcome.status, 502);
        if (cases[i].cut)
            wait_for(peer_at_eof, &client);
        peer_close(&client);
        /* One that said too much before its end is told to stop; one that ended is not. */
        if (frame_parse(buffer_bytes(&b->rt.in), buffer_size(&b->rt.in), &(struct frame){0},
                        &(size_t){0}) == 1)
            expect_frame(FRAME_CANCEL, 0, id, "");
    }
    expect_not_sent("Failed");
    finish();
}
END_TEST

START_TEST(a_time_out)
{
    start(2, 100);
    ask(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    take_invoke(NULL, 0);
    expect_client("HTTP/1.1 504");
    expect_frame(FRAME_CANCEL, 0, 1, "");
    frame_send_text(&b->rt, FRAME_ERROR, 0, 1, "{}");
    peer_close(&client);
    ask(&client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    take_invoke(NULL, 0);
    answer(2, 0, "{\"status\":200}");
    wait_for(peer_at_eof, &client);
    expect_frame(FRAME_CANCEL, 0, 2, "");
    frame_send_text(&b->rt, FRAME_ERROR, 0, 2, "{}");
    finish();
}
END_TEST

/* The limit of bodies holds for a body whose length nobody said, too. */
START_TEST(an_upload_over_the_limit)
{
    start(2, 0);
    params.body_limit = 5;
    ask(&client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nsecret");
    expect_client("HTTP/1.1 413");
    peer_close(&client);
    ask(&client, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlong\r\n");
    take_invoke(NULL, 0);
    expect_frame(FRAME_BODY, 0, 1, "long");
    peer_send(&client, "2\r\ner\r\n", 7);
    expect_client("HTTP/1.1 413");
    expect_frame(FRAME_CANCEL, 0, 1, "");
    frame_send_text(&b->rt, FRAME_ERROR, 0, 1, "{}");
    finish();
}
END_TEST

/* One dies with its last word; what ran beside it is lost at once, whatever else was on the wire. */
START_TEST(what_runs_beside_a_crash_is_lost)
{
    struct peer other, third;

    start(3, 60000);
    ask(&client, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    ask(&other, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    ask(&third, "GET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 3; i++)
        take_invoke(NULL, 0);
    answer(3, 0, "{\"status\":200}");
    wait_for(some_turns, &(int){0});
    frame_send_text(&b->rt, FRAME_ERROR, FRAME_FATAL, 1,
                    "{\"errorType\":\"Runtime.Panic\",\"errorMessage\":\"SIGSEGV\"}");
    frame_send_text(&b->rt, FRAME_RESPONSE, FRAME_HTTP | FRAME_FIN, 2, "{\"status\":200}");
    expect_client("HTTP/1.1 502");
    expect_client("FunctionError");
    expect_answer(&other, "HTTP/1.1 502", "InstanceLost");
    wait_for(peer_at_eof, &third);
    ck_assert_ptr_nonnull(memmem(buffer_bytes(&third.in), buffer_size(&third.in), "200", 3));
    peer_close(&third);
    wait_for(outcomes_are, &(int){3});
    ck_assert(outcome.lost);
    expect_not_sent("Failed"); /* the exit says more */
    box_exit(b, 0, 11, false);
    expect_sent("status i-1 Failed SIGSEGV");
    finish();
}
END_TEST

/* Killed without a last word. */
START_TEST(all_that_run_are_lost_with_the_process)
{
    struct peer others[3];

    start(4, 60000);
    ask(&client, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 3; i++)
        ask(&others[i], "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 4; i++)
        take_invoke(NULL, 0);
    box_exit(b, 0, 9, true);
    expect_client("HTTP/1.1 502");
    expect_client("OOMKilled");
    for (int i = 0; i < 3; i++)
        expect_answer(&others[i], "HTTP/1.1 502", "OOMKilled");
    expect_sent("status i-1 Failed OOMKilled");
    finish();
}
END_TEST

UNIT_MAIN("streamed", whole_way, bare_answers, interim_answers_come_first,
          http10_gets_the_end_of_the_stream, direct_calls, an_upload_keeps_to_the_window,
          an_answer_before_the_upload_has_ended, an_upload_fills_no_memory,
          a_runtime_that_does_not_read_holds_all, a_download_keeps_to_the_window,
          a_window_that_is_overrun_ends_the_instance, a_client_that_leaves_cancels,
          errors_before_and_after_the_head, answers_that_break_their_word, a_time_out,
          an_upload_over_the_limit, what_runs_beside_a_crash_is_lost,
          all_that_run_are_lost_with_the_process)
