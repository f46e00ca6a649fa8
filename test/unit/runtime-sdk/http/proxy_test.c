/* A client, a front server that proxies and a back server, all on one loop, plus raw clients. */
#include "base/clock.h"
#include "http/proxy.h"
#include "peer.h"
#include "turn.h"

#include <stdio.h>

enum { BIG = 24 << 20 };

static struct loop *loop;
static struct http_server *front, *back;
static struct http_client *client, *user_client;
static char front_address[128], back_address[128];
static const char *first_address; /* where the front tries first */
static uint64_t deadline;
static bool to_origin;
static const char *send_trailers;
static const char *more_headers = "";
static struct buffer seen_trailers;
static const char *other_target = "";
static struct http_proxy *last_proxy;

/* ---- the back: /echo, /big, /refuse, /broken, /silent, /head */
static uint8_t *big;
static struct http_exchange *silent;
static int back_requests, back_gone;
struct sender {
    struct http_exchange *x;
    size_t at;
};
static struct sender sender;
static struct buffer seen_headers;

static void send_big(void)
{
    while (sender.x && sender.at < BIG && !http_congested(sender.x)) {
        size_t n = BIG - sender.at < 50000 ? BIG - sender.at : 50000;

        http_respond_write(sender.x, big + sender.at, n);
        sender.at += n;
    }
    if (sender.x && sender.at == BIG) {
        http_respond_end(sender.x, "X-Trailer: yes\r\n");
        sender.x = NULL;
    }
}
static void back_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    const struct http_head *h = http_head(x);

    http_respond_write(x, data, n);
    for (size_t i = 0; last && i < h->trailer_count; i++)
        buffer_printf(&seen_trailers, "%.*s: %.*s\n", (int)h->headers[h->header_count + i].name.n,
                      h->headers[h->header_count + i].name.at,
                      (int)h->headers[h->header_count + i].value.n,
                      h->headers[h->header_count + i].value.at);
    if (last)
        http_respond_end(x, NULL);
    else if (http_congested(x))
        http_pause_body(x);
}
static void back_drained(struct http_exchange *x)
{
    if (x == sender.x)
        send_big();
    else
        http_resume_body(x);
}
static void back_left(struct http_exchange *x, int error)
{
    (void)error;
    back_gone++;
    if (x == sender.x)
        sender.x = NULL;
    if (x == silent)
        silent = NULL;
    loop_stop(loop);
}
static const struct http_exchange_ops back_ops = {
    .on_body = back_body, .on_drained = back_drained, .on_gone = back_left};

static void on_back(struct http_exchange *x, void *user)
{
    const struct http_head *h = http_head(x);

    (void)user;
    back_requests++;
    buffer_clear(&seen_headers);
    for (size_t i = 0; i < h->header_count; i++)
        buffer_printf(&seen_headers, "%.*s: %.*s\n", (int)h->headers[i].name.n,
                      h->headers[i].name.at, (int)h->headers[i].value.n, h->headers[i].value.at);
    buffer_append(&seen_headers, "", 1);
    http_set_owner(x, &back_ops, NULL);
    if (str_eq(h->path, "/echo")) {
        http_respond_start(x, 200, "Keep-Alive: x\r\nX-Back: 1\r\nRouse-Request-Id: back\r\n",
                           h->content_length);
        http_read_body(x, 0);
    } else if (str_eq(h->path, "/big")) {
        sender = (struct sender){.x = x};
        http_respond_start(x, 200, NULL, str_eq(h->query, "length") ? BIG : -1);
        send_big();
    } else if (str_eq(h->path, "/refuse")) {
        http_respond(x, 503, "Rouse-Refused: NoSlot\r\n", "busy", 4);
    } else if (str_eq(h->path, "/busy")) {
        http_respond(x, 503, NULL, "busy", 4);
    } else if (str_eq(h->path, "/broken")) {
        http_respond_start(x, 200, NULL, 100);
        http_respond_write(x, "abc", 3);
        silent = x;
        if (str_eq(h->query, "now"))
            http_abort(x);
    } else if (str_eq(h->path, "/reset")) {
        http_abort(x);
    } else if (str_eq(h->path, "/hints")) {
        http_respond_interim(x, 103, "Link: </a>; rel=preload\r\nRouse-Request-Id: back\r\n");
        http_respond_interim(x, 103, "Link: </b>\r\n");
        http_respond(x, 200, NULL, "hello", 5);
    } else if (str_eq(h->path, "/head")) {
        http_respond(x, 200, NULL, "hello", 5);
    } else {
        silent = x;
        loop_stop(loop);
    }
}

