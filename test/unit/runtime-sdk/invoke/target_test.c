/* target_test.c - the platform's own paths, and what only looks like them; request ids. */
#include "invoke/request_id.h"
#include "invoke/target.h"
#include "unit.h"

#include <string.h>

static const struct {
    const char *path;
    enum target_kind kind;
    const char *key, *raw_path;
} paths[] = {
    {"/hello/serverless", TARGET_PATH, "", "/hello/serverless"},
    {"/", TARGET_PATH, "", "/"},
    {"/function/default/hello", TARGET_FUNCTION, "default/hello", "/"},
    {"/function/default/hello/", TARGET_FUNCTION, "default/hello", "/"},
    {"/function/ns-1/a.b/x/y%20z", TARGET_FUNCTION, "ns-1/a.b", "/x/y%20z"},
    {"/function/default", TARGET_PATH, "", "/function/default"},
    {"/function//hello", TARGET_PATH, "", "/function//hello"},
    {"/function/default/", TARGET_PATH, "", "/function/default/"},
    {"/function/Default/hello", TARGET_PATH, "", "/function/Default/hello"},
    {"/function/default/-hello/x", TARGET_PATH, "", "/function/default/-hello/x"},
    {"/function/default/..", TARGET_PATH, "", "/function/default/.."},
    {"/function/default/hello/../other/x", TARGET_PATH, "", "/function/default/hello/../other/x"},
    {"/function/default/hello/%2e%2e%2fx", TARGET_PATH, "", "/function/default/hello/%2e%2e%2fx"},
    {"/function/default/hello/a%2Fb", TARGET_FUNCTION, "default/hello", "/a%2Fb"},
    {"/functions/default/hello", TARGET_PATH, "", "/functions/default/hello"},
    {"/2015-03-31/functions/hello/invocations", TARGET_INVOKE, "default/hello", "/"},
    {"/2015-03-31/functions/team:hello/invocations", TARGET_INVOKE, "team/hello", "/"},
    {"/2015-03-31/functions/team%3Ahello/invocations", TARGET_INVOKE, "team/hello", "/"},
    {"/2015-03-31/functions/hello/invocation", TARGET_PATH, "",
     "/2015-03-31/functions/hello/invocation"},
    {"/2015-03-31/functions/hello/invocations/", TARGET_PATH, "",
     "/2015-03-31/functions/hello/invocations/"},
    {"/2015-03-31/functions/hello", TARGET_PATH, "", "/2015-03-31/functions/hello"},
    {"/2015-03-31/functions/a:b:c/invocations", TARGET_PATH, "",
     "/2015-03-31/functions/a:b:c/invocations"},
    {"/2015-03-31/functions/%zz/invocations", TARGET_PATH, "",
     "/2015-03-31/functions/%zz/invocations"},
};

START_TEST(paths_are_told_apart)
{
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct target t;

        target_parse(str_of(paths[i].path), &t);
        ck_assert_msg(t.kind == paths[i].kind, "%s is kind %d", paths[i].path, t.kind);
        ck_assert_str_eq(t.function_key, paths[i].key);
        ck_assert_msg(str_eq(t.raw_path, paths[i].raw_path), "%s has raw path %.*s", paths[i].path,
                      (int)t.raw_path.n, t.raw_path.at);
    }
}
END_TEST

START_TEST(overlong_names_are_paths)
{
    char path[2048] = "/function/default/";
    struct target t;

    memset(path + 18, 'a', 1000);
    target_parse(str_of(path), &t);
    ck_assert_int_eq(t.kind, TARGET_PATH);
    path[18 + 253] = '\0';
    target_parse(str_of(path), &t);
    ck_assert_int_eq(t.kind, TARGET_FUNCTION);
}
END_TEST

START_TEST(request_ids_have_the_shape_and_differ)
{
    char a[REQUEST_ID_SIZE], b[REQUEST_ID_SIZE], c[REQUEST_ID_SIZE];
    struct request_ids ids, others;

    request_ids_init(&ids);
    request_ids_init(&others);
    request_id_make(&ids, a);
    request_id_make(&ids, b);
    request_id_make(&others, c);
    ck_assert_uint_eq(strlen(a), 36);
    ck_assert_uint_eq(strspn(a, "0123456789abcdef-"), 36);
    ck_assert(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
    ck_assert_str_ne(a, b);
    ck_assert_str_ne(a, c);
}
END_TEST

UNIT_MAIN("target", paths_are_told_apart, overlong_names_are_paths,
          request_ids_have_the_shape_and_differ)
