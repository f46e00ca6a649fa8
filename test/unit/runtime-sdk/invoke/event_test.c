#include "base/utf8.h"
#include "invoke/event.h"
#include "invoke/text.h"
#include "unit.h"

#include <json-c/json.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct pair {
    const char *name, *value;
};

static struct str view(const char *s)
{
    return (struct str){s, strlen(s)};
}

/* The traceparent in force in the next events. */
static const char *trace;

static struct json_object *build(const char *query, const struct pair *headers, const void *body,
                                 size_t n)
{
    static struct http_head h;
    struct event_clock clock = {0};
    struct buffer b = {0};
    struct event_request r = {
        .head = &h,
        .raw_path = STR("/hello/a%20b"),
        .function = "hello",
        .request_id = "req-1",
        .trace = trace,
        .client_ip = "10.0.0.7",
        .body = body,
        .body_size = n,
        .now_ms = 1583348638390,
        .clock = &clock,
    };
    struct json_object *o;
    char *text;

    h = (struct http_head){.method = STR("POST"), .minor = 1, .host = STR("api.example.org")};
    h.query = view(query);
    for (; headers && headers->name; headers++)
        h.headers[h.header_count++] = (struct http_header){view(headers->name), view(headers->value)};
    ck_assert_int_eq(event_append(&b, &r), 0);
    ck_assert(utf8_valid(buffer_bytes(&b), buffer_size(&b)));
    text = buffer_take_string(&b);
    o = json_tokener_parse(text);
    ck_assert_msg(o != NULL, "not JSON: %s", text);
    free(text);
    return o;
}

static const char *at(struct json_object *o, const char *path)
{
    char copy[128], *save = NULL;

    snprintf(copy, sizeof(copy), "%s", path);
    for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save))
        if (!json_object_object_get_ex(o, part, &o))
            return NULL;
    return json_object_get_string(o);
}

START_TEST(fixed_fields)
{
    const struct pair headers[] = {{"User-Agent", "curl/8"}, {"Host", "api.example.org"}, {0}};
    static const struct pair wanted[] = {
        {"version", "2.0"},
        {"routeKey", "$default"},
        {"rawPath", "/hello/a%20b"},
        {"rawQueryString", ""},
        {"isBase64Encoded", "false"},
        {"headers/user-agent", "curl/8"},
        {"requestContext/apiId", "hello"},
        {"requestContext/accountId", "anonymous"},
        {"requestContext/domainName", "api.example.org"},
        {"requestContext/domainPrefix", "api"},
        {"requestContext/http/method", "POST"},
        {"requestContext/http/path", "/hello/a%20b"},
        {"requestContext/http/protocol", "HTTP/1.1"},
        {"requestContext/http/sourceIp", "10.0.0.7"},
        {"requestContext/http/userAgent", "curl/8"},
        {"requestContext/requestId", "req-1"},
        {"requestContext/stage", "$default"},
        {"requestContext/time", "04/Mar/2020:19:03:58 +0000"},
        {"requestContext/timeEpoch", "1583348638390"},
    };
    struct json_object *o = build("", headers, NULL, 0);

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        const char *got = at(o, wanted[i].name);

        ck_assert_msg(got && !strcmp(got, wanted[i].value), "%s: %s", wanted[i].name,
                      got ? got : "(absent)");
    }
    ck_assert_ptr_null(at(o, "body"));
    ck_assert_ptr_null(at(o, "cookies"));
    ck_assert_ptr_null(at(o, "queryStringParameters"));
    json_object_put(o);
}
END_TEST

#define MINE   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define THEIRS "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

