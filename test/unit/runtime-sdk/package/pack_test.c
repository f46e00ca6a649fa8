/* Packing: the same files give the same bytes, whoever packs them; what cannot be a package is
 * refused.
 */
#include "package_test.h"
#include "unit.h"

#include <errno.h>

static const struct package_file files[] = {
    {"index.py", "def handler(event, context):\n    return 'Hello Serverless'\n", 59, false},
    {"bootstrap", "#!/bin/sh\n", 10, true},
    {"lib/caf\xc3\xa9.py", "", 0, false},
};

START_TEST(golden_bytes)
{
    cleanup_buffer struct buffer b = {0};
    char digest[PACKAGE_DIGEST_TEXT];
    struct err e = {0};

    ck_assert_msg(package_pack_files(files, 3, &b, &e) == 0, "%s", e.message);
    package_digest(buffer_bytes(&b), buffer_size(&b), digest);
    ck_assert_str_eq(digest,
                     "sha256:fd3af9cc1b33fc8a09bf23c0b9b8e42f63a28552a64e0076524b33ea2415db53");
}
END_TEST

static void put(const char *dir, const char *name, const char *data, mode_t mode)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_int_eq(file_write_atomic(path, data, strlen(data), mode), 0);
}
static void make_dir(const char *dir, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_int_eq(file_mkdirs(path, 0755), 0);
}

START_TEST(order_and_source_do_not_matter)
{
    const struct package_file shuffled[] = {files[2], files[0], files[1]};
    cleanup_buffer struct buffer a = {0}, b = {0}, c = {0};
    struct scratch s = scratch_new();
    struct err e = {0};

    make_dir(s.out, "lib");
    make_dir(s.out, ".git/objects");
    put(s.out, ".git/config", "secret", 0644);
    put(s.out, "bootstrap", "#!/bin/sh\n", 0700);
    put(s.out, "index.py", files[0].data, 0600);
    put(s.out, "lib/caf\xc3\xa9.py", "", 0644);
    ck_assert_int_eq(package_pack_files(files, 3, &a, &e), 0);
    ck_assert_int_eq(package_pack_files(shuffled, 3, &b, &e), 0);
    ck_assert_msg(package_pack_dir(s.out, NULL, &c, &e) == 0, "%s", e.message);
    ck_assert_uint_eq(buffer_size(&a), buffer_size(&b));
    ck_assert_mem_eq(buffer_bytes(&a), buffer_bytes(&b), buffer_size(&a));
    ck_assert_uint_eq(buffer_size(&a), buffer_size(&c));
    ck_assert_mem_eq(buffer_bytes(&a), buffer_bytes(&c), buffer_size(&a));
    scratch_done(&s);
}
END_TEST

START_TEST(pack_then_unpack)
{
    cleanup_buffer struct buffer b = {0};
    struct scratch from = scratch_new(), to = scratch_new();
    struct err e = {0};
    char target[32] = {0};
    struct stat st;

    make_dir(from.out, "empty/inner");
    make_dir(from.out, "bin");
    put(from.out, "bin/run", "x", 0755);
    put(from.out, "data", "d", 0444);
    ck_assert_int_eq(symlinkat("../data", from.out_fd, "bin/link"), 0);
    ck_assert_msg(package_pack_dir(from.out, NULL, &b, &e) == 0, "%s", e.message);
    ck_assert_msg(unpack_bytes(&to, buffer_bytes(&b), buffer_size(&b), NULL, &e) == 0, "%s",
                  e.message);
    ck_assert_int_eq(fstatat(to.out_fd, "empty/inner", &st, 0), 0);
    ck_assert(S_ISDIR(st.st_mode));
    ck_assert_int_eq(fstatat(to.out_fd, "bin/run", &st, 0), 0);
    ck_assert_uint_eq(st.st_mode, S_IFREG | 0755);
    ck_assert_int_eq(fstatat(to.out_fd, "data", &st, 0), 0);
    ck_assert_uint_eq(st.st_mode, S_IFREG | 0644);
    ck_assert_int_eq(readlinkat(to.out_fd, "bin/link", target, sizeof(target) - 1), 7);
    ck_assert_str_eq(target, "../data");
    ck_assert(content_is(to.out_fd, "bin/link", "d"));
    scratch_done(&from);
    scratch_done(&to);
}
END_TEST

