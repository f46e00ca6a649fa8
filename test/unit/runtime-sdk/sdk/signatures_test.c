/* The signatures that rouse_start() takes, fields of JSON events, and hooks. */
#include "runtime-sdk/sdk/agent.h"

#include <json-c/json.h>
#include <rouse/json.h>

static void call(uint64_t id, const char *event)
{
    put_invoke(FRAME_FIN, id, event, strlen(event));
}

/* ---- strings */

static char *upper(const char *event)
{
    char *s = strdup(event);

    for (char *p = s; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
    if (!strcmp(event, "fail"))
        rouse_fail(rouse_context_current(), "Asked", "for");
    if (!strcmp(event, "nothing")) {
        free(s);
        s = NULL;
    }
    return s;
}

static char *whose(const char *event, struct rouse_context *ctx)
{
    char *s = NULL;

    if (!strcmp(event, "itself"))
        return (char *)(uintptr_t)event; /* not its own to give away, but nobody's loss */
    return asprintf(&s, "%s %s", event, rouse_request_id(ctx)) < 0 ? NULL : s;
}

START_TEST(strings)
{
    begin(upper);
    greet_with("", 1);
    call(1, "abc");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "ABC");
    call(2, "fail");
    expect_text(FRAME_ERROR, 0, 2, ERROR_JSON("Asked", "for"));
    call(3, "nothing");
    expect_text(FRAME_RESPONSE, FRAME_FIN, 3, "null");
    call(4, "");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 4, "");
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(strings_with_context)
{
    begin(whose);
    greet_with("", 1);
    call(1, "abc");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 1, "abc req-1");
    call(2, "itself");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_TEXT, 2, "itself");
    ck_assert_int_eq(end(), 0);
}
END_TEST

/* ---- bytes */

static struct rouse_bytes twice(struct rouse_bytes event)
{
    struct rouse_bytes r = {malloc(2 * event.size + 1), 2 * event.size};

    memcpy(r.data, event.data, event.size);
    memcpy((char *)r.data + event.size, event.data, event.size);
    return r;
}

static struct rouse_bytes tail(struct rouse_bytes event, struct rouse_context *ctx)
{
    if (!event.size)
        rouse_fail(ctx, "Empty", "nothing");
    else
        event = (struct rouse_bytes){(char *)event.data + 1, event.size - 1};
    return event;
}

