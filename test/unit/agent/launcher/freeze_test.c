/* Ends of frozen sandboxes, by cgroup v2's freezer where there is one, and by v1's, in which a killed process
 * stays until it is thawed. */
#include "bench.h"

static struct sandbox_spec spec;

/* A sandbox that spins; frozen: its time stands still. False: no freezer there, which is said. */
static bool frozen(struct bench *b, bool v1_only)
{
    static const char *const busy[] = {"/bin/sh", "-c",
                                       "trap 'exit 4' TERM; echo ready; while :; do :; done", NULL};
    const struct timespec would_run = {.tv_nsec = 20 * 1000 * 1000};
    struct sandbox_usage before, after;
    char ready[6];
    int r;

    bench_make(b);
    bench_launch(b, v1_only, &bench_ops);
    spec = spec_of(b, busy);
    ck_assert_int_eq(launcher_create(b->launcher, &spec), 0);
    run_until(b, 's');
    fcntl(b->at.stdout_fd, F_SETFL, 0);
    ck_assert_int_eq(read(b->at.stdout_fd, ready, 6), 6);
    close(b->at.stdout_fd);
    close(b->at.stderr_fd);
    r = launcher_freeze(b->launcher, b->at.cgroup, true);
    if (r < 0) {
        ck_assert_int_eq(r, -EOPNOTSUPP);
        printf("skipped: no %sfreezer here\n", v1_only ? "v1 " : "");
        return false;
    }
    wait_frozen(b, b->at.cgroup);
    ck_assert_int_eq(launcher_usage(b->launcher, b->at.cgroup, &before), 0);
    nanosleep(&would_run, NULL);
    ck_assert_int_eq(launcher_usage(b->launcher, b->at.cgroup, &after), 0);
    ck_assert(before.cpu_ns && after.cpu_ns == before.cpu_ns);
    return true;
}

static pid_t runtime_of(pid_t init)
{
    cleanup_buffer struct buffer text = {0};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", init, init);
    ck_assert_int_eq(file_read(AT_FDCWD, path, 4096, &text), 0);
    buffer_append(&text, "", 1);
    return atoi((const char *)buffer_bytes(&text));
}

static void both(void (*end)(struct bench *b))
{
    for (int v1_only = 0; v1_only < 2; v1_only++) {
        struct bench b;

        if (frozen(&b, v1_only))
            end(&b);
        bench_close(&b);
    }
}

static void stop(struct bench *b, uint64_t grace_ns)
{
    ck_assert_int_eq(launcher_stop_sandbox(b->launcher, spec.id, grace_ns), 0);
    run_until(b, 'e');
}

static void end_stopped(struct bench *b)
{
    stop(b, 60 * NS_PER_S);
    ck_assert_int_eq(b->exit.code, 4); /* it heard the SIGTERM */
}

START_TEST(stopped)
{
    NEED();
    both(end_stopped);
}
END_TEST

static void end_killed(struct bench *b)
{
    stop(b, 0);
    ck_assert_int_eq(b->exit.signal, SIGKILL);
}

START_TEST(killed)
{
    NEED();
    both(end_killed);
}
END_TEST

static void end_killed_from_outside(struct bench *b)
{
    ck_assert_int_eq(kill(runtime_of(b->at.pid), SIGKILL), 0);
    ck_assert_int_eq(launcher_freeze(b->launcher, b->at.cgroup, false), 0);
    run_until(b, 'e');
    ck_assert_int_eq(b->exit.signal, SIGKILL);
}

START_TEST(killed_from_outside)
{
    NEED();
    both(end_killed_from_outside);
}
END_TEST

static void end_by_agent(struct bench *b)
{
    ck_assert_int_eq(b->exited, 0); /* bench_close() finds what is left behind */
}

START_TEST(the_agents_end)
{
    NEED();
    both(end_by_agent);
}
END_TEST

static void end_thawed(struct bench *b)
{
    struct sandbox_usage before, after;

    ck_assert_int_eq(launcher_usage(b->launcher, b->at.cgroup, &before), 0);
    ck_assert_int_eq(launcher_freeze(b->launcher, b->at.cgroup, false), 0);
    do {
        sched_yield();
        ck_assert_int_eq(launcher_usage(b->launcher, b->at.cgroup, &after), 0);
    } while (after.cpu_ns == before.cpu_ns);
    stop(b, 0);
    ck_assert_int_eq(launcher_freeze(b->launcher, "../x", true), -ENOENT);
    ck_assert_int_eq(launcher_reclaim(b->launcher, "box-999", 4096, NULL), -ENOENT);
}

START_TEST(thawed)
{
    NEED();
    both(end_thawed);
}
END_TEST

static void end_reclaimed(struct bench *b)
{
    uint64_t freed = 0;
    int r = launcher_reclaim(b->launcher, b->at.cgroup, 1 << 20, &freed);

    ck_assert_msg(r == 0 || r == -EOPNOTSUPP, "%s", strerror(-r));
    stop(b, 0);
}

START_TEST(memory_is_taken_from_it)
{
    NEED();
    both(end_reclaimed);
}
END_TEST

UNIT_MAIN("sandbox freeze", stopped, killed, killed_from_outside, the_agents_end, thawed,
          memory_is_taken_from_it)
