/* The client against scripted servers: framing, pools, second tries, deadlines, ends. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/client.h"
#include "unit.h"
#include "turn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct loop *loop;
static struct http_client *client;
static struct listener *listener;
static char address[128];

/* ---- a server that answers each request with the next line of its script; NULL: closes */
static const char *const *script;
static int accepts, served, open_conns;
static struct buffer heard;
static struct conn *served_conn;
static bool stop_when_closed;

static size_t script_data(struct conn *c, const uint8_t *in, size_t n)
{
    buffer_append(&heard, in, n);
    if (!memmem(buffer_bytes(&heard), buffer_size(&heard), "\r\n\r\n", 4))
        return n;
    if (!script || !script[served]) {
        conn_close(c);
        return n;
    }
    if (!strcmp(script[served], "close"))
        conn_close(c);
    else
        conn_write(c, script[served], strlen(script[served]));
    served++;
    return n;
}
static void script_closed(struct conn *c, int error)
{
    (void)error;
    if (served_conn == c)
        served_conn = NULL;
    if (--open_conns == 0 && stop_when_closed)
        loop_stop(loop);
}
static const struct conn_ops script_ops = {.on_data = script_data, .on_closed = script_closed};
static void script_accept(void *user, int fd)
{
    (void)user;
    accepts++;
    open_conns++;
    ck_assert_int_eq(conn_open(loop, fd, &script_ops, NULL, NULL, &served_conn), 0);
}

/* ---- one call and what became of it */
struct outcome {
    int continues, heads, dones, error, status;
    bool sent, keep_running;
    size_t pause_at;
    struct buffer body;
    struct http_call *call;
};
static void on_continue(struct http_call *c)
{
    struct outcome *o = http_call_user(c);

    o->continues++;
    http_call_write(c, "abcd", 4);
}
static void on_head(struct http_call *c, const struct http_head *h)
{
    struct outcome *o = http_call_user(c);

    o->heads++;
    o->status = h->status;
}
static void on_body(struct http_call *c, const uint8_t *data, size_t n)
{
    struct outcome *o = http_call_user(c);

    buffer_append(&o->body, data, n);
    if (o->pause_at && buffer_size(&o->body) >= o->pause_at) {
        o->pause_at = 0;
        http_call_pause(c);
        loop_stop(loop);
    }
}
static void on_done(struct http_call *c, int error, bool sent)
{
    struct outcome *o = http_call_user(c);

    o->dones++;
    o->error = error;
    o->sent = sent;
    o->call = NULL;
    if (!o->keep_running)
        loop_stop(loop);
}
static const struct http_call_ops call_ops = {
    .on_continue = on_continue, .on_head = on_head, .on_body = on_body, .on_done = on_done};

static void start(const char *const *lines)
{
    script = lines;
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(http_client_new(loop, NULL, &client), 0);
    ck_assert_int_eq(listener_open(loop, "tcp://127.0.0.1:0", NULL, script_accept, NULL, &listener),
                     0);
    listener_text(listener, address);
}
static void finish(void)
{
    http_client_free(client);
    listener_close(listener);
    if (served_conn)
        conn_abort(served_conn, 0);
    loop_free(loop);
    buffer_done(&heard);
    served = accepts = open_conns = 0;
    served_conn = NULL;
}
static void call_with(struct outcome *o, const struct http_call_request *given)
{
    struct http_call_request r = *given;

    *o = (struct outcome){0};
    r.address = address;
    r.target = STR("/x");
    r.headers = "Host: a\r\n";
    ck_assert_int_eq(http_call_start(client, &r, &call_ops, o, &o->call), 0);
    ck_assert_int_eq(o->dones, 0);
}
static void get(struct outcome *o)
{
    call_with(o, &(struct http_call_request){.method = STR("GET")});
    loop_run(loop);
    ck_assert_int_eq(o->dones, 1);
}

