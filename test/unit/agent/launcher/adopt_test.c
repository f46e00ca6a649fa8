/* Processes of a sandbox that are adopted: limited, told of and ended by themselves. */
#include "agent/launcher/bench.h"

#define ADOPTED "fork-1"

/* What the launcher said of the adopted one; `bench` has what it said of the sandbox. */
static struct {
    int started, failed, exited;
    struct sandbox_started at;
    struct sandbox_exit exit;
    struct err error;
} child;

static void child_started(void *user, const char *id, const struct sandbox_started *s)
{
    struct bench *b = user;

    if (strcmp(id, ADOPTED)) {
        on_started(user, id, s);
        return;
    }
    child.started++;
    child.at = *s;
    loop_stop(b->loop);
}

static void child_failed(void *user, const char *id, const struct err *e)
{
    struct bench *b = user;

    if (strcmp(id, ADOPTED)) {
        on_failed(user, id, e);
        return;
    }
    child.failed++;
    child.error = *e;
    loop_stop(b->loop);
}

static void child_exited(void *user, const char *id, const struct sandbox_exit *e)
{
    struct bench *b = user;

    if (strcmp(id, ADOPTED)) {
        on_exit_cb(user, id, e);
        return;
    }
    child.exited++;
    child.exit = *e;
    loop_stop(b->loop);
}

static const struct launcher_ops ops = {child_started, child_failed, child_exited, on_lost};

static void wait_for(struct bench *b, const int *count)
{
    uint64_t until = clock_monotonic_ns() + LIMIT;

    loop_timer_set(b->loop, &b->limit, until);
    while (!*count && clock_monotonic_ns() < until)
        loop_run(b->loop);
    loop_timer_cancel(b->loop, &b->limit);
    ck_assert_int_eq(*count, 1);
}

/* The host's pid of the process that sleeps for so many seconds: a number that no other test uses. */
static pid_t find(const char *seconds)
{
    uint64_t until = clock_monotonic_ns() + LIMIT;
    char want[32];
    size_t n = (size_t)snprintf(want, sizeof(want), "sleep%c%s", '\0', seconds) + 1;

    while (clock_monotonic_ns() < until) {
        DIR *d = opendir("/proc");
        struct dirent *e;
        pid_t pid = 0;

        while ((e = readdir(d)) && !pid) {
            cleanup_buffer struct buffer b = {0};
            char path[300];

            snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
            if (atoi(e->d_name) > 1 && file_read(AT_FDCWD, path, 4096, &b) == 0 &&
                buffer_size(&b) >= n && memmem(buffer_bytes(&b), buffer_size(&b), want, n))
                pid = atoi(e->d_name);
        }
        closedir(d);
        if (pid)
            return pid;
        usleep(2000);
    }
    ck_abort_msg("no process sleeps for %s", seconds);
}

static pid_t open_with(struct bench *b, bool v1_only, const char *script, const char *seconds)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct sandbox_spec s;

    memset(&child, 0, sizeof(child));
    bench_make(b);
    bench_launch(b, v1_only, &ops);
    s = spec_of(b, argv);
    b->want = 's';
    ck_assert_int_eq(launcher_create(b->launcher, &s), 0);
    wait_for(b, &b->started);
    return find(seconds);
}

static struct sandbox_adoption adoption(pid_t pid)
{
    return (struct sandbox_adoption){
        .id = ADOPTED, .of = "demo-1", .pid = pid, .memory = 64 << 20, .cpu_millis = 500};
}

static void adopt(struct bench *b, pid_t pid)
{
    const struct sandbox_adoption a = adoption(pid);

    ck_assert_int_eq(launcher_adopt(b->launcher, &a), 0);
    ck_assert_int_eq(launcher_adopt(b->launcher, &a), -EEXIST);
    wait_for(b, &child.started);
    ck_assert_int_eq(child.at.pid, pid);
    ck_assert_int_eq(child.at.stdout_fd, -1);
    ck_assert_int_eq(child.at.frames_listen_fd, -1);
}

static bool in_cgroup(pid_t pid, const char *cgroup)
{
    cleanup_buffer struct buffer b = {0};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    ck_assert_int_eq(file_read(AT_FDCWD, path, 65536, &b), 0);
    return memmem(buffer_bytes(&b), buffer_size(&b), cgroup, strlen(cgroup)) != NULL;
}

static void end(struct bench *b)
{
    ck_assert_int_eq(launcher_stop_sandbox(b->launcher, "demo-1", 0), 0);
    wait_for(b, &b->exited);
    bench_close(b);
}

