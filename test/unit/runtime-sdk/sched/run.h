/* run.h - for tests of what tasks do: run as the first task, on 1, 2 and 8 processors.
 *
 * Check's own assertions write to a pipe and are not for several threads: in a task it is MUST(). */
#pragma once
#include "sched/internal.h"
#include "unit.h"

#include <errno.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#define MUST_BE(x, value)                                                                          \
    do {                                                                                           \
        long long must_is = (long long)(x), must_be = (long long)(value);                          \
        if (must_is != must_be) {                                                                  \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #x, must_is,      \
                    must_be);                                                                      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline void run_on(const char *procs, rouse_task_fn *fn, void *arg)
{
    setenv("ROUSE_MAXPROCS", procs, 1);
    MUST_BE(rouse_run(fn, arg), 0);
}
static inline void run(rouse_task_fn *fn)
{
    run_on("1", fn, NULL);
    run_on("2", fn, NULL);
    run_on("8", fn, NULL);
}
/* Until the condition holds: what other tasks do is waited for by looking. */
#define UNTIL(x)                                                                                   \
    do {                                                                                           \
        while (!(x))                                                                               \
            rouse_yield();                                                                         \
    } while (0)
/* A task that says so right before a call is known to wait in it, or to have gone on to a later wait. On one
 * processor too another task may run at the same time, when a thread was stopped for long: it is looked, not
 * counted in yields. */
typedef _Atomic(struct task *) waiting_task;
static inline void about_to_wait(waiting_task *self)
{
    atomic_store(self, machine_self()->current);
}
static inline bool is_waiting(waiting_task *t)
{
    struct task *task = atomic_load(t);

    return task && atomic_load(&task->state) == TASK_WAITING;
}
/* Bytes that differ by `seed`. */
static inline void pattern(unsigned char *to, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (unsigned char)(i * 7 + seed);
}
static inline unsigned next_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}
/* Runs it in a process of its own, which must abort and say `message`. */
static inline void must_abort(rouse_task_fn *fn, const char *message)
{
    char said[512] = "";
    int ends[2], status;
    pid_t child;

    MUST_BE(pipe(ends), 0);
    child = fork();
    if (!child) {
        dup2(ends[1], STDERR_FILENO);
        run_on("1", fn, NULL);
        _exit(0);
    }
    close(ends[1]);
    for (size_t at = 0; at < sizeof(said) - 1;) {
        ssize_t n = read(ends[0], said + at, sizeof(said) - 1 - at);

        if (n <= 0)
            break;
        at += (size_t)n;
    }
    close(ends[0]);
    MUST_BE(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    ck_assert_msg(strstr(said, message), "said: %s", said);
}
