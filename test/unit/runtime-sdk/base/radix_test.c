/* radix_test.c - the persistent map: against a list of keys, old versions unchanged, nothing lost. */
#include "base/radix.h"
#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

enum { KEYS = 400, ROUNDS = 6000 };

static uint32_t seed = 1;
static uint32_t dice(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

/* Few letters and short: keys share beginnings, and some begin others. */
static size_t some_key(uint32_t i, char out[16])
{
    size_t n = 0;

    for (i = i * 2654435761u; n < 1 + i % 7; n++)
        out[n] = (char)("ab\0/\xff"[(i >> (3 * n)) % 5]);
    return n;
}

struct slot {
    char key[16];
    size_t size;
    void *value;
};

static size_t fill_keys(struct slot *all)
{
    size_t count = 0;

    for (uint32_t i = 0; i < KEYS; i++) {
        struct slot s = {0};
        bool known = false;

        s.size = some_key(i, s.key);
        for (size_t k = 0; k < count; k++)
            known |= all[k].size == s.size && !memcmp(all[k].key, s.key, s.size);
        if (!known)
            all[count++] = s;
    }
    return count;
}

static void check_all(const struct radix_node *root, const struct slot *all, size_t count)
{
    size_t wrong = 0; /* an assertion for each of millions would take most of the time */

    for (size_t i = 0; i < count; i++)
        wrong += radix_get(root, all[i].key, all[i].size) != all[i].value;
    ck_assert_uint_eq(wrong, 0);
}

static void count_one(void *user, void *value)
{
    (void)value;
    ++*(size_t *)user;
}

START_TEST(holds_what_was_put)
{
    static struct slot now[KEYS], before[KEYS];
    size_t count = fill_keys(now), held = 0, seen = 0;
    struct radix_node *root = NULL;
    struct epoch_domain d = {0};
    struct epoch_reader reader;

    epoch_reader_init(&d, &reader);
    for (int round = 0; round < ROUNDS; round++) {
        const struct radix_node *old = root;
        struct epoch_edit e;

        memcpy(before, now, sizeof(before));
        epoch_enter(&reader); /* `old` is in use */
        epoch_edit_begin(&d, &e);
        for (uint32_t i = dice(4) + 1; i > 0; i--) {
            struct slot *s = &now[dice((uint32_t)count)];

            if (dice(2)) {
                held += !s->value;
                s->value = &now[dice(KEYS)];
                ck_assert_int_eq(radix_put(&e, &root, s->key, s->size, s->value), 0);
            } else {
                ck_assert_int_eq(radix_del(&e, &root, s->key, s->size), s->value ? 0 : -ENOENT);
                held -= s->value != NULL;
                s->value = NULL;
            }
        }
        if (round % 7 == 0) { /* given up */
            radix_abandon(&e, root);
            root = (struct radix_node *)old;
            memcpy(now, before, sizeof(now));
            held = 0;
            for (size_t i = 0; i < count; i++)
                held += now[i].value != NULL;
        } else {
            epoch_commit(&e);
            check_all(old, before, count);
        }
        check_all(root, now, count);
        epoch_leave(&reader);
    }
    radix_each(root, count_one, &seen);
    ck_assert_uint_eq(seen, held);
    ck_assert_uint_gt(held, 10);
    epoch_reader_done(&reader);
    epoch_reclaim(&d);
    ck_assert_uint_eq(d.waiting, 0);
    radix_free(root);
    epoch_domain_done(&d);
}
END_TEST

START_TEST(limits_of_a_key)
{
    static char key[RADIX_KEY_MAX + 1];
    struct radix_node *root = NULL;
    struct epoch_domain d = {0};
    struct epoch_edit e;

    epoch_edit_begin(&d, &e);
    ck_assert_int_eq(radix_put(&e, &root, key, sizeof(key), key), -EINVAL);
    ck_assert_int_eq(radix_put(&e, &root, key, RADIX_KEY_MAX, key), 0);
    ck_assert_int_eq(radix_put(&e, &root, "", 0, &e), 0);
    ck_assert_ptr_eq(radix_get(root, key, RADIX_KEY_MAX), key);
    ck_assert_ptr_null(radix_get(root, key, RADIX_KEY_MAX - 1));
    ck_assert_ptr_eq(radix_get(root, "", 0), &e);
    ck_assert_int_eq(radix_del(&e, &root, "", 0), 0);
    ck_assert_ptr_eq(radix_get(root, key, RADIX_KEY_MAX), key);
    radix_retire(&e, root);
    epoch_commit(&e);
    epoch_domain_done(&d);
}
END_TEST

START_TEST(an_edit_copies_a_handful)
{
    struct radix_node *root = NULL;
    struct epoch_domain d = {0};
    struct epoch_reader reader;
    struct epoch_edit e;
    char key[32];

    epoch_reader_init(&d, &reader);
    epoch_edit_begin(&d, &e);
    for (int i = 0; i < 10000; i++) {
        int n = snprintf(key, sizeof(key), "/path/%d", i);

        ck_assert_int_eq(radix_put(&e, &root, key, (size_t)n, key), 0);
    }
    ck_assert_uint_eq(e.count, 0);
    epoch_commit(&e);
    epoch_enter(&reader);
    epoch_edit_begin(&d, &e);
    ck_assert_int_eq(radix_put(&e, &root, "/path/1234x", 11, key), 0);
    epoch_commit(&e);
    ck_assert_uint_gt(d.waiting, 1);
    ck_assert_uint_lt(d.waiting, 9);
    epoch_leave(&reader);
    epoch_reader_done(&reader);
    epoch_reclaim(&d);
    radix_free(root);
    epoch_domain_done(&d);
}
END_TEST

UNIT_MAIN("radix", holds_what_was_put, limits_of_a_key, an_edit_copies_a_handful)
