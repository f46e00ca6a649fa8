#include "instance_state.h"
#include "unit.h"

/* The edge table, written down a second time on purpose: who changes one must mean it. */
static const char *const table[STATE_COUNT] = {
    /*                     UPFCIRZDSX   (Unknown Pending Fetching Creating Initializing Ready froZen
       Draining Stopped failed) */
    [STATE_UNKNOWN] = "..........",      [STATE_PENDING] = "..x....x.x",
    [STATE_FETCHING] = "...x...x.x",     [STATE_CREATING] = "....x..x.x",
    [STATE_INITIALIZING] = ".....x.x.x", [STATE_READY] = "......xx.x",
    [STATE_FROZEN] = ".....x.x.x",       [STATE_DRAINING] = "........xx",
    [STATE_STOPPED] = "..........",      [STATE_FAILED] = "..........",
};

START_TEST(edges_are_the_contract)
{
    for (int from = 0; from < STATE_COUNT; from++)
        for (int to = 0; to < STATE_COUNT; to++)
            ck_assert_msg(instance_state_edge((enum instance_state)from, (enum instance_state)to) ==
                              (table[from][to] == 'x'),
                          "%s -> %s", instance_state_name((enum instance_state)from),
                          instance_state_name((enum instance_state)to));
}
END_TEST

START_TEST(out_of_range)
{
    ck_assert_str_eq(instance_state_name((enum instance_state)99), "Unknown");
    ck_assert(!instance_state_edge((enum instance_state)99, STATE_READY));
    ck_assert(!instance_state_edge(STATE_READY, (enum instance_state) - 1));
}
END_TEST

UNIT_MAIN("instance_state", edges_are_the_contract, out_of_range)
