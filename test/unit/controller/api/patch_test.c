/* RFC 7386's table of examples, RFC 6902's operations and errors, server-side apply's ownership. */
#include "api/ownership.h"
#include "api/patch.h"
#include "base/cleanup.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct json_object *parse(const char *text)
{
    return json_tokener_parse(text);
}

static void same(struct json_object *o, const char *wanted)
{
    struct json_object *w = parse(wanted);

    ck_assert_msg(o == w || (o && w && json_object_equal(o, w)), "%s, not %s",
                  json_object_to_json_string(o), wanted);
    json_object_put(w);
}

START_TEST(merge_patch)
{
    static const struct {
        const char *target, *patch, *result;
    } cases[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json_object *t = parse(cases[i].target), *p = parse(cases[i].patch);

        ck_assert_int_eq(patch_merge(&t, p), 0);
        same(t, cases[i].result);
        json_object_put(t);
        json_object_put(p);
    }
}
END_TEST

START_TEST(json_patch)
{
    static const struct {
        const char *target, *patch, *result;
    } cases[] = {
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
         "{\"baz\":\"qux\",\"foo\":\"bar\"}"},
        {"{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
         "{\"foo\":[\"bar\",\"qux\",\"baz\"]}"},
        {"{\"foo\":[\"bar\"]}", "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\"]}]",
         "{\"foo\":[\"bar\",[\"abc\"]]}"},
        {"{\"foo\":[]}", "[{\"op\":\"add\",\"path\":\"/foo/0\",\"value\":1}]", "{\"foo\":[1]}"},
        {"{\"baz\":1,\"foo\":2}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]", "{\"foo\":2}"},
        {"{\"foo\":[1,2,3]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]", "{\"foo\":[1,3]}"},
        {"{\"baz\":1}", "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]",
         "{\"baz\":\"boo\"}"},
        {"{\"foo\":[1,2,3]}", "[{\"op\":\"replace\",\"path\":\"/foo/0\",\"value\":9}]",
         "{\"foo\":[9,2,3]}"},
        {"{\"foo\":{\"bar\":1,\"waldo\":2},\"qux\":{}}",
         "[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/t\"}]",
         "{\"foo\":{\"bar\":1},\"qux\":{\"t\":2}}"},
        {"{\"foo\":[1,2,3,4]}", "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
         "{\"foo\":[1,3,4,2]}"},
        {"{\"a\":{\"b\":1}}",
         "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"},{\"op\":\"add\",\"path\":\"/c/"
         "b\",\"value\":2}]",
         "{\"a\":{\"b\":1},\"c\":{\"b\":2}}"},
        {"{\"baz\":\"qux\"}", "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"}]",
         "{\"baz\":\"qux\"}"},
        {"{\"/\":9,\"~1\":10}",
         "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10},{\"op\":\"remove\",\"path\":\"/~1\"}]",
         "{\"~1\":10}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}"},
        {"{\"a\":null}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":null}]", "{\"a\":null}"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json_object *t = parse(cases[i].target), *p = parse(cases[i].patch);
        struct err e = {0};

        ck_assert_msg(patch_json(&t, p, &e) == 0, "%s: %s", cases[i].patch, e.message);
        same(t, cases[i].result);
        json_object_put(t);
        json_object_put(p);
    }
}
END_TEST

START_TEST(json_patch_refused)
{
    static const struct {
        const char *target, *patch;
        int error;
    } cases[] = {
        {"{}", "{}", -EINVAL},
        {"{}", "[1]", -EINVAL},
        {"{}", "[{\"op\":\"add\",\"path\":\"/a\"}]", -EINVAL},
        {"{}", "[{\"op\":\"fly\",\"path\":\"/a\",\"value\":1}]", -EINVAL},
        {"{}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]", -EINVAL},
        {"{}", "[{\"op\":\"add\",\"path\":\"/a~2\",\"value\":1}]", -EINVAL},
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":1}]", -ENOENT},
        {"{}", "[{\"op\":\"remove\",\"path\":\"/a\"}]", -ENOENT},
        {"{}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":1}]", -ENOENT},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":1}]", -ENOENT},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/01\",\"value\":1}]", -ENOENT},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]", -ENOENT},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/b\",\"value\":null}]", -ENOENT},
        {"{\"a\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]", -EINVAL},
        {"{\"a\":{}}", "[{\"op\":\"copy\",\"path\":\"/b\"}]", -EINVAL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json_object *t = parse(cases[i].target), *p = parse(cases[i].patch);
        struct err e = {0};

        ck_assert_msg(patch_json(&t, p, &e) == cases[i].error, "%s: %s", cases[i].patch, e.message);
        ck_assert_ptr_nonnull(strstr(e.message, "operation"));
        json_object_put(t);
        json_object_put(p);
    }
}
END_TEST

/* Each copy doubles the document: the sum of what is copied is bounded, and so is the depth. */
START_TEST(json_patch_does_not_explode)
{
    struct json_object *t = parse("{\"a\":{\"x\":\"0123456789\"}}"), *p = json_object_new_array();
    struct err e = {0};

    for (int i = 0; i < 60; i++) {
        char op[128];

        snprintf(op, sizeof(op), "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/c%d\"}", i);
        json_object_array_add(p, parse(op));
    }
    ck_assert_int_eq(patch_json(&t, p, &e), -EINVAL);
    ck_assert_uint_lt(strlen(json_object_to_json_string(t)), 8u << 20);
    json_object_put(t);
    json_object_put(p);
}
END_TEST