START_TEST(the_trace_in_force)
{
    static const struct {
        struct pair headers[4];
        const char *trace, *parent, *state;
    } rows[] = {
        {{{"Accept", "a"}}, MINE, MINE, NULL},
        {{{"Accept", "a"}}, NULL, NULL, NULL},
        {{{"Accept", "a"}, {"TraceParent", "junk"}, {"tracestate", "a=1"}}, MINE, MINE, NULL},
        {{{"traceparent", THEIRS "-more"}, {"Accept", "a"}}, MINE, MINE, NULL},
        {{{"traceparent", "junk"}, {"Accept", "a"}}, NULL, NULL, NULL},
        {{{"traceparent", THEIRS}, {"traceparent", THEIRS}, {"Accept", "a"}}, MINE, MINE, NULL},
        {{{"tracestate", "a=1"}, {"Accept", "a"}}, MINE, MINE, NULL},
        {{{"traceparent", THEIRS}, {"tracestate", "a=1"}, {"Accept", "a"}}, THEIRS, THEIRS, "a=1"},
        {{{"tracestate", "a="}, {"Accept", "a"}, {"traceparent", THEIRS}}, THEIRS, THEIRS, NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pair headers[5] = {0};
        const char *parent, *state;
        struct json_object *o;

        memcpy(headers, rows[i].headers, sizeof(rows[i].headers));
        trace = rows[i].trace;
        o = build("", headers, NULL, 0);
        parent = at(o, "headers/traceparent");
        state = at(o, "headers/tracestate");
        ck_assert_str_eq(at(o, "headers/accept"), "a");
        ck_assert_msg(parent && rows[i].parent ? !strcmp(parent, rows[i].parent)
                                               : !parent && !rows[i].parent,
                      "row %zu: traceparent %s", i, parent ? parent : "(absent)");
        ck_assert_msg(state && rows[i].state ? !strcmp(state, rows[i].state)
                                             : !state && !rows[i].state,
                      "row %zu: tracestate %s", i, state ? state : "(absent)");
        json_object_put(o);
    }
    trace = NULL;
}
END_TEST

START_TEST(headers_and_cookies)
{
    const struct pair headers[] = {{"X-Multi", "a"},          {"Accept", "*/*"},
                                   {"x-MULTI", "b, c"},       {"Cookie", "k=v; l=w"},
                                   {"cookie", "m=x"},         {"Connection", "keep-alive"},
                                   {"Rouse-Slot", "7"},       {"Transfer-Encoding", "chunked"},
                                   {"X-Latin", "gr\xfc\xdf"}, {"X-Utf", "gr\xc3\xbc\xc3\x9f"},
                                   {"X-Quote", "a\"b\\c\td"}, {0}};
    struct json_object *o = build("", headers, NULL, 0);

    ck_assert_str_eq(at(o, "headers/x-multi"), "a,b, c");
    ck_assert_str_eq(at(o, "headers/accept"), "*/*");
    ck_assert_ptr_null(at(o, "headers/cookie"));
    ck_assert_ptr_null(at(o, "headers/connection"));
    ck_assert_ptr_null(at(o, "headers/rouse-slot"));
    ck_assert_ptr_null(at(o, "headers/transfer-encoding"));
    ck_assert_str_eq(at(o, "headers/x-latin"), "gr\xc3\xbc\xc3\x9f");
    ck_assert_str_eq(at(o, "headers/x-utf"), "gr\xc3\xbc\xc3\x9f");
    ck_assert_str_eq(at(o, "headers/x-quote"), "a\"b\\c\td");
    ck_assert_str_eq(at(o, "cookies"), "[ \"k=v\", \"l=w\", \"m=x\" ]");
    json_object_put(o);
}
END_TEST

START_TEST(query_parameters)
{
    static const struct {
        const char *query, *name, *value;
    } rows[] = {
        {"a=1", "a", "1"},
        {"a=1&b=2&a=3", "a", "1,3"},
        {"a=1&b=2&a=3", "b", "2"},
        {"flag", "flag", ""},
        {"x=", "x", ""},
        {"q=a+b%20c", "q", "a b c"},
        {"q=100%", "q", "100%"},
        {"q=%zz", "q", "%zz"},
        {"q=%C3%BC", "q", "\xc3\xbc"},
        {"q=%FC", "q", "\xc3\xbc"},
        {"a%3Db=c%26d", "a=b", "c&d"},
        {"&&a=1&&", "a", "1"},
        {"a=b=c", "a", "b=c"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_object *o = build(rows[i].query, NULL, NULL, 0), *p, *v;

        ck_assert_msg(json_object_object_get_ex(o, "queryStringParameters", &p), "%s", rows[i].query);
        ck_assert_msg(json_object_object_get_ex(p, rows[i].name, &v), "%s", rows[i].query);
        ck_assert_str_eq(json_object_get_string(v), rows[i].value);
        ck_assert_str_eq(at(o, "rawQueryString"), rows[i].query);
        json_object_put(o);
    }
}
END_TEST

START_TEST(many_parameters_are_bounded)
{
    char query[HTTP_TARGET_MAX];
    size_t n = 0;
    struct json_object *o, *p;

    while (n + 8 < sizeof(query))
        n += (size_t)snprintf(query + n, sizeof(query) - n, "a%zu&", n % 1500);
    query[n - 1] = '\0';
    o = build(query, NULL, NULL, 0);
    ck_assert(json_object_object_get_ex(o, "queryStringParameters", &p));
    ck_assert_int_le(json_object_object_length(p), 1024);
    json_object_put(o);
}
END_TEST

START_TEST(bodies)
{
    const struct pair gzip[] = {{"Content-Encoding", "gzip"}, {0}};
    static const uint8_t binary[] = {0xff, 0x00, 0x10};
    struct json_object *o = build("", NULL, "{\"a\":\"\xc3\xbc\"}\n", 12);

    ck_assert_str_eq(at(o, "body"), "{\"a\":\"\xc3\xbc\"}\n");
    ck_assert_str_eq(at(o, "isBase64Encoded"), "false");
    json_object_put(o);
    o = build("", NULL, binary, sizeof(binary));
    ck_assert_str_eq(at(o, "body"), "/wAQ");
    ck_assert_str_eq(at(o, "isBase64Encoded"), "true");
    json_object_put(o);
    o = build("", gzip, "text", 4);
    ck_assert_str_eq(at(o, "body"), "dGV4dA==");
    ck_assert_str_eq(at(o, "isBase64Encoded"), "true");
    json_object_put(o);
}
END_TEST

START_TEST(utf8)
{
    static const struct {
        const char *s;
        bool ok;
    } rows[] = {
        {"", true},
        {"plain ascii, longer than eight", true},
        {"\xc3\xa9", true},
        {"\xe2\x82\xac", true},
        {"\xf0\x9f\x98\x80", true},
        {"12345678\xc3\xa9", true},
        {"\xc3", false},
        {"\xc0\x80", false},
        {"\xe0\x80\x80", false},
        {"\xed\xa0\x80", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\x80", false},
        {"\xe2\x82", false},
        {"\xe2\x28\xa1", false},
        {"1234567\xff", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_assert_msg(utf8_valid((const uint8_t *)rows[i].s, strlen(rows[i].s)) == rows[i].ok,
                      "row %zu", i);
}
END_TEST

START_TEST(base64)
{
    static const struct {
        const char *plain, *coded;
    } rows[] = {{"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
                {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    static const char *const bad[] = {"Z",     "Zg=",  "Zh==",     "Zm9v!",
                                      "Zm9vY", "====", "Zg==Zg==", "Zm 9v"};
    struct buffer b = {0};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_int_eq(base64_append(&b, (const uint8_t *)rows[i].plain, strlen(rows[i].plain)), 0);
        ck_assert_uint_eq(buffer_size(&b), strlen(rows[i].coded));
        ck_assert_int_eq(memcmp(rows[i].coded, buffer_size(&b) ? (const char *)buffer_bytes(&b) : "",
                                buffer_size(&b)),
                         0);
        buffer_clear(&b);
        ck_assert_int_eq(base64_decode(&b, rows[i].coded, strlen(rows[i].coded)), 0);
        ck_assert_uint_eq(buffer_size(&b), strlen(rows[i].plain));
        ck_assert_int_eq(memcmp(rows[i].plain, buffer_size(&b) ? (const char *)buffer_bytes(&b) : "",
                                buffer_size(&b)),
                         0);
        buffer_clear(&b);
    }
    ck_assert_int_eq(base64_decode(&b, "Zg", 2), 0);
    buffer_clear(&b);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(base64_decode(&b, bad[i], strlen(bad[i])) == -EINVAL, "%s", bad[i]);
    buffer_done(&b);
}
END_TEST

static struct json_object *build_routed(struct str route, bool any, const char *path)
{
    static struct http_head h = {.method = STR("POST"), .minor = 1, .host = STR("api.example.org")};
    struct event_clock clock = {0};
    struct buffer b = {0};
    struct event_request r = {
        .head = &h,
        .raw_path = view(path),
        .route = route,
        .route_any = any,
        .function = "hello",
        .request_id = "req-1",
        .client_ip = "10.0.0.7",
        .clock = &clock,
    };
    struct json_object *o;
    char *text;

    ck_assert_int_eq(event_append(&b, &r), 0);
    ck_assert(utf8_valid(buffer_bytes(&b), buffer_size(&b)));
    text = buffer_take_string(&b);
    o = json_tokener_parse(text);
    ck_assert_msg(o != NULL, "not JSON: %s", text);
    free(text);
    return o;
}

START_TEST(the_route_and_its_parameters)
{
    struct json_object *o = build_routed(STR("/users/{id}/posts/{post}/*"), false,
                                         "/users/a%2Fb%20c/posts/%c3%a9+%FF/x/y");

    ck_assert_str_eq(at(o, "routeKey"), "POST /users/{id}/posts/{post}/*");
    ck_assert_str_eq(at(o, "requestContext/routeKey"), "POST /users/{id}/posts/{post}/*");
    ck_assert_str_eq(at(o, "pathParameters/id"), "a/b c");
    ck_assert_str_eq(at(o, "pathParameters/post"),
                     "\xc3\x83\xc2\xa9+\xc3\xbf"); /* no UTF-8: ISO 8859-1 */
    ck_assert_str_eq(at(o, "rawPath"), "/users/a%2Fb%20c/posts/%c3%a9+%FF/x/y");
    json_object_put(o);
    o = build_routed(STR("/caf/{name}"), true, "/caf/%c3%a9%22%5C");
    ck_assert_str_eq(at(o, "routeKey"), "ANY /caf/{name}");
    ck_assert_str_eq(at(o, "pathParameters/name"), "\xc3\xa9\"\\");
    json_object_put(o);
    o = build_routed(STR("/a\"b"), true, "/a\"b");
    ck_assert_str_eq(at(o, "routeKey"), "ANY /a\"b");
    ck_assert_ptr_null(at(o, "pathParameters"));
    json_object_put(o);
    o = build_routed((struct str){NULL, 0}, false, "/x");
    ck_assert_str_eq(at(o, "routeKey"), "$default");
    ck_assert_str_eq(at(o, "requestContext/routeKey"), "$default");
    ck_assert_ptr_null(at(o, "pathParameters"));
    json_object_put(o);
}
END_TEST

UNIT_MAIN("event", the_route_and_its_parameters, fixed_fields, the_trace_in_force,
          headers_and_cookies, query_parameters, many_parameters_are_bounded, bodies, utf8, base64)
