/* The front between a raw client, an activator that does as it is told, and a node that is an HTTP
 * server. */
#include "activator/front.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/server.h"
#include "unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct rig {
    struct front *front;
    struct loop *node_loop;
    struct http_server *node;
    char front_address[128], node_address[128];
    pthread_t front_thread, node_thread;
    /* the activator; on the front's thread, read after the answer has come */
    struct grant grant;
    bool hold; /* says nothing */
    char key[64], method[16], path[64];
    _Atomic unsigned submits, cancels;
    uint32_t attempt;
    /* the node; on its thread */
    unsigned refuse; /* this many first */
    char seen[2048];
};
static struct rig rig;

static void carry_back(struct mail *m)
{
    struct front_ticket *t = container_of(m, struct front_ticket, mail);

    t->on_answer(t);
}

static void carry_released(struct mail *m)
{
    struct front_ticket *t = container_of(m, struct front_ticket, cancel_mail);

    t->on_released(t);
}

static void submit(void *user, struct front_ticket *t)
{
    struct rig *r = user;

    snprintf(r->key, sizeof(r->key), "%s", t->function_key);
    snprintf(r->method, sizeof(r->method), "%s", t->method);
    snprintf(r->path, sizeof(r->path), "%s", t->path);
    r->attempt = t->attempt;
    t->grant = r->grant;
    t->mail.fn = carry_back;
    if (!r->hold)
        loop_post(t->home, &t->mail);
    r->submits++;
}

static void cancelled(void *user, struct front_ticket *t)
{
    struct rig *r = user;

    t->cancel_mail.fn = carry_released;
    loop_post(t->home, &t->cancel_mail);
    r->cancels++;
}

static void on_request(struct http_exchange *x, void *user)
{
    struct rig *r = user;
    const struct http_head *h = http_head(x);
    size_t n = 0;

    if (r->refuse) {
        r->refuse--;
        http_respond(x, 503, "Rouse-Refused: stale\r\n", NULL, 0);
        return;
    }
    r->seen[0] = 0;
    for (size_t i = 0; i < h->header_count && n < sizeof(r->seen); i++)
        n += (size_t)snprintf(r->seen + n, sizeof(r->seen) - n, "%.*s: %.*s\n",
                              (int)h->headers[i].name.n, h->headers[i].name.at,
                              (int)h->headers[i].value.n, h->headers[i].value.at);
    http_respond(x, 200, "Content-Type: text/plain\r\n", "served", 6);
}

static void *run_front(void *user)
{
    front_run(((struct rig *)user)->front);
    return NULL;
}

static void *run_node(void *user)
{
    loop_run(((struct rig *)user)->node_loop);
    return NULL;
}

static struct http_timeouts clients; /* of the next front */

static void start(void)
{
    struct front_config c = {.address = "tcp://127.0.0.1:0",
                             .token = "letmein",
                             .peer_secret = "s3cret",
                             .clients = clients,
                             .submit = submit,
                             .cancel = cancelled,
                             .user = &rig};
    struct http_server_options o = {.on_request = on_request, .user = &rig};

    ck_assert_int_eq(loop_new(&rig.node_loop), 0);
    ck_assert_int_eq(http_server_new(rig.node_loop, &o, &rig.node), 0);
    ck_assert_int_eq(http_server_listen(rig.node, "tcp://127.0.0.1:0", NULL), 0);
    http_server_address(rig.node, rig.node_address);
    ck_assert_int_eq(front_new(&c, &rig.front), 0);
    front_address(rig.front, rig.front_address);
    rig.grant = (struct grant){.granted = true,
                               .function_key = "default/hello",
                               .revision = "r1",
                               .instance = "i1",
                               .slot = 42,
                               .timeout_ms = 3000,
                               .body_limit = 1000};
    strcpy(rig.grant.peer_address, rig.node_address);
    pthread_create(&rig.node_thread, NULL, run_node, &rig);
    pthread_create(&rig.front_thread, NULL, run_front, &rig);
}

static void stop(void)
{
    front_stop(rig.front);
    pthread_join(rig.front_thread, NULL);
    loop_stop(rig.node_loop);
    pthread_join(rig.node_thread, NULL);
    front_free(rig.front);
    http_server_free(rig.node);
    loop_free(rig.node_loop);
}

