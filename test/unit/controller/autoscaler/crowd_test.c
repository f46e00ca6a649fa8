/* Requests wait where all is busy: how many instances are started, and when. */
#include "autoscaler/crowd.h"
#include "base/clock.h"
#include "unit.h"

#define MS(n) ((uint64_t)(n)*NS_PER_MS)

START_TEST(table)
{
    static const struct {
        const char *what;
        struct crowd in; /* waiting, concurrency, serving, starting, start, run, waited, still */
        uint32_t more;
    } rows[] = {
        {"nobody waits", {0, 1, 1, 0, MS(100), MS(5000), MS(10), MS(10)}, 0},
        {"from zero, nothing is known", {7, 1, 0, 0, MS(100), 0, 0, 0}, 7},
        {"from zero, slots", {11, 10, 0, 0, MS(100), 0, 0, 0}, 2},
        {"single flight", {1000, 1, 0, 1000, MS(100), 0, 0, 0}, 0},
        {"... the rest of it", {1000, 1, 0, 990, MS(100), 0, 0, 0}, 10},
        {"from zero, calls as long as a start", {100, 1, 0, 0, MS(100), MS(100), 0, 0}, 50},
        {"from zero, short calls", {100, 1, 0, 0, MS(100), MS(1), 0, 0}, 1},
        {"from zero, a crowd of short calls", {1000, 1, 0, 0, MS(100), MS(10), 0, 0}, 91},
        {"long calls", {5, 1, 3, 0, MS(100), MS(60000), MS(10), 0}, 5},
        {"... whose starts are under way", {5, 1, 3, 5, MS(100), MS(60000), MS(10), 0}, 0},
        {"... and slots", {25, 10, 3, 0, MS(100), MS(60000), MS(10), 0}, 3},
        {"short calls", {20, 1, 1, 0, MS(100), MS(10), MS(10), 0}, 0},
        {"one too many", {21, 1, 1, 0, MS(100), MS(10), MS(10), 0}, 1},
        {"many too many", {1000, 1, 1, 0, MS(100), MS(10), MS(10), 0}, 90},
        {"nobody had the time to offer a slot", {5, 1, 3, 0, MS(100), MS(60000), MS(4), 0}, 0},
        {"... unless a start is as fast", {5, 1, 3, 0, MS(2), MS(60000), MS(2), 0}, 5},
        {"nothing is known", {1, 1, 1, 0, MS(100), 0, MS(10), MS(10)}, 0},
        {"... for as long as two starts", {1, 1, 1, 0, MS(100), 0, MS(201), MS(201)}, 1},
        {"short calls that got stuck", {1, 1, 1, 0, MS(100), MS(1), MS(201), MS(201)}, 1},
        {"eight of them", {8, 8, 1, 0, MS(100), MS(1), MS(201), MS(201)}, 1},
        {"a start that takes no time", {3, 1, 1, 0, 0, MS(1), MS(1), 0}, 3},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t more = crowd_more(&rows[i].in);

        ck_assert_msg(more == rows[i].more, "%s: %u", rows[i].what, more);
    }
}
END_TEST

static uint64_t seed = 1;

static uint32_t upto(uint32_t n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((seed >> 33) % n);
}

static struct crowd any(void)
{
    struct crowd in = {.waiting = upto(upto(2) ? 10 : 10000),
                       .concurrency = 1 + upto(upto(2) ? 3 : 1000),
                       .serving = upto(upto(2) ? 3 : 1000),
                       .starting = upto(upto(2) ? 3 : 100),
                       .start_ns = (uint64_t)upto(1 << 30) >> upto(30),
                       .run_ns = upto(3) ? ((uint64_t)upto(1 << 30) << 5) >> upto(30) : 0,
                       .waited_ns = (uint64_t)upto(1 << 30) >> upto(30)};

    in.still_ns = in.waited_ns ? upto((uint32_t)in.waited_ns) : 0;
    return in;
}

/* Never more than what all that waits has slots for, and not less for more that wait, longer calls, or fewer that
 * serve. */
START_TEST(bounded_and_monotone)
{
    for (int i = 0; i < 200000; i++) {
        struct crowd in = any(), other = in;
        uint32_t more = crowd_more(&in), all = (in.waiting + in.concurrency - 1) / in.concurrency;

        ck_assert_uint_le(more, all > in.starting ? all - in.starting : 0);
        other.waiting++;
        ck_assert_uint_ge(crowd_more(&other), more);
        other = in;
        other.run_ns = in.run_ns + upto(1 << 30);
        ck_assert_msg(crowd_more(&other) >= more || !in.run_ns, "%d", i);
        other = in;
        other.starting++;
        ck_assert_uint_le(crowd_more(&other), more);
        other = in;
        other.starting += more; /* what was asked for is enough */
        ck_assert_uint_eq(crowd_more(&other), 0);
    }
}
END_TEST

/* When nothing happens: not a moment before, and then. */
START_TEST(patience)
{
    unsigned waited = 0;

    for (int i = 0; i < 200000; i++) {
        struct crowd in = any(), then = in;
        uint64_t wait = crowd_patience(&in);

        if (!wait || wait == UINT64_MAX) {
            ck_assert_int_eq(crowd_more(&in) > 0, !wait);
            continue;
        }
        waited++;
        ck_assert_uint_eq(crowd_more(&in), 0);
        then.still_ns += wait + 1;
        then.waited_ns += wait + 1;
        ck_assert_msg(crowd_more(&then) > 0 || crowd_patience(&then) < UINT64_MAX, "%d", i);
        if (wait < 3)
            continue;
        then = in;
        then.still_ns += wait - 3;
        then.waited_ns += wait - 3;
        ck_assert_uint_eq(crowd_more(&then), 0);
    }
    ck_assert_uint_gt(waited, 1000);
}
END_TEST

UNIT_MAIN("crowd", table, bounded_and_monotone, patience)
