/* Tables in Knative's own terms: observed concurrency and ready instances in, desired instances
 * out. */
#include "autoscaler/autoscaler.h"
#include "base/clock.h"
#include "unit.h"

#define AT(s) ((uint64_t)(s)*NS_PER_S)
static const struct autoscaler_spec ten = {.concurrency = 10, .max = 1000, .idle_timeout_ns = AT(60)};

static struct autoscaler_decision decide(const struct autoscaler_spec *s,
                                         struct autoscaler_state *st, double stable, double panic,
                                         uint32_t ready, uint64_t second)
{
    struct autoscaler_input in = {.stable = stable,
                                  .panic = panic,
                                  .ready = ready,
                                  .current = ready,
                                  .running = 1,
                                  .last_active_ns = AT(second)};
    struct autoscaler_decision d;

    autoscaler_decide(&autoscaler_defaults, s, &in, AT(second), st, &d);
    return d;
}

START_TEST(steady)
{
    static const struct {
        uint32_t concurrency, ready;
        double stable, panic;
        uint32_t desired;
        bool in_panic;
    } rows[] = {
        {10, 1, 0, 0, 1, false},      /* busy now: one stays */
        {10, 1, 7, 7, 1, false},      /* exactly on target */
        {10, 1, 7.01, 7.01, 2, true}, /* ceil, and 2/1 is the threshold */
        {10, 2, 14.01, 14.01, 3, false}, {10, 10, 7, 7, 5, false}, /* down by half at most */
        {10, 9, 7, 7, 4, false},                                   /* floor of the half */
        {1, 1, 100, 100, 143, true},                               /* 100 / 0.7 */
        {1, 1, 1000, 1000, 1000, true},                            /* up by 1000 times at most */
        {1, 2, 1000, 1000, 1429, true},  {1, 100, 90, 90, 129, false},
        {1, 100, 70, 150, 215, true}, /* panic wins */
        {1, 4, 5, 0, 8, false},          {1, 8, 5, 0, 8, false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct autoscaler_spec s = {
            .concurrency = rows[i].concurrency, .max = 100000, .idle_timeout_ns = AT(60)};
        struct autoscaler_state st = {0};
        struct autoscaler_decision d =
            decide(&s, &st, rows[i].stable, rows[i].panic, rows[i].ready, 1000);

        ck_assert_msg(d.desired == rows[i].desired, "row %zu: %u", i, d.desired);
        ck_assert_msg(d.panic == rows[i].in_panic, "row %zu", i);
    }
}
END_TEST

START_TEST(panic_never_shrinks_and_ends_after_a_stable_window)
{
    struct autoscaler_state st = {0};

    ck_assert_uint_eq(decide(&ten, &st, 20, 70, 2, 1000).requested, 10);
    ck_assert_uint_eq(decide(&ten, &st, 30, 10, 10, 1002).requested, 10);
    ck_assert_uint_eq(decide(&ten, &st, 30, 140, 10, 1004).requested,
                      20); /* over again: the window starts anew */
    ck_assert(decide(&ten, &st, 30, 30, 20, 1064).panic);
    ck_assert_uint_eq(decide(&ten, &st, 30, 30, 20, 1064).requested, 20);
    ck_assert(!decide(&ten, &st, 30, 30, 20, 1066).panic);
    ck_assert_uint_eq(decide(&ten, &st, 30, 30, 20, 1066).requested, 10);
}
END_TEST

START_TEST(to_zero_after_the_idle_timeout)
{
    struct autoscaler_spec s = {.concurrency = 1, .max = 10, .idle_timeout_ns = AT(5)};
    struct autoscaler_state st = {.panic_since_ns = AT(100), .panic_max = 7};
    struct autoscaler_input in = {.stable = 0.5, .ready = 3, .current = 3, .last_active_ns = AT(100)};
    struct autoscaler_decision d;

    autoscaler_decide(&autoscaler_defaults, &s, &in, AT(105) - 1, &st, &d);
    ck_assert_uint_eq(d.requested, 7);
    in.running = 1;
    autoscaler_decide(&autoscaler_defaults, &s, &in, AT(105), &st, &d);
    ck_assert_uint_eq(d.requested, 7);
    in.running = 0;
    in.waiting = 1;
    autoscaler_decide(&autoscaler_defaults, &s, &in, AT(105), &st, &d);
    ck_assert_uint_eq(d.requested, 7);
    in.waiting = 0;
    autoscaler_decide(&autoscaler_defaults, &s, &in, AT(105), &st, &d);
    ck_assert_uint_eq(d.requested, 0);
    ck_assert(!d.panic);
    s.min = 2;
    autoscaler_decide(&autoscaler_defaults, &s, &in, AT(105), &st, &d);
    ck_assert_uint_eq(d.desired, 0);
    ck_assert_uint_eq(d.requested, 2);
    s.min = 0;
    s.idle_timeout_ns = 0;
    in.last_active_ns = AT(105);
    autoscaler_decide(&autoscaler_defaults, &s, &in, AT(105), &st, &d);
    ck_assert_uint_eq(d.requested, 0);
}
END_TEST

START_TEST(one_stays_until_idle_and_zero_stays_zero)
{
    struct autoscaler_state st = {0};
    struct autoscaler_input in = {.ready = 1, .current = 1, .last_active_ns = AT(1000)};
    struct autoscaler_decision d;

    autoscaler_decide(&autoscaler_defaults, &ten, &in, AT(1059), &st, &d);
    ck_assert_uint_eq(d.requested, 1);
    in.current = in.ready = 0;
    autoscaler_decide(&autoscaler_defaults, &ten, &in, AT(1059), &st, &d);
    ck_assert_uint_eq(d.requested, 0);
}
END_TEST

START_TEST(bounds)
{
    struct autoscaler_spec s = {.concurrency = 1, .min = 3, .max = 5, .idle_timeout_ns = AT(60)};
    struct autoscaler_state st = {0};

    ck_assert_uint_eq(decide(&s, &st, 100, 100, 1, 1).requested, 5);
    ck_assert_uint_eq(decide(&s, &st, 100, 100, 1, 1).desired, 143);
    st = (struct autoscaler_state){0};
    ck_assert_uint_eq(decide(&s, &st, 0, 0, 1, 1).requested, 3);
}
END_TEST

START_TEST(poke)
{
    static const struct {
        uint32_t concurrency, max, waiting, want;
    } rows[] = {{1, 100, 1, 1},   {1, 100, 7, 7}, {10, 100, 7, 1},
                {10, 100, 11, 2}, {1, 5, 100, 5}, {1, 9999, 5000, 1000}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct autoscaler_spec s = {.concurrency = rows[i].concurrency, .max = rows[i].max};

        ck_assert_msg(autoscaler_poke(&autoscaler_defaults, &s, rows[i].waiting) == rows[i].want,
                      "row %zu", i);
    }
}
END_TEST

START_TEST(adopted)
{
    struct autoscaler_state st = {0};

    autoscaler_adopt(&st, 1, AT(10));
    ck_assert_uint_eq(st.panic_since_ns, 0);
    autoscaler_adopt(&st, 8, AT(10));
    ck_assert_uint_eq(decide(&ten, &st, 0.1, 0.1, 8, 12).requested, 8);
    ck_assert_uint_eq(decide(&ten, &st, 0.1, 0.1, 8, 71).requested, 4);
}
END_TEST

UNIT_MAIN("autoscaler", steady, panic_never_shrinks_and_ends_after_a_stable_window,
          to_zero_after_the_idle_timeout, one_stays_until_idle_and_zero_stays_zero, bounds, poke,
          adopted)