static int dial(void)
{
    struct sockaddr_storage sa;
    socklen_t size;
    int fd;

    ck_assert_int_eq(address_parse(rig.front_address, &sa, &size), 0);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, size), 0);
    return fd;
}

/* One request on a connection of its own; the whole answer. */
static const char *call(const char *request)
{
    static char answer[4096];
    int fd = dial();
    size_t n = 0;
    ssize_t r;

    ck_assert_int_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while (n < sizeof(answer) - 1 && (r = read(fd, answer + n, sizeof(answer) - 1 - n)) > 0)
        n += (size_t)r;
    answer[n] = 0;
    close(fd);
    return answer;
}

struct question {
    struct mail mail;
    struct buffer text;
    sem_t answered;
};
static void on_question(struct mail *m)
{
    struct question *q = container_of(m, struct question, mail);

    front_metrics(rig.front, &q->text);
    sem_post(&q->answered);
}
/* What the front says of itself, on its own thread; the caller's. */
static char *figures(void)
{
    struct question q = {.mail.fn = on_question};

    sem_init(&q.answered, 0, 0);
    loop_post(front_loop(rig.front), &q.mail);
    while (sem_wait(&q.answered) < 0)
        ;
    sem_destroy(&q.answered);
    return buffer_take_string(&q.text);
}

#define END "Host: h\r\nConnection: close\r\n\r\n"

START_TEST(granted)
{
    const char *a;
    char *text;

    start();
    a = call("GET /hello?x=1 HTTP/1.1\r\nRouse-Trusted: 7\r\nAuthorization: Bearer "
             "letmein\r\nX-Mine: yes\r\n" END);
    ck_assert_ptr_nonnull(strstr(a, "HTTP/1.1 200"));
    ck_assert_ptr_nonnull(strstr(a, "served"));
    ck_assert_ptr_nonnull(strcasestr(a, "Rouse-Request-Id: "));
    ck_assert_str_eq(rig.key, "");
    ck_assert_str_eq(rig.method, "GET");
    ck_assert_str_eq(rig.path, "/hello");
    ck_assert_ptr_nonnull(strstr(rig.seen, "Rouse-Peer: s3cret\n"));
    ck_assert_ptr_nonnull(strstr(rig.seen, "Rouse-Function: default/hello\n"));
    ck_assert_ptr_nonnull(strstr(rig.seen, "Rouse-Revision: r1\n"));
    ck_assert_ptr_nonnull(strstr(rig.seen, "Rouse-Slot: 42\n"));
    ck_assert_ptr_nonnull(strstr(rig.seen, "Rouse-Shape: http\n"));
    ck_assert_ptr_nonnull(strstr(rig.seen, "Rouse-Path: /hello\n"));
    ck_assert_ptr_nonnull(strstr(rig.seen, "Rouse-Trusted: 1\n"));
    ck_assert_ptr_null(strstr(rig.seen, "Rouse-Trusted: 7"));
    ck_assert_ptr_null(strstr(rig.seen, "Rouse-Route"));
    ck_assert_ptr_null(strstr(rig.seen, "letmein"));
    ck_assert_ptr_nonnull(strstr(rig.seen, "X-Mine: yes\n"));
    text = figures();
    ck_assert_ptr_nonnull(strstr(text, "\nrouse_front_requests_total 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nrouse_front_accepted_total 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nrouse_http_client_calls_total{client=\"front\"} 1\n"));
    free(text);
    stop();
    ck_assert_uint_eq(rig.cancels, 0);
}
END_TEST

/* By default it would be longer than a test may take. */
START_TEST(an_idle_client_is_cut_as_configured)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
    char bytes[4096];
    ssize_t n = 1;
    int fd;

    clients = (struct http_timeouts){.idle_ns = 20 * NS_PER_MS};
    start();
    fd = dial();
    ck_assert_int_eq(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    while (n > 0)
        n = read(fd, bytes, sizeof(bytes));
    ck_assert_int_eq(n, 0);
    close(fd);
    stop();
}
END_TEST

