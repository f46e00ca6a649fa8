/* JSON is recognised without a parser, and its cost is known before one runs. */
#include "invoke/text.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static const struct {
    const char *in;
    int result;
    size_t values;
    bool status_code;
} rows[] = {
    {"null", 0, 1, false},
    {" [ ] ", 0, 1, false},
    {"{}", 0, 1, false},
    {"[0,-1.5e+3,true,\"\\u00e9\\n\"]", 0, 5, false},
    {"{\"a\":{\"b\":[1,{}]},\"c\":\"\"}", 0, 6, false},
    {"{ \"x\" : 1 , \"statusCode\" : 200 }", 0, 3, true},
    {"{\"x\":{\"statusCode\":200}}", 0, 3, false},
    {"[{\"statusCode\":200}]", 0, 3, false},
    {"\"statusCode\"", 0, 1, false},
    {"", -EINVAL, 0, false},
    {" ", -EINVAL, 0, false},
    {"[1,]", -EINVAL, 0, false},
    {"[1", -EINVAL, 0, false},
    {"[1}", -EINVAL, 0, false},
    {"]", -EINVAL, 0, false},
    {"1 2", -EINVAL, 0, false},
    {"{\"a\"}", -EINVAL, 0, false},
    {"{\"a\":1,}", -EINVAL, 0, false},
    {"{a:1}", -EINVAL, 0, false},
    {"{\"a\":}", -EINVAL, 0, false},
    {"01", -EINVAL, 0, false},
    {"1.", -EINVAL, 0, false},
    {".5", -EINVAL, 0, false},
    {"+1", -EINVAL, 0, false},
    {"1e", -EINVAL, 0, false},
    {"-", -EINVAL, 0, false},
    {"NaN", -EINVAL, 0, false},
    {"tru", -EINVAL, 0, false},
    {"\"a", -EINVAL, 0, false},
    {"\"\\x\"", -EINVAL, 0, false},
    {"\"\\u12g4\"", -EINVAL, 0, false},
    {"\"\\", -EINVAL, 0, false},
    {"\"a\nb\"", -EINVAL, 0, false},
    {"\"\xff\"", -EINVAL, 0, false},
    {"[[[[1]]]]", 0, 5, false},
    {"[[[[[1]]]]]", -E2BIG, 0, false},
    {"[[[[{", -E2BIG, 0, false},
};

START_TEST(table)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json_facts facts = {0};
        size_t n = strlen(rows[i].in);
        /* Exactly as long: a read past the end is seen. */
        uint8_t *text = malloc(n ? n : 1);
        int r;

        ck_assert_ptr_nonnull(text);
        memcpy(text, rows[i].in, n);
        r = json_check(text, n, 4, &facts);
        ck_assert_msg(r == rows[i].result, "%s: %d", rows[i].in, r);
        ck_assert_msg(facts.values == rows[i].values, "%s: %zu", rows[i].in, facts.values);
        ck_assert_msg(facts.status_code == rows[i].status_code, "%s", rows[i].in);
        free(text);
    }
}
END_TEST

START_TEST(a_nul_is_no_json)
{
    struct json_facts facts;

    ck_assert_int_eq(json_check((const uint8_t *)"\"\\\0\"", 4, 4, &facts), -EINVAL);
    ck_assert_int_eq(json_check((const uint8_t *)"\"\\u\0\0\0\0\"", 8, 4, &facts), -EINVAL);
    ck_assert_int_eq(json_check((const uint8_t *)"1\0", 2, 4, &facts), -EINVAL);
}
END_TEST

UNIT_MAIN("json_check", table, a_nul_is_no_json)
