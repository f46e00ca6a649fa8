/* report.h - what this node counts: metrics for Prometheus, load for the controller.
 *
 * On the agent's loop. Function labels are bounded: past 10,000 functions the
 * rest is counted under namespace="", function="other". */
#pragma once
#include "base/buffer.h"
#include "control.pb-c.h"

struct report;

int report_new(struct report **ret);
struct report *report_free(struct report *r);

/* ---- the entry's side (router) */
void report_request(struct report *r, const char *function_key, int code,
                    uint64_t ns); /* answered, any code */
/* ---- the owner's side (pool) */
void report_begin(struct report *r, const char *function_key, const char *revision, uint64_t now_ns);
void report_end(struct report *r, const char *function_key, const char *revision, uint64_t now_ns);
enum start_phase {
    PHASE_SCHEDULE,
    PHASE_FETCH,
    PHASE_SANDBOX,
    PHASE_RUNTIME,
    PHASE_INIT,
    PHASE_FIRST_BYTE,
    PHASE_COUNT
};
const char *start_phase_name(enum start_phase p); /* "first_byte" */
void report_cold_start(struct report *r, const char *function_key);
void report_phase(struct report *r, enum start_phase p, uint64_t ns);
void report_frozen(struct report *r);
void report_thawed(struct report *r);
void report_instance(struct report *r, const char *function_key, const char *revision,
                     int delta); /* +1 made, -1 gone */

void report_sandbox(struct report *r, bool pooled); /* one was started; made ahead, or only then */
void report_template(struct report *r, int delta); /* of functions with start: fork; +1 kept, -1 gone */
void report_fork(struct report *r);                /* an instance was forked */

/* The pool's part of a Report: `fill` runs within report_load(), before the functions are summed.
 * It sets m->instances (an array and messages it allocated by malloc) and m->reserved. */
void report_set_source(struct report *r, void (*fill)(void *user, Rouse__Control__V1__Report *m),
                       void *user);
/* Fills *m with what happened since the last call; report_load_done() frees its parts. */
void report_load(struct report *r, uint64_t now_ns, Rouse__Control__V1__Report *m);
void report_load_done(Rouse__Control__V1__Report *m);
/* The agent metrics and the process' figures. */
void report_metrics(const struct report *r, struct buffer *out);