/* ---- the front */
static int refusals, dones, last_error, exchange_dones, head_status;
static char last_reason[64];

static void front_head(void *user, struct http_exchange *x, int status)
{
    (void)user, (void)x;
    head_status = status;
}
static void front_done(void *user, struct http_exchange *x, int error)
{
    (void)user;
    dones++;
    last_error = error;
    if (error == -ETIMEDOUT)
        http_respond(x, 504, NULL, "late", 4);
    else if (error == -ECONNRESET)
        http_respond(x, 502, NULL, "lost", 4);
}
static void front_refused(void *user, struct http_exchange *x, const char *reason);
static const struct http_proxy_ops proxy_ops = {front_refused, front_head, front_done};

static void front_pass(struct http_exchange *x, const char *address)
{
    struct http_proxy_request r = {.address = address,
                                   .set = "X-Set: mine\r\nRouse-Deadline: 5\r\n",
                                   .answer_headers = "Rouse-Request-Id: front\r\n",
                                   .deadline_ns = deadline,
                                   .origin = to_origin,
                                   .target = str_of(other_target)};

    ck_assert_int_eq(http_proxy_start(client, x, &r, &proxy_ops, NULL, &last_proxy), 0);
}
static void front_refused(void *user, struct http_exchange *x, const char *reason)
{
    (void)user;
    refusals++;
    snprintf(last_reason, sizeof(last_reason), "%s", reason);
    if (refusals == 1 && first_address)
        front_pass(x, back_address);
    else
        http_respond(x, 503, NULL, reason, strlen(reason));
}
static void front_exchange_done(struct http_exchange *x)
{
    (void)x;
    exchange_dones++;
    ck_assert_int_le(exchange_dones, dones + refusals);
}
static const struct http_exchange_ops front_ops = {.on_done = front_exchange_done};
static bool wait_for_all;
static struct http_exchange *waiting;

static void on_front(struct http_exchange *x, void *user)
{
    (void)user;
    http_set_owner(x, &front_ops, NULL);
    if (wait_for_all) {
        waiting = x;
        loop_stop(loop);
        return;
    }
    front_pass(x, first_address ? first_address : back_address);
}

/* ---- the user: a client of ours with a body to send and an answer to compare */
struct result {
    int status, dones, error, interims;
    struct buffer body, hints;
    size_t to_send, sent;
    bool trailer, chunked, has_date, refused;
    char id[32];
};
static struct result result;

static void send_more(struct http_call *c)
{
    while (result.sent < result.to_send && !http_call_congested(c)) {
        size_t n = result.to_send - result.sent < 30000 ? result.to_send - result.sent : 30000;

        http_call_write(c, big + result.sent, n);
        result.sent += n;
        if (result.sent == result.to_send)
            http_call_end(c, send_trailers);
    }
}
static void user_head(struct http_call *c, const struct http_head *h)
{
    const struct str *id = http_head_get(h, "Rouse-Request-Id");

    (void)c;
    result.status = h->status;
    result.refused = http_head_get(h, "Rouse-Refused") != NULL;
    result.has_date = http_head_get(h, "Date") != NULL;
    ck_assert_ptr_null(http_head_get(h, "Keep-Alive"));
    if (id)
        snprintf(result.id, sizeof(result.id), "%.*s", (int)id->n, id->at);
}
static void user_body(struct http_call *c, const uint8_t *data, size_t n)
{
    (void)c;
    buffer_append(&result.body, data, n);
}
static void user_done(struct http_call *c, int error, bool sent)
{
    (void)sent;
    result.trailer = http_head_trailer(http_call_head(c), "X-Trailer") != NULL;
    result.error = error;
    result.dones++;
    loop_stop(loop);
}
static void user_interim(struct http_call *c, const struct http_head *h)
{
    const struct str *link = http_head_get(h, "Link");

    (void)c;
    ck_assert_int_eq(h->status, 103);
    ck_assert(!result.status); /* before the answer */
    result.interims++;
    buffer_append(&result.hints, link->at, link->n);
}
static const struct http_call_ops user_ops = {.on_interim = user_interim,
                                              .on_head = user_head,
                                              .on_body = user_body,
                                              .on_drained = send_more,
                                              .on_done = user_done};

