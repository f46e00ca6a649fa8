/* When an agent gets a scope of systemd's, by which words, and what happens where it gets none. */
#include "cli/scope.h"
#include "base/clock.h"
#include "base/file.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

START_TEST(wanted)
{
    const struct scope_machine all = {
        .root = true, .v2_alone = true, .by_systemd = true, .program = true};
    struct scope_machine user = all, own = all, v1 = all, other = all, bare = all;

    user.root = false;
    own.root = false;
    own.user = true;
    v1.v2_alone = false;
    other.by_systemd = false;
    bare.program = false;
    ck_assert(scope_wanted(&all));
    ck_assert(scope_wanted(&own));
    ck_assert(!scope_wanted(&user));
    ck_assert(!scope_wanted(&v1));
    ck_assert(!scope_wanted(&other));
    ck_assert(!scope_wanted(&bare));
}
END_TEST

START_TEST(words)
{
    static const char *const expected[SCOPE_WORDS] = {"/usr/bin/systemd-run",
                                                      "--system",
                                                      "--scope",
                                                      "--quiet",
                                                      "--collect",
                                                      "-p",
                                                      "Delegate=yes",
                                                      "-p",
                                                      "TasksMax=infinity",
                                                      "--unit",
                                                      "rouse-0123abcd-node-1-ff.scope",
                                                      "--"};
    const char *got[SCOPE_WORDS], *later[SCOPE_WORDS];
    char unit[SCOPE_UNIT_MAX], next[SCOPE_UNIT_MAX];

    scope_words(true, "0123abcd", "node-1", 255, unit, got);
    for (size_t i = 0; i < SCOPE_WORDS; i++)
        ck_assert_str_eq(got[i], expected[i]);
    scope_words(false, "0123abcd", "node-1", 256, next, later);
    ck_assert_str_eq(later[1], "--user");
    ck_assert_str_ne(unit, next);
}
END_TEST

START_TEST(holds)
{
    ck_assert(scope_holds("0::/system.slice/a.scope\n", "a.scope"));
    ck_assert(scope_holds("0::/system.slice/a.scope/rouse-1/_agent\n", "a.scope"));
    ck_assert(scope_holds("0::/a.scoped/a.scope", "a.scope"));
    ck_assert(!scope_holds("0::/user.slice/session-1.scope\n", "a.scope"));
    ck_assert(!scope_holds("0::/system.slice/aa.scope\n", "a.scope"));
    ck_assert(!scope_holds("0::/system.slice/a.scope-2\n", "a.scope"));
    ck_assert(!scope_holds("", "a.scope"));
}
END_TEST

static char dir[] = "/tmp/rouse-scope-XXXXXX";

static struct process start(char *const argv[])
{
    struct process p;
    struct err e = {0};
    char path[64];

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/run", dir);
    ck_assert_int_eq(file_mkdirs(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/logs", dir);
    ck_assert_int_eq(file_mkdirs(path, 0755), 0);
    ck_assert_msg(process_start(dir, "x", argv, &e) == 0, "%s", e.message);
    ck_assert_int_eq(process_read(dir, "x", &p), 0);
    return p;
}

START_TEST(refused)
{
    char *argv[] = {(char[]){"false"}, NULL};
    struct process p = start(argv);

    ck_assert_int_eq(scope_await(&p, "a.scope", clock_monotonic_ns() + 30 * NS_PER_S), -ECHILD);
    file_remove_tree(dir);
}
END_TEST

START_TEST(hangs)
{
    char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
    struct process p = start(argv);

    ck_assert_int_eq(scope_await(&p, "a.scope", clock_monotonic_ns() + 10 * NS_PER_MS), -ETIMEDOUT);
    ck_assert(!process_alive(&p));
    file_remove_tree(dir);
}
END_TEST

UNIT_MAIN("scope", wanted, words, holds, refused, hangs)
