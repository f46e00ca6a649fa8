#include "autoscaler/extremes.h"
#include "base/clock.h"
#include "unit.h"

#define AT(s) ((uint64_t)(s)*NS_PER_S)

START_TEST(leaves_after_the_window)
{
    struct extremes e;

    extremes_init(&e, 60);
    ck_assert_uint_eq(extremes_high(&e, AT(100), 7), 7);
    ck_assert_uint_eq(extremes_low(&e, AT(100), 7), 7);
    extremes_record(&e, AT(100), 9);
    extremes_record(&e, AT(102), 2);
    extremes_record(&e, AT(104), 5);
    ck_assert_uint_eq(extremes_high(&e, AT(104), 0), 9);
    ck_assert_uint_eq(extremes_low(&e, AT(104), 0), 2);
    ck_assert_uint_eq(extremes_high(&e, AT(159), 0), 9);
    ck_assert_uint_eq(extremes_high(&e, AT(161), 0), 5);
    ck_assert_uint_eq(extremes_low(&e, AT(161), 0), 2);
    ck_assert_uint_eq(extremes_low(&e, AT(163), 0), 5);
    ck_assert_uint_eq(extremes_high(&e, AT(165), 1), 1);
    ck_assert_uint_eq(extremes_low(&e, AT(165), 1), 1);
}
END_TEST

/* Never too early, and at most a 60th too late, whatever the window is. */
START_TEST(against_the_plain_maximum)
{
    static const uint32_t windows[] = {1, 2, 7, 60, 61, 100, 300, 599, 3600};
    static uint32_t said[8000];
    uint32_t random = 1;

    for (size_t k = 0; k < sizeof(windows) / sizeof(windows[0]); k++) {
        uint32_t window = windows[k], late = (window + 59) / 60;
        struct extremes e;

        extremes_init(&e, window);
        for (uint32_t t = 0; t < 8000; t++) {
            uint32_t least = 0, most = 0, high;

            random = random * 1664525 + 1013904223;
            said[t] = random >> 20;
            extremes_record(&e, AT(t + 1), said[t]);
            high = extremes_high(&e, AT(t + 1), 0);
            for (uint32_t i = 0; i < window + late && i <= t; i++) {
                most = said[t - i] > most ? said[t - i] : most;
                if (i < window)
                    least = most;
            }
            ck_assert_msg(high >= least && high <= most, "window %u at %u: %u, not %u to %u",
                          window, t, high, least, most);
        }
    }
}
END_TEST

UNIT_MAIN("extremes", leaves_after_the_window, against_the_plain_maximum)
