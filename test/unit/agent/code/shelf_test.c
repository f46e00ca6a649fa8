/* Names of packages on disk, and what a start makes of a directory. */
#include "base/cleanup.h"
#include "base/file.h"
#include "code/shelf.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

START_TEST(names)
{
    static const char *const bad[] = {
        "",         HEX,           HEX ".",   HEX ".x",
        HEX ".1x",  HEX ".01",     HEX ".-1", HEX ".99999999999999999999999",
        HEX ".tmp", "0" HEX ".10", ".",       HEX ". 1",
        "A" HEX};
    char name[SHELF_NAME_MAX], hex[SHELF_HEX + 1];
    uint64_t size = 1;

    shelf_name(name, HEX, UINT64_MAX);
    ck_assert(shelf_parse(name, hex, &size));
    ck_assert_str_eq(hex, HEX);
    ck_assert_uint_eq(size, UINT64_MAX);
    ck_assert(shelf_parse(HEX ".0", hex, &size));
    ck_assert_uint_eq(size, 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!shelf_parse(bad[i], hex, &size), "%s", bad[i]);
}
END_TEST

struct seen {
    char items[512], rest[512];
    int64_t used;
};

static void on_item(void *user, const struct shelf_item *i)
{
    struct seen *s = user;

    snprintf(s->items + strlen(s->items), 100, "%.4s:%d ", i->hex, (int)i->size);
    s->used = i->used;
}

static void on_rest(void *user, const char *path)
{
    struct seen *s = user;

    snprintf(s->rest + strlen(s->rest), 100, "%.9s ", strrchr(path, '/') + 1);
}

START_TEST(a_directory_is_read_by_names_alone)
{
    char dir[] = "/tmp/rouse-shelf-XXXXXX", path[256];
    const struct timeval times[2] = {{1000, 0}, {1000, 500000}};
    struct seen s = {0};

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/" HEX ".4711", dir);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    ck_assert_int_eq(utimes(path, times), 0);
    snprintf(path, sizeof(path),
             "%s/aa112233445566778899aabbccddeeff00112233445566778899aabbccddeeff.5", dir);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    ck_assert_int_eq(chmod(path, 01755), 0); /* its bytes may be lost */
    ck_assert_int_eq(shelf_scan(dir, on_item, on_rest, &s), 0);
    ck_assert_str_eq(s.items, "0011:4711 ");
    ck_assert_str_eq(s.rest, "aa1122334 ");
    ck_assert_int_eq(s.used, 1000500000000);

    ck_assert_int_eq(
        shelf_settle(dir,
                     (const char[2][SHELF_NAME_MAX]){
                         "aa112233445566778899aabbccddeeff00112233445566778899aabbccddeeff.5",
                         "evicted meanwhile"},
                     2),
        0);
    snprintf(path, sizeof(path), "%s/" HEX ".tmp.12", dir);
    ck_assert_int_eq(file_write_atomic(path, "x", 1, 0644), 0);
    s = (struct seen){0};
    ck_assert_int_eq(shelf_scan(dir, on_item, on_rest, &s), 0);
    ck_assert_ptr_nonnull(strstr(s.items, "aa11:5 "));
    ck_assert_str_eq(s.rest, "001122334 ");
    file_remove_tree(dir);
    ck_assert_int_lt(shelf_scan(dir, on_item, on_rest, &s), 0);
}
END_TEST

START_TEST(sealed)
{
    char dir[] = "/tmp/rouse-shelf-XXXXXX", path[64];
    uint64_t size = 0, more = 0;
    char data[20000] = {1};
    struct stat st;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/f", dir);
    ck_assert_int_eq(file_write_atomic(path, data, 100, 0644), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(chown(path, 65534, 65534), 0);
    ck_assert_int_eq(shelf_seal(dir, &size), 0);
    ck_assert_uint_ge(size, 2 * 1024);
    ck_assert_int_eq(stat(dir, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 01755);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_uid, geteuid());
    ck_assert_int_eq(file_write_atomic(path, data, sizeof(data), 0644), 0);
    ck_assert_int_eq(shelf_seal(dir, &more), 0);
    ck_assert_uint_ge(more, size + 12000);
    file_remove_tree(dir);
    ck_assert_int_lt(shelf_seal(dir, &more), 0);
    ck_assert_uint_gt(shelf_default_limit("/"), 1 << 20);
    ck_assert_uint_le(shelf_default_limit("/"), 10ull << 30);
}
END_TEST

UNIT_MAIN("code_shelf", names, a_directory_is_read_by_names_alone, sealed)