/* ---- ownership */
static int apply(struct json_object *owners, struct json_object **live, const char *config,
                 const char *manager, bool force, char *conflict, size_t n)
{
    struct json_object *c = parse(config), *conflicts = json_object_new_array();
    int r = ownership_apply(owners, live, c, manager, "t", force, conflicts);

    if (json_object_array_length(conflicts) > 0)
        snprintf(conflict, n, "%s",
                 json_object_to_json_string_ext(json_object_array_get_idx(conflicts, 0),
                                                JSON_C_TO_STRING_PLAIN |
                                                    JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(c);
    json_object_put(conflicts);
    return r;
}

START_TEST(server_side_apply)
{
    struct json_object *owners = json_object_new_array(), *live = NULL, *edited, *shown;
    char conflict[256] = "";

    ck_assert_int_eq(apply(owners, &live, "{\"spec\":{\"handler\":\"x\",\"memory\":\"1\"}}", "a",
                           false, conflict, 256),
                     0);
    same(live, "{\"spec\":{\"handler\":\"x\",\"memory\":\"1\"}}");
    /* Another manager, another value: refused, and nothing changes hands. */
    ck_assert_int_eq(
        apply(owners, &live, "{\"spec\":{\"handler\":\"y\"}}", "b", false, conflict, 256), -EEXIST);
    ck_assert_str_eq(conflict, "{\"manager\":\"a\",\"op\":\"Apply\",\"field\":\"/spec/handler\"}");
    same(live, "{\"spec\":{\"handler\":\"x\",\"memory\":\"1\"}}");
    /* The same value: shared. */
    ck_assert_int_eq(apply(owners, &live, "{\"spec\":{\"handler\":\"x\",\"cpu\":\"2\"}}", "b",
                           false, conflict, 256),
                     0);
    /* What a manager leaves out is removed, unless another one has it too. */
    ck_assert_int_eq(apply(owners, &live, "{\"spec\":{\"cpu\":\"2\"}}", "b", false, conflict, 256),
                     0);
    same(live, "{\"spec\":{\"handler\":\"x\",\"memory\":\"1\",\"cpu\":\"2\"}}");
    ck_assert_int_eq(
        apply(owners, &live, "{\"spec\":{\"handler\":\"x\"}}", "a", false, conflict, 256), 0);
    same(live, "{\"spec\":{\"handler\":\"x\",\"cpu\":\"2\"}}");
    /* An edit takes the field. */
    edited = parse("{\"spec\":{\"handler\":\"z\",\"cpu\":\"2\"}}");
    ck_assert_int_eq(ownership_update(owners, live, edited, "edit", "t"), 0);
    json_object_put(live);
    live = edited;
    conflict[0] = '\0';
    ck_assert_int_eq(
        apply(owners, &live, "{\"spec\":{\"handler\":\"x\"}}", "a", false, conflict, 256), -EEXIST);
    ck_assert_str_eq(conflict,
                     "{\"manager\":\"edit\",\"op\":\"Update\",\"field\":\"/spec/handler\"}");
    ck_assert_int_eq(
        apply(owners, &live, "{\"spec\":{\"handler\":\"x\"}}", "a", true, conflict, 256), 0);
    same(live, "{\"spec\":{\"handler\":\"x\",\"cpu\":\"2\"}}");
    shown = ownership_managed_fields(owners, "rouse.dev/v1");
    ck_assert_ptr_nonnull(strstr(json_object_to_json_string_ext(shown, JSON_C_TO_STRING_PLAIN),
                                 "\"fieldsV1\":{\"f:spec\":{\"f:handler\":{}}}"));
    json_object_put(shown);
    json_object_put(live);
    json_object_put(owners);
}
END_TEST

START_TEST(owners_compared)
{
    const char *const one = "[{\"manager\":\"a\",\"op\":\"Apply\",\"time\":\"1\","
                            "\"fields\":[\"/spec/x\",\"/spec/y\"]}]";
    static const struct {
        const char *text;
        bool equal;
    } cases[] = {
        {"[{\"manager\":\"a\",\"op\":\"Apply\",\"time\":\"2\","
         "\"fields\":[\"/spec/y\",\"/spec/x\"]}]",
         true},
        {"[{\"manager\":\"a\",\"op\":\"Apply\",\"time\":\"1\",\"fields\":[\"/spec/x\"]}]", false},
        {"[{\"manager\":\"a\",\"op\":\"Apply\",\"time\":\"1\","
         "\"fields\":[\"/spec/x\",\"/spec/z\"]}]",
         false},
        {"[{\"manager\":\"a\",\"op\":\"Update\",\"time\":\"1\","
         "\"fields\":[\"/spec/x\",\"/spec/y\"]}]",
         false},
        {"[]", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json_object *a = parse(one), *b = parse(cases[i].text);

        ck_assert_int_eq(ownership_equal(a, b), cases[i].equal);
        ck_assert_int_eq(ownership_equal(b, a), cases[i].equal);
        json_object_put(a);
        json_object_put(b);
    }
}
END_TEST

START_TEST(owners_are_bounded)
{
    struct json_object *owners = json_object_new_array(), *old = NULL;

    for (int i = 0; i < 3 * OWNERS_MAX; i++) {
        char text[64], manager[16];
        struct json_object *now;

        snprintf(text, sizeof(text), "{\"metadata\":{\"labels\":{\"a/%d\":\"b\"}}}", i);
        snprintf(manager, sizeof(manager), "m%d", i);
        now = parse(text);
        ck_assert_int_eq(ownership_update(owners, NULL, now, manager, "t"), 0);
        json_object_put(old);
        old = now;
        ck_assert_uint_le(json_object_array_length(owners), OWNERS_MAX);
    }
    json_object_put(old);
    json_object_put(owners);
}
END_TEST

UNIT_MAIN("patch", merge_patch, json_patch, json_patch_refused, json_patch_does_not_explode,
          server_side_apply, owners_compared, owners_are_bounded)
