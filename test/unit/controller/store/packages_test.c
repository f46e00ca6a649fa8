/* Packages on disk: only bytes that match their name get it, nothing half-written remains. */
#include "base/cleanup.h"
#include "base/file.h"
#include "package/package.h"
#include "store/packages.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static char dir[64];
static struct packages *packages;

static void begin(void)
{
    struct err e = {0};

    strcpy(dir, "/tmp/rouse-packages-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_msg(packages_open(dir, &packages, &e) == 0, "%s", e.message);
}

static void end(void)
{
    packages = packages_free(packages);
    file_remove_tree(dir);
}

static unsigned files(void)
{
    char path[128];
    struct dirent *de;
    unsigned n = 0;
    DIR *d;

    snprintf(path, sizeof(path), "%s/packages", dir);
    ck_assert_ptr_nonnull(d = opendir(path));
    while ((de = readdir(d)))
        n += strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0;
    closedir(d);
    return n;
}

START_TEST(upload_and_read)
{
    char digest[PACKAGE_DIGEST_TEXT], back[8] = "";
    struct package_upload *u;
    struct err e = {0};
    uint64_t size;
    int fd;

    begin();
    package_digest("hello", 5, digest);
    ck_assert(!packages_have(packages, digest));
    ck_assert_int_eq(packages_read(packages, digest, &fd, &size), -ENOENT);
    ck_assert_int_eq(packages_upload(packages, digest, &u, &e), 0);
    ck_assert_int_eq(package_upload_write(u, "he", 2, &e), 0);
    ck_assert(!packages_have(packages, digest));
    ck_assert_int_eq(package_upload_write(u, "llo", 3, &e), 0);
    ck_assert_int_eq(package_upload_finish(u, &e), 0);
    ck_assert(packages_have(packages, digest));
    ck_assert_int_eq(packages_read(packages, digest, &fd, &size), 0);
    ck_assert_uint_eq(size, 5);
    ck_assert_int_eq(read(fd, back, sizeof(back)), 5);
    ck_assert_str_eq(back, "hello");
    close(fd);
    ck_assert_uint_eq(files(), 1);
    end();
}
END_TEST

START_TEST(wrong_bytes_are_refused)
{
    char digest[PACKAGE_DIGEST_TEXT];
    struct package_upload *u;
    struct err e = {0};

    begin();
    package_digest("hello", 5, digest);
    ck_assert_int_eq(packages_upload(packages, digest, &u, &e), 0);
    ck_assert_int_eq(package_upload_write(u, "jello", 5, &e), 0);
    ck_assert_int_eq(package_upload_finish(u, &e), -EBADMSG);
    ck_assert_msg(strstr(e.message, digest) != NULL, "%s", e.message);
    ck_assert(!packages_have(packages, digest));
    ck_assert_uint_eq(files(), 0);
    ck_assert_int_eq(packages_upload(packages, digest, &u, &e), 0);
    ck_assert_int_eq(package_upload_write(u, "h", 1, &e), 0);
    package_upload_cancel(u);
    ck_assert_uint_eq(files(), 0);
    ck_assert_int_eq(packages_upload(packages, "sha256:../../etc/passwd", &u, &e), -EINVAL);
    ck_assert_int_eq(packages_read(packages, "sha256:..", &(int){0}, &(uint64_t){0}), -EINVAL);
    end();
}
END_TEST

START_TEST(an_earlier_life_leaves_nothing)
{
    char digest[PACKAGE_DIGEST_TEXT];
    struct package_upload *u;
    struct packages *again;
    struct err e = {0};

    begin();
    package_digest("hello", 5, digest);
    ck_assert_int_eq(packages_upload(packages, digest, &u, &e), 0);
    ck_assert_uint_eq(files(), 1);
    ck_assert_int_eq(packages_open(dir, &again, &e), 0);
    ck_assert_uint_eq(files(), 0);
    package_upload_cancel(u);
    packages_free(again);
    end();
}
END_TEST

START_TEST(uploads_are_bounded)
{
    struct package_upload *u[PACKAGES_UPLOADS_MAX + 1];
    char digest[PACKAGE_DIGEST_TEXT];
    struct err e = {0};

    begin();
    package_digest("hello", 5, digest);
    for (int i = 0; i < PACKAGES_UPLOADS_MAX; i++)
        ck_assert_int_eq(packages_upload(packages, digest, &u[i], &e), 0);
    ck_assert_int_eq(packages_upload(packages, digest, &u[PACKAGES_UPLOADS_MAX], &e), -EBUSY);
    for (int i = 0; i < PACKAGES_UPLOADS_MAX; i++)
        package_upload_cancel(u[i]);
    ck_assert_uint_eq(files(), 0);
    end();
}
END_TEST

UNIT_MAIN("packages", upload_and_read, wrong_bytes_are_refused, an_earlier_life_leaves_nothing,
          uploads_are_bounded)
