/* YAML to JSON as kubectl reads it, its bounds, and back. */
#include "cli/manifest.h"
#include "cli/yaml.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void same(const char *yaml, const char *json)
{
    struct json_object *o;
    struct err e = {0};

    ck_assert_msg(yaml_parse(yaml, strlen(yaml), &o, &e) == 0, "%s: %s", yaml, e.message);
    ck_assert_str_eq(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), json);
    json_object_put(o);
}

static void refused(const char *yaml, const char *says)
{
    struct json_object *o;
    struct err e = {0};

    ck_assert_msg(yaml_parse(yaml, strlen(yaml), &o, &e) < 0, "%s", yaml);
    ck_assert_msg(strstr(e.message, says) != NULL, "%s: %s", yaml, e.message);
}

START_TEST(scalars)
{
    same("a: 1", "[{\"a\":1}]");
    same("[-5, +7, 0x10, 0o17, 017, 0b11, 1e3, 1.50, .5, 12.]",
         "[[-5,7,16,15,15,3,1000.0,1.5,0.5,12.0]]");
    same("[true, No, on, y, ~, null, '', \"\"]", "[[true,false,true,true,null,null,\"\",\"\"]]");
    same("['1', \"true\", 128Mi, 500m, 3s, 1.2.3, 1_000, -, 0x]",
         "[[\"1\",\"true\",\"128Mi\",\"500m\",\"3s\",\"1.2.3\",\"1_000\",\"-\",\"0x\"]]");
    same("[99999999999999999999, 08]", "[[1e+20,8.0]]");
    same("a: |\n  x\n   y\n", "[{\"a\":\"x\\n y\\n\"}]");
    same("\"\\u00fc\\n\"", "[\"ü\\n\"]");
}
END_TEST

START_TEST(documents)
{
    same("", "[]");
    same("---\n---\n# none\n", "[]");
    same("a: 1\n---\nb: 2\n...\n", "[{\"a\":1},{\"b\":2}]");
}
END_TEST

START_TEST(anchors)
{
    same("a: &x {b: 1}\nc: *x", "[{\"a\":{\"b\":1},\"c\":{\"b\":1}}]");
    same("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}",
         "[{\"a\":{\"b\":1,\"c\":2},\"d\":{\"c\":3,\"b\":1}}]");
    same("a: &x {b: 1}\ne: &y {b: 2, f: 4}\nd: {<<: [*x, *y]}",
         "[{\"a\":{\"b\":1},\"e\":{\"b\":2,\"f\":4},\"d\":{\"b\":1,\"f\":4}}]");
    refused("a: 1\n---\nb: *x", "undefined alias");
    refused("a: {<<: 1}", "<< wants a mapping");
}
END_TEST

START_TEST(broken)
{
    refused("a: [", "line 2");
    refused("a: 1\na: 2", "line 2: the key a is there twice");
    refused("{[1]: 2}", "a key that is no text");
    refused("a: !mine 1", "a tag of its own");
    refused("a: \"x\\0y\"", "NUL");
    refused("a: \xff", "line 1");
}
END_TEST

