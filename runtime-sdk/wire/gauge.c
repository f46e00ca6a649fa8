/* gauge.c - see gauge.h. */
#include "wire/gauge.h"

#include <errno.h>
#include <string.h>

enum { VALUE_SIZE = 8 };

bool gauge_is_platforms(const char *name, size_t n)
{
    static const char *const names[] = {"concurrency", "requests_per_second"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strlen(names[i]) == n && !memcmp(names[i], name, n))
            return true;
    return false;
}

static bool is_name(const char *name, size_t n)
{
    if (!n || n > GAUGE_NAME_MAX || (*name >= '0' && *name <= '9'))
        return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] != '_' && !(name[i] >= 'a' && name[i] <= 'z') &&
            !(name[i] >= '0' && name[i] <= '9'))
            return false;
    return true;
}

const char *gauge_refusal(const char *name, size_t n, double value)
{
    if (!is_name(name, n))
        return "a metric's name is [a-z_][a-z0-9_]{0,62}";
    if (gauge_is_platforms(name, n))
        return "concurrency and requests_per_second are the platform's own";
    if (!(value >= 0 && value <= GAUGE_VALUE_MAX))
        return "a metric's value is a number from 0 to 1e18";
    return NULL;
}

const struct gauge *gauges_find(const struct gauges *g, const char *name, size_t n)
{
    for (unsigned i = 0; i < g->count; i++)
        if (strlen(g->all[i].name) == n && !memcmp(g->all[i].name, name, n))
            return &g->all[i];
    return NULL;
}

const char *gauges_set(struct gauges *g, const char *name, size_t n, double value, bool *ret_changed)
{
    const char *why = gauge_refusal(name, n, value);
    const struct gauge *found = why ? NULL : gauges_find(g, name, n);
    struct gauge *at = found ? &g->all[found - g->all] : &g->all[g->count];

    if (why)
        return why;
    if (!found && g->count == GAUGES_MAX)
        return "an instance has at most 16 metrics";
    if (ret_changed)
        *ret_changed = !found || at->value != value;
    if (!found) {
        memcpy(at->name, name, n);
        at->name[n] = '\0';
        g->count++;
    }
    at->value = value + 0.0; /* never -0 */
    return NULL;
}

size_t frame_metric_put(uint8_t to[FRAME_METRIC_MAX], const char *name, size_t n, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    for (int i = 0; i < VALUE_SIZE; i++)
        to[i] = (uint8_t)(bits >> (8 * i));
    memcpy(to + VALUE_SIZE, name, n);
    return VALUE_SIZE + n;
}

int frame_metric_parse(const struct frame *f, const char **ret_name, size_t *ret_n, double *ret_value)
{
    uint64_t bits = 0;

    if (f->type != FRAME_METRIC || f->length <= VALUE_SIZE)
        return -EBADMSG;
    for (int i = VALUE_SIZE; i-- > 0;)
        bits = bits << 8 | f->payload[i];
    memcpy(ret_value, &bits, sizeof(bits));
    *ret_name = (const char *)f->payload + VALUE_SIZE;
    *ret_n = f->length - VALUE_SIZE;
    return 0;
}
