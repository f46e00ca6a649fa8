#include "base/map.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

struct entry {
    struct map_node node;
    char key[16];
};

START_TEST(put_get_del_many)
{
    struct map m = {0};
    struct entry *e = calloc(10000, sizeof(*e));
    size_t seen = 0;

    for (int i = 0; i < 10000; i++) {
        snprintf(e[i].key, sizeof(e[i].key), "key-%d", i);
        ck_assert_int_eq(map_put(&m, &e[i].node, e[i].key, strlen(e[i].key)), 0);
    }
    ck_assert_uint_eq(m.count, 10000);
    for (int i = 0; i < 10000; i++)
        ck_assert_ptr_eq(map_get_str(&m, e[i].key), &e[i].node);
    ck_assert_ptr_null(map_get_str(&m, "key-10000"));
    ck_assert_ptr_null(map_get(&m, "key-1", 4));
    map_for_each(it, &m)
    {
        struct entry *x = map_entry(it, struct entry, node);

        if ((x - e) % 2)
            map_del(&m, it);
        seen++;
    }
    ck_assert_uint_eq(seen, 10000);
    ck_assert_uint_eq(m.count, 5000);
    ck_assert_ptr_null(map_get_str(&m, "key-1"));
    ck_assert_ptr_nonnull(map_get_str(&m, "key-2"));
    map_done(&m);
    free(e);
}
END_TEST

START_TEST(empty_map)
{
    struct map m = {0};
    int n = 0;

    ck_assert_ptr_null(map_get_str(&m, "x"));
    map_for_each(it, &m) n++;
    ck_assert_int_eq(n, 0);
    map_done(&m);
}
END_TEST

UNIT_MAIN("map", put_get_del_many, empty_map)
