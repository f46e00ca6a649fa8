/* A manifest as building and running here need it, and what is wrong with one, by its field. */
#include "base/cleanup.h"
#include "base/file.h"
#include "cli/project.h"
#include "package/package.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char dir[] = "/tmp/rouse-project-XXXXXX", file[64];
static struct project p;

/* A manifest with that spec, loaded from its directory. */
static int load(const char *spec, struct err *e)
{
    FILE *to;
    int r;

    if (!file[0])
        ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/function.yaml", dir);
    to = fopen(file, "w");
    ck_assert_ptr_nonnull(to);
    fprintf(to,
            "apiVersion: rouse.dev/v1\nkind: Function\nmetadata: {name: f}\nspec: {runtime: python3, "
            "handler: index.handler, %s}\n",
            spec);
    fclose(to);
    r = project_load(dir, "here", &p, e);
    unlink(file);
    return r;
}

static void done(void)
{
    project_done(&p);
    rmdir(dir);
}

START_TEST(defaults_are_the_schemas)
{
    struct err e = {0};

    ck_assert_msg(load("code: {path: .}", &e) == 0, "%s", e.message);
    ck_assert_str_eq(p.function.namespace, "here");
    ck_assert_uint_eq(p.function.timeout_ms, 3000);
    ck_assert_uint_eq(p.function.concurrency, 1);
    ck_assert_uint_eq(p.function.memory, 128 << 20);
    ck_assert_uint_eq(p.function.port, 0);
    ck_assert_uint_eq(p.function.trigger_count, 0);
    ck_assert_str_eq(p.code_dir, p.dir);
    ck_assert_str_eq(project_program(&p), "bootstrap");
    done();
}
END_TEST

START_TEST(what_is_said_is_read)
{
    struct err e = {0};

    ck_assert_msg(
        load("timeout: 1m30s, concurrency: 7, memory: 1073741824, cpu: 2, "
             "lifecycle: {initializer: a.b, initializerTimeout: 1s}, port: 8080, code: {path: ./a/b}, "
             "env: [{name: A, value: b=c}, {name: EMPTY}], triggers: [{http: {path: /x, "
             "methods: [GET, PUT], hosts: [a.b, c.d]}}, {cron: {schedule: '* * * * *'}}]",
             &e) == 0,
        "%s", e.message);
    ck_assert_uint_eq(p.function.timeout_ms, 90000);
    ck_assert_uint_eq(p.function.concurrency, 7);
    ck_assert_uint_eq(p.function.memory, 1u << 30);
    ck_assert_uint_eq(p.function.cpu_millis, 2000);
    ck_assert_str_eq(p.function.initializer, "a.b");
    ck_assert_uint_eq(p.function.initializer_timeout_ms, 1000);
    ck_assert_ptr_null(p.function.pre_stop);
    ck_assert_uint_eq(p.function.port, 8080);
    ck_assert_str_eq(project_program(&p), "index.handler");
    ck_assert_str_eq(p.env[0], "A=b=c");
    ck_assert_str_eq(p.env[1], "EMPTY=");
    ck_assert_uint_eq(p.function.trigger_count, 2);
    ck_assert_str_eq(p.function.triggers[1].host, "c.d");
    ck_assert_uint_eq(p.function.triggers[0].methods,
                      route_method(STR("GET")) | route_method(STR("PUT")));
    ck_assert_str_eq(p.code_dir + strlen(p.dir), "/a/b");
    ck_assert_int_eq(project_set_env(&p, "A=later", &e), 0);
    ck_assert_str_eq(p.function.env[2], "A=later");
    ck_assert_int_eq(project_set_env(&p, "SURELY_NOT_SET", &e), -EINVAL);
    done();
}
END_TEST

