/* trace.h - the calls that led to where a stack is now. */
#pragma once
#include "sched/text.h"

#include <stdbool.h>

enum { TRACE_FIRST = 32, TRACE_LAST = 8 };

struct frame {
    uintptr_t pc;   /* within the call, for a name */
    uint64_t times; /* in a row: a function that called itself */
};
struct trace {
    uint32_t count; /* frames in `first` */
    uint64_t more; /* frames beyond: number n of them is last[n % TRACE_LAST], while it is one of the last */
    struct frame first[TRACE_FIRST], last[TRACE_LAST];
};

/* The calls of the caller's own stack, innermost first. In a signal handler: those that it interrupted as well,
 * and `from` (0: none) is where it did: what comes before is left out. */
void trace_take(struct trace *t, uintptr_t from);
/* One line a frame. `brief` leaves out the scheduler's own frames around the task's, where names tell them. */
void trace_write(const struct trace *t, struct text *to, bool brief, bool in_handler);
