/* memory.h - is this node short of memory? Reads a few small files; any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct memory_state {
    uint64_t total, available; /* bytes, the machine's */
    uint64_t limit, used;      /* of the cgroup that the instances lie in; limit 0: it has none */
    double stalled; /* percent of the last 10 s in which a task waited for memory (PSI); 0: not known */
};

/* `proc` is "/proc". `cgroup` is the directory of a memory limit that holds for all instances, or NULL. -errno */
int memory_look(const char *proc, const char *cgroup, struct memory_state *ret);
/* Less than so many percent are available, of the machine or of the limit; or less than twice as many, and
 * tasks wait for it: that they wait alone may be one function at its own limit. */
bool memory_short(const struct memory_state *m, unsigned percent);
