/* adopt.h - a process of a running sandbox that gets a cgroup of its own, and is watched and ended by itself.
 *
 * A forked instance: its parent is inside the sandbox, so that its end is seen by a pidfd and its exit status
 * read from that (PIDFD_GET_INFO; older kernels do not tell it), and what limits and ends it is its cgroup.
 * It answers as a sandbox does: STARTED (without descriptors) or FAILED, then EXIT. Launcher only. */
#pragma once
#include "launcher/server.h"

struct adopted;

/* Answers FAILED itself when it cannot. */
void adopt_begin(struct server *s, const struct sandbox_adoption *a, uint64_t arrived);
struct adopted *adopt_find(struct server *s, const char *id);
void adopt_stop(struct adopted *a, uint64_t grace_ns);
void adopt_stop_all(struct server *s); /* at once */
