#include "autoscaler/hpa.h"
#include "autoscaler/numbers.h"

#include <errno.h>
#include <stdbool.h>

/* Fractions miss by a few of the last digits, which must not make a change: see ceiling(). */
static bool tolerated(double ratio, const struct hpa_tolerance *t)
{
    return ratio >= 1.0 - t->down - 1e-9 && ratio <= 1.0 + t->up + 1e-9;
}

/* Usage of one instance that is on target. */
static double aim(const struct hpa_metric *m)
{
    return m->target == HPA_UTILIZATION ? m->value * m->request / 100 : m->value;
}

/* What an instance of which nothing is known is taken to use before there are less of them. */
static double at_most_usual(const struct hpa_metric *m)
{
    return m->target == HPA_UTILIZATION && m->value < 100 ? m->request : aim(m);
}

int hpa_of_instances(const struct hpa_metric *m, const struct hpa_sample *s, uint32_t current,
                     const struct hpa_tolerance *t, uint32_t *ret)
{
    double ratio, usage = s->usage, again;
    uint32_t n = s->ready, wish;
    bool up;

    if (!s->ready)
        return -ENODATA;
    ratio = usage / (aim(m) * n);
    up = ratio > 1.0;
    if (!s->missing && !(s->unready && up)) {
        *ret = tolerated(ratio, t) ? current : whole(ceiling(ratio * n));
        return 0;
    }
    n += s->missing;
    if (up)
        n += s->unready;
    else if (ratio < 1.0)
        usage += s->missing * at_most_usual(m);
    else
        usage += s->missing * aim(m);
    again = usage / (aim(m) * n);
    if (tolerated(again, t) || (ratio < 1.0 && again > 1.0) || (up && again < 1.0)) {
        *ret = current;
        return 0;
    }
    wish = whole(ceiling(again * n));
    *ret = (again < 1.0 && wish > current) || (again > 1.0 && wish < current) ? current : wish;
    return 0;
}

uint32_t hpa_of_outside(const struct hpa_metric *m, double value, uint32_t ready, uint32_t current,
                        const struct hpa_tolerance *t)
{
    double ratio;

    if (m->target == HPA_VALUE) {
        ratio = value / m->value;
        if (!current)
            return whole(ceiling(ratio));
        return tolerated(ratio, t) ? current : whole(ceiling(ratio * ready));
    }
    if (current && tolerated(value / (m->value * current), t))
        return current;
    return whole(ceiling(value / m->value));
}
