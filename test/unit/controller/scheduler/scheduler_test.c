#include "scheduler/scheduler.h"
#include "unit.h"

#include <errno.h>

#define MI (1ull << 20)
static struct placement_node node(uint64_t reserved)
{
    return (struct placement_node){.allocatable_memory = 1024 * MI,
                                   .reserved_memory = reserved * MI,
                                   .allocatable_cpu = 4000,
                                   .ready = true,
                                   .has_runtime = true};
}
static const struct placement_request small = {.memory = 128 * MI, .cpu = 500};

START_TEST(filters)
{
    struct placement_node n[5];
    size_t at = 99;

    for (int i = 0; i < 5; i++)
        n[i] = node(0);
    n[0].ready = false;
    n[1].cordoned = true;
    n[2].has_runtime = false;
    n[3].reserved_memory = 897 * MI;
    n[4].reserved_cpu = 3501;
    ck_assert_int_eq(placement_choose(&small, n, 0, &at), -ENOENT);
    ck_assert_int_eq(placement_choose(&small, n, 2, &at), -ENOENT);
    ck_assert_int_eq(placement_choose(&small, n, 3, &at), -ENXIO);
    ck_assert_int_eq(placement_choose(&small, n, 5, &at), -ENOSPC);
    ck_assert_uint_eq(at, 99);
    n[3].reserved_memory = 896 * MI;
    ck_assert_int_eq(placement_choose(&small, n, 5, &at), 0);
    ck_assert_uint_eq(at, 3);
    n[3].reserved_memory = 2000 * MI; /* more than there is: no underflow */
    ck_assert_int_eq(placement_choose(&small, n, 5, &at), -ENOSPC);
}
END_TEST

START_TEST(too_large_for_any)
{
    struct placement_node n[] = {node(0), node(0)};
    struct placement_request r = {.memory = 1025 * MI, .cpu = 1};
    size_t at;

    ck_assert_int_eq(placement_choose(&r, n, 2, &at), -ENXIO);
    r = (struct placement_request){.memory = 1, .cpu = 4001};
    ck_assert_int_eq(placement_choose(&r, n, 2, &at), -ENXIO);
}
END_TEST

START_TEST(spread_and_pack)
{
    struct placement_node n[] = {node(512), node(0), node(256)};
    struct placement_request r = small;
    size_t at;

    ck_assert_int_eq(placement_choose(&r, n, 3, &at), 0);
    ck_assert_uint_eq(at, 1);
    r.policy = PLACEMENT_PACK;
    ck_assert_int_eq(placement_choose(&r, n, 3, &at), 0);
    ck_assert_uint_eq(at, 0);
}
END_TEST

START_TEST(locality)
{
    struct placement_node n[] = {node(0), node(128), node(0)};
    size_t at;

    n[1].entry = true;
    ck_assert_int_eq(placement_choose(&small, n, 3, &at), 0);
    ck_assert_uint_eq(at, 1);
    n[1].entry = false;
    n[1].has_code = true;
    ck_assert_int_eq(placement_choose(&small, n, 3, &at), 0);
    ck_assert_uint_eq(at, 1);
    n[1].entry = true;
    n[1].reserved_memory = 896 * MI; /* nearly full: not for the entry's sake */
    ck_assert_int_eq(placement_choose(&small, n, 3, &at), 0);
    ck_assert_uint_eq(at, 0);
}
END_TEST

START_TEST(instances_of_one_revision_part)
{
    struct placement_node n[] = {node(0), node(256)};
    size_t at;

    n[0].same = 2;
    ck_assert_int_eq(placement_choose(&small, n, 2, &at), 0);
    ck_assert_uint_eq(at, 1);
}
END_TEST

UNIT_MAIN("scheduler", filters, too_large_for_any, spread_and_pack, locality,
          instances_of_one_revision_part)
