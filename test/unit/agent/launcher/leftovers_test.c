/* Deaths without goodbye: the agent's, the launcher's, both; and the next life, which cleans up its
 * own. */
#include "agent/launcher/bench.h"
#include "cgroup/cgroup.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

static const char *const sleeper[] = {"/bin/sh", "-c", "sleep 1000 & sleep 1000", NULL};

/* How many of the hierarchies still hold the platform's directory. */
static int cgroups_left(const char *state)
{
    struct names names;
    struct cgroups c;
    int left = 0;

    ck_assert_int_eq(names_init(state, &names), 0);
    ck_assert_int_eq(cgroups_init(&c, names.cgroup, false), 0);
    for (size_t i = 0; i < c.count; i++) {
        char path[PATH_MAX];

        snprintf(path, sizeof(path), "%s/%s", c.trees[i].own, names.cgroup);
        left += access(path, F_OK) == 0;
    }
    cgroups_done(&c);
    return left;
}

static int tables_left(const char *state)
{
    struct names names;
    char command[96];

    ck_assert_int_eq(names_init(state, &names), 0);
    snprintf(command, sizeof(command), "nft list tables 2>/dev/null | grep -q %s", names.table);
    return shell(command) == 0;
}

static void await_end(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    ck_assert_int_eq(poll(&p, 1, 20000), 1);
    close(pidfd);
}

static int watch(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    ck_assert_int_ge(fd, 0);
    return fd;
}

/* The launcher is the only child of the process that started it. */
static pid_t launcher_of(pid_t agent)
{
    cleanup_buffer struct buffer b = {0};
    char path[64];
    pid_t pid;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", agent, agent);
    ck_assert_int_eq(file_read(AT_FDCWD, path, 4096, &b), 0);
    buffer_append(&b, "", 1);
    pid = (pid_t)atoi((const char *)buffer_bytes(&b));
    ck_assert_int_gt(pid, 1);
    return pid;
}

/* An agent in a process of its own, with one sandbox, whose init's pid it tells. */
static pid_t start_agent(struct bench *b, pid_t *ret_init)
{
    int tell[2];
    pid_t agent;

    ck_assert_int_eq(pipe(tell), 0);
    /* Orphans become ours, so that their end can be waited for. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    agent = fork();
    if (agent == 0) {
        struct sandbox_spec s;

        bench_launch(b, false, &bench_ops);
        s = spec_of(b, sleeper);
        s.kind.network = SANDBOX_NETWORK_EGRESS;
        if (launcher_create(b->launcher, &s) < 0)
            _exit(1);
        run_until(b, 's');
        if (write(tell[1], &b->at.pid, sizeof(pid_t)) != (ssize_t)sizeof(pid_t))
            _exit(1);
        loop_run(b->loop);
        _exit(2);
    }
    close(tell[1]);
    ck_assert_int_eq(read(tell[0], ret_init, sizeof(pid_t)), sizeof(pid_t));
    close(tell[0]);
    return agent;
}

static void reap_all(void)
{
    while (waitpid(-1, NULL, 0) > 0)
        ;
    ck_assert_int_eq(errno, ECHILD);
}

START_TEST(agent_killed)
{
    struct bench b;
    pid_t agent, init;
    int end;

    NEED();
    bench_make(&b);
    agent = start_agent(&b, &init);
    end = watch(init);
    ck_assert_int_gt(cgroups_left(b.state), 0);
    kill(agent, SIGKILL);
    await_end(end);
    reap_all();
    ck_assert_int_eq(cgroups_left(b.state), 0);
    ck_assert_int_eq(tables_left(b.state), 0);
    file_remove_tree(b.dir);
}
END_TEST

START_TEST(launcher_killed)
{
    struct bench b;
    struct sandbox_spec s;
    pid_t launcher;
    int end;

    NEED();
    bench_open(&b);
    s = spec_of(&b, sleeper);
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    launcher = launcher_of(getpid());
    end = watch(b.at.pid);
    kill(launcher, SIGKILL);
    run_until(&b, 'l');
    ck_assert_int_eq(b.lost, 1);
    await_end(end);
    ck_assert_int_eq(launcher_create(b.launcher, &(struct sandbox_spec){0}), -EINVAL);
    s.id = "another";
    ck_assert_int_lt(launcher_create(b.launcher, &s), 0);
    launcher_free(b.launcher);
    loop_free(b.loop);
    close(b.at.stdout_fd);
    close(b.at.stderr_fd);
    /* The next life finds the rest, and leaves nothing. */
    ck_assert_int_gt(cgroups_left(b.state), 0);
    b.started = b.lost = 0;
    bench_launch(&b, false, &bench_ops);
    s = spec_of(&b, sleeper);
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    ck_assert_int_eq(b.failed, 0);
    close(b.at.stdout_fd);
    close(b.at.stderr_fd);
    launcher_free(b.launcher);
    loop_free(b.loop);
    ck_assert_int_eq(cgroups_left(b.state), 0);
    ck_assert_int_eq(tables_left(b.state), 0);
    file_remove_tree(b.dir);
}
END_TEST

