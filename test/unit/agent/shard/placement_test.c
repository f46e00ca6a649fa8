/* placement_test.c - instances over loops, and the slots that are wanted of all of them. */
#include "shard/placement.h"
#include "shard/wanted.h"
#include "unit.h"

#include <stdio.h>

static int put(struct placement *p, const char *function, int n)
{
    char id[32];

    snprintf(id, sizeof(id), "%s-%d", function, n);
    return placement_put(p, function, "r1", id);
}

START_TEST(a_function_is_spread_evenly)
{
    struct placement p = {.count = 3};
    unsigned loads[3] = {0};

    for (int i = 0; i < 9; i++)
        loads[put(&p, "a", i)]++;
    ck_assert_uint_eq(loads[0], 3);
    ck_assert_uint_eq(loads[1], 3);
    ck_assert_uint_eq(loads[2], 3);
    /* Where one is, it stays. */
    for (int i = 0; i < 9; i++)
        ck_assert_int_eq(put(&p, "a", i), i % 3);
    ck_assert_uint_eq(p.instances.count, 9);
    placement_done(&p);
}
END_TEST

START_TEST(functions_of_one_instance_are_spread_too)
{
    struct placement p = {.count = 2};
    unsigned loads[2] = {0};
    char function[16];

    for (int i = 0; i < 10; i++) {
        snprintf(function, sizeof(function), "f%d", i);
        loads[put(&p, function, 0)]++;
    }
    ck_assert_uint_eq(loads[0], 5);
    ck_assert_uint_eq(loads[1], 5);
    placement_done(&p);
}
END_TEST

START_TEST(a_revision_counts_by_itself)
{
    struct placement p = {.count = 2};

    ck_assert_int_eq(placement_put(&p, "a", "r1", "x"), 0);
    ck_assert_int_eq(placement_put(&p, "b", "r1", "y"), 1);
    /* The first of r2: the emptier loops are equal, so the first; the second goes to the other. */
    ck_assert_int_eq(placement_put(&p, "a", "r2", "z"), 0);
    ck_assert_int_eq(placement_put(&p, "a", "r2", "w"), 1);
    placement_done(&p);
}
END_TEST

START_TEST(what_goes_makes_room)
{
    struct placement p = {.count = 2};

    ck_assert_int_eq(put(&p, "a", 0), 0);
    ck_assert_int_eq(put(&p, "a", 1), 1);
    placement_remove(&p, "a-1");
    placement_remove(&p, "never-there");
    ck_assert_int_eq(put(&p, "a", 2), 1);
    placement_remove(&p, "a-0");
    placement_remove(&p, "a-2");
    ck_assert_uint_eq(p.instances.count, 0);
    ck_assert_uint_eq(p.revisions.count, 0);
    placement_done(&p);
}
END_TEST

START_TEST(a_whole_state_forgets_the_rest)
{
    struct placement p = {.count = 2};

    for (int i = 0; i < 4; i++)
        put(&p, "a", i);
    placement_keep_begin(&p);
    ck_assert_int_eq(put(&p, "a", 1), 1);
    ck_assert_int_eq(put(&p, "a", 3), 1);
    placement_keep_end(&p);
    ck_assert_uint_eq(p.instances.count, 2);
    ck_assert_uint_eq(p.loads[0], 0);
    ck_assert_uint_eq(p.loads[1], 2);
    ck_assert_int_eq(put(&p, "a", 5), 0);
    placement_done(&p);
}
END_TEST

START_TEST(offers_are_counted_once)
{
    struct wanted w = {0};

    ck_assert(!wanted_take(&w, "a", "r1"));
    ck_assert_int_eq(wanted_set(&w, "a", "r1", 2), 0);
    ck_assert(wanted_take(&w, "a", "r1"));
    ck_assert(!wanted_take(&w, "a", "r2"));
    ck_assert(!wanted_take(&w, "b", "r1"));
    ck_assert(wanted_take(&w, "a", "r1"));
    ck_assert(!wanted_take(&w, "a", "r1"));
    /* A level: what is said last is so. */
    wanted_set(&w, "a", "r1", 5);
    wanted_set(&w, "a", "r1", 1);
    ck_assert(wanted_take(&w, "a", "r1"));
    ck_assert(!wanted_take(&w, "a", "r1"));
    wanted_set(&w, "a", "r1", 3);
    wanted_set(&w, "a", "r1", 0);
    ck_assert(!wanted_take(&w, "a", "r1"));
    ck_assert_uint_eq(w.revisions.count, 0);
    wanted_set(&w, "a", "r1", 3);
    wanted_clear(&w);
    ck_assert(!wanted_take(&w, "a", "r1"));
    wanted_clear(&w);
}
END_TEST

UNIT_MAIN("placement", a_function_is_spread_evenly, functions_of_one_instance_are_spread_too,
          a_revision_counts_by_itself, what_goes_makes_room, a_whole_state_forgets_the_rest,
          offers_are_counted_once)