/* Both layouts: without cgroup.kill its processes are killed one by one. */
static void lives_and_ends(bool v1_only)
{
    struct sandbox_usage u;
    struct bench b;
    pid_t pid =
        open_with(&b, v1_only, "/bin/busybox sleep 77101 & wait; /bin/busybox sleep 77102", "77101");

    adopt(&b, pid);
    ck_assert(in_cgroup(pid, child.at.cgroup));
    ck_assert_str_ne(child.at.cgroup, b.at.cgroup);
    ck_assert_int_eq(launcher_usage(b.launcher, child.at.cgroup, &u), 0);
    ck_assert_int_eq(launcher_stop_sandbox(b.launcher, ADOPTED, 0), 0);
    wait_for(&b, &child.exited);
    /* Its parent has reaped it; an older kernel does not tell how it ended. */
    ck_assert(child.exit.signal == SIGKILL || child.exit.signal == 0);
    ck_assert_int_eq(child.exit.code, -1);
    ck_assert(!child.exit.oom);
    ck_assert_int_eq(launcher_usage(b.launcher, child.at.cgroup, &u), -ENOENT);
    find("77102"); /* the sandbox goes on */
    ck_assert_int_eq(b.exited, 0);
    end(&b);
}

START_TEST(one_lives_and_ends_by_itself)
{
    NEED();
    lives_and_ends(false);
}
END_TEST

START_TEST(one_lives_and_ends_by_itself_on_v1)
{
    NEED();
    lives_and_ends(true);
}
END_TEST

START_TEST(grace_is_a_sigterm)
{
    struct bench b;
    pid_t pid;

    NEED();
    pid = open_with(&b, false, "/bin/busybox sleep 77201 & wait; /bin/busybox sleep 77202", "77201");
    adopt(&b, pid);
    freeze_and_wait(&b, child.at.cgroup); /* it would sleep through it */
    ck_assert_int_eq(launcher_stop_sandbox(b.launcher, ADOPTED, 60 * NS_PER_S), 0);
    wait_for(&b, &child.exited);
    ck_assert(child.exit.signal == SIGTERM || child.exit.signal == 0);
    end(&b);
}
END_TEST

START_TEST(a_frozen_parent_reaps_it)
{
    struct bench b;
    pid_t pid;

    NEED();
    pid = open_with(&b, false, "/bin/busybox sleep 77301 & wait; /bin/busybox sleep 77302", "77301");
    adopt(&b, pid);
    freeze_and_wait(&b, b.at.cgroup);
    ck_assert_int_eq(kill(pid, SIGUSR1), 0);
    wait_for(&b, &child.exited);
    ck_assert(child.exit.signal == SIGUSR1 || child.exit.signal == 0);
    ck_assert_msg(kill(pid, 0) < 0, "it was not reaped");
    end(&b);
}
END_TEST

START_TEST(it_ends_with_its_sandbox)
{
    struct bench b;
    pid_t pid;

    NEED();
    pid = open_with(&b, false, "/bin/busybox sleep 77401 & wait", "77401");
    adopt(&b, pid);
    b.want = 'e';
    ck_assert_int_eq(launcher_stop_sandbox(b.launcher, "demo-1", 0), 0);
    wait_for(&b, &child.exited);
    wait_for(&b, &b.exited);
    bench_close(&b);
}
END_TEST

/* The launcher's end leaves nothing, whatever runs. */
START_TEST(it_ends_with_the_launcher)
{
    struct bench b;
    pid_t pid;

    NEED();
    pid = open_with(&b, false, "/bin/busybox sleep 77501 & wait", "77501");
    adopt(&b, pid);
    bench_close(&b);
    ck_assert_int_eq(kill(pid, 0), -1);
}
END_TEST

static void refused(struct bench *b, const struct sandbox_adoption *a, const char *why)
{
    child.failed = 0;
    ck_assert_int_eq(launcher_adopt(b->launcher, a), 0);
    wait_for(b, &child.failed);
    ck_assert_msg(strstr(child.error.message, why), "%s", child.error.message);
}

START_TEST(only_processes_of_the_sandbox)
{
    struct sandbox_adoption a;
    struct bench b;
    pid_t pid;

    NEED();
    pid = open_with(&b, false, "/bin/busybox sleep 77601 & wait", "77601");
    a = adoption(getpid());
    refused(&b, &a, "is none of sandbox demo-1");
    a = adoption(b.at.pid); /* its init, which is not the function's to give */
    refused(&b, &a, "is none of sandbox demo-1");
    a = adoption(pid);
    a.of = "demo-2";
    refused(&b, &a, "sandbox demo-2 does not run");
    a = adoption(0x3fffffff);
    refused(&b, &a, "is gone");
    a = adoption(1);
    ck_assert_int_eq(launcher_adopt(b.launcher, &a), -EINVAL);
    ck_assert(in_cgroup(pid, b.at.cgroup));
    end(&b);
}
END_TEST

UNIT_MAIN("adopt", one_lives_and_ends_by_itself, one_lives_and_ends_by_itself_on_v1,
          grace_is_a_sigterm, a_frozen_parent_reaps_it, it_ends_with_its_sandbox,
          it_ends_with_the_launcher, only_processes_of_the_sandbox)
