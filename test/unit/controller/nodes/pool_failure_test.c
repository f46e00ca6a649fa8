/* Pools whose provider fails: how long they wait, who takes over, what is told. */
#include "pool_world.h"

START_TEST(failures_back_off)
{
    static const uint64_t waits[] = {300, 600, 1200, 1800, 1800};
    char name[64];

    begin();
    add(spec_of("a", 0, 5, GI, 4000));
    wait_for(1);
    ck_assert_uint_eq(decide(), 1);
    for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
        strcpy(name, m->wishes[0].node);
        answer(POOL_CREATE, "a", name, -EIO);
        ck_assert_uint_eq(pass(1), 1); /* what may be there by half goes */
        ck_assert_int_eq(m->wishes[0].verb, POOL_DELETE);
        ck_assert_str_eq(m->wishes[0].node, name);
        ck_assert_str_eq(m->status.reason, "BackOff");
        ck_assert_str_eq(m->status.message, "said no");
        answer(POOL_DELETE, "a", name, 0);
        ck_assert_uint_eq(pass(waits[i] - 2), 0);
        ck_assert_uint_eq(pass(1), 1);
        ck_assert_int_eq(m->wishes[0].verb, POOL_CREATE);
    }
    join(m->wishes[0].node);
    wait_for(0);
    pass(1);
    ck_assert(m->status.ok);
    end();
}
END_TEST

/* Of three that were asked for side by side, as one cloud is out of quota once. */
START_TEST(what_fails_together_is_one_failure)
{
    char names[3][64];

    begin();
    add(spec_of("a", 3, 5, GI, 4000));
    ck_assert_uint_eq(decide(), 3);
    for (int i = 0; i < 3; i++)
        strcpy(names[i], m->wishes[i].node);
    for (int i = 0; i < 3; i++)
        answer(POOL_CREATE, "a", names[i], -EIO);
    ck_assert_uint_eq(pass(1), 3);
    for (int i = 0; i < 3; i++)
        answer(POOL_DELETE, "a", names[i], 0);
    ck_assert_uint_eq(pass(298), 0);
    ck_assert_uint_eq(pass(1), 3);
    end();
}
END_TEST

START_TEST(what_works_again_is_not_told_as_failed)
{
    begin();
    add(spec_of("a", 0, 5, GI, 4000));
    decide();
    ck_assert(m->status.ok);
    pools_answer(
        m->pools,
        &(struct pool_answer){.verb = POOL_LIST, .pool = "a", .error = -EIO, .message = "no net"},
        m->now);
    decide();
    ck_assert(!m->status.ok);
    ck_assert_str_eq(m->status.message, "list: no net");
    list_is("a", NULL, 0);
    decide();
    ck_assert(m->status.ok);
    end();
}
END_TEST

START_TEST(an_old_failure_is_forgotten)
{
    struct pool_spec *s = spec_of("a", 0, 5, GI, 4000);

    begin();
    s->up.backoff_reset_ns = S(400);
    add(s);
    wait_for(1);
    decide();
    answer(POOL_CREATE, "a", m->wishes[0].node, -EIO);
    pass(1);
    answer(POOL_DELETE, "a", m->wishes[0].node, 0);
    wait_for(0);
    pass(500);
    wait_for(1);
    ck_assert_uint_eq(pass(1), 1);
    answer(POOL_CREATE, "a", m->wishes[0].node, -EIO);
    pass(1);
    answer(POOL_DELETE, "a", m->wishes[0].node, 0);
    ck_assert_uint_eq(pass(300), 1); /* not 600 */
    end();
}
END_TEST

START_TEST(another_pool_takes_over_from_one_that_fails)
{
    begin();
    add(spec_of("a", 0, 5, GI, 4000));
    add(spec_of("b", 0, 5, 2 * GI, 4000));
    wait_for(8);
    decide();
    ck_assert_str_eq(m->wishes[0].pool->name, "a");
    answer(POOL_CREATE, "a", m->wishes[0].node, -EIO);
    pass(1);
    ck_assert_uint_eq(count(POOL_CREATE), 1);
    for (size_t i = 0; i < m->wish_count; i++)
        if (m->wishes[i].verb == POOL_CREATE)
            ck_assert_str_eq(m->wishes[i].pool->name, "b");
    end();
}
END_TEST

START_TEST(who_does_not_come_in_time_is_deleted_and_counts_as_a_failure)
{
    char name[64];

    begin();
    add(spec_of("a", 1, 5, GI, 4000));
    decide();
    strcpy(name, m->wishes[0].node);
    answer(POOL_CREATE, "a", name, 0);
    ck_assert_uint_eq(pass(899), 0);
    ck_assert_uint_eq(pass(1), 1);
    ck_assert_int_eq(m->wishes[0].verb, POOL_DELETE);
    ck_assert_str_eq(m->wishes[0].node, name);
    answer(POOL_DELETE, "a", name, 0);
    ck_assert_uint_eq(pass(299), 0);
    ck_assert_uint_eq(pass(2), 1);
    ck_assert_int_eq(m->wishes[0].verb, POOL_CREATE);
    end();
}
END_TEST

UNIT_MAIN("pool_failure", failures_back_off, what_fails_together_is_one_failure,
          what_works_again_is_not_told_as_failed, an_old_failure_is_forgotten,
          another_pool_takes_over_from_one_that_fails,
          who_does_not_come_in_time_is_deleted_and_counts_as_a_failure)
