/* Selectors, columns, ages, the CRD that is checked in. */
#include "api/api.h"
#include "api/selector.h"
#include "api/table.h"
#include "api/yaml.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static struct object *make(void)
{
    static const char metadata[] =
        "{\"name\":\"a\",\"namespace\":\"default\",\"uid\":\"u\",\"creationTimestamp\":"
        "\"1970-01-01T00:00:10Z\",\"labels\":{\"team\":\"x\",\"tier\":\"web\"}}";
    static const char spec[] =
        "{\"runtime\":\"python3\",\"memory\":\"128Mi\",\"concurrency\":7,\"triggers\":[{\"http\":{"
        "\"path\":\"/p\\\"q\"}}]}";
    static const char status[] =
        "{\"summary\":\"1/2\",\"latestRevision\":\"abc\",\"conditions\":[{\"type\":\"Active\","
        "\"status\":\"False\"},{\"type\":\"Ready\",\"status\":\"True\"}]}";
    struct content *c;
    struct object *o;

    ck_assert_int_eq(content_new(metadata, spec, NULL, NULL, &c), 0);
    ck_assert_int_eq(object_new(KIND_FUNCTION, 42, 42, c, status, &o), 0);
    content_unref(c);
    return o;
}

static bool matches(const struct object *o, const char *labels, const char *fields)
{
    struct selector *s;
    struct err e = {0};
    bool is;

    ck_assert_msg(selector_parse(labels, fields, &s, &e) == 0, "%s: %s", labels ?: fields, e.message);
    is = selector_matches(s, o);
    selector_free(s);
    return is;
}

START_TEST(selectors)
{
    static const char *const yes[] = {"",
                                      "team=x",
                                      "team==x",
                                      "team",
                                      "!other",
                                      "team!=y",
                                      "other!=y",
                                      "team in (x,y)",
                                      "team in (x)",
                                      "team notin (y,z)",
                                      "other notin (y)",
                                      "team=x,tier=web",
                                      " team = x , tier in ( web ) "};
    static const char *const no[] = {"team=y",         "!team",         "other",
                                     "team!=x",        "team in (y,z)", "team notin (x)",
                                     "team=x,tier=db", "other in (x)",  "team="};
    cleanup_object struct object *o = make();

    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        ck_assert_msg(matches(o, yes[i], NULL), "%s", yes[i]);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        ck_assert_msg(!matches(o, no[i], NULL), "%s", no[i]);
    ck_assert(matches(o, NULL, "metadata.name=a"));
    ck_assert(matches(o, NULL, "metadata.name!=b,metadata.namespace==default"));
    ck_assert(!matches(o, NULL, "metadata.name=b"));
}
END_TEST

START_TEST(selectors_refused)
{
    static const char *const bad[] = {"=",   "a=b=c", "a in",  "a in (b", "a in b", ",a", "a,",
                                      "a b", "!a=b",  "a==b)", "-a=b",    "a=b c",  "/=x"};
    struct selector *s;
    struct err e = {0};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(selector_parse(bad[i], NULL, &s, &e) == -EINVAL, "%s", bad[i]);
    ck_assert_int_eq(selector_parse(NULL, "spec.runtime=x", &s, &e), -EINVAL);
    ck_assert_str_eq(e.message, "field label not supported: spec.runtime");
}
END_TEST

static const char *color(const void *of, const char *name)
{
    (void)name;
    return of;
}

START_TEST(other_fields)
{
    static const char *const known[] = {"color", NULL};
    struct selector *s;
    struct err e = {0};

    ck_assert_int_eq(selector_parse_of(NULL, "color=red", known, &s, &e), 0);
    ck_assert(selector_matches_of(s, color, "red"));
    ck_assert(!selector_matches_of(s, color, "blue"));
    selector_free(s);
    ck_assert_int_eq(selector_parse_of("!a", "color!=red", known, &s, &e), 0);
    ck_assert(!selector_matches_of(s, color, "red"));
    ck_assert(selector_matches_of(s, color, "blue"));
    selector_free(s);
    ck_assert_int_eq(selector_parse_of("a", NULL, known, &s, &e), 0);
    ck_assert(!selector_matches_of(s, color, "blue"));
    selector_free(s);
    ck_assert(selector_matches_of(NULL, color, "blue"));
    ck_assert_int_eq(selector_parse_of(NULL, "metadata.name=red", known, &s, &e), -EINVAL);
}
END_TEST

