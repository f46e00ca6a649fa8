/* Where it cannot begin or go on, and that a run leaves nothing behind for the next. */
#include "run.h"
#include "sched/internal.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { RUNS = 200, SANITIZED = 1 };
#else
enum { RUNS = 1000, SANITIZED = 0 };
#endif

static _Atomic uint32_t done;
static _Atomic bool stop;

static void naps(void *arg)
{
    if (arg)
        rouse_yield();
    else
        rouse_sleep(10 * ROUSE_US);
    atomic_fetch_add(&done, 1);
}

static void few(void *arg)
{
    (void)arg;
    for (intptr_t i = 0; i < 20; i++)
        MUST_BE(rouse_spawn(naps, (void *)(i % 2)), 0); /* some have not begun when this task ends */
}

/* A thread that is none of the scheduler's looks, and is refused, while runs come and go. */
static void *looks(void *arg)
{
    struct rouse_sched_stats stats;

    (void)arg;
    while (!atomic_load(&stop)) {
        rouse_sched_stats(&stats);
        MUST(stats.procs <= 8);
        MUST_BE(rouse_spawn(few, NULL), -EPERM);
        MUST_BE(rouse_maxprocs(0), -EPERM);
        MUST_BE(rouse_sleep(0), -EPERM);
    }
    return NULL;
}

static int threads(void)
{
    char line[128];
    int n = 0;
    FILE *f = fopen("/proc/self/status", "re");

    MUST(f);
    while (fgets(line, sizeof(line), f))
        (void)sscanf(line, "Threads: %d", &n);
    fclose(f);
    return n;
}

/* Of one that was joined the kernel may not have let go yet. */
static void until_threads_are(int n)
{
    while (threads() != n)
        sched_yield();
}

START_TEST(again_and_again)
{
    pthread_t other;
    int before;

    MUST_BE(pthread_create(&other, NULL, looks, NULL), 0);
    before = threads();
    for (int i = 0; i < RUNS; i++) {
        atomic_store(&done, 0);
        run_on(i % 2 ? "4" : "8", few, NULL);
        MUST_BE(atomic_load(&done), 20);
        until_threads_are(before);
    }
    atomic_store(&stop, true);
    pthread_join(other, NULL);
}
END_TEST

/* The stack of a thread that has ended is kept for the next one, so that what fails first is the memory of tasks. */
START_TEST(a_run_that_cannot_begin_leaves_nothing)
{
    struct rlimit was, none;
    int before = threads();

    if (SANITIZED || getenv("ROUSE_EMULATED")) {
        puts("skipped: RLIMIT_AS would be a sanitizer's limit too, and is nobody's in an emulator");
        return;
    }
    run_on("1", few, NULL);
    MUST_BE(getrlimit(RLIMIT_AS, &was), 0);
    none = was;
    none.rlim_cur = 1;
    for (int i = 0; i < 100; i++) {
        MUST_BE(setrlimit(RLIMIT_AS, &none), 0);
        MUST(rouse_run(few, NULL) < 0);
        MUST_BE(setrlimit(RLIMIT_AS, &was), 0);
        until_threads_are(before);
        run_on("1", few, NULL);
    }
}
END_TEST

static void counts(void *arg)
{
    (void)arg;
    atomic_fetch_add(&done, 1);
    atomic_store(&stop, true);
}

static void hog(void *arg)
{
    (void)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        ;
}

static void set_thread_stacks(size_t size)
{
    pthread_attr_t attributes;

    MUST_BE(pthread_attr_init(&attributes), 0);
    MUST_BE(pthread_attr_setstacksize(&attributes, size), 0);
    MUST_BE(pthread_setattr_default_np(&attributes), 0);
    pthread_attr_destroy(&attributes);
}

static void *lets_threads_be_made(void *arg)
{
    while (!atomic_load(&sched.short_of_threads))
        sched_yield();
    set_thread_stacks(*(size_t *)arg);
    return NULL;
}

static void without_threads(void *arg)
{
    pthread_attr_t attributes;
    pthread_t other;
    size_t size;

    (void)arg;
    MUST_BE(pthread_getattr_default_np(&attributes), 0);
    MUST_BE(pthread_attr_getstacksize(&attributes, &size), 0);
    pthread_attr_destroy(&attributes);
    MUST_BE(pthread_create(&other, NULL, lets_threads_be_made, &size), 0);
    set_thread_stacks((size_t)1 << 50);
    /* What was spawned last runs first. Its processor is taken, and there is no thread for it, nor can one be
     * made, for a while. */
    MUST_BE(rouse_spawn(counts, NULL), 0);
    MUST_BE(rouse_spawn(hog, NULL), 0);
    rouse_sleep(ROUSE_MS);
    pthread_join(other, NULL);
}

START_TEST(threads_that_cannot_be_made_are_made_later)
{
    run_on("1", without_threads, NULL);
    MUST_BE(atomic_load(&done), 1);
}
END_TEST

static void as_many_as_can_be(void *arg)
{
    struct rouse_task_options options = {.name = "one"};
    int made = 0, r;

    (void)arg;
    while ((r = rouse_spawn(naps, NULL)) == 0)
        made++;
    MUST_BE(r, -EAGAIN);
    MUST_BE(made, 2 * 256 - 1);
    MUST_BE(rouse_spawn_with(&options, naps, NULL), -EAGAIN);
    UNTIL(atomic_load(&done) == (unsigned)made);
    MUST_BE(rouse_spawn(naps, NULL), 0);
}

START_TEST(there_are_so_many_tasks_and_no_more)
{
    tasks_limit(2);
    run_on("1", as_many_as_can_be, NULL);
}
END_TEST

UNIT_MAIN("sched/limits", again_and_again, a_run_that_cannot_begin_leaves_nothing,
          threads_that_cannot_be_made_are_made_later, there_are_so_many_tasks_and_no_more)
