/* Node pools: what they ask of providers, which nodes they empty, and what they leave alone. */
#include "pool_world.h"

START_TEST(nothing_is_asked_for_before_the_provider_has_told_what_there_is)
{
    static const char had[][64] = {"a-1", "other-1", "a-2"};
    struct pool_spec *s = spec_of("a", 2, 5, GI, 4000);

    begin();
    pools_set(m->pools, NULL, s, m->now);
    wait_for(3);
    ck_assert_uint_eq(pass(3), 0);
    ck_assert_str_eq(m->status.reason, "Asking");
    answer(POOL_LIST, "a", NULL, -EIO);
    ck_assert_uint_eq(pass(3), 0);
    ck_assert_str_eq(m->status.reason, "ProviderFailed");
    list_is("a", had, 3);
    wait_for(0);
    ck_assert_uint_eq(pass(3), 0); /* both of them are on their way, so far as is known */
    ck_assert_uint_eq(m->status.nodes, 2);
    ck_assert_uint_eq(m->status.ready, 0);
    join("a-1");
    join("a-2");
    pass(1);
    ck_assert_uint_eq(m->status.ready, 2);
    ck_assert(m->status.ok);
    pool_spec_unref(s);
    end();
}
END_TEST

START_TEST(min_is_made_and_kept)
{
    begin();
    add(spec_of("a", 2, 5, GI, 4000));
    ck_assert_uint_eq(decide(), 2);
    ck_assert_uint_eq(count(POOL_CREATE), 2);
    ck_assert_str_ne(m->wishes[0].node, m->wishes[1].node);
    ck_assert_int_eq(strncmp(m->wishes[0].node, "a-", 2), 0);
    ck_assert_uint_eq(pass(5), 0);
    join(m->wishes[0].node);
    end();
}
END_TEST

START_TEST(what_fits_nowhere_gets_as_many_as_it_needs)
{
    begin();
    add(spec_of("a", 0, 5, GI, 4000));
    wait_for(20); /* 8 go on a node */
    ck_assert_uint_eq(decide(), 3);
    ck_assert_uint_eq(count(POOL_CREATE), 3);
    ck_assert_uint_eq(m->status.desired, 3);
    ck_assert_uint_eq(pass(10), 0); /* those on their way are room enough */
    wait_for(25);
    ck_assert_uint_eq(pass(10), 1);
    wait_for(100);
    ck_assert_uint_eq(pass(10), 1); /* max */
    ck_assert_uint_eq(pass(3), 0);
    ck_assert(m->status.limited);
    wait_for(0);
    pass(1);
    ck_assert(!m->status.limited);
    end();
}
END_TEST

START_TEST(the_pool_that_wastes_least)
{
    begin();
    add(spec_of("wide", 0, 5, 64 * GI, 64000));
    add(spec_of("fit", 0, 5, GI, 4000));
    add(spec_of("narrow", 0, 5, 64 * MI, 4000));
    wait_for(8);
    ck_assert_uint_eq(decide(), 1);
    ck_assert_str_eq(m->wishes[0].pool->name, "fit");
    /* Who suits one pool only gets that one. */
    wait_for(0);
    pass(1);
    m->pending[0] = (struct pool_need){.memory = 128 * MI, .cpu = 500, .count = 1, .who = "wide"};
    m->pending_count = 1;
    ck_assert_uint_eq(pass(1), 1);
    ck_assert_str_eq(m->wishes[0].pool->name, "wide");
    /* And what fits on none is nobody's. */
    m->pending[0] = (struct pool_need){.memory = 65 * GI, .cpu = 500, .count = 1};
    ck_assert_uint_eq(pass(3), 0);
    ck_assert(!m->status.limited);
    end();
}
END_TEST

START_TEST(what_a_node_turned_out_to_have_counts)
{
    char name[64];

    begin();
    add(spec_of("a", 1, 9, 4 * GI, 16000));
    decide();
    strcpy(name, m->wishes[0].node);
    answer(POOL_CREATE, "a", name, 0);
    join(name); /* 1 GiB, though the template says 4 */
    load(0, 8);
    wait_for(8);
    ck_assert_uint_eq(pass(1), 1);
    m->pending[0] = (struct pool_need){.memory = 2 * GI, .cpu = 500, .count = 1};
    ck_assert_uint_eq(pass(5), 0); /* and not one after the other that would not do */
    end();
}
END_TEST

