#include "autoscaler/schedule.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* "2026-11-23 16:00" as seconds since the epoch. */
static uint64_t at(const char *text)
{
    struct tm tm = {0};

    ck_assert_ptr_nonnull(strptime(text, "%Y-%m-%d %H:%M", &tm));
    return (uint64_t)timegm(&tm);
}

static struct cron parse(const char *text)
{
    struct cron c;
    char why[CRON_WHY_MAX] = "";

    ck_assert_msg(cron_parse(text, &c, why) == 0, "%s: %s", text, why);
    return c;
}

START_TEST(last_times)
{
    static const struct {
        const char *cron, *now, *last;
    } rows[] = {
        {"* * * * *", "2026-11-23 16:10", "2026-11-23 16:10"},
        {"*/15 * * * *", "2026-11-23 16:14", "2026-11-23 16:00"},
        {"*/15 * * * *", "2026-11-23 16:15", "2026-11-23 16:15"},
        {"0 8 * * *", "2026-11-23 07:59", "2026-11-22 08:00"},
        {"0 8 * * *", "2026-11-23 08:00", "2026-11-23 08:00"},
        {"30 8,20 * * *", "2026-11-23 20:29", "2026-11-23 08:30"},
        {"0 8 * * 1-5", "2026-11-22 12:00", "2026-11-20 08:00"}, /* a Sunday */
        {"0 8 * * MON-FRI", "2026-11-22 12:00", "2026-11-20 08:00"},
        {"0 8 * * 7", "2026-11-23 12:00", "2026-11-22 08:00"},
        {"0 8 * * 0", "2026-11-23 12:00", "2026-11-22 08:00"},
        {"0 0 1 * *", "2026-11-23 12:00", "2026-11-01 00:00"},
        {"0 0 31 * *", "2026-11-23 12:00", "2026-10-31 00:00"},
        {"0 0 29 2 *", "2026-11-23 12:00", "2024-02-29 00:00"},
        {"0 0 1 jan *", "2026-11-23 12:00", "2026-01-01 00:00"},
        {"0 0 13 * fri", "2026-11-23 12:00", "2026-11-20 00:00"}, /* either of them */
        {"0 0 13 * *", "2026-11-23 12:00", "2026-11-13 00:00"},
        {"0 0 */2 * 1", "2026-11-23 12:00", "2026-11-23 00:00"}, /* begins with *: both */
        {"59 23 31 12 *", "2026-01-01 00:00", "2025-12-31 23:59"},
        {"5-59/20 22-23 * * *", "2026-11-23 12:00", "2026-11-22 23:45"},
        {"3/20 * * * *", "2026-11-23 12:22", "2026-11-23 12:03"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cron c = parse(rows[i].cron);
        uint64_t got = cron_last(&c, at(rows[i].now) + 59);

        ck_assert_msg(got == at(rows[i].last), "%s at %s: %lld", rows[i].cron, rows[i].now,
                      (long long)got - (long long)at(rows[i].last));
    }
}
END_TEST

START_TEST(refused)
{
    static const char *const rows[][2] = {
        {"", "has 0 fields"},
        {"* * * *", "has 4 fields"},
        {"* * * * * *", "more than 5"},
        {"60 * * * *", "field 1 is not a minute"},
        {"* 24 * * *", "field 2 is not a hour"},
        {"* * 0 * *", "field 3 is not a day of month"},
        {"* * 32 * *", "field 3"},
        {"* * * 13 *", "field 4"},
        {"* * * * 8", "field 5"},
        {"5-1 * * * *", "field 1"},
        {"*/0 * * * *", "field 1"},
        {"*/ * * * *", "field 1"},
        {"1, * * * *", "field 1"},
        {"1,,2 * * * *", "field 1"},
        {"a * * * *", "field 1"},
        {"-1 * * * *", "field 1"},
        {"1- * * * *", "field 1"},
        {"001 * * * *", "field 1"},
        {"@daily", "field 1"},
        {"* * * foo *", "field 4"},
        {"0 0 30 2 *", "never comes"},
        {"0 0 31 feb,apr *", "never comes"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cron c;
        char why[CRON_WHY_MAX] = "";

        ck_assert_msg(cron_parse(rows[i][0], &c, why) == -EINVAL, "%s", rows[i][0]);
        ck_assert_msg(strstr(why, rows[i][1]), "%s: %s", rows[i][0], why);
    }
}
END_TEST

/* Every minute of four years against the calendar of the C library. */
START_TEST(calendar)
{
    struct cron c = parse("17 5 * * 3");
    uint64_t begin = at("2023-06-01 00:00"), last = 0;

    for (uint64_t t = begin; t < begin + 4 * 366 * 86400ull; t += 86400 / 4) {
        time_t s = (time_t)t;
        struct tm tm;
        uint64_t got = cron_last(&c, t);

        gmtime_r(&s, &tm);
        if (tm.tm_wday == 3 && tm.tm_hour == 6)
            last = t - 43 * 60;
        if (!last)
            continue;
        s = (time_t)got;
        gmtime_r(&s, &tm);
        ck_assert_int_eq(tm.tm_wday, 3);
        ck_assert_int_eq(tm.tm_hour * 60 + tm.tm_min, 5 * 60 + 17);
        ck_assert(got <= t && t - got < 7 * 86400);
    }
}
END_TEST

START_TEST(windows)
{
    struct schedule_window w[] = {{parse("0 8 * * 1-5"), parse("0 18 * * 1-5"), 5},
                                  {parse("0 12 * * *"), parse("0 13 * * *"), 9},
                                  {parse("0 22 * * *"), parse("0 6 * * *"), 2}};

    ck_assert_uint_eq(schedule_min(w, 3, at("2026-11-23 07:59")), 0);
    ck_assert_uint_eq(schedule_min(w, 3, at("2026-11-23 08:00")), 5);
    ck_assert_uint_eq(schedule_min(w, 3, at("2026-11-23 12:30")), 9);
    ck_assert_uint_eq(schedule_min(w, 3, at("2026-11-23 13:00")), 5);
    ck_assert_uint_eq(schedule_min(w, 3, at("2026-11-23 18:00")), 0);
    ck_assert_uint_eq(schedule_min(w, 3, at("2026-11-23 22:00")), 2);
    ck_assert_uint_eq(schedule_min(w, 3, at("2026-11-24 05:59")), 2);
    ck_assert_uint_eq(schedule_min(w, 3, at("2026-11-24 06:00")), 0);
    ck_assert_uint_eq(schedule_min(w, 3, at("2026-11-22 09:00")), 0); /* Sunday */
}
END_TEST

UNIT_MAIN("schedule", last_times, refused, calendar, windows)
