/* Handlers of HTTP: heads, streamed bodies, windows, ends; and agents that break the rules of them. */
#include "runtime-sdk/sdk/agent.h"

#include <semaphore.h>
#include <sys/mman.h>

enum { WINDOW = FRAME_WINDOW };

static sem_t *came; /* shared with the forked function */

static void share(void)
{
    came = mmap(NULL, sizeof(*came), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(came, MAP_FAILED);
    sem_init(came, 1, 0);
}

static int say(struct rouse_http_response *resp, const char *text)
{
    return rouse_http_write(resp, text, strlen(text), ROUSE_NEVER);
}

/* All that a request is, as text. */
static int describe(const struct rouse_http_request *req, struct rouse_http_response *resp)
{
    char text[1024];
    size_t n = 0;

    n += (size_t)snprintf(text + n, sizeof(text) - n, "%s|%s|%s|%s|%s|%s|%s|", req->method, req->path,
                          req->query, req->scheme, req->protocol, req->source_ip, req->route);
    for (size_t i = 0; i < req->header_count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s=%s|", req->headers[i].name,
                              req->headers[i].value);
    for (size_t i = 0; i < req->parameter_count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "{%s=%s}", req->parameters[i].name,
                              req->parameters[i].value);
    return rouse_http_write(resp, text, n, ROUSE_NEVER);
}

static int echo_body(struct rouse_http_request *req, struct rouse_http_response *resp)
{
    char data[50000];
    ssize_t n;
    int r = 0;

    while (r == 0 && (n = rouse_http_read(req, data, sizeof(data), ROUSE_NEVER)) > 0)
        r = rouse_http_write(resp, data, (size_t)n, ROUSE_NEVER);
    return r < 0 ? r : (int)n;
}

static int refused(struct rouse_http_response *resp)
{
    char text[256], *long_value = calloc(1, 70000);
    int n = 0, added = 0, r;

    memset(long_value, 'v', 69999);
    n += sprintf(text + n, "%d", rouse_http_status(resp, 199) == -EINVAL);
    n += sprintf(text + n, "%d", rouse_http_status(resp, 600) == -EINVAL);
    n += sprintf(text + n, "%d", rouse_http_add(resp, "", "x") == -EINVAL);
    n += sprintf(text + n, "%d", rouse_http_add(resp, "a b", "x") == -EINVAL);
    n += sprintf(text + n, "%d", rouse_http_add(resp, "a", "x\ny") == -EINVAL);
    n += sprintf(text + n, "%d", rouse_http_add(resp, "a", "\xff") == -EINVAL);
    n += sprintf(text + n, "%d", rouse_http_add(resp, "a", long_value) == -EMSGSIZE);
    free(long_value);
    for (r = 0; r == 0; added += r == 0)
        r = rouse_http_add(resp, "x", "y");
    n += sprintf(text + n, "%d", r == -EMSGSIZE && added == 100);
    r = rouse_http_write(resp, "", 0, 0);
    if (r < 0)
        return r;
    n += sprintf(text + n, "%d", rouse_http_status(resp, 200) == -EALREADY);
    n += sprintf(text + n, "%d", rouse_http_add(resp, "a", "b") == -EALREADY);
    return rouse_http_write(resp, text, (size_t)n, ROUSE_NEVER);
}

static int flood(struct rouse_http_response *resp)
{
    char *data = calloc(1, 2 * WINDOW);
    int r = rouse_http_write(resp, data, 2 * WINDOW, ROUSE_NEVER);

    free(data);
    return r;
}

static int serve(struct rouse_http_request *req, struct rouse_http_response *resp,
                 struct rouse_context *ctx)
{
    const char *what = req->path;
    char data[64];
    ssize_t n;

    if (!strcmp(what, "/describe") || rouse_http_parameter(req, "id"))
        return describe(req, resp);
    if (!strcmp(what, "/echo"))
        return echo_body(req, resp);
    if (!strcmp(what, "/head")) {
        rouse_http_status(resp, 404);
        rouse_http_add(resp, "Content-Type", "text/plain; q=\"1\"");
        rouse_http_add(resp, "x",
                       rouse_http_header(req, "X-ONE") ? rouse_http_header(req, "X-ONE") : "-");
        return rouse_http_header(req, "x-none") ? -EINVAL : 0;
    }
    if (!strcmp(what, "/refused"))
        return refused(resp);
    if (!strcmp(what, "/flood"))
        return flood(resp);
    if (!strcmp(what, "/fail"))
        return rouse_fail(ctx, "NotFound", "%s", "x");
    if (!strcmp(what, "/fail later")) {
        say(resp, "some");
        return -ENOENT;
    }
    if (!strcmp(what, "/wait")) {
        sem_post(came);
        n = rouse_http_read(req, data, sizeof(data), ROUSE_NEVER);
        sem_post(came);
        return (int)n;
    }
    if (!strcmp(what, "/sleep")) {
        sem_post(came);
        return rouse_sleep(ROUSE_NEVER);
    }
    if (!strcmp(what, "/too late")) {
        sem_post(came);
        (void)rouse_sleep(ROUSE_NEVER);
        return rouse_http_read(req, data, sizeof(data), ROUSE_NEVER) == -ECANCELED ? -EPIPE : -EIO;
    }
    if (!strcmp(what, "/hurry"))
        return (int)rouse_http_read(req, data, sizeof(data), rouse_after(ROUSE_MS));
    if (!strcmp(what, "/first")) { /* an answer that does not wait for its request */
        rouse_http_status(resp, 413);
        return say(resp, "too much");
    }
    return 0;
}

static void request(uint8_t flags, uint64_t id, const char *path)
{
    char head[256];
    int n = snprintf(head, sizeof(head),
                     "{\"method\":\"GET\",\"path\":\"%s\",\"headers\":[[\"x-one\",\"1\"]]}", path);

    put_invoke((uint8_t)(FRAME_HTTP | flags), id, head, (size_t)n);
}

static void begin_http(const char *more, unsigned credit)
{
    struct frame f;
    char hello[256];
    int n = snprintf(hello, sizeof(hello), "{\"protocol\":1%s}", more);

    begin_as(rouse_start_http, serve);
    expect(&f, FRAME_HELLO, 0, 0);
    ck_assert_ptr_nonnull(memmem(f.payload, f.length, ",\"http\":true}", 13));
    put_frame(FRAME_HELLO, 0, 0, hello, (size_t)n);
    expect(&f, FRAME_CREDIT, 0, 0);
    ck_assert_uint_eq(f.payload[0], credit);
}

#define PLAIN "{\"status\":200,\"headers\":[]}"

START_TEST(heads)
{
    static const char head[] =
        "{\"method\":\"PUT\",\"path\":\"/describe\",\"query\":\"a=1&b\",\"scheme\":\"https\",\"protocol\":\"HTTP/1.1\","
        "\"sourceIp\":\"192.0.2.7\",\"routeKey\":\"ANY /u/{id}\",\"later\":{\"x\":[1]},\"pathParameters\":{\"id\":\"7\","
        "\"z\":\"\\u0000\\u00e9\"},\"headers\":[[\"host\",\"h\"],[\"cookie\",\"a=\\\"1\\\"\"],[\"cookie\",\"\"]]}";

    begin_http("", 1);
    put_invoke(FRAME_HTTP | FRAME_FIN, 1, head, sizeof(head) - 1);
    expect_text(FRAME_RESPONSE, FRAME_HTTP, 1, PLAIN);
    expect_text(FRAME_BODY, 0, 1,
                "PUT|/describe|a=1&b|https|HTTP/1.1|192.0.2.7|ANY /u/{id}|host=h|cookie=a=\"1\"|cookie=|"
                "{id=7}{z=\xef\xbf\xbd\xc3\xa9}");
    expect_text(FRAME_END, 0, 1, "");
    request(FRAME_FIN, 2, "/head");
    expect_text(
        FRAME_RESPONSE, FRAME_HTTP | FRAME_FIN, 2,
        "{\"status\":404,\"headers\":[[\"Content-Type\",\"text/plain; q=\\\"1\\\"\"],[\"x\",\"1\"]]}");
    request(FRAME_FIN, 3, "/nothing");
    expect_text(FRAME_RESPONSE, FRAME_HTTP | FRAME_FIN, 3, PLAIN);
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(what_a_head_may_not_be)
{
    struct frame f;

    begin_http("", 1);
    request(FRAME_FIN, 1, "/refused");
    expect(&f, FRAME_RESPONSE, FRAME_HTTP, 1);
    expect_text(FRAME_BODY, 0, 1, "1111111111");
    expect_text(FRAME_END, 0, 1, "");
    ck_assert_int_eq(end(), 0);
}
END_TEST

static void grant(uint64_t id, uint32_t n)
{
    uint8_t credit[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};

    put_frame(FRAME_CREDIT, 0, id, credit, sizeof(credit));
}

static uint32_t credit_of(const struct frame *f)
{
    ck_assert_uint_eq(f->length, 4);
    return f->payload[0] | (uint32_t)f->payload[1] << 8 | (uint32_t)f->payload[2] << 16 |
           (uint32_t)f->payload[3] << 24;
}

/* Many windows' worth, both ways, within what was granted. */
START_TEST(bodies_are_streams)
{
    enum { ALL = 20 * WINDOW, PART = 40000 };
    char *data = malloc(ALL);
    size_t sent = 0, got = 0, may_send = WINDOW, may_come = WINDOW, taken = 0;
    bool ended = false;
    struct frame f;

    for (size_t i = 0; i < ALL; i++)
        data[i] = (char)(i * 31 >> 3);
    begin_http("", 1);
    request(0, 9, "/echo");
    put_frame(FRAME_BODY, 0, 9, data, 10);
    expect_text(FRAME_RESPONSE, FRAME_HTTP, 9, PLAIN);
    sent = 10;
    may_send -= sent;
    while (!ended) {
        while (sent < ALL && may_send) {
            size_t n = ALL - sent < PART ? ALL - sent : PART;

            n = n < may_send ? n : may_send;
            put_frame(FRAME_BODY, sent + n == ALL ? FRAME_FIN : 0, 9, data + sent, n);
            sent += n;
            may_send -= n;
        }
        ck_assert(get(&f));
        ck_assert_uint_eq(f.id, 9);
        if (f.type == FRAME_CREDIT) {
            may_send += credit_of(&f);
        } else if (f.type == FRAME_BODY) {
            ck_assert_uint_le(f.length, may_come);
            ck_assert(!memcmp(f.payload, data + got, f.length));
            got += f.length;
            may_come -= f.length;
            taken += f.length;
            if (taken > WINDOW / 2) {
                grant(9, (uint32_t)taken);
                may_come += taken;
                taken = 0;
            }
        } else {
            ck_assert_uint_eq(f.type, FRAME_END);
            ended = true;
        }
    }
    ck_assert_uint_eq(got, ALL);
    free(data);
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(a_writer_waits_for_the_window)
{
    size_t got = 0;
    struct frame f;

    begin_http(",\"concurrency\":2", 2);
    request(FRAME_FIN, 1, "/flood");
    expect(&f, FRAME_RESPONSE, FRAME_HTTP, 1);
    while (got < WINDOW) {
        expect(&f, FRAME_BODY, 0, 1);
        got += f.length;
    }
    ck_assert_uint_eq(got, WINDOW);
    request(FRAME_FIN, 2, "/nothing"); /* is next: the other one waits */
    expect_text(FRAME_RESPONSE, FRAME_HTTP | FRAME_FIN, 2, PLAIN);
    grant(1, 1);
    expect(&f, FRAME_BODY, 0, 1);
    ck_assert_uint_eq(f.length, 1);
    grant(1, WINDOW);
    for (got = 1; got < WINDOW; got += f.length)
        expect(&f, FRAME_BODY, 0, 1);
    ck_assert_uint_eq(got, WINDOW);
    expect_text(FRAME_END, 0, 1, "");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(failures)
{
    begin_http("", 1);
    request(FRAME_FIN, 1, "/fail");
    expect_text(FRAME_ERROR, 0, 1, ERROR_JSON("NotFound", "x"));
    request(FRAME_FIN, 2, "/fail later");
    expect_text(FRAME_RESPONSE, FRAME_HTTP, 2, PLAIN);
    expect_text(FRAME_BODY, 0, 2, "some");
    expect_text(FRAME_ERROR, 0, 2, ERROR_JSON("Error", "No such file or directory"));
    request(0, 3, "/hurry");
    expect_text(FRAME_ERROR, 0, 3, ERROR_JSON("Error", "Connection timed out"));
    ck_assert_int_eq(end(), 0);
}
END_TEST

/* The client has left: reading and writing end. The rest of its request is not waited for. */
START_TEST(cancel)
{
    struct frame f;

    share();
    begin_http(",\"concurrency\":2", 2);
    request(0, 1, "/wait");
    sem_wait(came);
    put_frame(FRAME_CANCEL, 0, 1, NULL, 0);
    expect_text(FRAME_ERROR, 0, 1, ERROR_JSON("Error", "Operation canceled"));
    sem_wait(came);
    put_frame(FRAME_BODY, FRAME_FIN, 1, "late", 4);
    request(0, 4, "/too late"); /* what had come by then is not handed out */
    sem_wait(came);
    put_frame(FRAME_BODY, FRAME_FIN, 4, "some", 4);
    put_frame(FRAME_CANCEL, 0, 4, NULL, 0);
    expect_text(FRAME_ERROR, 0, 4, ERROR_JSON("Error", "Broken pipe"));
    request(FRAME_FIN, 2, "/flood");
    expect(&f, FRAME_RESPONSE, FRAME_HTTP, 2);
    for (size_t got = 0; got < WINDOW; got += f.length)
        expect(&f, FRAME_BODY, 0, 2);
    put_frame(FRAME_CANCEL, 0, 2, NULL, 0);
    expect_text(FRAME_ERROR, 0, 2, ERROR_JSON("Error", "Operation canceled"));
    request(FRAME_FIN, 3, "/nothing");
    expect_text(FRAME_RESPONSE, FRAME_HTTP | FRAME_FIN, 3, PLAIN);
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(answers_before_the_request_is_complete)
{
    begin_http("", 1);
    request(0, 1, "/first");
    expect_text(FRAME_RESPONSE, FRAME_HTTP, 1, "{\"status\":413,\"headers\":[]}");
    expect_text(FRAME_BODY, 0, 1, "too much");
    expect_text(FRAME_END, 0, 1, "");
    put_frame(FRAME_BODY, 0, 1, "crossed", 7);
    grant(1, 5);
    request(FRAME_FIN, 2, "/nothing");
    expect_text(FRAME_RESPONSE, FRAME_HTTP | FRAME_FIN, 2, PLAIN);
    ck_assert_int_eq(end(), 0);
}
END_TEST

static void overrun(void)
{
    char *data = calloc(1, WINDOW + 1);

    put_frame(FRAME_BODY, 0, 1, data, WINDOW);
    put_frame(FRAME_BODY, 0, 1, data, 1);
    free(data);
}
static void no_credit(void)
{
    grant(1, 0);
}
static void much_credit(void)
{
    grant(1, INT32_MAX);
}
static void short_credit(void)
{
    put_frame(FRAME_CREDIT, 0, 1, "xx", 2);
}
static void an_event(void)
{
    put_invoke(FRAME_FIN, 2, "{}", 2);
}
static void same_id(void)
{
    request(FRAME_FIN, 1, "/nothing");
}
static void bad_head(void)
{
    put_invoke(FRAME_HTTP | FRAME_FIN, 2, "{\"headers\":[[\"a\"]]}", 18);
}
static void no_method(void)
{
    put_invoke(FRAME_HTTP | FRAME_FIN, 2, "{}", 2);
}
static void many_headers(void)
{
    cleanup_buffer struct buffer b = {0};

    buffer_puts(&b, "{\"method\":\"GET\",\"headers\":[[\"a\",\"b\"]");
    for (int i = 0; i < 1000; i++)
        buffer_puts(&b, ",[\"a\",\"b\"]");
    buffer_puts(&b, "]}");
    put_invoke(FRAME_HTTP | FRAME_FIN, 2, (const char *)buffer_bytes(&b), buffer_size(&b));
}

static const struct {
    void (*fn)(void);
    int error;
} broken[] = {
    {overrun, EPROTO},       {no_credit, EPROTO},  {much_credit, EPROTO},
    {short_credit, EBADMSG}, {an_event, EPROTO},   {same_id, EPROTO},
    {bad_head, EBADMSG},     {no_method, EBADMSG}, {many_headers, EMSGSIZE},
};
enum { BROKEN = sizeof(broken) / sizeof(broken[0]) };

START_TEST(broken_agents)
{
    share();
    begin_http(",\"concurrency\":4", 4);
    request(0, 1, "/sleep");
    sem_wait(came);
    broken[_i].fn();
    check_exit(end(), broken[_i].error);
}
END_TEST

int main(void)
{
    SRunner *r;
    TCase *tc = unit_case("http", &r);

    tcase_add_test(tc, heads);
    tcase_add_test(tc, what_a_head_may_not_be);
    tcase_add_test(tc, bodies_are_streams);
    tcase_add_test(tc, a_writer_waits_for_the_window);
    tcase_add_test(tc, failures);
    tcase_add_test(tc, cancel);
    tcase_add_test(tc, answers_before_the_request_is_complete);
    tcase_add_loop_test(tc, broken_agents, 0, BROKEN);
    return unit_run(r);
}
