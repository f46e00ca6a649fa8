/* Tables from the documented semantics of `behavior` in autoscaling/v2. */
#include "autoscaler/behavior.h"
#include "base/clock.h"
#include "unit.h"

#include <string.h>

#define AT(s) ((uint64_t)(s)*NS_PER_S)

static const struct behavior_rules at_once = {
    .select = SELECT_MAX, .policies = {{true, 100, 15}}, .policy_count = 1, .tolerance = 0.1};

/* One decision of a size that has been there for ever. */
static struct behavior_result once(const struct behavior *b, uint32_t current, uint32_t desired)
{
    struct behavior_state s;

    behavior_init(&s, b);
    behavior_note(&s, AT(1), current);
    return behavior_apply(b, &s, AT(10000), current, desired);
}

START_TEST(policies)
{
    static const struct {
        bool up;
        enum behavior_select select;
        struct behavior_policy policies[2];
        uint32_t count, current, desired, wanted;
    } rows[] = {
        {true, SELECT_MAX, {{true, 100, 15}, {false, 4, 15}}, 2, 1, 100, 5}, /* the pods win */
        {true, SELECT_MAX, {{true, 100, 15}, {false, 4, 15}}, 2, 10, 100, 20},
        {true, SELECT_MAX, {{true, 100, 15}, {false, 4, 15}}, 2, 10, 13, 13},
        {true, SELECT_MIN, {{true, 100, 15}, {false, 4, 15}}, 2, 10, 100, 14},
        {true, SELECT_MIN, {{true, 100, 15}, {false, 4, 15}}, 2, 2, 100, 4},
        {true, SELECT_DISABLED, {{true, 900, 15}}, 1, 10, 100, 10},
        {true, SELECT_MAX, {{true, 10, 60}}, 1, 1, 100, 2}, /* rounded up: at least one more */
        {true, SELECT_MAX, {{true, 900, 60}}, 1, 1, 100, 10},
        {true, SELECT_MAX, {{true, 900, 60}}, 1, 0, 100, 0}, /* of nothing */
        {true, SELECT_MAX, {{false, 3, 60}}, 1, 0, 100, 3},
        {false, SELECT_MAX, {{true, 100, 15}}, 1, 80, 10, 10},
        {false, SELECT_MAX, {{false, 4, 60}, {true, 10, 60}}, 2, 80, 10, 72},
        {false, SELECT_MAX, {{false, 4, 60}, {true, 10, 60}}, 2, 20, 10, 16},
        {false, SELECT_MIN, {{false, 4, 60}, {true, 10, 60}}, 2, 80, 10, 76},
        {false, SELECT_MIN, {{false, 4, 60}, {true, 10, 60}}, 2, 20, 10, 18},
        {false, SELECT_MIN, {{false, 4, 60}, {true, 10, 60}}, 2, 20, 19, 19},
        {false, SELECT_DISABLED, {{true, 100, 15}}, 1, 80, 10, 80},
        {false, SELECT_MAX, {{false, 50, 60}}, 1, 20, 3, 3},
        {false, SELECT_MAX, {{true, 10, 60}}, 1, 5, 1, 4}, /* 4.5 is 4 */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct behavior b = {.up = at_once, .down = at_once};
        struct behavior_rules *r = rows[i].up ? &b.up : &b.down;
        struct behavior_result got;

        r->select = rows[i].select;
        memcpy(r->policies, rows[i].policies, sizeof(rows[i].policies));
        r->policy_count = rows[i].count;
        got = once(&b, rows[i].current, rows[i].desired);
        ck_assert_msg(got.wanted == rows[i].wanted, "row %zu: %u", i, got.wanted);
        ck_assert_msg(got.limited == (rows[i].wanted != rows[i].desired), "row %zu", i);
        ck_assert_msg(!got.stabilized, "row %zu", i);
    }
}
END_TEST

/* What was added within the period counts, what was added before it does not, and what was taken
 * gives room again. */
START_TEST(periods)
{
    struct behavior b = {.up = at_once, .down = at_once};
    struct behavior_state s;

    b.up.policies[0] = (struct behavior_policy){false, 4, 60};
    behavior_init(&s, &b);
    behavior_note(&s, AT(100), 10);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(100), 10, 100).wanted, 14);
    behavior_note(&s, AT(100), 14);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(130), 14, 100).wanted, 14);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(159), 14, 100).wanted, 14);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(160), 14, 100).wanted, 18);
    behavior_note(&s, AT(160), 18);
    behavior_note(&s, AT(170), 15); /* three went */
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(175), 15, 100).wanted, 18);
    ck_assert_uint_eq(behavior_ceiling(&b, &s, AT(175), 15), 18);
    /* More events than are kept: none is forgotten before its time. */
    for (uint32_t i = 0; i < 1000; i++)
        behavior_note(&s, AT(200) + i, 20 + i);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(201), 1019, 5000).wanted, 1019);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(262), 1019, 5000).wanted, 1023);
}
END_TEST

START_TEST(stabilisation)
{
    struct behavior b = behavior_defaults;
    struct behavior_state s;

    behavior_init(&s, &b);
    behavior_note(&s, AT(1000), 20); /* what there is is a recommendation, too */
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(1000), 20, 5).wanted, 20);
    ck_assert(behavior_apply(&b, &s, AT(1002), 20, 5).stabilized);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(1200), 20, 12).wanted, 20);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(1299), 20, 5).wanted, 20);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(1305), 20, 5).wanted, 12);
    behavior_note(&s, AT(1305), 12);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(1499), 12, 5).wanted, 12);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(1505), 12, 5).wanted, 5);
    /* Up is at once by default; with a window, the least of it holds. */
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(1507), 12, 14).wanted, 14);
    b.up.stabilization_s = 60;
    behavior_init(&s, &b);
    behavior_note(&s, AT(2000), 5);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(2000), 5, 10).wanted, 5);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(2059), 5, 8).wanted, 5);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(2061), 5, 9).wanted, 8);
}
END_TEST

/* Between two recommendations of which one says up and the other down: it stays. */
START_TEST(in_between)
{
    struct behavior b = behavior_defaults;
    struct behavior_state s;

    b.up.stabilization_s = 300;
    behavior_init(&s, &b);
    behavior_note(&s, AT(10), 10);
    behavior_apply(&b, &s, AT(10), 10, 7);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(20), 10, 12).wanted, 10);
    ck_assert_uint_eq(behavior_apply(&b, &s, AT(30), 10, 6).wanted, 10);
}
END_TEST

UNIT_MAIN("behavior", policies, periods, stabilisation, in_between)
