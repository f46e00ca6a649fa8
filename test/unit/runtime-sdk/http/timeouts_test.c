#include "http/timeouts.h"
#include "base/clock.h"
#include "unit.h"

#include <errno.h>

START_TEST(each_flag_has_its_place)
{
    struct http_timeouts t = {0};
    struct http_server_options o = {.hold_limit = 9};

    *http_timeouts_flag(&t, "--header-timeout") = 1;
    *http_timeouts_flag(&t, "--body-timeout") = 2;
    *http_timeouts_flag(&t, "--write-timeout") = 3;
    *http_timeouts_flag(&t, "--idle-timeout") = 4;
    ck_assert_ptr_null(http_timeouts_flag(&t, "--header"));
    ck_assert_ptr_null(http_timeouts_flag(&t, "--queue-deadline"));
    http_timeouts_apply(&t, &o);
    ck_assert_uint_eq(o.header_timeout_ns, 1);
    ck_assert_uint_eq(o.body_timeout_ns, 2);
    ck_assert_uint_eq(o.write_timeout_ns, 3);
    ck_assert_uint_eq(o.idle_timeout_ns, 4);
    ck_assert_uint_eq(o.hold_limit, 9);
}
END_TEST

START_TEST(what_a_timeout_is)
{
    static const char *const refused[] = {"", "0", "5", "99ms", "3601s", "61m", "-1s", "soon"};
    uint64_t ns = 7;

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        ck_assert_msg(http_timeout_parse(refused[i], &ns) == -EINVAL && ns == 7, "%s", refused[i]);
    ck_assert_int_eq(http_timeout_parse("100ms", &ns), 0);
    ck_assert_uint_eq(ns, 100 * NS_PER_MS);
    ck_assert_int_eq(http_timeout_parse("1h", &ns), 0);
    ck_assert_uint_eq(ns, 3600 * NS_PER_S);
}
END_TEST

UNIT_MAIN("timeouts", each_flag_has_its_place, what_a_timeout_is)