START_TEST(by_name)
{
    start();
    rig.grant.route = "GET /{x}";
    ck_assert_ptr_nonnull(strstr(call("GET /y HTTP/1.1\r\n" END), "served"));
    ck_assert_ptr_nonnull(strstr(rig.seen, "Rouse-Route: GET /{x}\n"));
    call("GET /function/prod/a-b/../c HTTP/1.1\r\n" END);
    ck_assert_str_eq(rig.key, "");
    rig.grant.route = NULL;
    ck_assert_ptr_nonnull(strstr(call("GET /function/prod/a-b/c/d HTTP/1.1\r\n" END), "served"));
    ck_assert_str_eq(rig.key, "prod/a-b");
    ck_assert_ptr_nonnull(strstr(rig.seen, "Rouse-Path: /c/d\n"));
    ck_assert_ptr_nonnull(
        strstr(call("POST /2015-03-31/functions/hello/invocations HTTP/1.1\r\nContent-Length: 2\r\n"
                    "Host: h\r\nConnection: close\r\n\r\n{}"),
               "served"));
    ck_assert_str_eq(rig.key, "default/hello");
    ck_assert_ptr_nonnull(strstr(rig.seen, "Rouse-Shape: raw\n"));
    ck_assert_ptr_nonnull(strstr(
        call("GET /2015-03-31/functions/hello/invocations HTTP/1.1\r\n" END), "HTTP/1.1 405"));
    ck_assert_ptr_nonnull(
        strstr(call("POST /2015-03-31/functions/hello/invocations HTTP/1.1\r\nContent-Length: 0\r\n"
                    "X-Amz-Invocation-Type: Event\r\n" END),
               "HTTP/1.1 400"));
    stop();
}
END_TEST

START_TEST(refused_by_the_activator)
{
    const char *a;

    start();
    rig.grant = (struct grant){.status = 405,
                               .reason = "MethodNotAllowed",
                               .message = "no \"GET\"",
                               .allow = "POST",
                               .retry_after_s = 3};
    a = call("GET /hello HTTP/1.1\r\n" END);
    ck_assert_ptr_nonnull(strstr(a, "HTTP/1.1 405"));
    ck_assert_ptr_nonnull(strstr(a, "Allow: POST\r\n"));
    ck_assert_ptr_nonnull(strstr(a, "Retry-After: 3\r\n"));
    ck_assert_ptr_nonnull(strstr(
        a, "{\"reason\":\"MethodNotAllowed\",\"message\":\"no \\\"GET\\\"\",\"requestId\":\""));
    stop();
}
END_TEST

START_TEST(refused_by_the_owner)
{
    start();
    rig.refuse = 2;
    ck_assert_ptr_nonnull(strstr(
        call("POST /hello HTTP/1.1\r\nContent-Length: 3\r\nHost: h\r\nConnection: close\r\n\r\nabc"),
        "served"));
    ck_assert_uint_eq(rig.submits, 3);
    ck_assert_uint_eq(rig.attempt, 2);
    stop();
}
END_TEST

START_TEST(too_large)
{
    const char *said;

    start();
    said = call("POST /hello HTTP/1.1\r\nContent-Length: 1001\r\n" END);
    ck_assert_ptr_nonnull(strstr(said, "HTTP/1.1 413"));
    ck_assert_ptr_nonnull(strstr(said, "over the function's limit: 1000 bytes"));
    stop();
    ck_assert_uint_eq(rig.cancels, 1); /* its slot is for others */
}
END_TEST

START_TEST(client_leaves)
{
    int fd;
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";

    start();
    rig.hold = true;
    fd = dial();
    ck_assert_int_eq(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    while (!rig.submits)
        sched_yield();
    close(fd);
    while (!rig.cancels)
        sched_yield();
    stop();
}
END_TEST

START_TEST(stopped_while_one_waits)
{
    int fd;
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
    char answer[1024] = "";

    start();
    rig.hold = true;
    fd = dial();
    ck_assert_int_eq(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    while (!rig.submits)
        sched_yield();
    stop();
    ck_assert_int_gt(read(fd, answer, sizeof(answer) - 1), 0);
    ck_assert_ptr_nonnull(strstr(answer, "HTTP/1.1 503"));
    ck_assert_ptr_nonnull(strstr(answer, "ShuttingDown"));
    close(fd);
}
END_TEST

UNIT_MAIN("front", an_idle_client_is_cut_as_configured, granted, by_name, refused_by_the_activator,
          refused_by_the_owner, too_large, client_leaves, stopped_while_one_waits)
