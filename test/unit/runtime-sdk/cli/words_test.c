/* A command's words, and flags that are given again. */
#include "cli/cli.h"
#include "cli/words.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

START_TEST(words_are_copied_and_end_with_null)
{
    struct words w = {0};

    ck_assert_ptr_null(words_all(&w)[0]);
    ck_assert_int_eq(words_split(&w, " \t cc  -O2\n"), 0);
    ck_assert_int_eq(words_split(&w, ""), 0);
    ck_assert_int_eq(words_add(&w, "a b"), 0);
    ck_assert_int_eq(words_add_all(&w, (const char *const[]){"x", "y", NULL}), 0);
    ck_assert_uint_eq(words_count(&w), 5);
    ck_assert_str_eq(words_all(&w)[0], "cc");
    ck_assert_str_eq(words_all(&w)[1], "-O2");
    ck_assert_str_eq(words_all(&w)[2], "a b");
    ck_assert_str_eq(words_all(&w)[4], "y");
    ck_assert_ptr_null(words_all(&w)[5]);
    words_done(&w);
}
END_TEST

START_TEST(words_are_limited)
{
    struct words w = {0};

    for (int i = 0; i < WORDS_MAX; i++)
        ck_assert_int_eq(words_add(&w, "x"), 0);
    ck_assert_int_eq(words_add(&w, "x"), -E2BIG);
    ck_assert_ptr_null(words_all(&w)[WORDS_MAX]);
    words_done(&w);
}
END_TEST

static int nothing(const struct command *c, int argc, char **argv)
{
    (void)c, (void)argc, (void)argv;
    return 0;
}

START_TEST(a_list_flag_keeps_all)
{
    static const struct command c = {"run", "", "", nothing};
    static char *argv[] = {"--env", "A=1", "dir", "--env=B=2", "--port", "7"};
    static char *many[2 * (FLAG_LIST_MAX + 1)];
    struct flag_list list = {0};
    long port = 0;
    const struct flag flags[] = {{"env", 0, FLAG_LIST, &list}, {"port", 0, FLAG_NUMBER, &port}};
    struct settings s = {0};
    struct arguments args;

    ck_assert_int_eq(flags_parse(&c, flags, 2, 6, argv, &s, &args), -1);
    ck_assert_uint_eq(list.count, 2);
    ck_assert_str_eq(list.at[0], "A=1");
    ck_assert_str_eq(list.at[1], "B=2");
    ck_assert_int_eq(port, 7);
    ck_assert_uint_eq(args.count, 1);
    for (int i = 0; i <= FLAG_LIST_MAX; i++) {
        many[2 * i] = "--env";
        many[2 * i + 1] = "A=1";
    }
    list.count = 0;
    ck_assert_int_eq(flags_parse(&c, flags, 2, 2 * FLAG_LIST_MAX, many, &s, &args), -1);
    list.count = 0;
    ck_assert_int_eq(flags_parse(&c, flags, 2, 2 * (FLAG_LIST_MAX + 1), many, &s, &args), EXIT_USAGE);
}
END_TEST

UNIT_MAIN("words", words_are_copied_and_end_with_null, words_are_limited, a_list_flag_keeps_all)
