#include "sched/internal.h"
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 400000, THIEVES = 3 };

START_TEST(first_in_first_out)
{
    struct task *t = calloc(300, sizeof(*t));
    struct task_list spill = {0};
    struct queue q = {0};

    for (int i = 0; i < QUEUE_RING; i++)
        queue_put(&q, &t[i], &spill);
    ck_assert_ptr_null(spill.first);
    for (int i = 0; i < QUEUE_RING; i++)
        ck_assert_ptr_eq(queue_take(&q, i % 2), &t[i]);
    ck_assert_ptr_null(queue_take(&q, false));
    ck_assert(queue_empty(&q));
    free(t);
}
END_TEST

START_TEST(half_of_a_full_ring_spills_in_order)
{
    struct task *t = calloc(300, sizeof(*t)), *one;
    struct task_list spill = {0};
    struct queue q = {0};
    int i = 0;

    for (; i <= QUEUE_RING; i++)
        queue_put(&q, &t[i], &spill);
    ck_assert_uint_eq(spill.count, QUEUE_RING / 2 + 1);
    for (i = 0; i < QUEUE_RING / 2; i++)
        ck_assert_ptr_eq(task_list_pop(&spill), &t[i]);
    ck_assert_ptr_eq(task_list_pop(&spill), &t[QUEUE_RING]);
    ck_assert_ptr_null(task_list_pop(&spill));
    for (i = QUEUE_RING / 2; (one = queue_take(&q, false)); i++)
        ck_assert_ptr_eq(one, &t[i]);
    ck_assert_int_eq(i, QUEUE_RING);
    free(t);
}
END_TEST

START_TEST(a_thief_takes_half_and_the_next_one_last)
{
    struct task *t = calloc(10, sizeof(*t));
    struct queue from = {0}, to = {0};
    struct task_list spill = {0};

    for (int i = 0; i < 5; i++)
        queue_put(&from, &t[i], &spill);
    ck_assert_ptr_null(queue_swap_next(&from, &t[9], false));
    ck_assert_ptr_eq(queue_steal(&to, &from, false),
                     &t[2]); /* 3 of 5: two in the ring, the last returned */
    ck_assert_ptr_eq(queue_take(&to, false), &t[0]);
    ck_assert_ptr_eq(queue_take(&to, false), &t[1]);
    ck_assert_ptr_null(queue_take(&to, false));
    ck_assert_ptr_eq(queue_steal(&to, &from, false), &t[3]);
    ck_assert_ptr_eq(queue_steal(&to, &from, false), &t[4]);
    ck_assert_ptr_null(queue_steal(&to, &from, false));
    ck_assert(!queue_empty(&from));
    ck_assert_ptr_eq(queue_steal(&to, &from, true), &t[9]);
    ck_assert(queue_empty(&from));
    ck_assert_ptr_null(queue_steal(&to, &from, true));
    free(t);
}
END_TEST

static struct queue shared;
static struct task *all;
static _Atomic uint8_t seen[MANY];
static _Atomic uint32_t taken;

static void got(const struct task *t)
{
    ck_assert_uint_eq(atomic_fetch_add(&seen[t - all], 1), 0);
    atomic_fetch_add(&taken, 1);
}

static void *thief(void *arg)
{
    struct queue *mine = calloc(1, sizeof(*mine));

    (void)arg;
    while (atomic_load(&taken) < MANY) {
        struct task *t = queue_steal(mine, &shared, true);

        while (t) {
            got(t);
            t = queue_take(mine, false);
        }
    }
    free(mine);
    return NULL;
}

/* Each of many tasks comes out once, whoever takes it. */
START_TEST(nothing_is_lost_or_doubled)
{
    struct task_list spill = {0};
    pthread_t threads[THIEVES];
    struct task *t;

    all = calloc(MANY, sizeof(*all));
    for (int i = 0; i < THIEVES; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, thief, NULL), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        if (i % 3) {
            t = queue_swap_next(&shared, &all[i], false);
            if (t)
                queue_put(&shared, t, &spill);
        } else {
            queue_put(&shared, &all[i], &spill);
        }
        if (i % 7 == 0 && (t = queue_take(&shared, false)))
            got(t);
        while ((t = task_list_pop(&spill)))
            got(t);
    }
    while (!queue_empty(&shared)) {
        if ((t = queue_take(&shared, false)))
            got(t);
    }
    for (int i = 0; i < THIEVES; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(taken, MANY);
    free(all);
}
END_TEST

UNIT_MAIN("sched/queue", first_in_first_out, half_of_a_full_ring_spills_in_order,
          a_thief_takes_half_and_the_next_one_last, nothing_is_lost_or_doubled)
