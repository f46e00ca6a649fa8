#include "base/file.h"
#include "runtime/runtimes.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static char dir[64];

static void add(const char *name, const char *json, bool rootfs)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s%s", dir, name, rootfs ? "/rootfs" : "");
    ck_assert_int_eq(file_mkdirs(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/%s/runtime.json", dir, name);
    if (json)
        ck_assert_int_eq(file_write_atomic(path, json, strlen(json), 0644), 0);
}

static void begin(void)
{
    strcpy(dir, "/tmp/runtimes-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

START_TEST(loads_sorted)
{
    struct runtimes *r;
    struct err e = {0};
    const struct runtime *p;

    begin();
    add("python3",
        "{\"name\":\"python3\",\"version\":\"3.11\",\"digest\":\"sha256:1\",\"protocol\":"
        "\"frames\","
        "\"park\":\"zygote\",\"argv\":[\"/usr/bin/python3\",\"-I\"],\"env\":{\"LANG\":\"C.UTF-8\",\"A\":\"b=c\"}}",
        true);
    add("any", "{\"name\":\"any\",\"protocol\":\"any\",\"argv\":[\"/var/task/bootstrap\"]}", true);
    add("nodejs", "{\"name\":\"nodejs\",\"argv\":[\"/usr/bin/node\"],\"park\":\"interpreter\"}",
        true);
    add("empty", NULL, true);
    ck_assert_int_eq(runtimes_load(dir, &r, &e), 0);
    ck_assert_uint_eq(runtimes_count(r), 3);
    ck_assert_int_eq(runtimes_at(r, 0)->park, RUNTIME_PARK_NONE);
    ck_assert_int_eq(runtimes_at(r, 1)->park, RUNTIME_PARK_INTERPRETER);
    ck_assert_int_eq(runtimes_at(r, 2)->park, RUNTIME_PARK_ZYGOTE);
    ck_assert_str_eq(runtimes_at(r, 0)->name, "any");
    ck_assert_int_eq(runtimes_at(r, 0)->protocol, RUNTIME_ANY);
    ck_assert_ptr_null(runtimes_at(r, 0)->env[0]);
    p = runtimes_get(r, "python3");
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(p->protocol, RUNTIME_FRAMES);
    ck_assert_str_eq(p->version, "3.11");
    ck_assert_str_eq(p->digest, "sha256:1");
    ck_assert_str_eq(p->argv[0], "/usr/bin/python3");
    ck_assert_str_eq(p->argv[1], "-I");
    ck_assert_ptr_null(p->argv[2]);
    ck_assert_str_eq(p->env[0], "LANG=C.UTF-8");
    ck_assert_str_eq(p->env[1], "A=b=c");
    ck_assert_int_eq(p->rootfs[0], '/');
    ck_assert_ptr_null(runtimes_get(r, "ruby"));
    runtimes_free(r);
    file_remove_tree(dir);
}
END_TEST

START_TEST(broken_ones_are_left_out)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{\"name\":\"b\"",
        "{\"name\":\"other\",\"argv\":[\"/x\"]}",
        "{\"name\":\"b\"}",
        "{\"name\":\"b\",\"argv\":[]}",
        "{\"name\":\"b\",\"argv\":[\"relative\"]}",
        "{\"name\":\"b\",\"argv\":[1]}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"env\":[]}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"env\":{\"A\":1}}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"env\":{\"A=\":\"1\"}}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"protocol\":\"smoke\"}",
        "{\"name\":\"\",\"argv\":[\"/x\"]}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"park\":\"bench\"}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"park\":null}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"park\":\"zygote\",\"protocol\":\"any\"}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"syscalls\":\"io_setup\"}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"syscalls\":[]}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"syscalls\":[1]}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"syscalls\":[\"io_setup\",\"mount\"]}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"syscalls\":[\"openat\"]}",
        "{\"name\":\"b\",\"argv\":[\"/x\"],\"syscalls\":[\"\"]}",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct runtimes *r;
        struct err e = {0};

        begin();
        add("b", bad[i], true);
        add("good", "{\"name\":\"good\",\"argv\":[\"/x\"]}", true);
        ck_assert_int_eq(runtimes_load(dir, &r, &e), 0);
        ck_assert_msg(runtimes_count(r) == 1, "%s", bad[i]);
        ck_assert_ptr_nonnull(runtimes_get(r, "good"));
        runtimes_free(r);
        file_remove_tree(dir);
    }
}
END_TEST

START_TEST(calls_that_it_adds)
{
    struct runtimes *r;
    struct err e = {0};

    begin();
    add("b", "{\"name\":\"b\",\"argv\":[\"/x\"],\"syscalls\":[\"io_setup\",\"mbind\"]}", true);
    add("none", "{\"name\":\"none\",\"argv\":[\"/x\"]}", true);
    ck_assert_int_eq(runtimes_load(dir, &r, &e), 0);
    ck_assert_str_eq(runtimes_get(r, "b")->syscalls[0], "io_setup");
    ck_assert_str_eq(runtimes_get(r, "b")->syscalls[1], "mbind");
    ck_assert_ptr_null(runtimes_get(r, "b")->syscalls[2]);
    ck_assert_ptr_null(runtimes_get(r, "none")->syscalls);
    runtimes_free(r);
    file_remove_tree(dir);
}
END_TEST

START_TEST(no_rootfs_and_no_directory)
{
    struct runtimes *r = NULL;
    struct err e = {0};

    begin();
    add("bare", "{\"name\":\"bare\",\"argv\":[\"/x\"]}", false);
    ck_assert_int_eq(runtimes_load(dir, &r, &e), 0);
    ck_assert_uint_eq(runtimes_count(r), 0);
    runtimes_free(r);
    file_remove_tree(dir);
    ck_assert_int_eq(runtimes_load(dir, &r, &e), -ENOENT);
    ck_assert_ptr_nonnull(strstr(e.message, dir));
}
END_TEST

UNIT_MAIN("runtimes", loads_sorted, broken_ones_are_left_out, calls_that_it_adds,
          no_rootfs_and_no_directory)