static void start(void)
{
    struct http_server_options f = {.on_request = on_front}, b = {.on_request = on_back};

    big = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        big[i] = (uint8_t)(i * 2654435761u >> 13);
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(http_server_new(loop, &f, &front), 0);
    ck_assert_int_eq(http_server_new(loop, &b, &back), 0);
    ck_assert_int_eq(http_server_listen(front, "tcp://127.0.0.1:0", NULL), 0);
    ck_assert_int_eq(http_server_listen(back, "tcp://127.0.0.1:0", NULL), 0);
    http_server_address(front, front_address);
    http_server_address(back, back_address);
    ck_assert_int_eq(http_client_new(loop, NULL, &client), 0);
    ck_assert_int_eq(http_client_new(loop, NULL, &user_client), 0);
}
static void finish(void)
{
    http_server_free(front);
    http_server_free(back);
    http_client_free(client);
    http_client_free(user_client);
    loop_free(loop);
    buffer_done(&result.body);
    buffer_done(&result.hints);
    buffer_done(&seen_headers);
    buffer_done(&seen_trailers);
    free(big);
}
/* Starts a call to the front; `length` as in http_call_request, `n` bytes are sent. */
static void begin(const char *method, const char *target, int64_t length, size_t n)
{
    struct http_call *c;
    char headers[512];

    snprintf(headers, sizeof(headers),
             "Host: front\r\nX-Set: theirs\r\nRouse-Slot: forged\r\nX-Hop: 1\r\n"
             "Connection: x-hop\r\nX-Keep: 2\r\n%s",
             more_headers);
    buffer_done(&result.body);
    buffer_done(&result.hints);
    result = (struct result){.to_send = n};
    ck_assert_int_eq(http_call_start(user_client,
                                     &(struct http_call_request){.address = front_address,
                                                                 .method = str_of(method),
                                                                 .target = str_of(target),
                                                                 .headers = headers,
                                                                 .content_length = length},
                                     &user_ops, NULL, &c),
                     0);
    send_more(c);
}
static void run(void)
{
    while (!result.dones)
        loop_run(loop);
}
static void call(const char *method, const char *target, int64_t length, size_t n)
{
    begin(method, target, length, n);
    run();
}

START_TEST(headers_on_the_way)
{
    start();
    call("GET", "/echo?a=b", 0, 0);
    ck_assert_int_eq(result.status, 200);
    ck_assert_str_eq(result.id, "front");
    ck_assert(result.has_date);
    ck_assert_str_eq((char *)seen_headers.data,
                     "Host: front\nX-Keep: 2\nX-Set: mine\nRouse-Deadline: 5\n");
    ck_assert_int_eq(head_status, 200);
    ck_assert_int_eq(last_error, 0);
    call("HEAD", "/head", 0, 0);
    ck_assert_int_eq(result.status, 200);
    ck_assert_uint_eq(buffer_size(&result.body), 0);
    call("GET", "/head", 0, 0);
    ck_assert_uint_eq(buffer_size(&result.body), 5);
    ck_assert_uint_eq(http_server_stats(back)->accepted, 1); /* one kept connection */
    finish();
}
END_TEST

