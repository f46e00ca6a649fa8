/* sched_bench.h - what the programs that measure <rouse/sched.h> share: clocks, tasks that must not fail, numbers to compute with. */
#pragma once
#include <rouse/sched.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For calls that cannot fail here: a wrong figure is worse than none. */
static inline void must(int r)
{
    if (r < 0)
        errx(1, "%s", strerror(-r));
}
static inline void start(rouse_task_fn *fn, void *arg)
{
    must(rouse_spawn(fn, arg));
}
static inline void step(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
}
