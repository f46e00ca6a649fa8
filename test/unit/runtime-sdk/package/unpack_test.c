/* Unpacking: hostile archives, each refused with the entry's name and nothing written outside.
 */
#include "package_test.h"
#include "unit.h"

#include <errno.h>
#include <sys/sysmacros.h>

#define FILE_MODE (S_IFREG | 0644)
#define LINK_MODE (S_IFLNK | 0777)
#define TEN       "0123456789"
#define HUNDRED   TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define LONG      HUNDRED HUNDRED HUNDRED

static const struct hostile {
    const char *why;
    struct entry entries[4];
    const char *says;
} hostile[] = {
    {"absolute", {{"/tmp/evil", FILE_MODE, "x", NULL}}, "entry /tmp/evil"},
    {"dotdot", {{"../evil", FILE_MODE, "x", NULL}}, "entry ../evil"},
    {"dotdot inside", {{"a/../../evil", FILE_MODE, "x", NULL}}, "entry a/../../evil"},
    {"dotdot directory", {{"a/..", S_IFDIR | 0755, NULL, NULL}}, "entry a/.."},
    {"link out", {{"l", LINK_MODE, "../evil", NULL}}, "entry l"},
    {"link out, deeper", {{"a/l", LINK_MODE, "../../evil", NULL}}, "entry a/l"},
    {"absolute link", {{"l", LINK_MODE, "/etc", NULL}}, "entry l"},
    {"write through a link",
     {{"d/", S_IFDIR | 0755, NULL, NULL}, {"l", LINK_MODE, "d", NULL}, {"l/evil", FILE_MODE, "x", NULL}},
     "entry l/evil: goes through l"},
    {"chain of links that climbs at its end",
     {{"d/l", LINK_MODE, "..", NULL}, {"m", LINK_MODE, "d/l/..", NULL}},
     "entry m"},
    {"directory through a link",
     {{"l", LINK_MODE, ".", NULL}, {"l/", S_IFDIR | 0755, NULL, NULL}},
     "entry l"},
    {"hard link out", {{"h", FILE_MODE, NULL, "../archive"}}, "entry h"},
    {"hard link absolute", {{"h", FILE_MODE, NULL, "/etc/passwd"}}, "entry h"},
    {"hard link through a link",
     {{"l", LINK_MODE, ".", NULL}, {"h", FILE_MODE, NULL, "l/x"}},
     "entry h"},
    {"hard link to a link", {{"l", LINK_MODE, "x", NULL}, {"h", FILE_MODE, NULL, "l"}}, "entry h"},
    {"hard link to nothing", {{"h", FILE_MODE, NULL, "x"}}, "entry h"},
    {"hard link to itself", {{"h", FILE_MODE, "x", NULL}, {"h", FILE_MODE, NULL, "h"}}, "entry h"},
    {"file in the way", {{"a", FILE_MODE, "x", NULL}, {"a/b", FILE_MODE, "x", NULL}}, "entry a/b"},
    {"directory replaced by a link",
     {{"a/b", FILE_MODE, "x", NULL}, {"a", LINK_MODE, ".", NULL}},
     "entry a: named twice"},
    {"named twice",
     {{"a", FILE_MODE, "x", NULL}, {"./a", FILE_MODE, "y", NULL}},
     "entry a: named twice"},
    {"named twice, as a link",
     {{"a", FILE_MODE, "x", NULL}, {"a", LINK_MODE, "b", NULL}},
     "entry a: named twice"},
    {"named twice, as a hard link",
     {{"b", FILE_MODE, "y", NULL}, {"a", FILE_MODE, "x", NULL}, {"a", FILE_MODE, NULL, "b"}},
     "entry a: named twice"},
    {"a component too long", {{LONG, FILE_MODE, "x", NULL}}, "longer than 255 bytes"},
    {"device", {{"dev", S_IFCHR | 0666, NULL, NULL}}, "entry dev"},
    {"block device", {{"dev", S_IFBLK | 0666, NULL, NULL}}, "entry dev"},
    {"fifo", {{"pipe", S_IFIFO | 0666, NULL, NULL}}, "entry pipe"},
    {"control character", {{"a\033[2J", FILE_MODE, "x", NULL}}, "not allowed"},
};

