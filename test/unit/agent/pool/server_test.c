/* Functions that are HTTP servers: found by their port in a network of their own, given exchanges as
 * they are, and what becomes of these when either side goes. */
#include "fixture.h"

#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>

enum { PORT = 8000 };

/* ---------------------------------------------------------------- a sandbox's network */

static int frames_fd, server_fd; /* made in there; the server does not listen yet */

static void *make_sockets(void *user)
{
    int *ret = user, family = *ret, one = 1;
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};

    *ret = unshare(CLONE_NEWNET) < 0 ? -errno : 0;
    if (*ret < 0)
        return NULL;
    frames_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    server_fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(ioctl(frames_fd, SIOCSIFFLAGS, &lo), 0);
    ck_assert_int_eq(setsockopt(server_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    return NULL;
}

static bool make_network(int family)
{
    pthread_t t;
    int r = family;

    ck_assert_int_eq(pthread_create(&t, NULL, make_sockets, &r), 0);
    pthread_join(t, NULL);
    if (r < 0)
        printf("skipped: no network namespace: %s\n", strerror(-r));
    return r == 0;
}

static void server_listen(int family)
{
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(PORT), .sin6_addr = IN6ADDR_LOOPBACK_INIT};

    ck_assert_int_eq(family == AF_INET ? bind(server_fd, (struct sockaddr *)&v4, sizeof(v4))
                                       : bind(server_fd, (struct sockaddr *)&v6, sizeof(v6)),
                     0);
    ck_assert_int_eq(listen(server_fd, 64), 0);
}

/* ---------------------------------------------------------------- the server, by hand */

/* The connection of the next request, when its head has come; empty connections (asking whether the
 * port accepts) are none. */
static struct peer next_conn;
static bool request_came(void *user)
{
    (void)user;
    if (next_conn.fd < 0) {
        next_conn = (struct peer){.fd = accept4(server_fd, NULL, NULL, SOCK_CLOEXEC)};
        if (next_conn.fd < 0)
            return false;
    }
    peer_read(&next_conn);
    if (next_conn.eof && !buffer_size(&next_conn.in)) {
        peer_close(&next_conn);
        return false;
    }
    return memmem(buffer_bytes(&next_conn.in), buffer_size(&next_conn.in), "\r\n\r\n", 4) != NULL;
}
static struct peer server_take(char *head, size_t size)
{
    struct peer taken;

    next_conn.fd = -1;
    wait_for(request_came, NULL);
    taken = next_conn;
    if (head)
        snprintf(head, size, "%.*s", (int)buffer_size(&taken.in),
                 (const char *)buffer_bytes(&taken.in));
    buffer_clear(&taken.in);
    next_conn = (struct peer){.fd = -1};
    return taken;
}
static void say(struct peer *p, const char *text)
{
    peer_send(p, text, strlen(text));
}
#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

static bool one_starts(uint32_t concurrency, uint32_t timeout_ms, int family)
{
    const struct revision_options o = {
        .concurrency = concurrency, .timeout_ms = timeout_ms, .port = PORT, .handler = "server.py"};

    if (!make_network(family))
        return false;
    begin();
    ck_assert_int_eq(desire(&o, "i-1", "", 0), 0);
    box_frames_fd = frames_fd;
    box_start("i-1");
    return true;
}
static bool one_ready(uint32_t concurrency, uint32_t timeout_ms)
{
    if (!one_starts(concurrency, timeout_ms, AF_INET))
        return false;
    server_listen(AF_INET);
    expect_sent("status i-1 Ready  slots=");
    return true;
}
static void finish(void)
{
    end();
    close(server_fd);
}

static bool peer_has_half(void *user)
{
    struct peer *p = user;

    peer_read(p);
    return memmem(buffer_bytes(&p->in), buffer_size(&p->in), "half", 4) != NULL;
}
static bool peer_has_head(void *user)
{
    struct peer *p = user;

    peer_read(p);
    return memmem(buffer_bytes(&p->in), buffer_size(&p->in), "GET /hello HTTP/1.1\r\n", 21) != NULL;
}
static bool stop_was_sent(void *user)
{
    return strstr(stops, user) != NULL;
}
static bool slot_is_free(void *user)
{
    (void)user;
    return pool_has_slot(pool, FUNCTION, "r1");
}

/* ---------------------------------------------------------------- the start */