START_TEST(bytes)
{
    struct frame f;

    begin(twice);
    greet_with("", 1);
    put_invoke(FRAME_FIN, 1, "a\0\xff", 3);
    expect(&f, FRAME_RESPONSE, FRAME_FIN | FRAME_BYTES, 1);
    ck_assert(f.length == 6 && !memcmp(f.payload,
                                       "a\0\xff"
                                       "a\0\xff",
                                       6));
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(bytes_with_context)
{
    begin(tail);
    greet_with("", 1);
    call(1, "abc");
    expect_text(FRAME_RESPONSE, FRAME_FIN | FRAME_BYTES, 1, "bc");
    call(2, "");
    expect_text(FRAME_ERROR, 0, 2, ERROR_JSON("Empty", "nothing"));
    ck_assert_int_eq(end(), 0);
}
END_TEST

/* ---- JSON */

static struct json_object *same(struct json_object *event)
{
    return event;
}

static struct json_object *fields(struct json_object *event, struct rouse_context *ctx)
{
    struct json_object *r = json_object_new_object();
    const char *name;
    int64_t times;
    double ratio;
    bool yes;

    if (rouse_json_string(event, "user.name", "nobody", &name) == 0 &&
        rouse_json_int(event, "times", 7, &times) == 0 &&
        rouse_json_double(event, "list.1", 0.5, &ratio) == 0 &&
        rouse_json_need_bool(event, "yes", &yes) == 0) {
        json_object_object_add(r, "name", json_object_new_string(name));
        json_object_object_add(r, "times", json_object_new_int64(times));
        json_object_object_add(r, "ratio", json_object_new_double(ratio));
        json_object_object_add(r, "yes", json_object_new_boolean(yes));
    }
    (void)ctx;
    return r;
}

START_TEST(json)
{
    static const struct {
        const char *event, *answer;
        uint8_t flags;
    } cases[] = {
        {"{\"a\":[1,2.5,null,true,\"x/y\"]}", "{\"a\":[1,2.5,null,true,\"x/y\"]}", 0},
        {"{\"statusCode\":204}", "{\"statusCode\":204}", FRAME_ANSWER},
        {"\"t\\u00e9xt\"", "t\xc3\xa9xt", FRAME_TEXT},
        {"null", "null", 0},
        {"12", "12", 0},
        {" [ ] ", "[]", 0},
    };
    static const char *const bad[] = {"", "{", "{\"a\":1} x", "nul", "'a'", "[1,]"};
    struct frame f;

    begin(same);
    greet_with("", 1);
    for (uint64_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        call(i + 1, cases[i].event);
        expect_text(FRAME_RESPONSE, FRAME_FIN | cases[i].flags, i + 1, cases[i].answer);
    }
    for (uint64_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        call(100 + i, bad[i]);
        expect(&f, FRAME_ERROR, 0, 100 + i);
        ck_assert_msg(memmem(f.payload, f.length,
                             "\"InvalidEvent\",\"errorMessage\":\"the event is not JSON: ", 54),
                      "%s: %.*s", bad[i], (int)f.length, (const char *)f.payload);
    }
    ck_assert_int_eq(end(), 0);
}
END_TEST

START_TEST(json_fields)
{
    static const struct {
        const char *event, *error; /* NULL: the answer of the defaults */
    } cases[] = {
        {"{\"yes\":true}", NULL},
        {"{\"yes\":true,\"user\":{\"name\":null},\"list\":[1],\"times\":null}", NULL},
        {"{}", "yes: a boolean is missing"},
        {"{\"yes\":1}", "yes: wanted a boolean, found int"},
        {"{\"yes\":true,\"user\":{\"name\":5}}", "user.name: wanted a string, found int"},
        {"{\"yes\":true,\"user\":{\"name\":\"a\\u0000b\"}}",
         "user.name: wanted a string, found string"},
        {"{\"yes\":true,\"times\":1.5}", "times: wanted an integer, found double"},
        {"{\"yes\":true,\"times\":\"1\"}", "times: wanted an integer, found string"},
        {"{\"yes\":true,\"times\":9223372036854775808}", "times: the integer is out of range"},
        {"{\"yes\":true,\"list\":[1,\"x\"]}", "list.1: wanted a number, found string"},
    };
    char error[256];

    begin(fields);
    greet_with("", 1);
    for (uint64_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        call(i + 1, cases[i].event);
        snprintf(error, sizeof(error), ERROR_JSON("InvalidEvent", "%s"),
                 cases[i].error ? cases[i].error : "");
        if (cases[i].error)
            expect_text(FRAME_ERROR, 0, i + 1, error);
        else
            expect_text(FRAME_RESPONSE, FRAME_FIN, i + 1,
                        "{\"name\":\"nobody\",\"times\":7,\"ratio\":0.5,\"yes\":true}");
    }
    call(50, "{\"yes\":false,\"user\":{\"name\":\"n\"},\"times\":-3,\"list\":[0,4]}");
    expect_text(FRAME_RESPONSE, FRAME_FIN, 50,
                "{\"name\":\"n\",\"times\":-3,\"ratio\":4.0,\"yes\":false}");
    ck_assert_int_eq(end(), 0);
}
END_TEST

/* ---- hooks */

static int state;

static int prepare(struct rouse_context *ctx)
{
    rouse_log(ctx, "preparing %s\"%s\"", rouse_function_name(ctx), rouse_request_id(ctx));
    return rouse_sleep(ROUSE_MS) + (state = 1) - 1;
}
static int break_down(struct rouse_context *ctx)
{
    return rouse_fail(ctx, "Broken", "down");
}
static int answer_state(const struct rouse_event *event, struct rouse_response *resp,
                        struct rouse_context *ctx)
{
    (void)event, (void)ctx;
    return rouse_respond_json(resp, state ? "1" : "0");
}

static int start_with_hooks(rouse_handler *handler)
{
    for (int i = 0; i < 16; i++) {
        int r = rouse_hook(i == 3   ? "index.init"
                           : i == 5 ? "break"
                                    : "other",
                           i == 3 ? prepare : break_down);

        if (r < 0)
            return 99;
    }
    return rouse_hook("one more", prepare) == -ENOBUFS ? rouse_start(handler) : 98;
}

START_TEST(hooks)
{
    begin_as(start_with_hooks, answer_state);
    greet_with("", 1);
    put_hook(1, HOOK_INITIALIZER, "index.init");
    expect_text(FRAME_LOG, 0, 1, "preparing f\"\"");
    expect_text(FRAME_END, 0, 1, "");
    call(2, "{}");
    expect_text(FRAME_RESPONSE, FRAME_FIN, 2, "1");
    put_hook(3, HOOK_PRE_FREEZE, "break");
    expect_text(FRAME_ERROR, 0, 3, ERROR_JSON("Broken", "down"));
    put_hook(4, HOOK_PRE_STOP, "index.ini");
    expect_text(FRAME_ERROR, 0, 4,
                ERROR_JSON("Runtime.NoSuchHook", "spec.lifecycle names a hook that the program did not "
                                                 "register by rouse_hook()"));
    put_hook(5, 77, "index.init");
    expect_text(FRAME_LOG, 0, 5, "preparing f\"\"");
    expect_text(FRAME_END, 0, 5, "");
    ck_assert_int_eq(end(), 0);
}
END_TEST

UNIT_MAIN("signatures", strings, strings_with_context, bytes, bytes_with_context, json, json_fields,
          hooks)
