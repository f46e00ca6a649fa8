#include "activator/activator.h"
#include "base/clock.h"
#include "unit.h"

#include <errno.h>

static const struct activator_limits limits = {
    .tickets_per_function = 10, .tickets_total = 16, .held_per_function = 1000, .held_total = 1500};

static int submit(struct activator *a, struct activator_queue *q, uint64_t peer, uint64_t id,
                  uint64_t waited, uint64_t now)
{
    struct ticket_request r = {
        .key = {peer, id}, .waited_ns = waited, .deadline_ns = now + 100, .held = 10};
    struct ticket *t;

    return activator_submit(a, q, &r, now, &t);
}

static uint64_t take(struct activator *a, struct activator_queue *q)
{
    struct ticket *t = activator_oldest(q);
    uint64_t id = t ? t->key.id : 0;

    if (t)
        activator_remove(a, t, 0);
    return id;
}

START_TEST(first_in_first_out_by_age)
{
    struct activator *a;
    struct activator_queue q;

    activator_new(&limits, &a);
    activator_queue_init(&q, 0);
    ck_assert_int_eq(submit(a, &q, 1, 1, 0, 1000), 0);
    ck_assert_int_eq(submit(a, &q, 2, 2, 0, 1010), 0);
    ck_assert_int_eq(submit(a, &q, 1, 2, 0, 1020), 0);  /* the same id of another entry */
    ck_assert_int_eq(submit(a, &q, 1, 3, 25, 1030), 0); /* came back: has waited since 1005 */
    ck_assert_int_eq(submit(a, &q, 1, 3, 0, 1040), -EEXIST);
    ck_assert_uint_eq(q.count, 4);
    ck_assert_uint_eq(activator_stats(a)->held, 40);
    ck_assert_uint_eq(take(a, &q), 1);
    ck_assert_uint_eq(take(a, &q), 3);
    ck_assert_uint_eq(activator_oldest(&q)->key.peer, 2);
    ck_assert_uint_eq(take(a, &q), 2);
    ck_assert_uint_eq(take(a, &q), 2);
    ck_assert_uint_eq(take(a, &q), 0);
    ck_assert_uint_eq(activator_stats(a)->tickets + activator_stats(a)->held, 0);
    activator_free(a);
}
END_TEST

/* In whatever order they come or come again, they are served by age; of one age, who came first. */
START_TEST(any_order_is_by_age)
{
    static const struct activator_limits wide = {1000, 1000, 100000, 100000};
    uint32_t seed = 7;

    for (int round = 0; round < 50; round++) {
        uint64_t ages[1000], before = 0, same = 0;
        struct activator_queue q;
        struct activator *a;
        struct ticket *t;

        activator_new(&wide, &a);
        activator_queue_init(&q, 0);
        for (uint64_t i = 0; i < 1000; i++) {
            seed = seed * 1664525 + 1013904223;
            ages[i] = seed >> 24;
            ck_assert_int_eq(submit(a, &q, 1, i, ages[i], 1000), 0);
        }
        while ((t = activator_oldest(&q))) {
            ck_assert_uint_ge(t->since_ns, before);
            ck_assert(t->since_ns > before || t->key.id >= same);
            ck_assert_uint_eq(t->since_ns, 1000 - ages[t->key.id]);
            before = t->since_ns;
            same = t->key.id;
            activator_remove(a, t, 0);
        }
        activator_free(a);
    }
}
END_TEST

START_TEST(bounds_of_a_function)
{
    struct activator *a;
    struct activator_queue q;
    struct ticket_request big = {.key = {9, 9}, .deadline_ns = 1, .held = 901};
    struct ticket *t;

    activator_new(&limits, &a);
    activator_queue_init(&q, 0);
    for (uint64_t i = 1; i <= 10; i++)
        ck_assert_int_eq(submit(a, &q, 1, i, 0, 1), 0);
    ck_assert_int_eq(submit(a, &q, 1, 11, 0, 1), -ENOBUFS);
    take(a, &q);
    big.held = 911;
    ck_assert_int_eq(activator_submit(a, &q, &big, 1, &t), -ENOBUFS); /* 90 + 911 bytes */
    big.held = 910;
    ck_assert_int_eq(activator_submit(a, &q, &big, 1, &t), 0);
    activator_free(a);
}
END_TEST

START_TEST(bytes_of_a_function)
{
    struct activator *a;
    struct activator_queue q;
    struct ticket_request r = {.key = {1, 1}, .deadline_ns = 1, .held = 600};
    struct ticket *t;

    activator_new(&limits, &a);
    activator_queue_init(&q, 0);
    ck_assert_int_eq(activator_submit(a, &q, &r, 1, &t), 0);
    r.key.id = 2;
    ck_assert_int_eq(activator_submit(a, &q, &r, 1, &t), -ENOBUFS);
    r.held = 400;
    ck_assert_int_eq(activator_submit(a, &q, &r, 1, &t), 0);
    activator_free(a);
}
END_TEST