START_TEST(bodies_of_all_sizes_come_back)
{
    static const size_t sizes[] = {1, 1000, 65536, 65537, 300000, BIG};

    start();
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (int chunked = 0; chunked < 2; chunked++) {
            call("POST", "/echo", chunked ? -1 : (int64_t)sizes[i], sizes[i]);
            ck_assert_int_eq(result.error, 0);
            ck_assert_int_eq(result.status, 200);
            ck_assert_uint_eq(buffer_size(&result.body), sizes[i]);
            ck_assert_int_eq(memcmp(buffer_bytes(&result.body), big, sizes[i]), 0);
        }
    }
    finish();
}
END_TEST

START_TEST(a_held_body_is_sent_with_the_head)
{
    start();
    wait_for_all = true;
    begin("POST", "/echo", -1, 5);
    do
        loop_run(loop);
    while (!waiting);
    while (!http_held_all(waiting))
        run_once(loop);
    front_pass(waiting, back_address);
    run();
    ck_assert_uint_eq(buffer_size(&result.body), 5);
    finish();
}
END_TEST

START_TEST(a_big_answer_with_a_slow_client_is_bounded)
{
    struct peer slow;
    struct sockaddr_storage sa;
    socklen_t size;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;
    size_t before, stalled = 0;

    start();
    ck_assert_int_eq(address_parse(front_address, &sa, &size), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, size), 0);
    peer_init(&slow, loop, fd);
    loop_watch_cancel(loop, &slow.watch); /* it reads nothing for now */
    peer_send(&slow, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    do { /* until the back stops making progress */
        before = sender.at;
        for (int i = 0; i < 20; i++) {
            begin("GET", "/head", 0, 0);
            run();
        }
        stalled = sender.at == before && before ? stalled + 1 : 0;
    } while (stalled < 3);
    ck_assert_uint_lt(sender.at, BIG); /* the sockets' and the water marks' bytes, no more */
    ck_assert_int_eq(loop_watch_set(loop, &slow.watch, LOOP_READ), 0);
    peer_until(&slow, "X-Trailer: yes\r\n\r\n");
    ck_assert_uint_gt(buffer_size(&slow.got), BIG);
    peer_close(&slow);
    finish();
}
END_TEST

START_TEST(big_answers_with_length_and_chunked)
{
    start();
    call("GET", "/big?length", 0, 0);
    ck_assert_uint_eq(buffer_size(&result.body), BIG);
    ck_assert_int_eq(memcmp(buffer_bytes(&result.body), big, BIG), 0);
    call("GET", "/big", 0, 0);
    ck_assert_uint_eq(buffer_size(&result.body), BIG);
    ck_assert_int_eq(memcmp(buffer_bytes(&result.body), big, BIG), 0);
    ck_assert(result.trailer);
    finish();
}
END_TEST

START_TEST(refused_then_elsewhere)
{
    struct http_server_options o = {.on_request = on_back};
    struct http_server *dead;
    char dead_address[128];

    start();
    ck_assert_int_eq(http_server_new(loop, &o, &dead), 0);
    ck_assert_int_eq(http_server_listen(dead, "tcp://127.0.0.1:0", NULL), 0);
    http_server_address(dead, dead_address);
    http_server_free(dead);
    first_address = dead_address; /* nobody listens there: nothing was sent */
    call("POST", "/echo", 300000, 300000);
    ck_assert_int_eq(refusals, 1);
    ck_assert_str_eq(last_reason, "Connection refused");
    ck_assert_int_eq(result.status, 200);
    ck_assert_uint_eq(buffer_size(&result.body), 300000);

    refusals = 0;
    first_address = NULL;
    call("POST", "/refuse", 10, 10);
    ck_assert_int_eq(refusals, 1);
    ck_assert_str_eq(last_reason, "NoSlot");
    ck_assert_int_eq(result.status, 503);
    call("POST", "/refuse", 300000, 300000); /* longer than what is held: asked before it is sent */
    ck_assert_int_eq(refusals, 2);
    ck_assert_int_eq(result.status, 503);
    call("GET", "/busy", 0, 0); /* a 503 of the function itself is an answer */
    ck_assert_int_eq(refusals, 2);
    ck_assert_int_eq(result.status, 503);
    finish();
}
END_TEST

