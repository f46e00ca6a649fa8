/* scope.h - a cgroup of its own for an agent, asked of systemd where systemd manages the machine.
 *
 * On cgroup v2 a cgroup that holds processes cannot pass on controllers, and the cgroup of a login
 * session holds the shell: an agent started there could limit no instance. `systemd-run --scope`
 * makes a delegated cgroup, moves itself into it and becomes the agent, under the same pid. Without root the
 * user's manager is asked (`--user`): such an agent ends with it, at the last logout unless the user lingers. */
#pragma once
#include "cli/process.h"

#include <stdbool.h>
#include <stdint.h>

#define SCOPE_PROGRAM "/usr/bin/systemd-run"

struct scope_machine {
    bool root; /* systemd's system manager takes orders from nobody else */
    bool user; /* not root, but the user's own manager runs: it has a part of the tree to divide */
    bool v2_alone;   /* /sys/fs/cgroup is the unified tree */
    bool by_systemd; /* it is this machine's first process */
    bool program;    /* SCOPE_PROGRAM is there */
};
struct scope_machine scope_look(void);
bool scope_wanted(const struct scope_machine *m);

enum { SCOPE_WORDS = 12, SCOPE_UNIT_MAX = 128 };
/* Fills `unit`, the scope's name, and `words`, what comes before the agent's own: they last as long
 * as `unit`. `now` (monotonic ns) keeps the name apart from a scope of an earlier life that may
 * still be ending. */
void scope_words(bool root, const char *platform, const char *node, uint64_t now,
                 char unit[SCOPE_UNIT_MAX], const char *words[SCOPE_WORDS]);
/* From the text of /proc/PID/cgroup: in that scope, or below it. */
bool scope_holds(const char *cgroup, const char *unit);
/* Waits until a child of this process, begun with those words, is in its scope. Below 0: it has
 * ended, killed where the deadline (monotonic ns) passed. */
int scope_await(const struct process *p, const char *unit, uint64_t deadline);
