/* The moment that a request waits for a slot of its own node. */
#include "router/near.h"
#include "unit.h"

#include <errno.h>

static struct loop *loop;
static struct near *near;
static struct near_wait waits[8], *over[8];
static unsigned told;

static void on_over(void *user, struct near_wait *w)
{
    ck_assert_ptr_eq(user, waits);
    ck_assert_ptr_null(w->queue);
    over[told++] = w;
    if (!near_count(near))
        loop_stop(loop);
}

static void begin(void)
{
    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(near_new(loop, on_over, waits, &near), 0);
}

static void end(void)
{
    near_free(near);
    loop_free(loop);
}

START_TEST(first_in_first_out_for_each_function)
{
    begin();
    ck_assert_ptr_null(near_oldest(near, "a"));
    ck_assert_int_eq(near_add(near, &waits[0], "a", 9), 0);
    ck_assert_int_eq(near_add(near, &waits[1], "b", 9), 0);
    ck_assert_int_eq(near_add(near, &waits[2], "a", 9), 0);
    ck_assert_uint_eq(near_count(near), 3);
    ck_assert_ptr_eq(near_oldest(near, "a"), &waits[0]);
    near_cancel(near, &waits[0]);
    near_cancel(near, &waits[0]);
    ck_assert_ptr_eq(near_oldest(near, "a"), &waits[2]);
    ck_assert_ptr_eq(near_oldest(near, "b"), &waits[1]);
    near_cancel(near, &waits[1]);
    ck_assert_ptr_null(near_oldest(near, "b"));
    near_cancel(near, &waits[2]);
    ck_assert_uint_eq(near_count(near), 0);
    end();
}
END_TEST

START_TEST(no_more_than_may_hope)
{
    begin();
    ck_assert_int_eq(near_add(near, &waits[0], "a", 0), -ENOBUFS);
    ck_assert_uint_eq(near_count(near), 0);
    ck_assert_ptr_null(near_oldest(near, "a"));
    ck_assert_int_eq(near_add(near, &waits[0], "a", 2), 0);
    ck_assert_int_eq(near_add(near, &waits[1], "a", 2), 0);
    ck_assert_int_eq(near_add(near, &waits[2], "a", 2), -ENOBUFS);
    ck_assert_int_eq(near_add(near, &waits[2], "b", 2), 0);
    for (int i = 0; i < 3; i++)
        near_cancel(near, &waits[i]);
    end();
}
END_TEST

START_TEST(whoever_waited_long_enough_is_told_in_order)
{
    uint64_t since;

    begin();
    since = loop_now(loop);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(near_add(near, &waits[i], i % 2 ? "a" : "b", 9), 0);
    near_cancel(near, &waits[1]);
    ck_assert_int_eq(loop_run(loop), 0);
    ck_assert_uint_eq(told, 3);
    ck_assert_ptr_eq(over[0], &waits[0]);
    ck_assert_ptr_eq(over[1], &waits[2]);
    ck_assert_ptr_eq(over[2], &waits[3]);
    ck_assert_uint_ge(loop_now(loop) - since, NEAR_NS);
    end();
}
END_TEST

UNIT_MAIN("near", first_in_first_out_for_each_function, no_more_than_may_hope,
          whoever_waited_long_enough_is_told_in_order)
