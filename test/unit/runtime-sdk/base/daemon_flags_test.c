#include "base/daemon_flags.h"
#include "base/cleanup.h"
#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct options {
    const char *name;
    bool loud;
    uint32_t count;
    uint64_t size, time;
    unsigned added;
};

static int take_added(const struct daemon_flag *f, const char *said, char *value, void *options,
                      struct err *e)
{
    (void)f, (void)said, (void)e;
    ((struct options *)options)->added += (unsigned)strlen(value);
    return 0;
}

static const struct daemon_flag table[] = {
    {.name = "--the-name", .take = daemon_flag_text, .offset = offsetof(struct options, name)},
    {.name = "--loud",
     .take = daemon_flag_switch,
     .offset = offsetof(struct options, loud),
     .kind = DAEMON_FLAG_SWITCH},
    {.name = "--count",
     .take = daemon_flag_number,
     .offset = offsetof(struct options, count),
     .min = 2,
     .max = 9,
     .want = "is not 2 to 9"},
    {.name = "--size",
     .take = daemon_flag_memory,
     .offset = offsetof(struct options, size),
     .min = 1024,
     .max = 4096,
     .want = "is not 1Ki to 4Ki"},
    {.name = "--time",
     .take = daemon_flag_duration,
     .offset = offsetof(struct options, time),
     .min = 1000,
     .max = 2000,
     .want = "is not 1us to 2us",
     .kind = DAEMON_FLAG_HERE},
    {.name = "--add", .take = take_added, .kind = DAEMON_FLAG_AGAIN},
};

static int parse(const char *line, struct options *ret, struct err *e)
{
    static char text[256];
    char *argv[16] = {(char *)"daemon"}, *save = NULL;
    int argc = 1;

    *ret = (struct options){0};
    *e = (struct err){0};
    snprintf(text, sizeof(text), "%s", line);
    for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save))
        argv[argc++] = p;
    return daemon_flags_parse(table, ARRAY_LEN(table), argc, argv, ret, e);
}

START_TEST(the_command_line)
{
    struct options o;
    struct err e;

    ck_assert_int_eq(
        parse("--the-name a=b --loud --count=9 --size 1Ki --time=2us --add x --add=yz", &o, &e), 0);
    ck_assert_str_eq(o.name, "a=b");
    ck_assert(o.loud);
    ck_assert_uint_eq(o.count, 9);
    ck_assert_uint_eq(o.size, 1024);
    ck_assert_uint_eq(o.time, 2000);
    ck_assert_uint_eq(o.added, 3);
    ck_assert_int_eq(parse("--loud=false --the-name=--count", &o, &e), 0);
    ck_assert(!o.loud);
    ck_assert_str_eq(o.name, "--count");
}
END_TEST

START_TEST(what_is_refused_is_named)
{
    static const char *const rows[][2] = {
        {"--count 1", "--count \"1\": is not 2 to 9"},
        {"--count=10", "--count \"10\""},
        {"--count +3", "--count \"+3\""},
        {"--count 4294967298", "--count"},
        {"--count 99999999999999999999", "--count"},
        {"--count 3x", "--count"},
        {"--size 1023", "--size \"1023\": is not 1Ki to 4Ki"},
        {"--size 5Ki", "--size"},
        {"--time 999ns", "--time \"999ns\": is not 1us to 2us"},
        {"--the-name=", "--the-name \"\": is empty"},
        {"--loud=yes", "--loud \"yes\": is none of 1, true, 0, false"},
        {"--count", "--count needs a value"},
        {"--the_name x", "--the_name is not a flag"},
        {"--coun=3", "--coun is not a flag"},
        {"word", "word is not a flag"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct options o;
        struct err e;

        ck_assert_msg(parse(rows[i][0], &o, &e) == -EINVAL, "%s", rows[i][0]);
        ck_assert_msg(!strncmp(e.message, rows[i][1], strlen(rows[i][1])), "%s: %s", rows[i][0],
                      e.message);
    }
}
END_TEST

START_TEST(the_environment_says_what_the_command_line_does_not)
{
    struct options o;
    struct err e;

    setenv("ROUSE_THE_NAME", "n", 1);
    setenv("ROUSE_LOUD", "1", 1);
    setenv("ROUSE_COUNT", "", 1); /* says nothing */
    setenv("ROUSE_TIME", "1us", 1);
    setenv("ROUSE_ADD", "abcd", 1);
    ck_assert_int_eq(parse("", &o, &e), 0);
    ck_assert_str_eq(o.name, "n");
    ck_assert(o.loud);
    ck_assert_uint_eq(o.time, 0); /* it is for the command line alone */
    ck_assert_uint_eq(o.added, 4);
    setenv("ROUSE_COUNT", "many", 1);
    ck_assert_int_eq(parse("", &o, &e), -EINVAL);
    ck_assert_str_eq(e.message, "ROUSE_COUNT \"many\": is not 2 to 9");
    ck_assert_int_eq(parse("--count 5 --the-name m --add e", &o, &e), 0);
    ck_assert_uint_eq(o.count, 5);
    ck_assert_str_eq(o.name, "m");
    ck_assert_uint_eq(o.added, 5); /* both */
}
END_TEST

START_TEST(questions)
{
    char *argv[] = {(char *)"daemon", (char *)"--odd", (char *)"--version", (char *)"-h"};

    ck_assert_ptr_null(daemon_flags_question(2, argv));
    ck_assert_str_eq(daemon_flags_question(4, argv), "--version");
    argv[1] = (char *)"-h";
    ck_assert_str_eq(daemon_flags_question(4, argv), "--help");
}
END_TEST

UNIT_MAIN("daemon_flags", the_command_line, what_is_refused_is_named,
          the_environment_says_what_the_command_line_does_not, questions)