START_TEST(bounds)
{
    char deep[512] = "", bomb[2048] = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
    char *large = calloc(1, YAML_TEXT_MAX + 2);
    struct json_object *o;
    struct err e = {0};

    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        strcat(deep, "[");
    refused(strcat(deep, "[1]"), "did not find");
    memset(deep, 0, sizeof(deep));
    for (int i = 0; i < 80; i++)
        strcat(deep, "[");
    for (int i = 0; i < 80; i++)
        strcat(deep, "]");
    refused(deep, "deeper than 64");
    for (int i = 1; i < 9; i++)
        sprintf(bomb + strlen(bomb),
                "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1,
                i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    refused(bomb, "200000 values");
    refused("a: &a [*a]", "");
    memset(large, ' ', YAML_TEXT_MAX + 1);
    ck_assert_int_eq(yaml_parse(large, YAML_TEXT_MAX + 1, &o, &e), -EFBIG);
    free(large);
}
END_TEST

/* What is printed reads back as what it was. */
START_TEST(round_trip)
{
    static const char json[] = "{\"a\":\"1\",\"b\":\"true\",\"c\":\"plain\",\"d\":"
                               "\"two\\nlines\\n\",\"e\":[],\"f\":{},\"g\":null,"
                               "\"h\":[{\"i\":1.5},[\"~\",\" lead\",\"\"]],\"j\":\"a: "
                               "b\",\"k\":\"#no\",\"l\":\"\\\"q\\\"\",\"m\":\"- x\","
                               "\"n\":\"\\n\",\"o\":\"tail \\n x\",\"yes\":\"sha256:00\",\"z\":-7}";
    struct json_object *o = json_tokener_parse(json), *back;
    cleanup_buffer struct buffer b = {0};
    struct err e = {0};

    ck_assert_ptr_nonnull(o);
    ck_assert_int_eq(yaml_emit(o, &b), 0);
    ck_assert_msg(yaml_parse((const char *)buffer_bytes(&b), buffer_size(&b), &back, &e) == 0,
                  "%s\n%.*s", e.message, (int)buffer_size(&b), (const char *)buffer_bytes(&b));
    ck_assert_str_eq(
        json_object_to_json_string_ext(json_object_array_get_idx(back, 0), JSON_C_TO_STRING_PLAIN),
        json);
    json_object_put(o);
    json_object_put(back);
}
END_TEST

/* ---- manifests */
static int parse(const char *text, struct json_object **ret, struct err *e)
{
    return manifest_parse(text, strlen(text), ret, e);
}

START_TEST(manifests)
{
    static const char list[] =
        "apiVersion: v1\nkind: List\nitems:\n- {kind: A}\n- {kind: B}\n---\nkind: C\n";
    struct json_object *all;
    struct err e = {0};

    ck_assert_int_eq(parse(list, &all, &e), 0);
    ck_assert_str_eq(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN),
                     "[{\"kind\":\"A\"},{\"kind\":\"B\"},{\"kind\":\"C\"}]");
    json_object_put(all);
    /* JSON's surrogate pairs are no YAML. */
    ck_assert_int_eq(parse(" {\"a\": \"\\ud83d\\ude00\"}\n", &all, &e), 0);
    ck_assert_str_eq(json_text(json_object_array_get_idx(all, 0), "a"), "\xf0\x9f\x98\x80");
    json_object_put(all);
    ck_assert_int_eq(
        parse("{\"kind\":\"A\"}\n---\n{\"kind\":\"B\"} {\"kind\":\"C\"}\n---\n", &all, &e), 0);
    ck_assert_uint_eq(json_object_array_length(all), 3);
    json_object_put(all);
    ck_assert_int_eq(parse("{\"kind\":\"A\"}\n---\n{\"kind\":}", &all, &e), -EINVAL);
    ck_assert_msg(strstr(e.message, "line 3") != NULL, "%s", e.message);
    ck_assert_int_eq(parse("hello", &all, &e), -EINVAL);
    ck_assert_int_eq(parse("\n", &all, &e), -EINVAL);
    ck_assert_int_eq(parse("{\"a\": 1,\n\"b\"", &all, &e), -EINVAL);
    ck_assert_msg(strstr(e.message, "line 2") != NULL, "%s", e.message);
    ck_assert_int_eq(parse("{\"a\": 1} trailing", &all, &e), -EINVAL);
    ck_assert_int_eq(parse("kind: List\nitems: [1]", &all, &e), -EINVAL);
}
END_TEST

START_TEST(targets)
{
    static const struct {
        const char *yaml, *says;
    } bad[] = {
        {"kind: Function", "apiVersion"},
        {"apiVersion: rouse.dev/v1\nkind: Pod", "kind \"Pod\""},
        {"apiVersion: rouse.dev/v1\nkind: function", "kind \"function\""},
        {"apiVersion: rouse.dev/v1\nkind: Function", "metadata.name"},
        {"apiVersion: rouse.dev/v1\nkind: Function\nmetadata: {name: 1}", "metadata.name"},
        {"apiVersion: rouse.dev/v1\nkind: Function\nmetadata: {name: ''}", "metadata.name"},
    };
    struct json_object *all;
    struct target t;
    struct err e = {0};

    ck_assert_int_eq(
        parse("apiVersion: rouse.dev/v1\nkind: Function\nmetadata: {name: f}", &all, &e), 0);
    ck_assert_int_eq(manifest_target(json_object_array_get_idx(all, 0), "team", &t, &e), 0);
    ck_assert_str_eq(t.name, "f");
    ck_assert_str_eq(t.ns, "team");
    ck_assert_str_eq(t.resource->plural, "functions");
    ck_assert_str_eq(json_text(json_object_array_get_idx(all, 0), "metadata.namespace"), "team");
    json_object_put(all);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(parse(bad[i].yaml, &all, &e), 0);
        ck_assert_int_eq(manifest_target(json_object_array_get_idx(all, 0), "default", &t, &e),
                         -EINVAL);
        ck_assert_msg(strstr(e.message, bad[i].says) != NULL, "%s: %s", bad[i].yaml, e.message);
        json_object_put(all);
    }
}
END_TEST

UNIT_MAIN("yaml", scalars, documents, anchors, broken, bounds, round_trip, manifests, targets)
