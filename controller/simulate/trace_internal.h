/* trace_internal.h - what trace.c and trace_read.c share. */
#pragma once
#include "simulate/draw.h"
#include "simulate/events.h"
#include "simulate/trace.h"

enum { TRACE_PERCENTILES = 7 }; /* 0, 1, 25, 50, 75, 99, 100 */

struct source {
    struct trace_function f;
    uint32_t left; /* calls of the burst that is going on */
};
struct count { /* calls of a function in a minute */
    uint32_t function, calls;
};
struct recorded {
    struct count *counts;             /* in the order of the minutes */
    size_t minute[TRACE_MINUTES + 1]; /* where each begins; the last: the end */
    uint32_t next;                    /* the minute that is not planned yet */
    float (*percentiles)[TRACE_PERCENTILES]; /* of durations, ms, by function; the first below 0: there are none */
};
struct trace {
    struct draw draw;
    struct source *sources;
    uint32_t count;
    struct events events; /* the next call of each; of what is recorded, all of a minute's; extra: its function */
    struct recorded *recorded; /* NULL: drawn */
};

/* A function of the published distributions; its rate and trigger too. */
void trace_describe(struct trace *t, const struct trace_config *c, struct trace_function *f);