START_TEST(a_full_pool_grows_after_the_window)
{
    begin();
    add(spec_of("a", 1, 5, GI, 4000));
    decide();
    join(m->wishes[0].node);
    load(0, 7); /* 87 % */
    ck_assert_uint_eq(pass(30), 0);
    load(0, 6);
    ck_assert_uint_eq(pass(1), 0);
    load(0, 7); /* the window begins anew */
    ck_assert_uint_eq(pass(30), 0);
    ck_assert_uint_eq(pass(1), 1);
    ck_assert_uint_eq(count(POOL_CREATE), 1);
    ck_assert_uint_eq(pass(120), 0); /* with that one it is half empty */
    end();
}
END_TEST

/* Two nodes of pool a, joined long ago. */
static void two(uint32_t min)
{
    begin();
    add(spec_of("a", min, 5, GI, 4000));
    list_is("a", (const char[][64]){"a-1", "a-2"}, 2);
    join("a-1");
    join("a-2");
    load(0, 3);
    load(1, 3);
    pass(1);
}

START_TEST(a_little_used_node_is_emptied_when_its_work_fits_elsewhere)
{
    two(1);
    load(0, 2);
    ck_assert_uint_eq(pass(599), 0);
    ck_assert_uint_eq(pass(2), 1);
    ck_assert_int_eq(m->wishes[0].verb, POOL_DRAIN);
    ck_assert_str_eq(m->wishes[0].node, "a-1"); /* the emptier one */
    ck_assert_uint_eq(m->status.desired, 1);
    ck_assert_uint_eq(pass(100), 0);
    load(1, 5);
    load(0, 0);
    ck_assert_uint_eq(pass(1), 1);
    ck_assert_int_eq(m->wishes[0].verb, POOL_DELETE);
    answer(POOL_DELETE, "a", "a-1", 0);
    leave(0);
    ck_assert_uint_eq(pass(3000), 0); /* min */
    ck_assert_uint_eq(m->status.nodes, 1);
    end();
}
END_TEST

START_TEST(a_node_used_enough_for_a_moment_stays)
{
    two(1);
    load(1, 8);
    pass(500);
    load(0, 5); /* 62 % */
    ck_assert_uint_eq(pass(1), 0);
    load(0, 1);
    ck_assert_uint_eq(pass(599), 0);
    end();
}
END_TEST

START_TEST(what_fits_nowhere_else_keeps_its_node)
{
    two(1);
    load(0, 3);
    load(1, 6); /* 3 do not fit beside */
    ck_assert_uint_eq(pass(3000), 0);
    /* Nor do those that suit this node alone. */
    load(1, 1);
    m->on[1][0].who = "a-2";
    m->on[0][0].who = "a-1";
    ck_assert_uint_eq(pass(3000), 0);
    end();
}
END_TEST

START_TEST(a_removal_that_would_bring_the_next_addition_is_none)
{
    two(1);
    load(0, 3);
    load(1, 4); /* 7 of 8 would be over 80 % */
    ck_assert_uint_eq(pass(3000), 0);
    end();
}
END_TEST

START_TEST(the_last_room_for_what_sleeps_stays)
{
    two(0);
    load(0, 0);
    load(1, 0);
    m->starts[0] = (struct pool_need){.memory = 512 * MI, .cpu = 500, .count = 1};
    m->start_count = 1;
    ck_assert_uint_eq(pass(700), 1);
    ck_assert_int_eq(m->wishes[0].verb, POOL_DRAIN);
    ck_assert_uint_eq(pass(1), 1);
    ck_assert_int_eq(m->wishes[0].verb, POOL_DELETE);
    answer(POOL_DELETE, "a", m->wishes[0].node, 0);
    leave(!strcmp(m->wishes[0].node, "a-2"));
    ck_assert_uint_eq(pass(5000), 0);
    /* A node of somebody else's will do as well. */
    join("static");
    ck_assert_uint_eq(pass(5000), 1);
    end();
}
END_TEST

START_TEST(empty_ones_go_ten_at_once_others_one_by_one)
{
    char names[14][64];

    begin();
    add(spec_of("a", 0, 14, GI, 4000));
    for (int i = 0; i < 14; i++)
        sprintf(names[i], "a-%d", i);
    list_is("a", names, 14);
    for (int i = 0; i < 14; i++) {
        join(names[i]);
        load((size_t)i, i < 2 ? 1 : 0);
    }
    ck_assert_uint_eq(pass(1210), POOLS_EMPTY_AT_ONCE + 1);
    ck_assert_uint_eq(count(POOL_DRAIN), POOLS_EMPTY_AT_ONCE + 1);
    end();
}
END_TEST

