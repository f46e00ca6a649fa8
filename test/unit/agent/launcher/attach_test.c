/* Processes that are put into cgroups by their numbers, while these change hands. */
#include "launcher/attach.h"
#include "agent/launcher/bench.h"

#include <linux/sched.h>

static _Noreturn void sleep_for_good(void)
{
    for (;;)
        pause();
}

static pid_t sleeper(void)
{
    pid_t pid = fork();

    if (pid == 0)
        sleep_for_good();
    ck_assert_int_gt(pid, 0);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* Another process of that number. */
static void succeed(pid_t pid)
{
    struct clone_args args = {
        .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&pid, .set_tid_size = 1};
    long r = syscall(SYS_clone3, &args, sizeof(args));

    if (r == 0)
        sleep_for_good();
    ck_assert_int_eq(r, pid);
}

static void await_write(pid_t pid)
{
    char path[64], text[16] = "";

    snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
    while (strtol(text, NULL, 10) != SYS_write || text[0] < '0' || text[0] > '9') {
        cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
        sched_yield();
    }
}

/* Directories that only look like cgroups. */
static void make_tree(struct cgroup_tree *t, char *dir)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    *t = (struct cgroup_tree){.own = dir, .dir = open(dir, O_PATH), .controllers = 1};
    ck_assert_int_eq(mkdirat(t->dir, "a", 0700), 0);
}

/* The first attach takes its time. Meanwhile the process ends, and its number is another's: who is not attached. */
START_TEST(a_number_that_changes_hands)
{
    char one[] = "/tmp/rouse-attach-XXXXXX", two[] = "/tmp/rouse-attach-XXXXXX", bytes[65536] = "";
    struct cgroups c = {.count = 2};
    int slow, second, pidfd, status;
    pid_t pid, helper;

    NEED();
    make_tree(&c.trees[0], one);
    make_tree(&c.trees[1], two);
    ck_assert_int_eq(mkfifoat(c.trees[0].dir, "a/cgroup.procs", 0600), 0);
    slow = openat(c.trees[0].dir, "a/cgroup.procs", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    while (write(slow, bytes, sizeof(bytes)) > 0)
        ;
    second = openat(c.trees[1].dir, "a/cgroup.procs", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_int_ge(second, 0);
    pid = sleeper();
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    helper = fork();
    if (helper == 0)
        _exit(-attach_process(&c, "a", pidfd, pid, 1));
    await_write(helper);
    end(pid);
    succeed(pid);
    ck_assert_int_eq(unlinkat(c.trees[0].dir, "a/cgroup.procs", 0), 0);
    while (read(slow, bytes, sizeof(bytes)) > 0)
        ;
    ck_assert_int_eq(waitpid(helper, &status, 0), helper);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), ESRCH);
    ck_assert_int_eq(read(second, bytes, sizeof(bytes)), 0);
    end(pid);
    close(slow);
    close(second);
    close(pidfd);
    cgroups_done(&c);
    file_remove_tree(one);
    file_remove_tree(two);
}
END_TEST

static bool is_in(pid_t pid, const char *cgroup)
{
    cleanup_buffer struct buffer b = {0};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    ck_assert_int_eq(file_read(AT_FDCWD, path, 65536, &b), 0);
    return memmem(buffer_bytes(&b), buffer_size(&b), cgroup, strlen(cgroup)) != NULL;
}

START_TEST(strangers_go_home)
{
    static const char *const argv[] = {"/bin/sh", "-c", "sleep 1000", NULL};
    char procs[64], text[16];
    struct bench b;
    struct sandbox_spec s;
    struct names names;
    struct cgroups c;
    pid_t stranger;

    NEED();
    stranger = sleeper(); /* without the launcher's socket */
    bench_open(&b);
    s = spec_of(&b, argv);
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    close(b.at.stdout_fd);
    close(b.at.stderr_fd);
    ck_assert_int_eq(names_init(b.state, &names), 0);
    ck_assert_int_eq(cgroups_init(&c, names.cgroup, false), 0);
    cgroups_open(&c);
    snprintf(procs, sizeof(procs), "%s/cgroup.procs", b.at.cgroup);
    snprintf(text, sizeof(text), "%d", stranger);
    for (size_t i = 0; i < c.count; i++) {
        if (file_poke(c.trees[i].dir, procs, text) < 0)
            continue;
        ck_assert(is_in(stranger, b.at.cgroup));
        attach_send_home(&c.trees[i], b.at.cgroup, b.at.pid);
        ck_assert(!is_in(stranger, b.at.cgroup));
    }
    ck_assert(!c.count || is_in(b.at.pid, b.at.cgroup));
    cgroups_done(&c);
    bench_close(&b);
    ck_assert_int_eq(kill(stranger, 0), 0);
    end(stranger);
}
END_TEST

UNIT_MAIN("attach", a_number_that_changes_hands, strangers_go_home)