static size_t entry_count(const struct hostile *h)
{
    size_t n = 0;

    while (n < 4 && h->entries[n].name)
        n++;
    return n;
}

static void refuse_all(enum shape shape)
{
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        const struct hostile *h = &hostile[i];
        struct scratch s = scratch_new();
        struct err e = {0};
        char outside[128];
        struct stat st;

        ck_assert_msg(unpack_entries(&s, shape, h->entries, entry_count(h), NULL, &e) < 0, "%s",
                      h->why);
        ck_assert_msg(strstr(e.message, h->says), "%s: %s", h->why, e.message);
        snprintf(outside, sizeof(outside), "%s/evil", s.path);
        ck_assert_msg(lstat(outside, &st) < 0, "%s wrote outside", h->why);
        ck_assert(lstat("/tmp/evil", &st) < 0);
        scratch_done(&s);
    }
}

START_TEST(hostile_tar)
{
    refuse_all(SHAPE_TAR);
}
END_TEST

START_TEST(hostile_tar_gz)
{
    refuse_all(SHAPE_TAR_GZ);
}
END_TEST

START_TEST(hostile_zip)
{
    static const struct entry absolute[] = {{"/tmp/evil", FILE_MODE, "x", NULL}};
    static const struct entry dotdot[] = {{"../evil", FILE_MODE, "x", NULL}};
    static const struct entry through[] = {{"l", LINK_MODE, "..", NULL},
                                           {"l/evil", FILE_MODE, "x", NULL}};
    struct scratch s = scratch_new();
    struct err e = {0};

    ck_assert_int_lt(unpack_entries(&s, SHAPE_ZIP, absolute, 1, NULL, &e), 0);
    ck_assert_int_lt(unpack_entries(&s, SHAPE_ZIP, dotdot, 1, NULL, &e), 0);
    ck_assert_int_lt(unpack_entries(&s, SHAPE_ZIP, through, 2, NULL, &e), 0);
    ck_assert_msg(strstr(e.message, "entry l"), "%s", e.message);
    scratch_done(&s);
}
END_TEST

