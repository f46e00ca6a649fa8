/* A program as our child: its words, its end, and that nothing of it is left. */
#include "local/child.h"
#include "base/cleanup.h"
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;
static struct child c;
static int status = -1, out = -1, err = -1;
static char *const env[] = {"A=b", NULL};

static void on_exit_of(struct child *of, int how)
{
    ck_assert_ptr_eq(of, &c);
    status = how;
    loop_stop(loop);
}

static int start(const char *script, struct err *e)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const struct child_options o = {.argv = argv, .env = env, .cwd = "/"};

    ck_assert_int_eq(loop_new(&loop), 0);
    return child_start(&c, loop, &o, on_exit_of, &out, &err, e);
}

/* All that comes until the last writer is gone. */
static void expect(int fd, const char *text)
{
    char got[256];
    size_t n = 0;
    ssize_t r;

    while ((r = read(fd, got + n, sizeof(got) - 1 - n)) > 0)
        n += (size_t)r;
    got[n] = '\0';
    ck_assert_str_eq(got, text);
    close(fd);
}

START_TEST(it_has_what_it_was_given)
{
    struct err e = {0};

    ck_assert_msg(start("cat; pwd; echo $A; echo wrong >&2; exit 3", &e) == 0, "%s", e.message);
    loop_run(loop);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    ck_assert_int_eq(c.pid, 0);
    expect(out, "/\nb\n");
    expect(err, "wrong\n");
    child_signal(&c, SIGTERM);
    child_done(&c);
    loop_free(loop);
}
END_TEST

/* The pipe ends when the last of the group is gone: what expect() waits for. */
START_TEST(what_it_started_ends_with_it)
{
    struct err e = {0};

    ck_assert_int_eq(start("sleep 1000 & sleep 1000 & echo begun; exit 0", &e), 0);
    loop_run(loop);
    expect(out, "begun\n");
    expect(err, "");
    loop_free(loop);
}
END_TEST

START_TEST(a_signal_reaches_the_group)
{
    struct err e = {0};
    char begun;

    ck_assert_int_eq(start("sh -c 'echo x; exec sleep 1000'; exit 0", &e), 0);
    ck_assert_int_eq(read(out, &begun, 1), 1);
    child_signal(&c, SIGTERM);
    loop_run(loop);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    expect(out, "\n");
    close(err);
    loop_free(loop);
}
END_TEST

START_TEST(done_kills_and_calls_nobody)
{
    struct err e = {0};

    ck_assert_int_eq(start("sleep 1000", &e), 0);
    child_done(&c);
    ck_assert_int_eq(c.pid, 0);
    ck_assert_int_eq(status, -1);
    expect(out, "");
    close(err);
    loop_free(loop);
}
END_TEST

START_TEST(what_exec_says_is_told)
{
    const char *const argv[] = {"/no/such/program", NULL};
    const struct child_options o = {.argv = argv, .env = env, .cwd = "/"};
    const struct child_options nowhere = {
        .argv = (const char *const[]){"/bin/true", NULL}, .env = env, .cwd = "/no/such"};
    struct err e = {0};

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(child_start(&c, loop, &o, on_exit_of, &out, &err, &e), -ENOENT);
    ck_assert_str_eq(e.message, "cannot start /no/such/program: No such file or directory");
    ck_assert_int_eq(c.pid, 0);
    ck_assert_int_eq(child_start(&c, loop, &nowhere, on_exit_of, &out, &err, &e), -ENOENT);
    ck_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    loop_free(loop);
}
END_TEST

START_TEST(ends_in_words)
{
    char text[CHILD_STATUS_MAX];

    child_status_text(3 << 8, text);
    ck_assert_str_eq(text, "it exited with status 3");
    child_status_text(SIGSEGV, text);
    ck_assert_str_eq(text, "it was killed by SIGSEGV (Segmentation fault)");
    child_status_text(SIGABRT | 0x80, text);
    ck_assert_str_eq(text, "it was killed by SIGABRT (Aborted), core dumped");
}
END_TEST

UNIT_MAIN("child", it_has_what_it_was_given, what_it_started_ends_with_it, a_signal_reaches_the_group,
          done_kills_and_calls_nobody, what_exec_says_is_told, ends_in_words)
