/* What an admitted spec becomes, and which of it makes a new revision. */
#include "brain/function_make.h"
#include "brain/scaling_make.h"
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

START_TEST(named)
{
    struct function *f = make("");

    ck_assert_str_eq(f->key, "default/f");
    ck_assert_str_eq(f->ns, "default");
    ck_assert_str_eq(f->name, "f");
    ck_assert_str_eq(f->uid, "u");
    function_unref(f);
}
END_TEST

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

#define SCALING "{\"min\":1,\"max\":9,\"idleTimeout\":\"5s\""
static int try_scaling(const char *more, struct function **ret)
{
    struct json_object *o;
    char text[2048];
    int r;

    snprintf(text, sizeof(text), SCALING "%s}", more);
    o = json_tokener_parse(text);
    ck_assert_msg(o != NULL, "%s", text);
    *ret = calloc(1, sizeof(**ret));
    (*ret)->refs = 1;
    (*ret)->cpu_millis = 500;
    (*ret)->memory = 1000;
    r = scaling_make(o, *ret);
    json_object_put(o);
    return r;
}

START_TEST(scaling)
{
    struct function *f;
    const struct autoscaler_spec *s;

    ck_assert_int_eq(try_scaling("", &f), 0);
    ck_assert_uint_eq(f->scaling.min, 1);
    ck_assert_uint_eq(f->scaling.idle_timeout_ns, 5000000000);
    ck_assert_ptr_null(f->scaling.behavior);
    ck_assert_uint_eq(f->scaling.metric_count + f->scaling.provisioned_count + f->scaling.delay_ns,
                      0);
    function_unref(f);
    ck_assert_int_eq(
        try_scaling(",\"initial\":2,\"activation\":3,\"scaleDownDelay\":\"1m\",\"window\":\"30s\","
                    "\"panicWindow\":\"5s\",\"average\":\"exponential\",\"predictive\":true,"
                    "\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{"
                    "\"type\":\"Utilization\",\"averageUtilization\":60}}},"
                    "{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\",\"target\":{"
                    "\"type\":\"AverageValue\",\"averageValue\":\"1Ki\"}}},"
                    "{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"requests_per_second\"},"
                    "\"target\":{\"type\":\"AverageValue\",\"averageValue\":2.5}}},"
                    "{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"q\",\"query\":\"a+b\"},"
                    "\"target\":{\"type\":\"Value\",\"value\":\"2k\"}}}],"
                    "\"behavior\":{\"scaleUp\":{\"selectPolicy\":\"Min\",\"tolerance\":0.05,"
                    "\"policies\":[{\"type\":\"Percent\",\"value\":10,\"periodSeconds\":20}]}},"
                    "\"provisioned\":[{\"start\":\"0 8 * * *\",\"end\":\"0 9 * * *\",\"min\":4}]",
                    &f),
        0);
    s = &f->scaling;
    ck_assert_uint_eq(s->initial, 2);
    ck_assert_uint_eq(s->activation, 3);
    ck_assert_uint_eq(s->delay_ns, 60000000000);
    ck_assert_uint_eq(s->stable_seconds, 30);
    ck_assert_uint_eq(s->panic_seconds, 5);
    ck_assert(s->exponential && s->predictive);
    ck_assert_uint_eq(s->metric_count, 4);
    ck_assert_int_eq(s->metrics[0].kind, METRIC_CPU);
    ck_assert_double_eq(s->metrics[0].of.request, 500);
    ck_assert_double_eq(s->metrics[0].of.value, 60);
    ck_assert_int_eq(s->metrics[1].kind, METRIC_MEMORY);
    ck_assert_double_eq(s->metrics[1].of.value, 1024);
    ck_assert_int_eq(s->metrics[2].kind, METRIC_REQUESTS);
    ck_assert_double_eq(s->metrics[2].of.value, 2.5);
    ck_assert_int_eq(s->metrics[3].of.target, HPA_VALUE);
    ck_assert_double_eq(s->metrics[3].of.value, 2000);
    ck_assert_str_eq(s->metrics[3].query, "a+b");
    ck_assert_int_eq(s->behavior->up.select, SELECT_MIN);
    ck_assert_double_eq(s->behavior->up.tolerance, 0.05);
    ck_assert_uint_eq(s->behavior->up.policy_count, 1);
    ck_assert_uint_eq(s->behavior->down.stabilization_s, 300); /* not said: as documented */
    ck_assert_uint_eq(s->provisioned[0].min, 4);
    function_unref(f);
    ck_assert_int_eq(try_scaling(",\"behavior\":{},\"metrics\":[]", &f), 0);
    ck_assert_ptr_null(f->scaling.behavior);
    function_unref(f);
    ck_assert_int_eq(
        try_scaling(",\"metrics\":[{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"jobs\"},"
                    "\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"10\"}}}]",
                    &f),
        0);
    ck_assert_int_eq(f->scaling.metrics[0].kind, METRIC_CUSTOM);
    ck_assert_str_eq(f->scaling.metrics[0].query, "jobs");
    ck_assert_double_eq(f->scaling.metrics[0].of.value, 10);
    function_unref(f);
    ck_assert_int_lt(try_scaling(",\"metrics\":[{\"type\":\"Pods\",\"pods\":{\"metric\":{},"
                                 "\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"10\"}}}]",
                                 &f),
                     0);
    function_unref(f);
    ck_assert_int_lt(try_scaling(",\"metrics\":[{}]", &f), 0);
    function_unref(f);
    ck_assert_int_lt(try_scaling(",\"provisioned\":[{}]", &f), 0);
    function_unref(f);
}
END_TEST

UNIT_MAIN("function_make", named, scaling, placement, lifecycle, revisions)