START_TEST(both_killed)
{
    struct bench b, other;
    pid_t agent, launcher, init;
    int end;

    NEED();
    bench_make(&b);
    bench_open(&other);
    agent = start_agent(&b, &init);
    end = watch(init);
    launcher = launcher_of(agent);
    kill(agent, SIGSTOP);
    kill(launcher, SIGKILL);
    kill(agent, SIGKILL);
    await_end(end);
    waitpid(agent, NULL, 0);
    ck_assert_int_gt(cgroups_left(b.state), 0);
    bench_launch(&b, false, &bench_ops);
    launcher_free(b.launcher);
    loop_free(b.loop);
    ck_assert_int_eq(cgroups_left(b.state), 0);
    ck_assert_int_eq(tables_left(b.state), 0);
    /* The platform beside it is untouched. */
    ck_assert_int_gt(cgroups_left(other.state), 0);
    bench_close(&other);
    file_remove_tree(b.dir);
}
END_TEST

/* Reads what a launcher says until `part` is in it. */
static void await_words(int fd, const char *part)
{
    cleanup_buffer struct buffer said = {0};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char bytes[512];

    do {
        ssize_t n;

        ck_assert_int_eq(poll(&p, 1, 20000), 1);
        n = read(fd, bytes, sizeof(bytes));
        ck_assert_int_gt(n, 0);
        ck_assert_int_eq(buffer_append(&said, bytes, (size_t)n), 0);
    } while (!memmem(buffer_bytes(&said), buffer_size(&said), part, strlen(part)));
}

/* Somebody holds an ended one's cgroup, for longer than is usual: it goes when it can. */
START_TEST(a_late_removal)
{
    int own = dup(STDERR_FILENO), words[2];
    struct timespec pause = {.tv_nsec = 1000 * 1000};
    uint64_t until;
    struct bench b;
    struct names names;
    struct cgroups c;
    struct sandbox_spec s;
    char held[PATH_MAX];
    size_t i = 0;

    NEED();
    bench_make(&b);
    ck_assert_int_eq(pipe2(words, O_CLOEXEC), 0);
    dup2(words[1], STDERR_FILENO);
    bench_launch(&b, false, &bench_ops);
    dup2(own, STDERR_FILENO);
    close(own);
    s = spec_of(&b, sleeper);
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    close(b.at.stdout_fd);
    close(b.at.stderr_fd);
    ck_assert_int_eq(names_init(b.state, &names), 0);
    ck_assert_int_eq(cgroups_init(&c, names.cgroup, false), 0);
    cgroups_open(&c);
    snprintf(held, sizeof(held), "%s/held", b.at.cgroup);
    while (i < c.count && mkdirat(c.trees[i].dir, held, 0755) < 0)
        i++;
    if (i == c.count) {
        printf("skipped: no cgroups here\n");
    } else {
        ck_assert_int_eq(launcher_stop_sandbox(b.launcher, s.id, 0), 0);
        run_until(&b, 'e');
        await_words(words[0], "stays, so far");
        ck_assert_int_eq(unlinkat(c.trees[i].dir, held, AT_REMOVEDIR), 0);
        until = clock_monotonic_ns() + LIMIT;
        while (faccessat(c.trees[i].dir, b.at.cgroup, F_OK, 0) == 0 && clock_monotonic_ns() < until)
            nanosleep(&pause, NULL);
        ck_assert_int_lt(faccessat(c.trees[i].dir, b.at.cgroup, F_OK, 0), 0);
    }
    cgroups_done(&c);
    close(words[0]);
    close(words[1]);
    bench_close(&b);
}
END_TEST

UNIT_MAIN("leftovers", agent_killed, launcher_killed, both_killed, a_late_removal)