START_TEST(bad_names)
{
    static const struct {
        const char *name;
        int code;
    } bad[] = {
        {"/etc/passwd", -EINVAL},
        {"../x", -EINVAL},
        {"a/../b", -EINVAL},
        {"", -EINVAL},
        {".", -EINVAL},
        {"a\nb", -EINVAL},
        {"a\xff", -EINVAL},
        {"\xc0\xaf", -EINVAL},
        {"\xed\xa0\x80", -EINVAL},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct package_file f = {bad[i].name, "x", 1, false};
        cleanup_buffer struct buffer b = {0};
        struct err e = {0};

        ck_assert_msg(package_pack_files(&f, 1, &b, &e) == bad[i].code, "\"%s\"", bad[i].name);
        ck_assert_uint_eq(buffer_size(&b), 0);
        ck_assert(e.message[0]);
    }
}
END_TEST

START_TEST(clashing_names)
{
    const struct package_file twice[] = {{"a", "1", 1, false}, {"./a", "2", 1, false}};
    const struct package_file both[] = {
        {"a/b", "1", 1, false}, {"a-", "3", 1, false}, {"a", "2", 1, false}};
    cleanup_buffer struct buffer b = {0};
    struct err e = {0};

    ck_assert_int_eq(package_pack_files(twice, 2, &b, &e), -EEXIST);
    ck_assert_ptr_nonnull(strstr(e.message, "entry a"));
    ck_assert_int_eq(package_pack_files(both, 3, &b, &e), -ENOTDIR);
    ck_assert_ptr_nonnull(strstr(e.message, "entry a/b"));
}
END_TEST

START_TEST(directories_refused)
{
    cleanup_buffer struct buffer b = {0};
    struct scratch s = scratch_new();
    struct err e = {0};

    ck_assert_int_eq(package_pack_dir("/nonexistent/dir", NULL, &b, &e), -ENOENT);
    ck_assert_int_eq(symlinkat("../../etc/passwd", s.out_fd, "out"), 0);
    ck_assert_int_eq(package_pack_dir(s.out, NULL, &b, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "entry out"));
    unlinkat(s.out_fd, "out", 0);
    ck_assert_int_eq(mkfifoat(s.out_fd, "pipe", 0600), 0);
    ck_assert_int_eq(package_pack_dir(s.out, NULL, &b, &e), -EINVAL);
    ck_assert_ptr_nonnull(strstr(e.message, "entry pipe"));
    ck_assert_uint_eq(buffer_size(&b), 0);
    scratch_done(&s);
}
END_TEST

START_TEST(directory_limits)
{
    static const struct {
        struct package_limits l;
        const char *says;
    } cases[] = {
        {{.files = 1}, "more than 1 files"},
        {{.unpacked_size = 10}, "entry f"},
        {{.packed_size = 1024}, "larger than 1024 bytes"},
        {{.depth = 2}, "more than 2 path components"},
        {{.name = 4}, "longer than 4 bytes"},
    };
    struct scratch s = scratch_new();

    make_dir(s.out, "a/b");
    put(s.out, "a/b/c", "c", 0644);
    put(s.out, "f", "0123456789abc", 0644);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_buffer struct buffer b = {0};
        struct err e = {0};

        ck_assert_int_lt(package_pack_dir(s.out, &cases[i].l, &b, &e), 0);
        ck_assert_msg(strstr(e.message, cases[i].says), "%s", e.message);
        ck_assert_uint_eq(buffer_size(&b), 0);
    }
    scratch_done(&s);
}
END_TEST

START_TEST(digests)
{
    char a[PACKAGE_DIGEST_TEXT], b[PACKAGE_DIGEST_TEXT];
    struct scratch s = scratch_new();
    int fd;

    package_digest("abc", 3, a);
    ck_assert_str_eq(a, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    put(s.out, "f", "abc", 0644);
    fd = openat(s.out_fd, "f", O_RDONLY | O_CLOEXEC);
    lseek(fd, 2, SEEK_SET);
    ck_assert_int_eq(package_digest_file(fd, b), 0);
    ck_assert_str_eq(a, b);
    close(fd);
    ck_assert_int_eq(package_digest_file(fd, b), -EBADF);
    ck_assert(package_digest_valid(a));
    a[70] = 'A';
    ck_assert(!package_digest_valid(a));
    a[70] = '\0';
    ck_assert(!package_digest_valid(a));
    ck_assert(!package_digest_valid(
        "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    ck_assert(!package_digest_valid(""));
    scratch_done(&s);
}
END_TEST

UNIT_MAIN("pack", golden_bytes, order_and_source_do_not_matter, pack_then_unpack, bad_names,
          clashing_names, directories_refused, directory_limits, digests)
