/* options.h - the flags of `rouse-controller simulate`. */
#pragma once
#include <stdint.h>

struct simulate_options {
    uint64_t functions, seed, nodes, concurrency, memory,
        rate_max;                             /* functions 0: the default, or all of the file */
    uint64_t node_min, node_max, node_create; /* node_max 0: `nodes`, always */
    uint64_t time, duration_max, idle_timeout, start, init, turn;
    const char *invocations, *durations, *app_memory, *only;
};
/* Fills in the defaults, too. -EINVAL, with what is wrong on stderr. */
int simulate_options_parse(int argc, char **argv, struct simulate_options *o);
extern const char simulate_help[];
