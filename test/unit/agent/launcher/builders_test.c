/* Builders, and those who fork them, that hang or are killed at the worst moment: who asked for a sandbox has one, or
 * is told, and nothing of the attempt stays. */
#include "agent/launcher/bench.h"
#include "agent/launcher/family.h"

#include <sys/ptrace.h>

static const char *const nothing[] = {"/bin/sh", "-c", "exit 0", NULL};

/* All of that name: their clones are told of. */
static size_t seize(const char *name, pid_t *pids, size_t max)
{
    const long births =
        PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
    size_t n = find_children(name, pids, max);

    ck_assert_uint_gt(n, 0);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(ptrace(PTRACE_SEIZE, pids[i], NULL, births), 0);
    return n;
}

static bool gives_birth(int status)
{
    int event = status >> 16;

    return WIFSTOPPED(status) && (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK ||
                                  event == PTRACE_EVENT_VFORK);
}

/* From its clone on, until it has sent the word of that. */
static void let_it_tell(pid_t pid)
{
    struct __ptrace_syscall_info info = {0};
    bool sends = false;
    int status;

    while (!(sends && info.op == PTRACE_SYSCALL_INFO_EXIT)) {
        ck_assert_int_eq(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        ck_assert_int_eq(waitpid(pid, &status, __WALL), pid);
        ck_assert(WIFSTOPPED(status));
        ck_assert_int_gt(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info), 0);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
            sends = info.entry.nr == SYS_sendmsg;
    }
}

/* The first of them that clones is killed before its clone(2) returns, or once it has `told` of it; all others go on
 * as if nothing was. */
static void kill_at_clone(const pid_t *pids, size_t n, bool told)
{
    unsigned long born;
    pid_t pid, stopped = 0; /* the child, which may be heard of first */
    int status;

    while ((pid = waitpid(-1, &status, __WALL)) > 0 && !gives_birth(status))
        stopped = pid;
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &born), 0);
    if (stopped != (pid_t)born)
        ck_assert_int_eq(waitpid((pid_t)born, &status, __WALL), (pid_t)born);
    ptrace(PTRACE_DETACH, (pid_t)born, NULL, NULL);
    /* Before one of them takes its place. */
    for (size_t i = 0; i < n; i++) {
        if (pids[i] == pid)
            continue;
        ptrace(PTRACE_INTERRUPT, pids[i], NULL, NULL);
        waitpid(pids[i], &status, __WALL);
        ptrace(PTRACE_DETACH, pids[i], NULL, NULL);
    }
    if (told)
        let_it_tell(pid);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, &status, __WALL), pid);
}

static size_t zombies(void)
{
    pid_t pids[64];
    size_t n = children_of(launcher_pid(), pids, 64), k = 0;

    for (size_t i = 0; i < n; i++) {
        cleanup_buffer struct buffer b = {0};
        const char *state;
        char path[64];

        snprintf(path, sizeof(path), "/proc/%d/stat", pids[i]);
        if (file_read(AT_FDCWD, path, 4096, &b) < 0 || buffer_append(&b, "", 1) < 0)
            continue;
        state = strrchr((const char *)buffer_bytes(&b), ')');
        k += state && state[1] && state[2] == 'Z';
    }
    return k;
}

static void no_zombie_stays(void)
{
    uint64_t until = clock_monotonic_ns() + 5 * NS_PER_S;

    while (zombies() && clock_monotonic_ns() < until)
        poll(NULL, 0, 1);
    ck_assert_uint_eq(zombies(), 0);
}

static void ask(struct bench *b)
{
    const struct sandbox_spec s = spec_of(b, nothing);

    b->started = b->failed = 0;
    ck_assert_int_eq(launcher_create(b->launcher, &s), 0);
}

static void it_runs(struct bench *b)
{
    run_until(b, 's');
    ck_assert_msg(b->started && !b->failed, "%s", b->error.message);
    run_until(b, 'e');
    close(b->at.stdout_fd);
    close(b->at.stderr_fd);
    ck_assert_int_eq(b->exit.code, 0);
}

/* With a first one made, after which there are spare builders. */
static void open_warm(struct bench *b)
{
    bench_open(b);
    ask(b);
    it_runs(b);
}

static void killed_at_work(bool told)
{
    struct bench b;
    pid_t pids[16];
    size_t n;

    open_warm(&b);
    n = seize("rouse-builder", pids, 16);
    ask(&b);
    kill_at_clone(pids, n, told);
    it_runs(&b);
    no_zombie_stays();
    bench_close(&b);
}

/* The init is there, and nobody has heard of it. */
START_TEST(killed_over_its_clone)
{
    NEED();
    killed_at_work(false);
}
END_TEST

START_TEST(killed_before_its_go)
{
    NEED();
    killed_at_work(true);
}
END_TEST

/* A builder that its nursery could not tell of. */
START_TEST(nursery_killed_over_a_birth)
{
    struct bench b;
    pid_t pids[16];
    size_t n;

    NEED();
    open_warm(&b);
    n = seize("rouse-nursery", pids, 16);
    ask(&b);
    kill_at_clone(pids, n, false);
    /* The one that it left behind is used up like the others. */
    it_runs(&b);
    for (int i = 0; i < 8; i++) {
        ask(&b);
        it_runs(&b);
    }
    no_zombie_stays();
    bench_close(&b);
}
END_TEST

START_TEST(one_that_hangs)
{
    struct bench b;
    pid_t pids[16];
    size_t n;

    NEED();
    open_warm(&b);
    n = find_children("rouse-builder", pids, 16);
    ck_assert_uint_gt(n, 0);
    for (size_t i = 0; i < n; i++)
        kill(pids[i], SIGSTOP);
    ask(&b);
    run_until(&b, 'e');
    ck_assert_int_eq(b.failed, 1);
    ck_assert_int_eq(b.error.code, ETIMEDOUT);
    ck_assert_msg(strstr(b.error.message, "its builder took longer than 5 s"), "%s", b.error.message);
    for (size_t i = 0; i < n; i++)
        kill(pids[i], SIGKILL);
    ask(&b);
    it_runs(&b);
    bench_close(&b);
}
END_TEST

UNIT_MAIN("builders", killed_over_its_clone, killed_before_its_go, nursery_killed_over_a_birth,
          one_that_hangs)