START_TEST(good_in_every_shape)
{
    static const struct entry good[] = {
        {"./", S_IFDIR | 0755, NULL, NULL},     {"./bin//run", S_IFREG | 04711, "run", NULL},
        {"lib", S_IFDIR | 02700, NULL, NULL},   {"lib/a", S_IFREG | 0600, "new", NULL},
        {"lib/A", S_IFREG | 0600, "big", NULL}, {"lib/l", LINK_MODE, "../bin/run", NULL},
        {"lib/", S_IFDIR | 0700, NULL, NULL},
    };

    for (int shape = SHAPE_TAR; shape < SHAPES; shape++) {
        struct scratch s = scratch_new();
        struct err e = {0};
        struct stat st;
        mode_t before = umask(077);

        ck_assert_msg(unpack_entries(&s, (enum shape)shape, good, 7, NULL, &e) == 0, "%d: %s",
                      shape, e.message);
        umask(before);
        ck_assert_int_eq(fstatat(s.out_fd, "bin/run", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode, S_IFREG | 0755);
        ck_assert_int_eq(fstatat(s.out_fd, "lib", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode, S_IFDIR | 0755);
        ck_assert(content_is(s.out_fd, "lib/a", "new"));
        ck_assert(content_is(s.out_fd, "lib/A", "big"));
        ck_assert(content_is(s.out_fd, "lib/l", "run"));
        scratch_done(&s);
    }
}
END_TEST

START_TEST(hard_links_inside)
{
    static const struct entry good[] = {{"a/one", FILE_MODE, "1", NULL},
                                        {"two", FILE_MODE, NULL, "a/one"}};
    struct scratch s = scratch_new();
    struct err e = {0};

    ck_assert_msg(unpack_entries(&s, SHAPE_TAR, good, 2, NULL, &e) == 0, "%s", e.message);
    ck_assert(content_is(s.out_fd, "two", "1"));
    ck_assert(content_is(s.out_fd, "a/one", "1"));
    scratch_done(&s);
}
END_TEST

START_TEST(limits)
{
    static const struct {
        struct package_limits l;
        const char *says;
    } cases[] = {
        {{.files = 2}, "entry a/b/c/three: more than 2 entries"},
        {{.unpacked_size = 8}, "entry two: the package unpacks to more than 8 bytes"},
        {{.packed_size = 100}, "larger than 100 bytes"},
        {{.depth = 3}, "entry a/b/c/three: more than 3 path components"},
        {{.name = 8}, "longer than 8 bytes"},
    };
    static const struct entry entries[] = {{"one", FILE_MODE, "12345", NULL},
                                           {"two", FILE_MODE, "12345", NULL},
                                           {"a/b/c/three", FILE_MODE, "1", NULL}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int shape = SHAPE_TAR; shape < SHAPES; shape++) {
            struct scratch s = scratch_new();
            struct err e = {0};

            ck_assert_int_lt(unpack_entries(&s, (enum shape)shape, entries, 3, &cases[i].l, &e), 0);
            ck_assert_msg(strstr(e.message, cases[i].says), "%s", e.message);
            scratch_done(&s);
        }
}
END_TEST

/* A gzip bomb of directory headers adds no bytes and still ends at the entry limit. */
START_TEST(repeated_entries_are_counted)
{
    static const struct entry same[] = {{"d/", S_IFDIR | 0755, NULL, NULL},
                                        {"d/", S_IFDIR | 0755, NULL, NULL},
                                        {"d/", S_IFDIR | 0755, NULL, NULL}};
    const struct package_limits l = {.files = 2};
    struct scratch s = scratch_new();
    struct err e = {0};

    ck_assert_int_eq(unpack_entries(&s, SHAPE_TAR_GZ, same, 3, &l, &e), -EFBIG);
    scratch_done(&s);
}
END_TEST

START_TEST(implied_directories_are_counted)
{
    static const struct entry deep[] = {{"a/b/c/d", FILE_MODE, "x", NULL}};
    const struct package_limits l = {.files = 2};
    struct scratch s = scratch_new();
    struct err e = {0};

    ck_assert_int_eq(unpack_entries(&s, SHAPE_TAR, deep, 1, &l, &e), -EFBIG);
    scratch_done(&s);
}
END_TEST

/* Zeros far beyond what code shrinks to; the same size is fine when its package is large. */
START_TEST(a_bomb)
{
    static const enum shape shapes[] = {SHAPE_TAR_GZ, SHAPE_TAR_XZ, SHAPE_TAR_ZSTD, SHAPE_ZIP};
    const size_t size = 40 << 20;
    cleanup_free char *zeros = malloc(size + 1);
    const struct entry bomb[] = {{"zeros", FILE_MODE, zeros, NULL}};
    const struct package_limits loose = {.ratio = 1000000};

    memset(zeros, '0', size);
    zeros[size] = '\0';
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct scratch s = scratch_new();
        struct err e = {0};

        ck_assert_int_eq(unpack_entries(&s, shapes[i], bomb, 1, NULL, &e), -EFBIG);
        ck_assert_msg(strstr(e.message, "entry zeros: the package unpacks to more than 33554432 bytes, "
                                        "200 times its own size"),
                      "%s", e.message);
        unlinkat(s.out_fd, "zeros", 0);
        ck_assert_int_eq(unpack_entries(&s, shapes[i], bomb, 1, &loose, &e), 0);
        scratch_done(&s);
    }
}
END_TEST

START_TEST(compressed_twice)
{
    static const struct entry one[] = {{"one", FILE_MODE, "12345", NULL}};
    cleanup_buffer struct buffer b = {0};
    struct archive *a = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    struct scratch s = scratch_new();
    struct err e = {0};

    archive_write_set_format_pax_restricted(a);
    archive_write_add_filter_gzip(a);
    archive_write_add_filter_xz(a);
    ck_assert_int_eq(archive_write_open(a, &b, NULL, archive_to_buffer, NULL), ARCHIVE_OK);
    archive_entry_set_pathname(entry, one[0].name);
    archive_entry_set_mode(entry, one[0].mode);
    archive_entry_set_size(entry, 0);
    ck_assert_int_eq(archive_write_header(a, entry), ARCHIVE_OK);
    archive_entry_free(entry);
    archive_write_close(a);
    archive_write_free(a);
    ck_assert_int_eq(unpack_bytes(&s, buffer_bytes(&b), buffer_size(&b), NULL, &e), -EINVAL);
    ck_assert_msg(strstr(e.message, "more than once"), "%s", e.message);
    scratch_done(&s);
}
END_TEST

START_TEST(kinds)
{
    static const char *const names[SHAPES] = {"tar", "gzip", "zip", "xz", "zstd"};
    static const struct entry one[] = {{"one", FILE_MODE, "12345", NULL}};

    for (int shape = SHAPE_TAR; shape < SHAPES; shape++) {
        cleanup_buffer struct buffer b = {0};

        archive_make((enum shape)shape, one, 1, &b);
        ck_assert_str_eq(package_kind(buffer_bytes(&b), buffer_size(&b)), names[shape]);
        ck_assert(!package_kind(buffer_bytes(&b), 1));
        if (shape == SHAPE_TAR) {
            ck_assert(!package_kind(buffer_bytes(&b), PACKAGE_HEAD - 1));
            memset(b.data + 257, 0, 8); /* "ustar": the oldest tars have none, and another sum */
            ck_assert(!package_kind(buffer_bytes(&b), buffer_size(&b)));
        }
    }
    ck_assert(!package_kind("PK", 2));
    ck_assert(!package_kind("", 0));
    ck_assert(!package_kind((const uint8_t[PACKAGE_HEAD]){0}, PACKAGE_HEAD));
}
END_TEST

START_TEST(sparse_claims_are_counted)
{
    cleanup_buffer struct buffer b = {0};
    struct archive *a = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    const struct package_limits l = {.unpacked_size = 1 << 20};
    struct scratch s = scratch_new();
    struct err e = {0};

    archive_write_set_format_pax(a);
    archive_write_set_bytes_per_block(a, 0);
    ck_assert_int_eq(archive_write_open(a, &b, NULL, archive_to_buffer, NULL), ARCHIVE_OK);
    archive_entry_set_pathname(entry, "hole");
    archive_entry_set_mode(entry, FILE_MODE);
    archive_entry_set_size(entry, 1ll << 40);
    archive_entry_sparse_add_entry(entry, 0, 1);
    ck_assert_int_eq(archive_write_header(a, entry), ARCHIVE_OK);
    archive_write_data(a, "x", 1);
    archive_write_close(a);
    archive_entry_free(entry);
    archive_write_free(a);
    ck_assert_uint_gt(buffer_size(&b), 512);
    ck_assert_int_eq(unpack_bytes(&s, buffer_bytes(&b), buffer_size(&b), &l, &e), -EFBIG);
    ck_assert_msg(strstr(e.message, "entry hole"), "%s", e.message);
    scratch_done(&s);
}
END_TEST

START_TEST(damaged)
{
    static const struct entry entries[] = {{"one", FILE_MODE, "12345", NULL},
                                           {"two", FILE_MODE, "12345", NULL}};
    struct scratch s = scratch_new();

    for (int shape = SHAPE_TAR; shape < SHAPES; shape++) {
        cleanup_buffer struct buffer b = {0};
        struct err e = {0};

        archive_make((enum shape)shape, entries, 2, &b);
        /* Cut inside the first file's header or data. */
        ck_assert_int_lt(unpack_bytes(&s, buffer_bytes(&b), shape == SHAPE_TAR ? 514 : 20, NULL, &e),
                         0);
        ck_assert(e.message[0]);
        b.data[b.start + 1] ^= 0x55;
        ck_assert_msg(unpack_bytes(&s, buffer_bytes(&b), buffer_size(&b), NULL, &e) < 0, "shape %d",
                      shape);
    }
    scratch_done(&s);
}
END_TEST

START_TEST(not_an_archive)
{
    struct scratch s = scratch_new();
    struct err e = {0};

    ck_assert_int_eq(unpack_bytes(&s, "hello", 5, NULL, &e), -EBADMSG);
    ck_assert_int_eq(unpack_bytes(&s, "", 0, NULL, &e), -EBADMSG);
    scratch_done(&s);
}
END_TEST

UNIT_MAIN("unpack", hostile_tar, hostile_tar_gz, hostile_zip, good_in_every_shape,
          hard_links_inside, limits, repeated_entries_are_counted, implied_directories_are_counted,
          sparse_claims_are_counted, a_bomb, compressed_twice, kinds, damaged, not_an_archive)