START_TEST(fair_when_all_is_full)
{
    struct activator *a;
    struct activator_queue big, other, small;
    struct ticket *t;

    activator_new(&limits, &a);
    activator_queue_init(&big, 0);
    activator_queue_init(&other, 0);
    activator_queue_init(&small, 0);
    for (uint64_t i = 1; i <= 10; i++)
        ck_assert_int_eq(submit(a, &big, 1, i, 0, i), 0);
    for (uint64_t i = 1; i <= 6; i++)
        ck_assert_int_eq(submit(a, &other, 2, i, 0, i), 0);
    ck_assert_int_eq(submit(a, &big, 1, 99, 0, 20), -ENOBUFS);
    ck_assert_int_eq(submit(a, &small, 3, 1, 0, 20), 0);
    t = activator_pushed_out(a);
    ck_assert_ptr_nonnull(t);
    ck_assert_ptr_eq(t->queue, &big);
    ck_assert_uint_eq(t->key.id, 10); /* the newest of the largest */
    activator_remove(a, t, 20);
    ck_assert_ptr_null(activator_pushed_out(a));
    ck_assert_uint_eq(big.count, 9);
    ck_assert_int_eq(submit(a, &other, 2, 7, 0, 21), 0);
    ck_assert_int_eq(submit(a, &other, 2, 8, 0, 21),
                     -ENOSPC); /* 8 and 7: nobody has more than a share */
    ck_assert_uint_eq(activator_stats(a)->tickets, 16);
    activator_free(a);
}
END_TEST

START_TEST(deadlines_in_order)
{
    struct activator *a;
    struct activator_queue q;
    static const uint64_t at[] = {50, 20, 90, 10, 70, 30, 80, 60, 40};
    struct ticket *t;
    uint64_t last = 0;

    activator_new(&limits, &a);
    activator_queue_init(&q, 0);
    ck_assert_uint_eq(activator_next_deadline(a), 0);
    for (uint64_t i = 0; i < 9; i++) {
        struct ticket_request r = {.key = {1, i + 1}, .deadline_ns = at[i]};

        ck_assert_int_eq(activator_submit(a, &q, &r, 1, &t), 0);
    }
    activator_remove(a, activator_find(a, (struct ticket_key){1, 4}), 1); /* 10 */
    activator_remove(a, activator_find(a, (struct ticket_key){1, 9}), 1); /* 40 */
    ck_assert_uint_eq(activator_next_deadline(a), 20);
    ck_assert_ptr_null(activator_expired(a, 19));
    for (int i = 0; i < 7; i++) {
        t = activator_expired(a, 90);
        ck_assert_uint_gt(t->deadline_ns, last);
        last = t->deadline_ns;
        activator_remove(a, t, 90);
    }
    ck_assert_ptr_null(activator_expired(a, 1000));
    activator_free(a);
}
END_TEST

START_TEST(tickets_of_an_entry)
{
    struct activator *a;
    struct activator_queue q;
    struct ticket *t;
    int n = 0;

    activator_new(&limits, &a);
    activator_queue_init(&q, 0);
    for (uint64_t i = 1; i <= 9; i++)
        ck_assert_int_eq(submit(a, &q, i % 3, i, 0, 1), 0);
    while ((t = activator_of_peer(a, 1))) {
        ck_assert_uint_eq(t->key.id % 3, 1);
        activator_remove(a, t, 1);
        n++;
    }
    ck_assert_int_eq(n, 3);
    ck_assert_uint_eq(q.count, 6);
    activator_free(a);
}
END_TEST

START_TEST(mean_of_those_who_wait)
{
    struct activator *a;
    struct activator_queue q;

    activator_new(&limits, &a);
    activator_queue_init(&q, 0);
    ck_assert_int_eq(submit(a, &q, 1, 1, 0, NS_PER_S / 2), 0);
    ck_assert_double_eq_tol(activator_queue_mean(&q, NS_PER_S, NS_PER_S), 0.5, 1e-9);
    ck_assert_double_eq_tol(activator_queue_mean(&q, 2 * NS_PER_S, NS_PER_S), 1, 1e-9);
    activator_remove(a, activator_oldest(&q), 2 * NS_PER_S + NS_PER_S / 4);
    ck_assert_double_eq_tol(activator_queue_mean(&q, 3 * NS_PER_S, NS_PER_S), 0.25, 1e-9);
    /* Nobody came for an hour. */
    activator_queue_since(&q, 3600 * NS_PER_S);
    ck_assert_int_eq(submit(a, &q, 1, 2, 0, 3600 * NS_PER_S), 0);
    ck_assert_double_eq_tol(activator_queue_mean(&q, 3600 * NS_PER_S + NS_PER_S / 100, NS_PER_S),
                            0.01, 1e-9);
    ck_assert_double_eq_tol(activator_queue_mean(&q, 3600 * NS_PER_S + NS_PER_S / 100, NS_PER_S), 1,
                            1e-9);
    activator_free(a);
}
END_TEST

UNIT_MAIN("activator", first_in_first_out_by_age, any_order_is_by_age, bounds_of_a_function,
          bytes_of_a_function, fair_when_all_is_full, deadlines_in_order, tickets_of_an_entry,
          mean_of_those_who_wait)