START_TEST(rows)
{
    cleanup_buffer struct buffer b = {0};
    cleanup_object struct object *o = make();
    struct schema_set *s;
    struct err e = {0};
    struct json_object *table;

    ck_assert_int_eq(schema_load(&s, &e), 0);
    table_begin(&s->kinds[KIND_FUNCTION], "{}", true, &b);
    table_row(&s->kinds[KIND_FUNCTION], o, TABLE_METADATA, 10 + 300, &b);
    table_end(&b);
    buffer_append(&b, "", 1);
    table = json_tokener_parse((const char *)buffer_bytes(&b));
    ck_assert_msg(table != NULL, "%s", buffer_bytes(&b));
    ck_assert_str_eq(
        json_object_to_json_string_ext(table_path(table, ".rows[0].cells"),
                                       JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        "[\"a\",\"True\",\"1/2\",\"abc\",\"/p\\\"q\",\"5m\",\"python3\",\"128Mi\",7,\"\",\"\"]");
    ck_assert_str_eq(
        json_object_get_string(table_path(table, ".rows[0].object.metadata.resourceVersion")), "42");
    ck_assert_uint_eq(json_object_array_length(table_path(table, ".columnDefinitions")), 11);
    ck_assert_str_eq(
        json_object_get_string(table_path(table, ".columnDefinitions[?(@.name==\"URL\")].priority")),
        "1");
    json_object_put(table);
    schema_free(s);
}
END_TEST

START_TEST(ages)
{
    static const struct {
        uint64_t s;
        const char *text;
    } cases[] = {{0, "0s"},       {119, "119s"},    {120, "2m"},     {125, "2m5s"}, {600, "10m"},
                 {10799, "179m"}, {10800, "3h"},    {11000, "3h3m"}, {28800, "8h"}, {172799, "47h"},
                 {172800, "2d"},  {180000, "2d2h"}, {864000, "10d"}};
    char text[24];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        table_age(cases[i].s, text);
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

START_TEST(yaml)
{
    struct json_object *o = json_tokener_parse(
        "{\"a\":[{\"b\":1,\"c\":[\"x\",\"y z\"]},[]],\"true\":\"no\",\"e\":{},\"f\":null}");
    cleanup_buffer struct buffer b = {0};

    ck_assert_int_eq(yaml_write(o, &b), 0);
    buffer_append(&b, "", 1);
    ck_assert_str_eq((const char *)buffer_bytes(&b),
                     "a:\n- b: 1\n  c:\n  - x\n  - \"y z\"\n- []\n\"true\": \"no\"\ne: {}\nf: null\n");
    json_object_put(o);
}
END_TEST

START_TEST(the_crd_in_the_tree_is_the_schemas)
{
    cleanup_buffer struct buffer made = {0}, kept = {0};

    ck_assert_int_eq(api_crd_yaml(&made), 0);
    ck_assert_msg(file_read(AT_FDCWD, "deploy/kubernetes/functions.crd.yaml", 1 << 20, &kept) == 0,
                  "run from the top of the tree");
    ck_assert_msg(buffer_size(&made) == buffer_size(&kept) &&
                      memcmp(buffer_bytes(&made), buffer_bytes(&kept), buffer_size(&made)) == 0,
                  "make it anew: rouse-controller crd > deploy/kubernetes/functions.crd.yaml");
}
END_TEST

UNIT_MAIN("selector", selectors, selectors_refused, other_fields, rows, ages, yaml,
          the_crd_in_the_tree_is_the_schemas)