START_TEST(ready_when_the_port_accepts)
{
    if (!one_starts(7, 0, AF_INET))
        return;
    expect_text(created, "argv=/var/task/server.py\n");
    expect_text(created, "PORT=8000\n");
    expect_no_text(created, "AWS_LAMBDA_RUNTIME_API");
    expect_sent("status i-1 Initializing");
    expect_not_sent("Ready");
    server_listen(AF_INET);
    expect_sent("status i-1 Ready  slots=7");
    ck_assert_uint_gt(last_phases.runtime, 0);
    finish();
}
END_TEST

START_TEST(a_server_on_the_other_loopback)
{
    if (!one_starts(1, 0, AF_INET6))
        return;
    server_listen(AF_INET6);
    expect_sent("status i-1 Ready  slots=1");
    finish();
}
END_TEST

START_TEST(one_that_never_listens)
{
    init_timeout_ns = 50 * NS_PER_MS;
    if (!one_starts(1, 0, AF_INET))
        return;
    expect_sent("status i-1 Failed InitTimeout");
    finish();
}
END_TEST

/* ---------------------------------------------------------------- exchanges */

START_TEST(a_request_as_it_is)
{
    char head[2048];
    struct peer c, s;

    if (!one_ready(1, 0))
        return;
    params.trace = "00-1-2-4";
    peer_connect_tcp(&c, front_port);
    say(&c, "POST /hello?a=%20b HTTP/1.1\r\nHost: example.org\r\nX-Id: req-9\r\nAccept: a\r\n"
            "X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\nRouse-Slot: 3\r\n"
            "traceparent: 00-1-2-3\r\nContent-Length: 4\r\n\r\nbody");
    s = server_take(head, sizeof(head));
    expect_text(head, "POST /hello?a=%20b HTTP/1.1\r\n");
    expect_text(head, "Host: example.org\r\n");
    expect_text(head, "X-Forwarded-For: 10.1.1.1, 127.0.0.1\r\n");
    expect_text(head, "X-Forwarded-Proto: https\r\n");
    expect_text(head, "X-Forwarded-Host: example.org\r\n");
    expect_text(head, "Rouse-Request-Id: req-9\r\n");
    expect_text(head, "Rouse-Deadline: ");
    expect_text(head, "traceparent: 00-1-2-4\r\n");
    expect_no_text(head, "00-1-2-3"); /* the entry's word, once */
    expect_no_text(head, "Rouse-Slot");
    expect_text(head, "\r\n\r\nbody");
    say(&s, "HTTP/1.1 201 Made\r\nX-Mine: 1\r\nRouse-Refused: no\r\nRouse-Request-Id: other\r\n"
            "Content-Length: 2\r\n\r\nok");
    expect_answer(&c, "HTTP/1.1 201", "X-Mine: 1\r\n");
    wait_for(outcomes_are, &(int){1});
    ck_assert_int_eq(outcome.status, 201);
    ck_assert(outcome.cold);
    /* The connection is kept for the next. */
    client_ask(&c, "req-2", NULL);
    wait_for(peer_has_head, &s);
    say(&s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
    expect_answer(&c, "HTTP/1.1 200", "Rouse-Request-Id: req-2\r\n");
    peer_close(&s);
    finish();
}
END_TEST

START_TEST(no_events)
{
    struct peer c;

    if (!one_ready(1, 0))
        return;
    params.shape = INVOKE_RAW;
    client_ask(&c, "req-1", "{}");
    expect_answer(&c, "HTTP/1.1 400", "\"reason\":\"NoEvents\"");
    finish();
}
END_TEST

START_TEST(slots_are_held_until_the_end)
{
    struct peer c[3], s[2];

    if (!one_ready(2, 0))
        return;
    client_ask(&c[0], "req-1", NULL);
    s[0] = server_take(NULL, 0);
    client_ask(&c[1], "req-2", NULL);
    s[1] = server_take(NULL, 0);
    client_ask(&c[2], "req-3", NULL);
    expect_answer(&c[2], "HTTP/1.1 503", "refused");
    ck_assert_int_eq(refusal, -EAGAIN);
    for (int i = 0; i < 2; i++) {
        say(&s[i], OK_ANSWER);
        expect_answer(&c[i], "HTTP/1.1 200", NULL);
        peer_close(&s[i]);
    }
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    finish();
}
END_TEST

/* ---------------------------------------------------------------- ends that nobody wanted */

START_TEST(closed_without_an_answer)
{
    struct peer c, s;

    if (!one_ready(1, 0))
        return;
    client_ask(&c, "req-1", NULL);
    s = server_take(NULL, 0);
    peer_close(&s);
    expect_answer(&c, "HTTP/1.1 502", "without an answer");
    ck_assert(!outcome.lost);
    client_ask(&c, "req-2", NULL);
    s = server_take(NULL, 0);
    say(&s, "220 smtp.example.org\r\n\r\n");
    expect_answer(&c, "HTTP/1.1 502", "\"reason\":\"InvalidAnswer\"");
    peer_close(&s);
    client_ask(&c, "req-3", NULL);
    s = server_take(NULL, 0);
    say(&s, OK_ANSWER);
    expect_answer(&c, "HTTP/1.1 200", NULL);
    peer_close(&s);
    finish();
}
END_TEST

/* The process is going, and nobody has told yet: what was not sent can go elsewhere. */
START_TEST(no_longer_listening)
{
    struct peer c;

    if (!one_ready(2, 0))
        return;
    close(server_fd);
    client_ask(&c, "req-1", NULL);
    expect_answer(&c, "HTTP/1.1 503", "refused late");
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    box_exit(box_of("i-1"), 3, 0, false);
    expect_sent("status i-1 Failed Error");
    end();
}
END_TEST

START_TEST(its_process_ended)
{
    struct peer c, s;
    struct box *b;

    if (!one_ready(1, 0))
        return;
    b = box_of("i-1");
    client_ask(&c, "req-1", NULL);
    s = server_take(NULL, 0);
    ck_assert_int_eq(write(b->err, "no such thing\n", 14), 14);
    peer_close(&s);
    close(server_fd);
    box_exit(b, 3, 0, false);
    expect_answer(&c, "HTTP/1.1 502", "\"reason\":\"InstanceLost\"");
    ck_assert(outcome.lost);
    expect_sent("status i-1 Failed Error");
    expect_text(last_message, "no such thing");
    end();
}
END_TEST

START_TEST(broken_off_in_the_middle)
{
    struct peer c, s;

    if (!one_ready(1, 0))
        return;
    client_ask(&c, "req-1", NULL);
    s = server_take(NULL, 0);
    say(&s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    wait_for(peer_has_half, &c);
    peer_close(&s);
    wait_for(peer_at_eof, &c);
    wait_for(outcomes_are, &(int){1});
    ck_assert_int_eq(outcome.status, 502);
    peer_close(&c);
    /* The slot is free when it is clear that the process did not end with it. */
    wait_for(slot_is_free, NULL);
    finish();
}
END_TEST

START_TEST(the_client_leaves)
{
    struct peer c, s;

    if (!one_ready(1, 0))
        return;
    client_ask(&c, "req-1", NULL);
    s = server_take(NULL, 0);
    peer_close(&c);
    wait_for(peer_at_eof, &s);
    wait_for(outcomes_are, &(int){1});
    ck_assert(outcome.client_gone);
    ck_assert(pool_has_slot(pool, FUNCTION, "r1"));
    peer_close(&s);
    finish();
}
END_TEST

START_TEST(a_time_out_ends_the_instance_of_one)
{
    struct peer c, s;

    if (!one_ready(1, 50))
        return;
    client_ask(&c, "req-1", NULL);
    s = server_take(NULL, 0);
    expect_answer(&c, "HTTP/1.1 504", "timed out after 0.05 seconds");
    wait_for(peer_at_eof, &s);
    ck_assert_str_eq(stops, "i-1 0\n");
    expect_sent("status i-1 Draining Timeout");
    peer_close(&s);
    finish();
}
END_TEST

START_TEST(time_outs_in_a_row_end_the_instance_of_many)
{
    struct peer c, s, late[3];

    if (!one_ready(2, 400))
        return;
    for (int i = 0; i < 3; i++) {
        if (i == 1) { /* an answer in between: it is not stuck */
            client_ask(&c, "req-ok", NULL);
            s = server_take(NULL, 0);
            say(&s, OK_ANSWER);
            expect_answer(&c, "HTTP/1.1 200", NULL);
            peer_close(&s);
        }
        expect_not_sent("Draining");
        client_ask(&c, "req-late", NULL);
        late[i] = server_take(NULL, 0);
        expect_answer(&c, "HTTP/1.1 504", "\"reason\":\"Timeout\"");
    }
    expect_sent("status i-1 Draining Timeout");
    ck_assert_str_eq(stops, "i-1 2000\n");
    for (int i = 0; i < 3; i++)
        peer_close(&late[i]);
    finish();
}
END_TEST

/* ---------------------------------------------------------------- upgrades */

struct expectation {
    struct peer *of;
    const char *text;
};
static bool peer_has(void *user)
{
    struct expectation *e = user;

    peer_read(e->of);
    return memmem(buffer_bytes(&e->of->in), buffer_size(&e->of->in), e->text, strlen(e->text)) !=
           NULL;
}
static void expect_bytes(struct peer *of, const char *text)
{
    wait_for(peer_has, (&(struct expectation){of, text}));
}

/* Both ends of a stream. */
static bool upgraded(uint32_t timeout_ms, struct peer *c, struct peer *s)
{
    char head[2048];

    if (!one_ready(1, timeout_ms))
        return false;
    peer_connect_tcp(c, front_port);
    say(c, "GET /hello HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           "Sec-WebSocket-Key: x\r\n\r\n");
    *s = server_take(head, sizeof(head));
    expect_text(head, "Upgrade: websocket\r\n");
    expect_text(head, "Sec-WebSocket-Key: x\r\n");
    say(s, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           "Sec-WebSocket-Accept: y\r\n\r\nfirst");
    expect_bytes(c, "Sec-WebSocket-Accept: y\r\n");
    expect_bytes(c, "\r\n\r\nfirst");
    wait_for(outcomes_are, &(int){1});
    ck_assert_int_eq(outcome.status, 101);
    ck_assert(!pool_has_slot(pool, FUNCTION, "r1"));
    return true;
}

static uint64_t wait_until_ns;
static bool time_has_come(void *user)
{
    (void)user;
    return clock_monotonic_ns() > wait_until_ns;
}

START_TEST(an_upgraded_stream_has_no_time_out)
{
    struct peer c, s;

    if (!upgraded(1000, &c, &s))
        return;
    wait_until_ns = clock_monotonic_ns() + 1100 * NS_PER_MS;
    wait_for(time_has_come, NULL);
    say(&c, "ping");
    expect_bytes(&s, "ping");
    say(&s, "pong");
    expect_bytes(&c, "firstpong");
    ck_assert_str_eq(stops, "");
    peer_close(&s);
    wait_for(peer_at_eof, &c);
    peer_close(&c);
    wait_for(slot_is_free, NULL);
    ck_assert_int_eq(outcomes, 1);
    finish();
}
END_TEST

START_TEST(the_client_of_a_stream_leaves)
{
    struct peer c, s;

    if (!upgraded(0, &c, &s))
        return;
    peer_close(&c);
    wait_for(peer_at_eof, &s);
    peer_close(&s);
    wait_for(slot_is_free, NULL);
    finish();
}
END_TEST

START_TEST(a_drain_ends_a_stream_at_its_limit)
{
    struct peer c, s;

    drain_limit_ns = 50 * NS_PER_MS;
    if (!upgraded(0, &c, &s))
        return;
    ck_assert_int_eq(desire(NULL, "", "i-1", sequence), 0);
    expect_sent("status i-1 Draining");
    ck_assert_str_eq(stops, "");
    wait_for(stop_was_sent, "i-1 2000\n");
    say(&s, "bye");
    expect_bytes(&c, "bye");
    box_exit(box_of("i-1"), 0, 15, false);
    expect_sent("status i-1 Stopped");
    wait_for(peer_at_eof, &c);
    peer_close(&c);
    peer_close(&s);
    finish();
}
END_TEST

UNIT_MAIN("server", ready_when_the_port_accepts, a_server_on_the_other_loopback,
          one_that_never_listens, a_request_as_it_is, no_events, slots_are_held_until_the_end,
          closed_without_an_answer, no_longer_listening, its_process_ended,
          broken_off_in_the_middle, the_client_leaves, a_time_out_ends_the_instance_of_one,
          time_outs_in_a_row_end_the_instance_of_many, an_upgraded_stream_has_no_time_out,
          the_client_of_a_stream_leaves, a_drain_ends_a_stream_at_its_limit)