START_TEST(lost_before_and_in_the_middle_of_the_answer)
{
    start();
    call("GET", "/reset", 0, 0);
    ck_assert_int_eq(last_error, -ECONNRESET);
    ck_assert_int_eq(result.status, 502);
    call("GET", "/broken?now", 0, 0);
    ck_assert_int_eq(last_error, -ECONNRESET); /* aborted before its bytes left */
    call("GET", "/head", 0, 0);
    begin("GET", "/broken", 0, 0);
    while (!result.status)
        run_once(loop);
    http_abort(silent);
    run();
    ck_assert_int_eq(last_error, -EPIPE);
    ck_assert_int_eq(result.error, -ECONNRESET);
    finish();
}
END_TEST

START_TEST(time_out)
{
    start();
    deadline = loop_now(loop) + 30 * NS_PER_MS;
    call("GET", "/silent", 0, 0);
    ck_assert_int_eq(last_error, -ETIMEDOUT);
    ck_assert_int_eq(result.status, 504);
    finish();
}
END_TEST

static void leave_when(const char *request)
{
    struct peer p;
    struct sockaddr_storage sa;
    socklen_t size;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    start();
    ck_assert_int_eq(address_parse(front_address, &sa, &size), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, size), 0);
    peer_init(&p, loop, fd);
    peer_send(&p, request);
    while (!silent)
        loop_run(loop);
    peer_close(&p);
    while (!back_gone)
        loop_run(loop);
    ck_assert_int_eq(last_error, -ECANCELED);
    ck_assert_int_eq(dones, 1);
    finish();
    ck_assert_int_eq(exchange_dones, 1);
}

