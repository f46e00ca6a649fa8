/* What an instance is started with: its environment, in which the later word wins, and its program. */
#include "invoke/environment.h"
#include "base/cleanup.h"
#include "invoke/program.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct environment_facts facts = {
    .function = "hello",
    .namespace = "default",
    .revision = "r1",
    .instance = "i1",
    .node = "here",
    .handler = "index.handler",
    .runtime = "python3",
    .task_root = "/var/task",
    .runtime_dir = "/var/runtime",
    .runtime_socket = "/run/socket",
    .api_address = "127.0.0.1:9001",
    .memory = 128 << 20,
    .timeout_ms = 3000,
    .concurrency = 2,
};

static const char *value(const struct environment *e, const char *name)
{
    size_t n = strlen(name);

    for (char **v = e->all; *v; v++)
        if (!strncmp(*v, name, n) && (*v)[n] == '=')
            return *v + n + 1;
    return "(none)";
}

START_TEST(the_platform_has_the_last_word)
{
    struct environment e = {0};

    environment_set_defaults(&e, &facts);
    environment_set(&e, "HOME", "/elsewhere");
    environment_set(&e, "HOMER", "a poet");
    environment_set_text(&e, "ROUSE_FUNCTION=another");
    environment_set_platform(&e, &facts);
    ck_assert_int_eq(environment_finish(&e), 0);
    ck_assert_str_eq(value(&e, "HOME"), "/elsewhere");
    ck_assert_str_eq(value(&e, "HOMER"), "a poet");
    ck_assert_str_eq(value(&e, "ROUSE_FUNCTION"), "hello");
    ck_assert_str_eq(value(&e, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), "128");
    ck_assert_str_eq(value(&e, "ROUSE_RUNTIME_SOCKET"), "/run/socket");
    ck_assert_str_eq(value(&e, "PORT"), "(none)");
    environment_done(&e);
}
END_TEST

static void expect_processors(uint32_t cpu_millis, const char *own, const char *count)
{
    struct environment e = {0};
    struct environment_facts f = facts;

    f.cpu_millis = cpu_millis;
    environment_set_defaults(&e, &f);
    if (own)
        environment_set(&e, "ROUSE_MAXPROCS", own);
    environment_set_platform(&e, &f);
    ck_assert_int_eq(environment_finish(&e), 0);
    ck_assert_str_eq(value(&e, "ROUSE_MAXPROCS"), count);
    environment_done(&e);
}

START_TEST(processors_follow_the_quota)
{
    expect_processors(10, NULL, "1");
    expect_processors(1000, NULL, "1");
    expect_processors(1001, NULL, "2");
    expect_processors(4000, "16", "16");
    expect_processors(0, NULL, "(none)");
}
END_TEST

START_TEST(a_server_is_told_its_port_and_no_interface)
{
    struct environment_facts f = facts;
    struct environment e = {0};

    f.port = 8000;
    environment_set_platform(&e, &f);
    ck_assert_int_eq(environment_finish(&e), 0);
    ck_assert_str_eq(value(&e, "PORT"), "8000");
    ck_assert_str_eq(value(&e, "ROUSE_RUNTIME_SOCKET"), "(none)");
    ck_assert_str_eq(value(&e, "AWS_LAMBDA_RUNTIME_API"), "(none)");
    environment_done(&e);
}
END_TEST

START_TEST(what_is_wrong_is_kept_to_the_end)
{
    struct environment e = {0};
    char name[16];

    environment_set_text(&e, "no assignment");
    environment_set(&e, "A", "b");
    ck_assert_int_eq(environment_finish(&e), -EINVAL);
    environment_done(&e);
    for (int i = 0; i <= 1024; i++) {
        ck_assert_int_eq(i && environment_finish(&e), 0);
        snprintf(name, sizeof(name), "V%d", i);
        environment_set(&e, name, "");
    }
    ck_assert_int_eq(environment_finish(&e), -E2BIG);
    environment_done(&e);
}
END_TEST

START_TEST(a_language_runs_its_own_files)
{
    static const char *const python[] = {"/usr/bin/python3.11", "-I", NULL};
    static const struct {
        const char *server, *first, *second;
    } rows[] = {
        {NULL, "/usr/bin/python3.11", "-I"},
        {"app/server.py", "/usr/bin/python3.11", "/code/app/server.py"},
        {"server.js", "/code/server.js", NULL},
        {"bootstrap", "/code/bootstrap", NULL},
        {".py", "/code/.py", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct program c;

        ck_assert_int_eq(program_build(python, "/code", rows[i].server, &c), 0);
        ck_assert_str_eq(program_argv(&c)[0], rows[i].first);
        if (rows[i].second)
            ck_assert_str_eq(program_argv(&c)[1], rows[i].second);
        else
            ck_assert_ptr_null(program_argv(&c)[1]);
        program_done(&c);
    }
}
END_TEST

UNIT_MAIN("environment", the_platform_has_the_last_word, processors_follow_the_quota,
          a_server_is_told_its_port_and_no_interface, what_is_wrong_is_kept_to_the_end,
          a_language_runs_its_own_files)
