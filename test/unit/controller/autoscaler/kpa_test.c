/* Tables in Knative's own terms: observed load and ready instances in, desired instances out. */
#include "autoscaler/kpa.h"
#include "autoscaler/autoscaler.h"
#include "base/clock.h"
#include "unit.h"

#define AT(s) ((uint64_t)(s)*NS_PER_S)

static uint32_t decide(struct kpa_state *st, double target, double stable, double panic,
                       uint32_t ready, uint64_t second)
{
    struct kpa_input in = {
        .target = target, .stable = stable, .panic = panic, .ready = ready, .stable_seconds = 60};

    return kpa_decide(&autoscaler_defaults.kpa, &in, AT(second), st);
}

START_TEST(steady)
{
    static const struct {
        double target;
        uint32_t ready;
        double stable, panic;
        uint32_t desired;
        bool in_panic;
    } rows[] = {
        {7, 1, 0, 0, 0, false},           {7, 1, 7, 7, 1, false}, /* exactly on target */
        {7, 1, 7.01, 7.01, 2, true}, /* ceil, and 2/1 is the threshold */
        {7, 2, 14.01, 14.01, 3, false},   {7, 10, 7, 7, 5, false}, /* down by half at most */
        {7, 9, 7, 7, 4, false},                                    /* floor of the half */
        {0.7, 1, 100, 100, 143, true},                             /* 100 / 0.7 */
        {0.7, 0, 100, 100, 143, true},                             /* none is one */
        {0.7, 1, 1000, 1000, 1000, true},                          /* up by 1000 times at most */
        {0.7, 2, 1000, 1000, 1429, true}, {0.7, 100, 90, 90, 129, false},
        {0.7, 100, 70, 150, 215, true},                            /* panic wins */
        {0.7, 4, 5, 0, 8, false},         {0, 1, 1, 1, 100, true}, /* never less than 0.01 */
        {200, 3, 500, 500, 3, false},                              /* requests per second */
        {200, 3, 601, 1300, 7, true},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct kpa_state st = {0};
        uint32_t n = decide(&st, rows[i].target, rows[i].stable, rows[i].panic, rows[i].ready, 1000);

        ck_assert_msg(n == rows[i].desired, "row %zu: %u", i, n);
        ck_assert_msg((st.panic_since_ns != 0) == rows[i].in_panic, "row %zu", i);
    }
}
END_TEST

START_TEST(panic_never_shrinks_and_ends_after_a_stable_window)
{
    struct kpa_state st = {0};

    ck_assert_uint_eq(decide(&st, 7, 20, 70, 2, 1000), 10);
    ck_assert_uint_eq(decide(&st, 7, 30, 10, 10, 1002), 10);
    ck_assert_uint_eq(decide(&st, 7, 30, 140, 10, 1004), 20); /* over again: the window starts anew */
    ck_assert_uint_eq(decide(&st, 7, 30, 30, 20, 1064), 20);
    ck_assert(st.panic_since_ns);
    ck_assert_uint_eq(decide(&st, 7, 30, 30, 20, 1066), 10);
    ck_assert(!st.panic_since_ns);
}
END_TEST

START_TEST(adopted)
{
    struct kpa_state st = {0};

    kpa_adopt(&st, 1, AT(10));
    ck_assert_uint_eq(st.panic_since_ns, 0);
    kpa_adopt(&st, 8, AT(10));
    ck_assert_uint_eq(decide(&st, 7, 0.1, 0.1, 8, 12), 8);
    ck_assert_uint_eq(decide(&st, 7, 0.1, 0.1, 8, 71), 4);
}
END_TEST

UNIT_MAIN("kpa", steady, panic_never_shrinks_and_ends_after_a_stable_window, adopted)
