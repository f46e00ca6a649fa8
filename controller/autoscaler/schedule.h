/* schedule.h - windows of time by two cron expressions: begin and end. UTC.
 *
 * Five fields: minute, hour, day of month, month, day of week (0 and 7 are
 * Sunday); each *, a number, a range a-b, steps / and lists; months and days
 * of the week by their first three letters, too. Where both days are
 * restricted one of them is enough, as in cron(8). Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cron {
    uint64_t minutes;
    uint32_t hours, days, months, weekdays; /* a bit a value */
    bool any_day, any_weekday;
};
enum { CRON_WHY_MAX = 96 };

/* -EINVAL with the reason in `why`: not such an expression, or a time that never comes. */
int cron_parse(const char *text, struct cron *ret, char why[CRON_WHY_MAX]);
bool cron_same(const struct cron *a, const struct cron *b); /* the same times */
/* The last time at or before epoch_s, in whole minutes; 0: none since the epoch or in 40 years. */
uint64_t cron_last(const struct cron *c, uint64_t epoch_s);

struct schedule_window {
    struct cron start, end;
    uint32_t min; /* instances within it */
};
/* The largest min of the windows that epoch_s lies in; 0: of none. */
uint32_t schedule_min(const struct schedule_window *w, size_t n, uint64_t epoch_s);
