#include "http/timeouts.h"
#include "base/cleanup.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>

struct options {
    int other;
    struct http_timeouts clients;
};
static const struct daemon_flag table[] = {HTTP_TIMEOUT_FLAGS(struct options, clients)};

static int parse(char *flag, char *value, struct options *o)
{
    char *argv[] = {(char *)"daemon", flag, value};

    return daemon_flags_parse(table, ARRAY_LEN(table), 3, argv, o, NULL);
}

START_TEST(each_flag_has_its_place)
{
    static const char *const flags[] = {"--header-timeout", "--body-timeout", "--write-timeout",
                                        "--idle-timeout"};
    struct http_server_options o = {.hold_limit = 9};
    struct options all = {0};

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        char flag[32], value[8];

        snprintf(flag, sizeof(flag), "%s", flags[i]);
        snprintf(value, sizeof(value), "%zus", i + 1);
        ck_assert_int_eq(parse(flag, value, &all), 0);
    }
    ck_assert_int_eq(all.other, 0);
    http_timeouts_apply(&all.clients, &o);
    ck_assert_uint_eq(o.header_timeout_ns, NS_PER_S);
    ck_assert_uint_eq(o.body_timeout_ns, 2 * NS_PER_S);
    ck_assert_uint_eq(o.write_timeout_ns, 3 * NS_PER_S);
    ck_assert_uint_eq(o.idle_timeout_ns, 4 * NS_PER_S);
    ck_assert_uint_eq(o.hold_limit, 9);
}
END_TEST

START_TEST(what_a_timeout_is)
{
    static const char *const values[] = {"",    "0",   "5",    "99ms",  "3601s",
                                         "61m", "-1s", "soon", "100ms", "1h"};

    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct options o = {.clients.idle_ns = 7};
        char flag[] = "--idle-timeout", value[8];
        bool taken = i + 2 >= ARRAY_LEN(values);

        snprintf(value, sizeof(value), "%s", values[i]);
        ck_assert_msg((parse(flag, value, &o) == 0) == taken && (o.clients.idle_ns == 7) != taken,
                      "%s", values[i]);
    }
}
END_TEST

UNIT_MAIN("timeouts", each_flag_has_its_place, what_a_timeout_is)
