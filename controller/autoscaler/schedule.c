#include "autoscaler/schedule.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DAY_S = 86400, SEARCH_DAYS = 40 * 366 };

struct field {
    const char *name;
    unsigned low, high;
    const char *const *names; /* of low, low + 1, ... */
    size_t name_count;
};
static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
static const struct field fields[5] = {{"minute", 0, 59, NULL, 0},
                                       {"hour", 0, 23, NULL, 0},
                                       {"day of month", 1, 31, NULL, 0},
                                       {"month", 1, 12, month_names, 12},
                                       {"day of week", 0, 7, day_names, 7}};

/* A number or a name; NULL: neither, or out of the field's range. */
static const char *value(const struct field *f, const char *p, unsigned *ret)
{
    char *end;
    unsigned long v;

    for (size_t i = 0; i < f->name_count; i++) {
        if (strncasecmp(p, f->names[i], 3) == 0) {
            *ret = f->low + (unsigned)i;
            return p + 3;
        }
    }
    if (!isdigit((unsigned char)*p))
        return NULL;
    v = strtoul(p, &end, 10);
    if (end - p > 2 || v < f->low || v > f->high)
        return NULL;
    *ret = (unsigned)v;
    return end;
}

static const char *item(const struct field *f, const char *p, uint64_t *bits)
{
    unsigned from = f->low, to = f->high, step = 1;
    bool range = true;

    if (*p == '*') {
        p++;
    } else {
        p = value(f, p, &from);
        if (!p)
            return NULL;
        range = *p == '-';
        if (range && !(p = value(f, p + 1, &to)))
            return NULL;
    }
    if (*p == '/') {
        char *end;

        if (!isdigit((unsigned char)p[1]))
            return NULL;
        step = (unsigned)strtoul(p + 1, &end, 10);
        if (end - p > 3 || !step)
            return NULL;
        p = end;
        if (!range)
            to = f->high;
    } else if (!range) {
        to = from;
    }
    if (from > to)
        return NULL;
    for (unsigned v = from; v <= to; v += step)
        *bits |= 1ull << v;
    return p;
}

static const char *list(const struct field *f, const char *p, uint64_t *bits, bool *any)
{
    *any = *p == '*';
    *bits = 0;
    do {
        p = item(f, p, bits);
    } while (p && *p == ',' && *++p);
    return p && (!*p || *p == ' ' || *p == '\t') && p[-1] != ',' ? p : NULL;
}

int cron_parse(const char *text, struct cron *ret, char why[CRON_WHY_MAX])
{
    uint64_t bits[5];
    bool any[5];
    const char *p = text;

    for (size_t i = 0; i < 5; i++) {
        p += strspn(p, " \t");
        if (!*p) {
            snprintf(why, CRON_WHY_MAX, "has %zu fields, not 5", i);
            return -EINVAL;
        }
        p = list(&fields[i], p, &bits[i], &any[i]);
        if (!p) {
            snprintf(why, CRON_WHY_MAX, "field %zu is not a %s (%u to %u)", i + 1, fields[i].name,
                     fields[i].low, fields[i].high);
            return -EINVAL;
        }
    }
    if (p[strspn(p, " \t")]) {
        snprintf(why, CRON_WHY_MAX, "has more than 5 fields");
        return -EINVAL;
    }
    *ret = (struct cron){.minutes = bits[0],
                         .hours = (uint32_t)bits[1],
                         .days = (uint32_t)bits[2],
                         .months = (uint32_t)bits[3],
                         .weekdays = (uint32_t)((bits[4] | bits[4] >> 7) & 0x7f),
                         .any_day = any[2],
                         .any_weekday = any[4]};
    if (!cron_last(ret, 4102444800)) { /* 2100-01-01: some time before it was a day of each kind */
        snprintf(why, CRON_WHY_MAX, "is a time that never comes");
        return -EINVAL;
    }
    return 0;
}

/* Day of the month and month of a day since the epoch, proleptic Gregorian: "chrono-Compatible
 * Low-Level Date Algorithms", H. Hinnant. */
static void civil(uint64_t day, unsigned *ret_day, unsigned *ret_month)
{
    uint64_t z = day + 719468, of_era = z % 146097;
    uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year + year / 4 - year / 100), m = (5 * of_year + 2) / 153;

    *ret_day = (unsigned)(of_year - (153 * m + 2) / 5 + 1);
    *ret_month = (unsigned)(m < 10 ? m + 3 : m - 9);
}

static bool on_day(const struct cron *c, uint64_t day)
{
    unsigned of_month, month, weekday = (unsigned)((day + 4) % 7); /* the epoch was a Thursday */
    bool by_day, by_weekday;

    civil(day, &of_month, &month);
    by_day = c->days >> of_month & 1;
    by_weekday = c->weekdays >> weekday & 1;
    return (c->months >> month & 1) &&
           (c->any_day || c->any_weekday ? by_day && by_weekday : by_day || by_weekday);
}

/* The last minute of a day that is not after `until`; -1: none. */
static int last_minute(const struct cron *c, unsigned until)
{
    for (int hour = (int)(until / 60); hour >= 0; hour--) {
        int minute = hour == (int)(until / 60) ? (int)(until % 60) : 59;

        for (; minute >= 0 && (c->hours >> hour & 1); minute--)
            if (c->minutes >> minute & 1)
                return hour * 60 + minute;
    }
    return -1;
}

bool cron_same(const struct cron *a, const struct cron *b)
{
    return a->minutes == b->minutes && a->hours == b->hours && a->days == b->days &&
           a->months == b->months && a->weekdays == b->weekdays && a->any_day == b->any_day &&
           a->any_weekday == b->any_weekday;
}

uint64_t cron_last(const struct cron *c, uint64_t epoch_s)
{
    uint64_t today = epoch_s / DAY_S;

    for (uint64_t back = 0; back <= today && back < SEARCH_DAYS; back++) {
        uint64_t day = today - back;
        int at = on_day(c, day) ? last_minute(c, back ? 1439 : (unsigned)(epoch_s % DAY_S / 60)) : -1;

        if (at >= 0)
            return day * DAY_S + (uint64_t)at * 60;
    }
    return 0;
}

uint32_t schedule_min(const struct schedule_window *w, size_t n, uint64_t epoch_s)
{
    uint32_t min = 0;

    for (size_t i = 0; i < n; i++)
        if (w[i].min > min && cron_last(&w[i].start, epoch_s) > cron_last(&w[i].end, epoch_s))
            min = w[i].min;
    return min;
}