START_TEST(the_client_leaves_while_it_waits)
{
    leave_when("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
}
END_TEST

START_TEST(the_client_leaves_in_the_middle_of_a_long_body)
{
    leave_when("POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
}
END_TEST

static void connect_raw(struct peer *p)
{
    struct sockaddr_storage sa;
    socklen_t size;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(address_parse(front_address, &sa, &size), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, size), 0);
    peer_init(p, loop, fd);
}

START_TEST(a_small_body_that_comes_late_is_waited_for)
{
    struct peer p;

    start();
    connect_raw(&p);
    peer_send(&p, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n");
    while (http_server_stats(front)->requests == 0)
        run_once(loop);
    peer_send(&p, "abc");
    for (int i = 0; i < 10; i++)
        run_once(loop);
    ck_assert_int_eq(back_requests, 0);
    peer_send(&p, "def");
    peer_until(&p, "\r\n\r\nabcdef");
    ck_assert_ptr_null(strstr((char *)seen_headers.data, "Expect"));
    peer_close(&p);
    finish();
}
END_TEST

START_TEST(the_client_leaves_in_the_middle_of_a_small_body)
{
    struct peer p;

    start();
    connect_raw(&p);
    peer_send(&p, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    while (http_server_stats(front)->requests == 0)
        run_once(loop);
    peer_close(&p);
    while (!exchange_dones)
        run_once(loop);
    ck_assert_int_eq(last_error, -ECANCELED);
    ck_assert_int_eq(back_requests, 0);
    finish();
}
END_TEST

/* A program that is no peer: nothing it says is a refusal, and no body waits for its word. */
START_TEST(an_origin_is_not_asked)
{
    start();
    to_origin = true;
    call("GET", "/refuse", 0, 0);
    ck_assert_int_eq(refusals, 0);
    ck_assert_int_eq(result.status, 503);
    ck_assert(!result.refused);
    call("POST", "/echo", 300000, 300000);
    ck_assert_int_eq(result.status, 200);
    ck_assert_uint_eq(buffer_size(&result.body), 300000);
    ck_assert_ptr_null(strstr((char *)seen_headers.data, "Expect"));
    other_target = "/head?x";
    call("GET", "/function/ns/name/head?x", 0, 0);
    ck_assert_int_eq(result.status, 200);
    ck_assert_uint_eq(buffer_size(&result.body), 5);
    finish();
}
END_TEST

START_TEST(a_cancelled_one_gives_its_exchange_back)
{
    start();
    wait_for_all = true;
    begin("GET", "/silent", 0, 0);
    while (!waiting)
        loop_run(loop);
    front_pass(waiting, back_address);
    while (!silent)
        loop_run(loop);
    http_proxy_cancel(last_proxy);
    dones = 1; /* for front_exchange_done() */
    http_respond(waiting, 504, NULL, "late", 4);
    run();
    while (!back_gone)
        loop_run(loop);
    ck_assert_int_eq(result.status, 504);
    ck_assert_int_eq(dones, 1);
    ck_assert_int_eq(refusals, 0);
    finish();
}
END_TEST

/* RFC 9110 6.5: trailers go the whole way, without those that would frame or forge; so does the word
 * about them, and TE says upstream what the client said. */
START_TEST(trailers_go_with_a_request)
{
    static const size_t sizes[] = {3, 300000};

    start();
    send_trailers = "X-Sum: 5\r\nHost: x\r\nRouse-Slot: 1\r\nX-More: 6\r\n";
    more_headers = "Trailer: X-Sum\r\nTE: trailers, deflate;q=0.5\r\nConnection: te\r\n";
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        buffer_clear(&seen_trailers);
        call("POST", "/echo", -1, sizes[i]);
        ck_assert_uint_eq(buffer_size(&result.body), sizes[i]);
        buffer_append(&seen_trailers, "", 1);
        ck_assert_str_eq((char *)seen_trailers.data, "X-Sum: 5\nX-More: 6\n");
        ck_assert_ptr_nonnull(strstr((char *)seen_headers.data, "Trailer: X-Sum\n"));
        ck_assert_ptr_nonnull(strstr((char *)seen_headers.data, "TE: trailers\nConnection: TE\n"));
        ck_assert_ptr_null(strstr((char *)seen_headers.data, "deflate"));
    }
    call("POST", "/echo", 3, 3); /* nothing is announced that cannot come */
    ck_assert_ptr_null(strstr((char *)seen_headers.data, "Trailer:"));
    finish();
}
END_TEST

START_TEST(early_hints_go_before_the_answer)
{
    struct peer p;

    start();
    call("GET", "/hints", 0, 0);
    ck_assert_int_eq(result.interims, 2);
    ck_assert_int_eq(memcmp(buffer_bytes(&result.hints), "</a>; rel=preload</b>", 21), 0);
    ck_assert_int_eq(result.status, 200);
    to_origin = true;
    connect_raw(&p);
    peer_send(&p, "GET /hints HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_until(&p, "hello");
    ck_assert_int_eq(memcmp(buffer_bytes(&p.got),
                            "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
                            "HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\n",
                            110),
                     0);
    buffer_clear(&p.got);
    peer_send(&p, "GET /hints HTTP/1.0\r\n\r\n"); /* knows no 1xx */
    peer_until_eof(&p);
    ck_assert_int_eq(memcmp(buffer_bytes(&p.got), "HTTP/1.1 200 OK\r\n", 17), 0);
    peer_close(&p);
    finish();
}
END_TEST

UNIT_MAIN("proxy", headers_on_the_way, bodies_of_all_sizes_come_back,
          a_held_body_is_sent_with_the_head, a_big_answer_with_a_slow_client_is_bounded,
          big_answers_with_length_and_chunked, refused_then_elsewhere,
          lost_before_and_in_the_middle_of_the_answer, time_out, the_client_leaves_while_it_waits,
          the_client_leaves_in_the_middle_of_a_long_body, a_small_body_that_comes_late_is_waited_for,
          the_client_leaves_in_the_middle_of_a_small_body, an_origin_is_not_asked,
          a_cancelled_one_gives_its_exchange_back, trailers_go_with_a_request,
          early_hints_go_before_the_answer)
