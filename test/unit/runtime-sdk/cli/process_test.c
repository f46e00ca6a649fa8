/* Processes and their pid files: found, ended, and never mistaken for another. */
#include "base/clock.h"
#include "base/file.h"
#include "cli/daemons.h"
#include "cli/process.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/rouse-process-XXXXXX";

static void make_state(void)
{
    char path[64];

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/run", dir);
    ck_assert_int_eq(file_mkdirs(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/logs", dir);
    ck_assert_int_eq(file_mkdirs(path, 0755), 0);
}

static uint64_t soon(void)
{
    return clock_monotonic_ns() + 30 * NS_PER_S;
}

START_TEST(stat_lines)
{
    static const char rest[] = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20 21";
    char text[256], state;
    unsigned long long started;

    snprintf(text, sizeof(text), "42 (a (b) c) d)%s", rest);
    ck_assert_int_eq(process_parse_stat(text, &state, &started), 0);
    ck_assert_int_eq(state, 'S');
    ck_assert_uint_eq(started, 987654);
    ck_assert_int_eq(process_parse_stat("42 (x) S 1 2", &state, &started), -EINVAL);
    ck_assert_int_eq(process_parse_stat("", &state, &started), -EINVAL);
}
END_TEST

START_TEST(pid_files)
{
    static const char *const bad[] = {"",       "12",      "12 34",    "x 34\n",
                                      "1 34\n", "-5 34\n", "12 34x\n", "0 1\n"};
    struct process p;

    ck_assert_int_eq(process_parse_pidfile("12 34\n", &p), 0);
    ck_assert_int_eq(p.pid, 12);
    ck_assert_uint_eq(p.started, 34);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(process_parse_pidfile(bad[i], &p) == -EINVAL, "%s", bad[i]);
}
END_TEST

START_TEST(started_and_ended)
{
    char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
    struct process p;
    struct err e = {0};

    make_state();
    ck_assert_int_eq(process_read(dir, "x", &p), -ENOENT);
    ck_assert_msg(process_start(dir, "x", argv, &e) == 0, "%s", e.message);
    ck_assert(process_running(dir, "x"));
    ck_assert_int_eq(process_read(dir, "x", &p), 0);
    ck_assert_int_eq(getsid(p.pid), p.pid);
    ck_assert_int_eq(process_wait(&p, clock_monotonic_ns()), -ETIMEDOUT);
    ck_assert_int_eq(process_signal(&p, SIGTERM), 0);
    ck_assert_int_eq(process_wait(&p, soon()), 0);
    ck_assert(!process_running(dir, "x"));
    ck_assert_int_eq(process_signal(&p, SIGTERM), -ESRCH);
    ck_assert_int_eq(process_forget(dir, "x"), 0);
    ck_assert_int_eq(process_forget(dir, "x"), 0);
    file_remove_tree(dir);
}
END_TEST

/* The pid is there, but it began at another time: it is somebody else. */
START_TEST(recycled_pid)
{
    char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
    struct process p, other;
    struct err e = {0};
    char path[80], text[64];

    make_state();
    ck_assert_int_eq(process_start(dir, "x", argv, &e), 0);
    ck_assert_int_eq(process_read(dir, "x", &p), 0);
    other = (struct process){p.pid, p.started - 1};
    ck_assert(!process_alive(&other));
    ck_assert_int_eq(process_signal(&other, SIGKILL), -ESRCH);
    ck_assert_int_eq(process_wait(&other, soon()), 0);
    snprintf(path, sizeof(path), "%s/run/x.pid", dir);
    snprintf(text, sizeof(text), "%d %llu\n", (int)other.pid, other.started);
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0644), 0);
    ck_assert_int_eq(daemons_stop(dir, &e), 0);
    ck_assert(process_alive(&p));
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(process_signal(&p, SIGKILL), 0);
    ck_assert_int_eq(process_wait(&p, soon()), 0);
    file_remove_tree(dir);
}
END_TEST

START_TEST(outdated)
{
    char program[80];
    char *copy[] = {(char[]){"cp"}, (char[]){"/bin/sleep"}, program, NULL};
    char *argv[] = {program, (char[]){"1000"}, NULL};
    struct process p;
    struct err e = {0};

    make_state();
    snprintf(program, sizeof(program), "%s/program", dir);
    ck_assert_int_eq(process_run(copy, NULL, &e), 0);
    ck_assert(!process_outdated(dir, "x"));
    ck_assert_msg(process_start(dir, "x", argv, &e) == 0, "%s", e.message);
    ck_assert(!process_outdated(dir, "x"));
    ck_assert_int_eq(unlink(program), 0);
    ck_assert(process_outdated(dir, "x"));
    ck_assert_int_eq(process_read(dir, "x", &p), 0);
    ck_assert_int_eq(process_signal(&p, SIGKILL), 0);
    ck_assert_int_eq(process_wait(&p, soon()), 0);
    ck_assert(!process_outdated(dir, "x"));
    file_remove_tree(dir);
}
END_TEST

START_TEST(stop_all)
{
    char *argv[] = {(char[]){"sleep"}, (char[]){"1000"}, NULL};
    struct err e = {0};

    make_state();
    ck_assert_int_eq(process_start(dir, "controller", argv, &e), 0);
    ck_assert_int_eq(process_start(dir, "agent-node-1", argv, &e), 0);
    ck_assert_int_eq(daemons_stop(dir, &e), 2);
    ck_assert(!process_running(dir, "controller"));
    ck_assert(!process_running(dir, "agent-node-1"));
    ck_assert_int_eq(daemons_stop(dir, &e), 0);
    file_remove_tree(dir);
}
END_TEST

START_TEST(start_fails)
{
    char *argv[] = {(char[]){"/nonexistent/program"}, NULL};
    struct process p;
    struct err e = {0};

    make_state();
    ck_assert_int_lt(process_start(dir, "x", argv, &e), 0);
    ck_assert_msg(strstr(e.message, "/nonexistent/program") != NULL, "%s", e.message);
    ck_assert_int_eq(process_read(dir, "x", &p), -ENOENT);
    file_remove_tree(dir);
}
END_TEST

START_TEST(one_at_a_time)
{
    int first, second;

    make_state();
    first = daemons_lock(dir, 0);
    ck_assert_int_ge(first, 0);
    ck_assert_int_eq(daemons_lock(dir, 0), -EWOULDBLOCK);
    close(first);
    second = daemons_lock(dir, 0);
    ck_assert_int_ge(second, 0);
    close(second);
    file_remove_tree(dir);
}
END_TEST

START_TEST(helper_programs)
{
    char *ok[] = {(char[]){"grep"}, (char[]){"-q"}, (char[]){"needle"}, NULL};
    char *bad[] = {(char[]){"ls"}, (char[]){"/nonexistent"}, NULL};
    struct err e = {0};

    ck_assert_int_eq(process_run(ok, "a needle\n", &e), 0);
    ck_assert_int_eq(process_run(ok, "hay\n", &e), -EIO);
    ck_assert_int_eq(process_run(bad, NULL, &e), -EIO);
    ck_assert_msg(strstr(e.message, "/nonexistent") != NULL, "%s", e.message);
}
END_TEST

UNIT_MAIN("process", stat_lines, pid_files, started_and_ended, recycled_pid, outdated, stop_all,
          start_fails, one_at_a_time, helper_programs)
