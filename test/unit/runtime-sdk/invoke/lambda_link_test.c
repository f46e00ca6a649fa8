/* Links against runtimes of the Lambda Runtime API, on loopback TCP. */
#include "link_fixture.h"

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

static void expect_metrics(const char *body, const char *status, const char *part)
{
    char text[12000], *answer;

    snprintf(text, sizeof(text),
             "POST /rouse/v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    http_ask(&rt, text);
    answer = http_take(&rt);
    expect_text(answer, status);
    expect_text(answer, part);
    free(answer);
}

START_TEST(lambda_metrics)
{
    static const struct {
        const char *body, *part;
    } refused[] = {
        {"{\"a\":1,\"B\":2}", "metric B: a metric's name is [a-z_][a-z0-9_]{0,62}"},
        {"{\"a\":1,\"b\":-1}", "metric b: a metric's value is a number from 0 to 1e18"},
        {"{\"a\":1,\"b\":1e19}", "from 0 to 1e18"},
        {"{\"a\":1,\"b\":\"1\"}", "metric b: a metric's value is a number"},
        {"{\"a\":1,\"b\":null}", "metric b: a metric's value is a number"},
        {"{\"a\":1,\"requests_per_second\":1}", "the platform's own"},
        {"{\"a\":1,\"\\u0000\":1}", "metric : a metric's name"},
        {"{\"a\":NaN}", "not a JSON object of numbers"},
        {"{\"a\":{\"b\":{}}}", "not a JSON object of numbers"},
        {"[1]", "not a JSON object of numbers"},
        {"", "not a JSON object of numbers"},
        {"{\"a\":1", "not a JSON object of numbers"},
    };
    char big[9000];

    begin(false, true, 1);
    peer_connect_tcp(&rt, port);
    expect_metrics("{\"queue_length\": 12, \"lag_seconds\": 0.5}", "HTTP/1.1 202",
                   "{\"status\":\"OK\"}");
    expect_said("hello\nmetric queue_length 12: -\nmetric lag_seconds 0.5: -\n");
    said[0] = '\0';
    expect_metrics("{\"queue_length\": 12, \"lag_seconds\": 1}", "HTTP/1.1 202", "");
    ck_assert_str_eq(said, "metric lag_seconds 1: -\n");
    said[0] = '\0';
    expect_metrics("{}", "HTTP/1.1 202", "");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        expect_metrics(refused[i].body, "HTTP/1.1 400", "InvalidMetric");
        expect_metrics(refused[i].body, "HTTP/1.1 400", refused[i].part);
    }
    memset(big, ' ', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    expect_metrics(big, "HTTP/1.1 413", "RequestEntityTooLarge");
    ck_assert_str_eq(said, ""); /* nothing of what was refused was taken */
    ck_assert_uint_eq(runtime_link_gauges(l)->count, 2);
    peer_close(&rt);
    peer_connect_tcp(&rt, port);
    http_ask(&rt, "GET /rouse/v1/metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    free(http_take(&rt));
    http_ask(&rt, NEXT);
    expect_said("credit 1\n");
    end();
}
END_TEST

UNIT_MAIN("lambda_link", lambda_metrics, lambda_has_no_hooks, lambda_whole_way, lambda_error_types,
          lambda_chunked_with_trailers, lambda_limits_and_modes, lambda_posts_to_nobody,
          lambda_init_error_and_extension, lambda_unknown_paths, lambda_several_pollers,
          whoever_speaks_first_wins)