START_TEST(an_addition_stops_removals_for_a_while)
{
    two(1);
    load(0, 2);
    ck_assert_uint_eq(pass(590), 0);
    wait_for(100); /* three more */
    ck_assert_uint_eq(pass(1), 3);
    wait_for(0);
    for (int i = 0; i < 3; i++)
        join(m->wishes[i].node);
    load(2, 6);
    load(3, 6);
    load(4, 6);
    ck_assert_uint_eq(pass(600), 0);
    ck_assert_uint_eq(pass(2), 1);
    ck_assert_int_eq(m->wishes[0].verb, POOL_DRAIN);
    end();
}
END_TEST

START_TEST(a_node_that_is_needed_after_all_is_opened_again)
{
    two(1);
    load(0, 2);
    ck_assert_uint_eq(pass(700), 1);
    wait_for(1);
    ck_assert_uint_ge(pass(1), 1);
    ck_assert_uint_eq(count(POOL_OPEN), 1);
    ck_assert(m->nodes[0].open);
    end();
}
END_TEST

START_TEST(what_does_not_move_in_time_stays_and_nothing_goes_for_a_while)
{
    two(1);
    load(0, 2);
    ck_assert_uint_eq(pass(700), 1);
    ck_assert_uint_eq(pass(599), 0);
    ck_assert_uint_eq(pass(1), 1);
    ck_assert_int_eq(m->wishes[0].verb, POOL_OPEN);
    ck_assert_uint_eq(pass(179), 0);
    ck_assert_uint_eq(pass(2), 1);
    ck_assert_str_eq(m->wishes[0].node, "a-2");
    end();
}
END_TEST

START_TEST(a_refused_deletion_is_asked_for_again)
{
    two(1);
    load(0, 0);
    ck_assert_uint_eq(pass(700), 1);
    ck_assert_uint_eq(pass(1), 1);
    answer(POOL_DELETE, "a", "a-1", -EIO);
    ck_assert_uint_eq(pass(9), 0);
    ck_assert(!m->status.ok);
    ck_assert_uint_eq(pass(1), 1);
    ck_assert_int_eq(m->wishes[0].verb, POOL_DELETE);
    end();
}
END_TEST

START_TEST(a_lost_node_is_replaced)
{
    two(2);
    m->nodes[0].ready = m->nodes[0].open = false;
    ck_assert_uint_eq(pass(1200), 0);
    ck_assert_uint_ge(pass(1), 1);
    ck_assert_uint_eq(count(POOL_DELETE), 1);
    ck_assert_uint_eq(count(POOL_CREATE), 1);
    end();
}
END_TEST

START_TEST(too_many_unready_stop_everything)
{
    char names[8][64];

    begin();
    add(spec_of("a", 8, 14, GI, 4000));
    for (int i = 0; i < 8; i++)
        sprintf(names[i], "a-%d", i);
    list_is("a", names, 8);
    for (int i = 0; i < 8; i++)
        join(names[i]);
    pass(1);
    for (int i = 0; i < 4; i++)
        m->nodes[i].ready = m->nodes[i].open = false;
    wait_for(100);
    ck_assert_uint_eq(pass(3000), 0);
    ck_assert_str_eq(m->status.reason, "TooManyUnready");
    m->nodes[0].ready = m->nodes[0].open = true; /* 3 of 8 */
    ck_assert_uint_ge(pass(1), 1);
    /* Those that left are not missed. */
    end();
    begin();
    add(spec_of("a", 8, 14, GI, 4000));
    list_is("a", names, 8);
    for (int i = 0; i < 8; i++)
        join(names[i]);
    pass(1);
    for (int i = 0; i < 4; i++) {
        m->nodes[i].ready = m->nodes[i].open = false;
        m->nodes[i].gone = true;
    }
    wait_for(100);
    ck_assert_uint_ge(pass(1), 1);
    end();
}
END_TEST

START_TEST(a_deleted_pool_gives_all_back)
{
    struct pool_spec *gone = spec_of("a", 2, 5, GI, 4000);

    two(2);
    load(0, 2);
    load(1, 0);
    gone->deleting = true;
    pools_set(m->pools, gone, gone, m->now);
    pool_spec_unref(gone);
    pass(1);
    ck_assert_uint_eq(count(POOL_DRAIN), 2);
    ck_assert_uint_eq(pass(1), 1);
    ck_assert_str_eq(m->wishes[0].node, "a-2");
    answer(POOL_DELETE, "a", "a-2", 0);
    ck_assert_uint_eq(pass(598), 0);
    ck_assert_uint_eq(pass(2), 1); /* it does not move; the pool goes all the same */
    ck_assert_int_eq(m->wishes[0].verb, POOL_DELETE);
    answer(POOL_DELETE, "a", "a-1", 0);
    leave(0);
    leave(0);
    ck_assert_uint_eq(pass(1), 1);
    ck_assert_int_eq(m->wishes[0].verb, POOL_GONE);
    end();
}
END_TEST

