/* freezer.h - the writes to cgroups' freezers, on a thread of their own.
 *
 * On the unified tree such a write waits for whatever attach is going on anywhere on the machine, and one to v1 is
 * an RCU grace period: 5 to 20 ms, which an event loop with requests does not have. So a change is queued and its
 * caller goes on: what it sends to a process that is about to be thawed waits in a socket. Thaws go first, and
 * take freezes back that are not written yet. Any thread. */
#pragma once
#include "base/buffer.h"
#include "cgroup/cgroup.h"
#include <stdbool.h>

struct freezer;

int freezer_new(const struct cgroups *c, struct freezer **ret); /* -errno */
/* Forgets what is queued, and ends: who ends sandboxes thaws them. NULL is a no-op. */
struct freezer *freezer_free(struct freezer *f);
/* 0: it will be so, unless the cgroup or the freezer goes first. -EOPNOTSUPP, -EACCES: it never can; -ENOENT; -ENOMEM */
int freezer_set(struct freezer *f, const char *cgroup, bool frozen);
/* How long thaws took, from when they were asked for. */
void freezer_metrics(struct freezer *f, struct buffer *out);
