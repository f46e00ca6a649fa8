/* The simulator's flags: ranges, and which of them go together. */
#include "simulate/options.h"
#include "base/clock.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct simulate_options o;

/* Up to four flags with their values, between blanks. */
static int parse(const char *flags)
{
    char text[256], *argv[16], *save = NULL;
    int n = 0;

    snprintf(text, sizeof(text), "%s", flags);
    for (char *at = strtok_r(text, " ", &save); at; at = strtok_r(NULL, " ", &save))
        argv[n++] = at;
    return simulate_options_parse(n, argv, &o);
}

START_TEST(defaults)
{
    ck_assert_int_eq(parse(""), 0);
    ck_assert(o.functions == 1000 && o.nodes == 20 && !o.node_max && o.time == 3600 * NS_PER_S);
    ck_assert_uint_eq(o.turn, 0);
    ck_assert_int_eq(parse("--turn 10ms"), 0);
    ck_assert_uint_eq(o.turn, 10 * NS_PER_MS);
    ck_assert_int_eq(parse("--node-max 9 --node-min 0 --node-create 5s"), 0);
    ck_assert(o.node_max == 9 && !o.node_min && o.node_create == 5 * NS_PER_S);
    ck_assert_int_eq(parse("--node-max 9"), 0);
    ck_assert_uint_eq(o.node_min, 1);
}
END_TEST

START_TEST(refused)
{
    static const char *const wrong[] = {"--nodes",
                                        "--nodes 0",
                                        "--nodes 10001",
                                        "--nodes 1x",
                                        "--no-such 1",
                                        "--time 0s",
                                        "--only none",
                                        "--turn 1001ms",
                                        "--node-max 4 --nodes 4",
                                        "--node-max 4 --node-min 5",
                                        "--node-min 2",
                                        "--node-create 5s --nodes 4",
                                        "--memory file"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        ck_assert_msg(parse(wrong[i]) == -EINVAL, "%s", wrong[i]);
}
END_TEST

UNIT_MAIN("simulate_options", defaults, refused)
