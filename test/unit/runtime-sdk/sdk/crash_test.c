/* The last word of a function that ends in the middle of an invocation. */
#include "runtime-sdk/sdk/agent.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

/* Shared with the forked function. */
static struct shared {
    sem_t came;
    _Atomic bool now;
} * shared;

static void share(void)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    sem_init(&shared->came, 1, 0);
}

/* Uses up any stack; the volatile bytes and the sum keep the compiler from making it a loop. */
__attribute__((no_sanitize("address"))) static int deeper(int depth)
{
    volatile char bytes[4096];

    bytes[depth & 4095] = (char)depth;
    return depth < 0 ? 0 : deeper(depth + 1) + bytes[depth & 4095];
}

__attribute__((no_sanitize("address", "undefined"))) static int read_nothing(uintptr_t at)
{
    return *(volatile int *)at;
}

static void *die(void *unused)
{
    (void)unused;
    abort();
}

static void abort_task(void *unused)
{
    (void)unused;
    abort();
}

static int in_a_thread(void)
{
    pthread_t t;

    if (pthread_create(&t, NULL, die, NULL))
        return -EAGAIN;
    pthread_join(t, NULL);
    return 0;
}

static int in_a_child(void)
{
    struct rouse_scope *scope;
    int r = rouse_scope_open(ROUSE_NEVER, &scope);

    if (r == 0)
        r = rouse_scope_spawn(scope, abort_task, NULL);
    if (r == 0)
        r = rouse_scope_wait(scope, ROUSE_NEVER);
    return r;
}

/* glibc finds the second free() of a big block while it holds its lock, and aborts with it. What is said
 * then needs no malloc(), nor stdio, whose locks are held too. */
static int with_locks_held(void)
{
    void *volatile block = malloc(100000), *volatile behind = malloc(100);

    flockfile(stderr);
    flockfile(stdout);
    free(block);
    free(block);
    free(behind);
    return 0;
}

static int obey(const struct rouse_event *event, struct rouse_response *resp,
                struct rouse_context *ctx)
{
    const char *what = event->data;

    (void)resp;
    if (!strcmp(what, "wait")) {
        sem_post(&shared->came);
        return rouse_sleep(ROUSE_NEVER);
    }
    if (!strncmp(what, "later ", 6)) {
        sem_post(&shared->came);
        while (!shared->now)
            rouse_sleep(ROUSE_MS);
        what += 6;
    }
    if (!strcmp(what, "log then abort")) {
        rouse_log(ctx, "the line before");
        abort();
    }
    if (!strcmp(what, "segv"))
        raise(SIGSEGV);
    if (!strcmp(what, "null"))
        return read_nothing(strlen(what) - 4);
    if (!strcmp(what, "overflow"))
        return deeper(0);
    if (!strcmp(what, "abort"))
        abort();
    if (!strcmp(what, "thread"))
        return in_a_thread();
    if (!strcmp(what, "child"))
        return in_a_child();
    if (!strcmp(what, "locks"))
        return with_locks_held();
    exits_early = true;
    if (!strcmp(what, "exit"))
        exit(3);
    return 0;
}

static void call(uint64_t id, const char *what)
{
    put_invoke(FRAME_FIN, id, what, strlen(what));
}

#define ABORTED ERROR_JSON("Runtime.Crash", "the function crashed: SIGABRT, it called abort()")
#define INVALID                                                                                    \
    ERROR_JSON("Runtime.Crash", "the function crashed: SIGSEGV, an invalid memory access")

static const struct {
    const char *what, *word;
    int signal;
} crashes[] = {
    {"abort", ABORTED, SIGABRT},
    {"segv", INVALID, SIGSEGV},
    {"null", INVALID, SIGSEGV},
    {"overflow",
     ERROR_JSON("Runtime.StackOverflow",
                "the function used more stack than it has; ROUSE_STACK gives it more"),
     SIGSEGV},
    {"thread", ABORTED, SIGABRT},
    {"child", ABORTED, SIGABRT},
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they have their own malloc() */
    {"locks", ABORTED, SIGABRT},
#endif
};
enum { CRASHES = sizeof(crashes) / sizeof(crashes[0]) };

START_TEST(alone)
{
    begin(obey);
    greet_with("", 1);
    call(5, crashes[_i].what);
    expect_text(FRAME_ERROR, FRAME_FATAL, 5, crashes[_i].word);
    check_killed(end(), crashes[_i].signal);
}
END_TEST

/* Not for the one that began last, but for a thread of the function's own. */
START_TEST(beside_others)
{
    bool foreign = !strcmp(crashes[_i].what, "thread");
    uint64_t whose = foreign ? 4 : 2;
    char what[32];

    snprintf(what, sizeof(what), "later %s", crashes[_i].what);
    share();
    begin(obey);
    greet_with(",\"concurrency\":8", 8);
    for (uint64_t id = 1; id <= 4; id++) {
        call(id, id == whose ? what : "wait");
        sem_wait(&shared->came);
    }
    shared->now = true;
    expect_text(FRAME_ERROR, FRAME_FATAL, whose, crashes[_i].word);
    check_killed(end(), crashes[_i].signal);
}
END_TEST

START_TEST(what_was_queued_goes_first)
{
    begin(obey);
    greet_with("", 1);
    call(5, "log then abort");
    expect_text(FRAME_LOG, 0, 5, "the line before");
    expect_text(FRAME_ERROR, FRAME_FATAL, 5, ABORTED);
    check_killed(end(), SIGABRT);
}
END_TEST

START_TEST(exits)
{
    begin(obey);
    greet_with("", 1);
    call(5, "exit");
    expect_text(FRAME_ERROR, FRAME_FATAL, 5,
                ERROR_JSON("Runtime.ExitError", "the function called exit()"));
    check_exit(end(), 3);
}
END_TEST

int main(void)
{
    SRunner *r;
    TCase *tc = unit_case("crash", &r);

    tcase_add_loop_test(tc, alone, 0, CRASHES);
    tcase_add_loop_test(tc, beside_others, 0, CRASHES);
    tcase_add_test(tc, what_was_queued_goes_first);
    tcase_add_test(tc, exits);
    return unit_run(r);
}