START_TEST(a_smaller_max_takes_down_what_fits_elsewhere)
{
    struct pool_spec *less = spec_of("a", 0, 1, GI, 4000);

    two(1);
    load(0, 3);
    load(1, 3);
    pools_set(m->pools, less, less, m->now);
    pool_spec_unref(less);
    ck_assert_uint_eq(pass(1), 1);
    ck_assert_int_eq(m->wishes[0].verb, POOL_DRAIN);
    end();
}
END_TEST

/* Asked for by a controller that died before it could hear of it. */
START_TEST(a_node_that_the_provider_had_not_yet_told_of_is_asked_after)
{
    begin();
    add(spec_of("a", 1, 5, GI, 4000));
    list_is("a", (const char[][64]){"a-1"}, 1);
    join("a-1");
    pass(1);
    join("a-stray");
    pass(8);
    list_is("a", (const char[][64]){"a-1", "a-stray"}, 2);
    pass(1);
    ck_assert_uint_eq(m->status.nodes, 2);
    ck_assert_str_eq(pools_of_node(m->pools, "a-stray"), "a");
    add(spec_of("a-b", 0, 5, GI, 4000)); /* the other's hook lists whatever its account has */
    list_is("a", (const char[][64]){"a-1", "a-stray", "a-b-1"}, 3);
    ck_assert_str_eq(pools_of_node(m->pools, "a-b-1"), "");
    list_is("a-b", (const char[][64]){"a-b-1"}, 1);
    ck_assert_str_eq(pools_of_node(m->pools, "a-b-1"), "a-b");
    end();
}
END_TEST

/* Random loads: within bounds, and quiet under a steady one. */
START_TEST(bounds_and_rest)
{
    uint64_t x = 88172645463325252ull;

    begin();
    add(spec_of("a", 1, 6, GI, 4000));
    for (int round = 0; round < 60; round++) {
        uint32_t total, left;

        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        total = (uint32_t)(x % 60);
        for (int s = 0, quiet = 0; s < 6000 && quiet < 2000; s++) {
            left = total;
            for (size_t i = 0; i < m->node_count; i++) {
                uint32_t here = m->nodes[i].open ? (left < 8 ? left : 8) : 0;

                load(i, here);
                left -= here;
            }
            wait_for(left);
            m->now += S(1);
            quiet = decide() ? 0 : quiet + 1;
            for (size_t i = 0; i < m->wish_count; i++) {
                struct pool_wish w = m->wishes[i];

                if (w.verb == POOL_CREATE) {
                    answer(POOL_CREATE, "a", w.node, 0);
                    join(w.node);
                }
                for (size_t k = 0; w.verb == POOL_DELETE && k < m->node_count; k++)
                    if (!strcmp(m->names[k], w.node)) {
                        ck_assert_uint_eq(m->nodes[k].instances, 0);
                        answer(POOL_DELETE, "a", w.node, 0);
                        leave(k);
                    }
            }
            ck_assert_uint_le(m->node_count, 6);
            ck_assert_uint_ge(m->status.desired, 1);
            ck_assert_msg(s < 5999, "no rest at %u", total);
        }
        ck_assert_uint_ge(m->node_count * 8, total < 48 ? total : 48);
        ck_assert_uint_le(m->node_count, (total + 7) / 8 + 2);
    }
    end();
}
END_TEST

UNIT_MAIN("pool", nothing_is_asked_for_before_the_provider_has_told_what_there_is,
          min_is_made_and_kept, what_fits_nowhere_gets_as_many_as_it_needs,
          the_pool_that_wastes_least, what_a_node_turned_out_to_have_counts,
          a_full_pool_grows_after_the_window,

          a_little_used_node_is_emptied_when_its_work_fits_elsewhere,
          a_node_used_enough_for_a_moment_stays, what_fits_nowhere_else_keeps_its_node,
          a_removal_that_would_bring_the_next_addition_is_none, the_last_room_for_what_sleeps_stays,
          empty_ones_go_ten_at_once_others_one_by_one, an_addition_stops_removals_for_a_while,
          a_node_that_is_needed_after_all_is_opened_again,
          what_does_not_move_in_time_stays_and_nothing_goes_for_a_while,
          a_refused_deletion_is_asked_for_again, a_lost_node_is_replaced,
          too_many_unready_stop_everything, a_deleted_pool_gives_all_back,
          a_smaller_max_takes_down_what_fits_elsewhere,
          a_node_that_the_provider_had_not_yet_told_of_is_asked_after, bounds_and_rest)
