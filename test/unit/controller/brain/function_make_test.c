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

#define PLACED(what) ",\"placement\":{" what "}"

START_TEST(placement)
{
    struct function *f = make(PLACED("\"nodeSelector\":{\"zone\":\"a\"},\"architecture\":\"arm64\","
                                     "\"tolerations\":[{\"key\":\"gpu\",\"operator\":\"Exists\"},"
                                     "{\"key\":\"x\",\"operator\":\"Equal\",\"value\":\"y\"}],"
                                     "\"policy\":\"pack\""));
    const struct function_placement *p = &f->placement;

    ck_assert(p->pack);
    ck_assert_uint_eq(p->selector_count, 2);
    ck_assert_str_eq(p->selector[0].key, "kubernetes.io/arch");
    ck_assert_str_eq(p->selector[0].value, "arm64");
    ck_assert_str_eq(p->selector[1].key, "zone");
    ck_assert_uint_eq(p->toleration_count, 2);
    ck_assert(p->tolerations[0].exists);
    ck_assert(!p->tolerations[1].exists);
    ck_assert_str_eq(p->tolerations[1].value, "y");
    function_unref(f);
}
END_TEST

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
        PLACED("\"nodeSelector\":{\"a\":\"b\"}"),
        PLACED("\"nodeSelector\":{\"a\":\"c\"}"),
        PLACED("\"nodeSelector\":{\"a\":\"b\",\"c\":\"d\"}"),
        PLACED("\"architecture\":\"arm64\""),
        PLACED("\"tolerations\":[{\"key\":\"a\",\"operator\":\"Equal\",\"value\":\"b\"}]"),
        PLACED("\"tolerations\":[{\"key\":\"a\",\"operator\":\"Exists\"}]"),
        PLACED("\"tolerations\":[{\"operator\":\"Exists\"}]"),
    };
    static const char *const same[][2] = {
        {"", ",\"lifecycle\":{}"},
        {"", ",\"start\":\"exec\""},
        {"", ",\"lifecycle\":{\"initializerTimeout\":\"30s\"}"},
        {HOOKS("10s"), HOOKS("10000ms")},
        {"", PLACED("\"policy\":\"pack\"")},
        {PLACED("\"nodeSelector\":{\"c\":\"d\",\"a\":\"b\"}"),
         PLACED("\"nodeSelector\":{\"a\":\"b\",\"c\":\"d\"}")},
        {PLACED("\"architecture\":\"arm64\""),
         PLACED("\"nodeSelector\":{\"kubernetes.io/arch\":\"arm64\"}")},
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

UNIT_MAIN("function_make", placement, lifecycle, revisions)