START_TEST(what_is_wrong_is_named_by_its_field)
{
    static const char *const rows[][2] = {
        {"code: {path: .}, timeout: 99ms", "spec.timeout: a duration from 100ms"},
        {"code: {path: .}, timeout: 61m", "spec.timeout: "},
        {"code: {path: .}, timeout: 3", "spec.timeout: "},
        {"code: {path: .}, concurrency: 1001", "spec.concurrency: a number from 1 to 1000"},
        {"code: {path: .}, concurrency: '1'", "spec.concurrency: "},
        {"code: {path: .}, port: 80", "spec.port: a number from 1024 to 65535"},
        {"code: {path: .}, memory: lots", "spec.memory: "},
        {"code: {path: .}, cpu: half", "spec.cpu: "},
        {"code: {path: .}, start: spoon", "spec.start: exec or fork"},
        {"code: {path: .}, lifecycle: {afterFork: a.b}",
         "spec.lifecycle.afterFork: with start: fork only"},
        {"code: {path: .}, lifecycle: {preStop: 1}", "spec.lifecycle.preStop: the name of a function"},
        {"code: {path: .}, lifecycle: {initializerTimeout: 11m}",
         "spec.lifecycle.initializerTimeout: a duration from 100ms to 10m"},
        {"code: {path: .}, env: {A: b}", "spec.env: a list"},
        {"code: {path: .}, env: [{value: b}]", "spec.env[0]: a name is required"},
        {"code: {path: .}, triggers: [{http: {path: x}}]", "spec.triggers[0].http.path: "},
        {"code: {path: .}, triggers: [{http: {path: /x, hosts: [A]}}]",
         "spec.triggers[0].http.hosts: "},
        {"code: {path: .}, triggers: [{http: {path: /x, methods: [1]}}]",
         "spec.triggers[0].http.methods: "},
        {"code: {package: x}", "spec.code: path or inline"},
        {"timeout: 3s", "spec.code: path or inline"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};

        ck_assert_msg(load(rows[i][0], &e) < 0, "%s", rows[i][0]);
        ck_assert_msg(strstr(e.message, rows[i][1]), "%s: %s", rows[i][0], e.message);
        project_done(&p);
    }
    rmdir(dir);
}
END_TEST

START_TEST(an_archive_is_unpacked)
{
    static const struct package_file files[] = {{"sub/index.py", "x = 1", 5, false}};
    cleanup_buffer struct buffer b = {0};
    char archive[96], out[96], path[128];
    struct err e = {0};
    struct stat st;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/function.yaml", dir);
    snprintf(archive, sizeof(archive), "%s/code.tar", dir);
    snprintf(out, sizeof(out), "%s/out", dir);
    ck_assert_int_eq(package_pack_files(files, 1, &b, &e), 0);
    ck_assert_int_eq(file_write_atomic(archive, buffer_bytes(&b), buffer_size(&b), 0644), 0);
    ck_assert_int_eq(mkdir(out, 0755), 0);
    ck_assert_int_eq(load("code: {path: ./code.tar}", &e), 0);
    ck_assert_str_eq(p.code_dir, "");
    ck_assert_msg(project_unpack(&p, out, &e) == 0, "%s", e.message);
    ck_assert_str_eq(p.code_dir, out);
    snprintf(path, sizeof(path), "%s/sub/index.py", out);
    ck_assert(stat(path, &st) == 0 && st.st_size == 5);
    ck_assert_int_eq(file_write_atomic(archive, "no tar", 6, 0644), 0);
    ck_assert_int_lt(project_unpack(&p, out, &e), 0);
    ck_assert_msg(strstr(e.message, "code.tar: "), "%s", e.message);
    project_done(&p);
    file_remove_tree(dir);
}
END_TEST

START_TEST(inline_code_stays_below_its_directory)
{
    struct err e = {0};
    char path[96];
    struct stat st;

    ck_assert_int_eq(load("code: {inline: {'sub/index.py': 'x = 1', bootstrap: 'y'}}", &e), 0);
    ck_assert_str_eq(p.code_dir, "");
    ck_assert_msg(project_unpack(&p, dir, &e) == 0, "%s", e.message);
    ck_assert_str_eq(p.code_dir, dir);
    snprintf(path, sizeof(path), "%s/bootstrap", dir);
    ck_assert(stat(path, &st) == 0 && (st.st_mode & 0100) && st.st_size == 1);
    unlink(path);
    snprintf(path, sizeof(path), "%s/sub/index.py", dir);
    ck_assert(stat(path, &st) == 0 && !(st.st_mode & 0100));
    unlink(path);
    snprintf(path, sizeof(path), "%s/sub", dir);
    rmdir(path);
    project_done(&p);
    for (const char *const *bad =
             (const char *const[]){"../x", "a/../x", "/x", "a//b", "", ".", NULL};
         *bad; bad++) {
        char spec[96];

        snprintf(spec, sizeof(spec), "code: {inline: {'%s': 'x'}}", *bad);
        ck_assert_int_eq(load(spec, &e), 0);
        ck_assert_msg(project_unpack(&p, dir, &e) == -EINVAL, "%s", *bad);
        project_done(&p);
    }
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

UNIT_MAIN("project", defaults_are_the_schemas, what_is_said_is_read,
          what_is_wrong_is_named_by_its_field, an_archive_is_unpacked,
          inline_code_stays_below_its_directory)
