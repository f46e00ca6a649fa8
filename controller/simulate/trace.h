/* trace.h - who calls what, and when: a workload in the shape of the Azure Functions data set of 2019.
 *
 * Drawn, since the data set is not ours to ship, or read from its files. Sources: Shahrad et al., "Serverless in the Wild" (USENIX ATC
 * 2020), its figures and fits; AzurePublicDataset, AzureFunctionsDataset2019.md.
 *
 *   rates      45 % of functions are called at most once an hour on average, 81 % at most once a minute, and what
 *              is called more often makes nearly all of the invocations (figure 5)
 *   triggers   HTTP 55 %, queues 15 %, timers 16 %, orchestration 7 %, events 2 %, others 5 % (figure 3)
 *   arrivals   timers are periodic, HTTP is Poisson under a day's wave, queues, events and orchestration come in bursts
 *   durations  log-normal over functions' averages, mu -0.38, sigma 2.36 (of seconds), figure 7
 *   memory     Burr XII, c 11.652, k 0.221, lambda 107.083 (MiB), figure 8
 *
 * Of the data set's own files the counts are those of each minute; within one, timers are even and all else is uniform.
 * Durations are drawn between a function's percentiles. What they do not have of a function is drawn.
 *
 * The same seed gives the same trace. Not thread safe. */
#pragma once
#include "base/error.h"
#include <stdint.h>

enum trace_trigger {
    TRACE_HTTP,
    TRACE_QUEUE,
    TRACE_EVENT,
    TRACE_TIMER,
    TRACE_ORCHESTRATION,
    TRACE_OTHER,
    TRACE_TRIGGERS
};

enum { TRACE_MINUTES = 1440 };

struct trace_config {
    uint64_t seed;
    uint32_t functions;  /* 1 to 4,000,000; of files: so many of the first, 0 is all */
    double rate_max;     /* calls a second of one function at most, on average */
    double duration_max; /* seconds */
};

struct trace_function {
    double rate;     /* calls a second, on average */
    double duration; /* seconds, on average */
    uint32_t memory; /* MiB, 32 to 4096 */
    enum trace_trigger trigger;
};
struct trace_call {
    uint64_t at;       /* ns since the trace's begin */
    uint64_t duration; /* ns of work */
    uint32_t function;
};

struct trace;
int trace_new(const struct trace_config *c, struct trace **ret); /* -EINVAL, -ENOMEM */
struct trace_files {
    const char *invocations; /* invocations_per_function_md.anon.dNN.csv */
    const char *durations;   /* function_durations_percentiles.anon.dNN.csv; NULL: drawn */
    const char *memory;      /* app_memory_percentiles.anon.dNN.csv; NULL: drawn */
};
/* One day of the data set. -errno; -EINVAL: *ret_err says the file, the line and the column. */
int trace_read(const struct trace_config *c, const struct trace_files *f, struct trace **ret,
               struct err *ret_err);
struct trace *trace_free(struct trace *t);
uint32_t trace_functions(const struct trace *t);
const struct trace_function *trace_function(const struct trace *t, uint32_t i);
/* The next call, in the order of time; there always is one: after a file's last at TRACE_NEVER. */
#define TRACE_NEVER (UINT64_MAX / 2)
void trace_next(struct trace *t, struct trace_call *ret);