START_TEST(framings_of_an_answer)
{
    static const struct {
        const char *method, *answer, *body;
        int error, status;
    } rows[] = {
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", 0, 200},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 0, 200},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
         "abc", 0, 200},
        {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "", 0, 204},
        {"GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "", 0, 304},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", 0, 200},
        {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", 0, 200},
        {"GET",
         "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
         "a", 0, 200},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "", -EPROTO, 0},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "", -EPROTO, 200},
        {"GET", "SSH-2.0-x\r\n\r\n", "", -EPROTO, 0},
        {"GET", "HTTP/1.1 200 OK\nContent-Length: 1\n\na", "", -EPROTO, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *lines[] = {rows[i].answer, NULL};
        struct outcome o;

        start(lines);
        call_with(&o, &(struct http_call_request){.method = str_of(rows[i].method)});
        loop_run(loop);
        ck_assert_msg(o.error == rows[i].error, "%s: %d", rows[i].answer, o.error);
        ck_assert_int_eq(o.status, rows[i].status);
        ck_assert(o.sent);
        ck_assert_uint_eq(buffer_size(&o.body), strlen(rows[i].body));
        ck_assert(!buffer_size(&o.body) || !memcmp(o.body.data, rows[i].body, strlen(rows[i].body)));
        buffer_done(&o.body);
        finish();
    }
}
END_TEST

START_TEST(an_answer_that_the_end_of_the_stream_ends)
{
    static const char *const lines[] = {"HTTP/1.1 200 OK\r\n\r\nabc", NULL};
    struct outcome o;

    start(lines);
    call_with(&o, &(struct http_call_request){.method = STR("GET")});
    o.pause_at = 3;
    loop_run(loop);
    http_call_resume(o.call);
    conn_close(served_conn);
    loop_run(loop);
    ck_assert_int_eq(o.dones, 1);
    ck_assert_int_eq(o.error, 0);
    buffer_done(&o.body);
    finish();
}
END_TEST

