/* stress.h - a run of many tasks that a watchdog looks at.
 *
 * Every activity has a line: a number that grows when it gets on. The watchdog, a thread that is no task, aborts
 * with a dump of all tasks when one line has not grown for STALL_SECONDS: a wake-up was lost, or a task starved.
 * ROUSE_STRESS_SECONDS: how long each test runs; ROUSE_STRESS_SEED. */
#pragma once
#include <rouse/sched.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINES_MAX = 64, STALL_SECONDS = 30 };

struct stress_line {
    _Atomic uint64_t steps;
    _Atomic bool ended;
    const char *name;
} __attribute__((aligned(64)));

static struct {
    struct stress_line lines[LINES_MAX];
    _Atomic unsigned count;
    _Atomic bool over; /* the time: everybody ends what it does */
    _Atomic bool end;
    uint64_t seed;
    double seconds;
    pthread_t watchdog;
} stress;

static inline struct stress_line *stress_line(const char *name)
{
    unsigned i = atomic_fetch_add(&stress.count, 1);

    if (i >= LINES_MAX)
        abort();
    stress.lines[i].name = name;
    return &stress.lines[i];
}
static inline void stress_step(struct stress_line *l)
{
    atomic_fetch_add_explicit(&l->steps, 1, memory_order_relaxed);
}
static inline uint32_t stress_random(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32) % below;
}
/* Of one task: never 0. */
static inline uint64_t stress_state(uint64_t number)
{
    return (stress.seed + number) * 0x9e3779b97f4a7c15ull | 1;
}

static inline void stress_stalled(const struct stress_line *l)
{
    fprintf(stderr, "stress: '%s' has not got on for %d s after %llu steps; seed %llu\n", l->name,
            STALL_SECONDS, (unsigned long long)l->steps, (unsigned long long)stress.seed);
    rouse_dump_tasks(STDERR_FILENO);
    abort();
}
static inline void *stress_watch(void *unused)
{
    uint64_t seen[LINES_MAX] = {0};
    int64_t at[LINES_MAX] = {0}, over = rouse_now() + (int64_t)(stress.seconds * 1e9);

    (void)unused;
    while (!stress.end) {
        int64_t now = rouse_now();
        unsigned n = stress.count;

        if (now >= over)
            stress.over = true;
        for (unsigned i = 0; i < n; i++) {
            uint64_t steps = stress.lines[i].steps;

            if (!at[i] || steps != seen[i] || stress.lines[i].ended) {
                seen[i] = steps;
                at[i] = now;
            } else if (now - at[i] > STALL_SECONDS * ROUSE_SECOND) {
                stress_stalled(&stress.lines[i]);
            }
        }
        usleep(10000);
    }
    return NULL;
}

/* Runs `fn` on so many processors, which ends soon after stress.over, and prints how far each line got. */
static inline int stress_run(int procs, rouse_task_fn *fn)
{
    const char *seconds = getenv("ROUSE_STRESS_SECONDS"), *seed = getenv("ROUSE_STRESS_SEED");
    char text[16];
    int r;

    stress.seconds = seconds ? atof(seconds) : 0.5;
    stress.seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)rouse_now();
    snprintf(text, sizeof(text), "%d", procs);
    setenv("ROUSE_MAXPROCS", text, 1);
    if (pthread_create(&stress.watchdog, NULL, stress_watch, NULL))
        return -EAGAIN;
    r = rouse_run(fn, NULL);
    stress.end = true;
    pthread_join(stress.watchdog, NULL);
    printf("stress: seed %llu, %d processors", (unsigned long long)stress.seed, procs);
    for (unsigned i = 0; i < stress.count; i++)
        printf("%s %s %llu", i ? "," : ":", stress.lines[i].name,
               (unsigned long long)stress.lines[i].steps);
    printf("\n");
    return r;
}
