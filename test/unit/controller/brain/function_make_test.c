/* What an admitted spec becomes, and which of it makes a new revision. */
#include "brain/function_make.h"
#include "base/cleanup.h"
#include "unit.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static int try_make(const char *more, struct function **ret)
{
    char text[2048];
    struct json_object *m, *s;
    int r;

    snprintf(text, sizeof(text),
             "{\"runtime\":\"python3\",\"handler\":\"index.handler\",\"memory\":\"128Mi\","
             "\"cpu\":\"500m\",\"timeout\":\"3s\",\"concurrency\":1,"
             "\"scaling\":{\"min\":0,\"max\":100,\"idleTimeout\":\"60s\"}%s}",
             more);
    m = json_tokener_parse("{\"name\":\"f\",\"namespace\":\"default\",\"uid\":\"u\"}");
    s = json_tokener_parse(text);
    ck_assert_msg(m && s, "%s", text);
    r = function_make(m, s, "sha256:00", 5, ret);
    json_object_put(m);
    json_object_put(s);
    return r;
}

static struct function *make(const char *more)
{
    struct function *f;

    ck_assert_int_eq(try_make(more, &f), 0);
    return f;
}

#define HOOKS(timeout)                                                                             \
    ",\"lifecycle\":{\"initializer\":\"index.init\",\"initializerTimeout\":\"" timeout             \
    "\",\"preStop\":\"index.stop\"}"

START_TEST(lifecycle)
{
    struct function *f = make(HOOKS("1m30s"));

    ck_assert_str_eq(f->lifecycle.initializer, "index.init");
    ck_assert_uint_eq(f->lifecycle.initializer_timeout_ms, 90000);
    ck_assert_str_eq(f->lifecycle.pre_stop, "index.stop");
    ck_assert_ptr_null(f->lifecycle.pre_freeze);
    function_unref(f);
    f = make(",\"lifecycle\":{\"initializerTimeout\":\"10s\"}");
    ck_assert_ptr_null(f->lifecycle.initializer);
    ck_assert_uint_eq(f->lifecycle.initializer_timeout_ms, 0);
    function_unref(f);
    ck_assert_int_lt(try_make(",\"lifecycle\":{\"initializer\":\"a.b\"}", &f), 0);
}
END_TEST

/* A rolling update is what a user gets from any change of the left, and from none of the right. */
START_TEST(revisions)
{
    static const char *const different[] = {
        "",
        HOOKS("10s"),
        HOOKS("11s"),
        ",\"lifecycle\":{\"initializer\":\"index.init\",\"initializerTimeout\":\"10s\"}",
        ",\"lifecycle\":{\"initializer\":\"index.stop\",\"initializerTimeout\":\"10s\"}",
        ",\"lifecycle\":{\"preStop\":\"index.stop\"}",
        ",\"lifecycle\":{\"preFreeze\":\"index.stop\"}",
        ",\"start\":\"fork\"",
        ",\"start\":\"fork\",\"lifecycle\":{\"afterFork\":\"index.stop\",\"initializerTimeout\":\"10s\"}",
        ",\"start\":\"fork\",\"lifecycle\":{\"afterFork\":\"index.stop\",\"initializerTimeout\":\"11s\"}",
        ",\"start\":\"fork\",\"lifecycle\":{\"afterFork\":\"index.go\",\"initializerTimeout\":\"10s\"}",
    };
    static const char *const same[][2] = {
        {"", ",\"lifecycle\":{}"},
        {"", ",\"start\":\"exec\""},
        {"", ",\"lifecycle\":{\"initializerTimeout\":\"30s\"}"},
        {HOOKS("10s"), HOOKS("10000ms")},
    };
    struct function *f[ARRAY_LEN(different)];

    for (size_t i = 0; i < ARRAY_LEN(different); i++) {
        f[i] = make(different[i]);
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(strcmp(f[i]->revision, f[k]->revision) != 0, "%s and %s", different[i],
                          different[k]);
    }
    /* Revisions of before there were hooks go on as they are. */
    ck_assert_str_eq(f[0]->revision, "3036bd6d7684b140");
    for (size_t i = 0; i < ARRAY_LEN(different); i++)
        function_unref(f[i]);
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        struct function *a = make(same[i][0]), *b = make(same[i][1]);

        ck_assert_msg(!strcmp(a->revision, b->revision), "%s and %s", same[i][0], same[i][1]);
        function_unref(a);
        function_unref(b);
    }
}
END_TEST

UNIT_MAIN("function_make", lifecycle, revisions)