START_TEST(an_answer_cut_short_is_an_error)
{
    static const char *const lines[] = {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", NULL};
    struct outcome o;

    start(lines);
    call_with(&o, &(struct http_call_request){.method = STR("GET")});
    o.pause_at = 3;
    loop_run(loop);
    conn_close(served_conn);
    http_call_resume(o.call);
    loop_run(loop);
    ck_assert_int_eq(o.error, -ECONNRESET);
    ck_assert(o.sent);
    ck_assert_int_eq(accepts, 1);
    buffer_done(&o.body);
    finish();
}
END_TEST

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

START_TEST(kept_connections_are_used_again)
{
    static const char *const lines[] = {
        OK, OK, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", OK, NULL};
    struct outcome o;

    start(lines);
    for (int i = 0; i < 3; i++) {
        get(&o);
        ck_assert_int_eq(o.error, 0);
    }
    ck_assert_int_eq(accepts, 1);
    get(&o);
    ck_assert_int_eq(accepts, 2);
    finish();
}
END_TEST

START_TEST(a_dead_kept_connection_is_tried_again_once)
{
    static const char *const lines[] = {OK, NULL, NULL};
    static const char *const one[] = {OK, NULL};
    struct outcome o;

    start(lines);
    get(&o);
    ck_assert_int_eq(o.error, 0);
    get(&o); /* the script closes the kept one, then the fresh one */
    ck_assert_int_eq(o.error, -ECONNRESET);
    ck_assert(o.sent);
    ck_assert_int_eq(accepts, 2);
    finish();

    start(one);
    get(&o);
    call_with(&o, &(struct http_call_request){.method = STR("POST"), .content_length = 1});
    http_call_write(o.call, "x", 1);
    loop_run(loop);
    ck_assert_int_eq(o.error, -ECONNRESET); /* it has a body: not tried again */
    ck_assert_int_eq(accepts, 1);
    finish();
}
END_TEST

START_TEST(the_second_try_succeeds)
{
    static const char *const lines[] = {OK, "close",
                                        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", NULL};
    struct outcome o;

    start(lines);
    get(&o);
    get(&o);
    ck_assert_int_eq(o.error, 0);
    ck_assert_int_eq(o.heads, 1);
    ck_assert_uint_eq(buffer_size(&o.body), 1);
    ck_assert_int_eq(accepts, 2);
    buffer_done(&o.body);
    finish();
}
END_TEST

static void wait_2ms(struct loop_timer *t)
{
    (void)t;
    shutdown(conn_fd(served_conn), SHUT_WR); /* seen by nobody before the call */
    loop_stop(loop);
}

START_TEST(a_stale_kept_connection_is_not_used)
{
    static const char *const lines[] = {OK, OK, NULL};
    struct loop_timer t = {.fn = wait_2ms};
    struct outcome o;

    start(lines);
    get(&o);
    loop_timer_set(loop, &t, loop_now(loop) + 2 * NS_PER_MS);
    loop_run(loop);
    call_with(&o, &(struct http_call_request){.method = STR("POST"), .once = true});
    loop_run(loop);
    ck_assert_int_eq(o.error, 0);
    ck_assert_int_eq(accepts, 2);
    finish();
}
END_TEST

START_TEST(nothing_was_sent_when_nobody_listens)
{
    struct outcome o;

    start(NULL);
    listener_close(listener);
    get(&o);
    ck_assert_int_eq(o.error, -ECONNREFUSED);
    ck_assert(!o.sent);
    ck_assert_int_eq(http_call_start(client,
                                     &(struct http_call_request){.address = "nonsense",
                                                                 .method = STR("GET"),
                                                                 .target = STR("/")},
                                     &call_ops, &o, &o.call),
                     -EINVAL);
    listener = NULL;
    finish();
}
END_TEST

START_TEST(bodies_of_a_request)
{
    static const char *const lines[] = {"HTTP/1.1 100 Continue\r\n\r\n", OK, NULL};
    struct outcome o;

    start(lines);
    call_with(&o, &(struct http_call_request){
                      .method = STR("PUT"), .content_length = 4, .expect_continue = true});
    loop_run(loop);
    ck_assert_int_eq(o.continues, 1);
    ck_assert_int_eq(o.error, 0);
    buffer_append(&heard, "", 1);
    ck_assert_str_eq((char *)heard.data, "PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                                         "Expect: 100-continue\r\n\r\nabcd");
    finish();

    start((const char *const[]){OK, NULL});
    call_with(&o, &(struct http_call_request){.method = STR("POST"), .content_length = -1});
    http_call_write(o.call, "abc", 3);
    http_call_write(o.call, "", 0);
    http_call_end(o.call, NULL);
    loop_run(loop);
    buffer_append(&heard, "", 1);
    ck_assert_str_eq((char *)heard.data,
                     "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "3\r\nabc\r\n0\r\n\r\n");
    finish();

    start((const char *const[]){OK, NULL});
    call_with(&o, &(struct http_call_request){.method = STR("POST")});
    loop_run(loop);
    ck_assert_ptr_nonnull(memmem(heard.data, heard.end, "Content-Length: 0\r\n", 19));
    finish();
}
END_TEST

START_TEST(an_answer_before_the_request_is_whole)
{
    static const char *const lines[] = {OK, OK, NULL};
    struct outcome o;

    start(lines);
    call_with(&o, &(struct http_call_request){.method = STR("PUT"), .content_length = 4});
    http_call_write(o.call, "ab", 2);
    loop_run(loop);
    ck_assert_int_eq(o.error, 0);
    get(&o); /* the half-written one is of no use any more */
    ck_assert_int_eq(accepts, 2);
    finish();
}
END_TEST

START_TEST(deadlines)
{
    static const char *const lines[] = {"", NULL};
    struct outcome o;

    start(lines);
    call_with(&o, &(struct http_call_request){.method = STR("GET"),
                                              .deadline_ns = loop_now(loop) + 20 * NS_PER_MS});
    loop_run(loop);
    ck_assert_int_eq(o.error, -ETIMEDOUT);
    ck_assert(o.sent);
    ck_assert_int_eq(accepts, 1);
    finish();
}
END_TEST

START_TEST(cancel_tells_nothing)
{
    static const char *const lines[] = {OK, OK, NULL};
    struct outcome o, other;

    start(lines);
    call_with(&o, &(struct http_call_request){.method = STR("GET")});
    http_call_cancel(o.call);
    get(&other);
    ck_assert_int_eq(other.error, 0);
    ck_assert_int_eq(o.dones, 0);
    call_with(&o, &(struct http_call_request){.method = STR("GET")});
    finish(); /* freeing the client cancels it */
    ck_assert_int_eq(o.dones, 0);
}
END_TEST

START_TEST(unasked_bytes_close_an_idle_connection)
{
    static const char *const lines[] = {OK OK, OK, NULL};
    struct outcome o;

    start(lines);
    get(&o);
    ck_assert_int_eq(o.error, 0);
    get(&o);
    ck_assert_int_eq(o.error, 0);
    ck_assert_int_eq(accepts, 2);
    finish();
}
END_TEST

START_TEST(idle_connections_expire_and_are_bounded)
{
    struct http_client_options options = {.max_idle = 1, .idle_ns = 20 * NS_PER_MS};
    static const char *const lines[] = {OK, OK, OK, NULL};
    struct outcome a, b;

    start(lines);
    http_client_free(client);
    ck_assert_int_eq(http_client_new(loop, &options, &client), 0);
    call_with(&a, &(struct http_call_request){.method = STR("GET")});
    call_with(&b, &(struct http_call_request){.method = STR("GET")});
    while (a.dones + b.dones < 2)
        loop_run(loop);
    ck_assert_int_eq(accepts, 2);
    stop_when_closed = true;
    while (open_conns) /* one was closed for the bound, the other by time */
        loop_run(loop);
    finish();
}
END_TEST

START_TEST(what_is_not_safe_is_not_sent_twice)
{
    static const char *const lines[] = {OK, "close", OK, NULL};
    static const struct {
        const char *method;
        int accepts;
    } rows[] = {{"GET", 2}, {"POST", 1}, {"DELETE", 1}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct outcome o;

        start(lines);
        get(&o);
        buffer_done(&o.body);
        buffer_clear(&heard);
        call_with(&o, &(struct http_call_request){.method = str_of(rows[i].method)});
        loop_run(loop);
        ck_assert_int_eq(accepts, rows[i].accepts);
        ck_assert_int_eq(o.error, rows[i].accepts == 2 ? 0 : -ECONNRESET);
        ck_assert(o.sent);
        ck_assert_uint_eq(http_client_stats(client)->retries, (unsigned)rows[i].accepts - 1);
        buffer_done(&o.body);
        finish();
    }
}
END_TEST

START_TEST(connections_of_an_address_are_bounded)
{
    static const char *const lines[] = {"", "", OK, NULL};
    struct http_client_options o = {.max_links = 2};
    struct outcome a, b, c;
    struct http_call_request r = {.address = address, .method = STR("GET"), .target = STR("/")};

    start(lines);
    http_client_free(client);
    ck_assert_int_eq(http_client_new(loop, &o, &client), 0);
    call_with(&a, &(struct http_call_request){.method = STR("GET")});
    call_with(&b, &(struct http_call_request){.method = STR("GET")});
    r.address = address;
    ck_assert_int_eq(http_call_start(client, &r, &call_ops, &c, &c.call), -EAGAIN);
    ck_assert_uint_eq(http_client_stats(client)->over_limit, 1);
    http_call_cancel(a.call); /* one is free again */
    call_with(&c, &(struct http_call_request){.method = STR("GET")});
    ck_assert_uint_eq(http_client_stats(client)->links, 2);
    http_call_cancel(b.call);
    http_call_cancel(c.call);
    ck_assert_uint_eq(http_client_stats(client)->links, 0);
    finish();
}
END_TEST

START_TEST(an_address_that_does_not_accept_is_left_alone_for_a_while)
{
    static const char *const lines[] = {OK, NULL};
    struct http_client_options co = {.backoff_ns = 30 * NS_PER_MS};
    struct http_call_request r = {.address = address, .method = STR("GET"), .target = STR("/")};
    const struct http_client_stats *s;
    struct listener_options lo = {0};
    struct outcome o;
    uint64_t failed;
    int e;

    start(lines);
    http_client_free(client);
    ck_assert_int_eq(http_client_new(loop, &co, &client), 0);
    s = http_client_stats(client);
    listener_close(listener);
    for (int i = 0; i < 3; i++) { /* each failure once, then nothing is tried until the while is over */
        get(&o);
        ck_assert_int_eq(o.error, -ECONNREFUSED);
        ck_assert(!o.sent);
        failed = loop_now(loop);
        ck_assert_uint_eq(s->connect_failures, (unsigned)i + 1);
        ck_assert_uint_eq(s->failing, 1);
        ck_assert_int_eq(http_call_start(client, &r, &call_ops, &o, &o.call), -EHOSTDOWN);
        while (loop_now(loop) < failed + (30 * NS_PER_MS << i))
            run_once(loop);
    }
    ck_assert_uint_eq(s->backed_off, 3);
    ck_assert_uint_eq(s->dials, 3);
    ck_assert_int_eq(listener_open(loop, address, &lo, script_accept, NULL, &listener), 0);
    o = (struct outcome){0};
    ck_assert_int_eq(http_call_start(client, &r, &call_ops, &o, &o.call), 0);
    /* One finds out for all. */
    e = http_call_start(client, &r, &call_ops, &o, &o.call);
    ck_assert_int_eq(e, -EHOSTDOWN);
    loop_run(loop);
    ck_assert_int_eq(o.status, 200);
    ck_assert_uint_eq(s->failing, 0);
    buffer_done(&o.body);
    get(&o);
    ck_assert_uint_eq(s->reused, 1);
    buffer_done(&o.body);
    finish();
}
END_TEST

START_TEST(silence_of_the_answer)
{
    static const char *const lines[] = {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "", "",
                                        NULL};
    struct outcome o;

    start(lines);
    call_with(
        &o, &(struct http_call_request){.method = STR("GET"), .answer_timeout_ns = 20 * NS_PER_MS});
    loop_run(loop);
    ck_assert_int_eq(o.error, -ETIMEDOUT);
    ck_assert_int_eq(o.heads, 1);
    buffer_done(&o.body);
    buffer_clear(&heard);
    served = 0; /* while the caller does not read, or has not sent all, it is its own */
    call_with(&o, &(struct http_call_request){.method = STR("POST"),
                                              .content_length = 8,
                                              .answer_timeout_ns = 20 * NS_PER_MS});
    for (uint64_t began = loop_now(loop); loop_now(loop) < began + 50 * NS_PER_MS;)
        run_once(loop);
    ck_assert_int_eq(o.dones, 0);
    http_call_write(o.call, "abcdefgh", 8);
    loop_run(loop);
    ck_assert_int_eq(o.error, -ETIMEDOUT);
    buffer_done(&o.body);
    finish();
}
END_TEST

UNIT_MAIN("client", framings_of_an_answer, an_answer_that_the_end_of_the_stream_ends,
          an_answer_cut_short_is_an_error, kept_connections_are_used_again,
          a_dead_kept_connection_is_tried_again_once, the_second_try_succeeds,
          a_stale_kept_connection_is_not_used, nothing_was_sent_when_nobody_listens,
          bodies_of_a_request, an_answer_before_the_request_is_whole, deadlines, cancel_tells_nothing,
          unasked_bytes_close_an_idle_connection, idle_connections_expire_and_are_bounded,
          what_is_not_safe_is_not_sent_twice, connections_of_an_address_are_bounded,
          an_address_that_does_not_accept_is_left_alone_for_a_while, silence_of_the_answer)
