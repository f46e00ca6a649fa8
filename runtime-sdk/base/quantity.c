#include "base/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *suffix;
    uint64_t scale;
};

/* Digits with an optional fraction times `scale`, in integers: up to 9 digits after the point
 * count. */
static int number(const char **s, uint64_t *whole, uint64_t *nano)
{
    const char *p = *s;
    uint64_t place = 100000000;
    int digits = 0;

    *whole = *nano = 0;
    for (; isdigit((unsigned char)*p); p++, digits++)
        if (__builtin_mul_overflow(*whole, 10ull, whole) ||
            __builtin_add_overflow(*whole, (uint64_t)(*p - '0'), whole))
            return -ERANGE;
    if (*p == '.')
        for (p++; isdigit((unsigned char)*p); p++, digits++, place /= 10)
            *nano += (uint64_t)(*p - '0') * place;
    if (!digits)
        return -EINVAL;
    *s = p;
    return 0;
}

static int scaled(uint64_t whole, uint64_t nano, uint64_t scale, uint64_t *ret)
{
    unsigned __int128 v = (unsigned __int128)whole * scale;

    v += (unsigned __int128)nano * scale / 1000000000u;
    if (v > UINT64_MAX)
        return -ERANGE;
    *ret = (uint64_t)v;
    return 0;
}

/* As quantity_memory(), in units of 1 / `parts`. */
static int with_suffix(const char *s, uint64_t parts, uint64_t *ret)
{
    static const struct unit units[] = {
        {"", 1},
        {"Ki", 1ull << 10},
        {"Mi", 1ull << 20},
        {"Gi", 1ull << 30},
        {"Ti", 1ull << 40},
        {"k", 1000},
        {"M", 1000000},
        {"G", 1000000000},
        {"T", 1000000000000},
    };
    uint64_t whole, nano;
    int r = number(&s, &whole, &nano);

    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (!strcmp(s, units[i].suffix))
            return scaled(whole, nano, units[i].scale * parts, ret);
    return parts == 1000 && !strcmp(s, "m") ? scaled(whole, nano, 1, ret) : -EINVAL;
}

int quantity_memory(const char *s, uint64_t *ret)
{
    return with_suffix(s, 1, ret);
}

int quantity_number(const char *s, uint64_t *ret)
{
    return with_suffix(s, 1000, ret);
}

int quantity_cpu(const char *s, uint32_t *ret)
{
    uint64_t whole, nano, v;
    int r = number(&s, &whole, &nano);

    if (r < 0)
        return r;
    if (strcmp(s, "m") && *s)
        return -EINVAL;
    r = scaled(whole, nano, *s ? 1 : 1000, &v);
    if (r < 0 || v > UINT32_MAX)
        return -ERANGE;
    *ret = (uint32_t)v;
    return 0;
}

int quantity_duration(const char *s, uint64_t *ret)
{
    static const struct unit units[] = {
        {"ns", 1},         {"us", 1000},       {"ms", 1000000},
        {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000},
    };
    uint64_t total = 0;

    if (!strcmp(s, "0")) {
        *ret = 0;
        return 0;
    }
    if (!*s)
        return -EINVAL;
    while (*s) {
        uint64_t whole, nano, part;
        size_t n = 0, i;
        int r = number(&s, &whole, &nano);

        if (r < 0)
            return r;
        while (isalpha((unsigned char)s[n]))
            n++;
        for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
            if (strlen(units[i].suffix) == n && !strncmp(s, units[i].suffix, n))
                break;
        if (i == sizeof(units) / sizeof(units[0]))
            return -EINVAL;
        r = scaled(whole, nano, units[i].scale, &part);
        if (r < 0 || __builtin_add_overflow(total, part, &total))
            return -ERANGE;
        s += n;
    }
    *ret = total;
    return 0;
}

void quantity_memory_text(uint64_t bytes, char out[24])
{
    static const char *const suffix[] = {"", "Ki", "Mi", "Gi", "Ti"};
    int i = 0;

    while (i < 4 && bytes && bytes % 1024 == 0) {
        bytes /= 1024;
        i++;
    }
    snprintf(out, 24, "%llu%s", (unsigned long long)bytes, suffix[i]);
}
