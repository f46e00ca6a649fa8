#include "autoscaler/behavior.h"
#include "base/clock.h"

#include <string.h>

const struct behavior behavior_defaults = {
    .up = {.stabilization_s = 0,
           .select = SELECT_MAX,
           .policies = {{true, 100, 15}, {false, 4, 15}},
           .policy_count = 2,
           .tolerance = 0.1},
    .down = {.stabilization_s = 300,
             .select = SELECT_MAX,
             .policies = {{true, 100, 15}},
             .policy_count = 1,
             .tolerance = 0.1},
};

void behavior_init(struct behavior_state *s, const struct behavior *b)
{
    memset(s, 0, sizeof(*s));
    extremes_init(&s->up, b->up.stabilization_s);
    extremes_init(&s->down, b->down.stabilization_s);
}

static void rewindow(struct extremes *e, uint32_t seconds)
{
    if (e->window_ns != seconds * NS_PER_S)
        extremes_init(e, seconds);
}

void behavior_respec(struct behavior_state *s, const struct behavior *b)
{
    rewindow(&s->up, b->up.stabilization_s);
    rewindow(&s->down, b->down.stabilization_s);
}

/* Where there are too many, the two oldest become one, at the time of the later: counted too long,
 * never too short. */
static void add_event(struct behavior_state *s, uint64_t now_ns, int32_t change)
{
    if (s->event_count == BEHAVIOR_EVENTS) {
        s->events[1].change += s->events[0].change;
        memmove(s->events, s->events + 1, (BEHAVIOR_EVENTS - 1) * sizeof(s->events[0]));
        s->event_count--;
    }
    s->events[s->event_count].at_ns = now_ns;
    s->events[s->event_count++].change = change;
}

void behavior_note(struct behavior_state *s, uint64_t now_ns, uint32_t current)
{
    if (current && !s->up.newest)
        extremes_record(&s->up, now_ns, current);
    if (current && !s->down.newest)
        extremes_record(&s->down, now_ns, current);
    if (s->known && current != s->last)
        add_event(s, now_ns, (int32_t)((int64_t)current - s->last));
    s->known = true;
    s->last = current;
}

/* What there was when the period began. */
static int64_t at_begin(const struct behavior_state *s, uint64_t now_ns, uint32_t period_s,
                        uint32_t current)
{
    int64_t n = current;

    for (uint32_t i = s->event_count; i--;) {
        if (now_ns - s->events[i].at_ns >= period_s * NS_PER_S)
            break;
        n -= s->events[i].change;
    }
    return n > 0 ? n : 0;
}

static int64_t raised(const struct behavior_policy *p, int64_t from)
{
    return p->percent ? from + (from * p->value + 99) / 100 : from + p->value;
}

static int64_t lowered(const struct behavior_policy *p, int64_t from)
{
    int64_t to = p->percent ? from * (100 - (int64_t)p->value) / 100 : from - p->value;

    return to > 0 ? to : 0;
}

uint32_t behavior_ceiling(const struct behavior *b, const struct behavior_state *s, uint64_t now_ns,
                          uint32_t current)
{
    const struct behavior_rules *r = &b->up;
    int64_t limit = r->select == SELECT_MIN ? INT64_MAX : current;

    if (r->select == SELECT_DISABLED)
        return current;
    for (uint32_t i = 0; i < r->policy_count; i++) {
        int64_t to = raised(&r->policies[i], at_begin(s, now_ns, r->policies[i].period_s, current));

        if (r->select == SELECT_MIN ? to < limit : to > limit)
            limit = to;
    }
    if (limit < current)
        limit = current;
    return limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
}

static uint32_t lowest(const struct behavior *b, const struct behavior_state *s, uint64_t now_ns,
                       uint32_t current)
{
    const struct behavior_rules *r = &b->down;
    int64_t limit = r->select == SELECT_MIN ? 0 : current;

    if (r->select == SELECT_DISABLED)
        return current;
    for (uint32_t i = 0; i < r->policy_count; i++) {
        int64_t to = lowered(&r->policies[i], at_begin(s, now_ns, r->policies[i].period_s, current));

        /* the policy that changes least leaves most */
        if (r->select == SELECT_MIN ? to > limit : to < limit)
            limit = to;
    }
    return limit < current ? (uint32_t)limit : current;
}

struct behavior_result behavior_apply(const struct behavior *b, struct behavior_state *s,
                                      uint64_t now_ns, uint32_t current, uint32_t desired)
{
    struct behavior_result r = {.wanted = current};
    uint32_t up, down, limit;

    extremes_record(&s->up, now_ns, desired);
    extremes_record(&s->down, now_ns, desired);
    up = b->up.stabilization_s ? extremes_low(&s->up, now_ns, desired) : desired;
    down = b->down.stabilization_s ? extremes_high(&s->down, now_ns, desired) : desired;
    if (r.wanted < up)
        r.wanted = up;
    if (r.wanted > down)
        r.wanted = down;
    r.stabilized = r.wanted != desired;
    if (r.wanted > current) {
        limit = behavior_ceiling(b, s, now_ns, current);
        r.limited = r.wanted > limit;
        r.wanted = r.limited ? limit : r.wanted;
    } else if (r.wanted < current) {
        limit = lowest(b, s, now_ns, current);
        r.limited = r.wanted < limit;
        r.wanted = r.limited ? limit : r.wanted;
    }
    return r;
}
