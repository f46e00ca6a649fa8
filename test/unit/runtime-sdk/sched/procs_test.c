/* Processors: taken from tasks that hog or block, changed in number, kept by pinned tasks. */
#include "rouse/sched.h"
#include "unit.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static _Atomic uint32_t count;
static _Atomic bool stop;

static void with_procs(int n, rouse_task_fn *fn)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", n);
    setenv("ROUSE_MAXPROCS", text, 1);
    atomic_store(&count, 0);
    atomic_store(&stop, false);
    ck_assert_int_eq(rouse_run(fn, NULL), 0);
}

static void hog(void *arg)
{
    (void)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        ;
    rouse_yield(); /* without a processor: it queues for one */
    atomic_fetch_add(&count, 1);
}

static void beside_hogs(void *arg)
{
    struct rouse_sched_stats stats;
    uint32_t n = (uint32_t)rouse_maxprocs(0) + 2;

    (void)arg;
    for (uint32_t i = 0; i < n; i++)
        rouse_spawn(hog, NULL);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(rouse_sleep(ROUSE_MS), 0);
        rouse_yield();
    }
    rouse_sched_stats(&stats);
    ck_assert_uint_ge(stats.preemptions, 1);
    atomic_store(&stop, true);
    while (atomic_load(&count) < n)
        rouse_sleep(ROUSE_MS);
}

START_TEST(an_endless_loop_stops_nobody)
{
    with_procs(1, beside_hogs);
    with_procs(3, beside_hogs);
}
END_TEST

static int ends[2];

static void reader(void *arg)
{
    char c;

    if (arg)
        rouse_block_begin();
    ck_assert_int_eq(read(ends[0], &c, 1), 1);
    if (arg)
        rouse_block_end();
    atomic_fetch_add(&count, 1);
}

static void beside_readers(void *arg)
{
    struct rouse_sched_stats stats;

    (void)arg;
    ck_assert_int_eq(pipe(ends), 0);
    for (long i = 0; i < 20; i++)
        rouse_spawn(reader, (void *)(i % 2));
    do { /* all are in their reads, declared and not, and this task still has its turns */
        ck_assert_int_eq(rouse_sleep(ROUSE_MS), 0);
        rouse_sched_stats(&stats);
    } while (stats.handoffs < 1 || stats.preemptions + stats.handoffs < 19);
    ck_assert_uint_eq(atomic_load(&count), 0);
    ck_assert_int_eq(write(ends[1], "12345678901234567890", 20), 20);
    while (atomic_load(&count) < 20)
        rouse_yield();
    close(ends[0]);
    close(ends[1]);
}

START_TEST(blocking_calls_stop_nobody)
{
    with_procs(1, beside_readers);
    with_procs(2, beside_readers);
}
END_TEST

static void many_short_blocks(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000; i++) {
        rouse_block_begin();
        if (i % 1000 == 0)
            usleep(100);
        rouse_block_end();
        if (i % 3 == 0)
            rouse_yield();
    }
    atomic_fetch_add(&count, 1);
}

static void short_blocks(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++)
        rouse_spawn(many_short_blocks, NULL);
    while (atomic_load(&count) < 4)
        rouse_sleep(ROUSE_MS);
}

START_TEST(processors_come_back_from_short_blocks)
{
    with_procs(1, short_blocks);
    with_procs(2, short_blocks);
}
END_TEST

static void yields_until_stopped(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        rouse_yield();
        if (rouse_task_id() % 3 == 0)
            rouse_sleep(10 * ROUSE_US);
    }
    atomic_fetch_add(&count, 1);
}

static void change_procs(void *arg)
{
    static const int to[] = {4, 1, 2, 7, 3, 1, 8, 2};
    int was = rouse_maxprocs(0);

    (void)arg;
    ck_assert_int_eq(rouse_maxprocs(-1), -EINVAL);
    ck_assert_int_eq(rouse_maxprocs(1025), -EINVAL);
    for (int i = 0; i < 100; i++)
        rouse_spawn(yields_until_stopped, NULL);
    rouse_spawn(hog, NULL);
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(rouse_maxprocs(to[i % 8]), was);
        was = to[i % 8];
        ck_assert_int_eq(rouse_maxprocs(0), was);
        if (i % 5 == 0)
            rouse_sleep(100 * ROUSE_US);
    }
    atomic_store(&stop, true);
    while (atomic_load(&count) < 101)
        rouse_sleep(ROUSE_MS);
}

START_TEST(processors_change_under_load)
{
    with_procs(1, change_procs);
    with_procs(4, change_procs);
}
END_TEST

static void pinned(void *arg)
{
    pthread_t self = pthread_self();

    (void)arg;
    rouse_pin();
    rouse_pin();
    self = pthread_self();
    for (int i = 0; i < 200; i++) {
        if (i % 3 == 0)
            rouse_sleep(10 * ROUSE_US);
        else
            rouse_yield();
        ck_assert(pthread_equal(self, pthread_self()));
        if (i == 100)
            rouse_unpin();
    }
    rouse_unpin();
    atomic_fetch_add(&count, 1);
}

static void pin_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        rouse_spawn(pinned, NULL);
    for (int i = 0; i < 50; i++)
        rouse_spawn(yields_until_stopped, NULL);
    while (atomic_load(&count) < 10)
        rouse_sleep(ROUSE_MS);
    atomic_store(&stop, true);
    while (atomic_load(&count) < 60)
        rouse_sleep(ROUSE_MS);
}

START_TEST(a_pinned_task_keeps_its_thread)
{
    with_procs(1, pin_some);
    with_procs(3, pin_some);
}
END_TEST

static void call_while_blocked(void *arg)
{
    (void)arg;
    rouse_block_begin();
    rouse_yield();
}

START_TEST(blocked_tasks_may_not_call)
{
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (!pid) {
        close(STDERR_FILENO);
        with_procs(1, call_while_blocked);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

/* As in a sandbox, or on a kernel, without membarrier(2): the fence is on the other side then. */
static void refuse_membarrier(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

START_TEST(without_membarrier_all_is_the_same)
{
    if (getenv("ROUSE_EMULATED")) {
        puts("skipped: an emulator has no filter of system calls");
        return;
    }
    refuse_membarrier();
    with_procs(2, beside_hogs);
    with_procs(1, beside_readers);
    with_procs(4, change_procs);
}
END_TEST

UNIT_MAIN("sched/procs", an_endless_loop_stops_nobody, blocking_calls_stop_nobody,
          processors_come_back_from_short_blocks, processors_change_under_load,
          a_pinned_task_keeps_its_thread, blocked_tasks_may_not_call,
          without_membarrier_all_is_the_same)
