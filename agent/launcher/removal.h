/* removal.h - what an ended sandbox leaves behind: its cgroups, its link, its range of ids.
 *
 * Nobody waits for it: the kernel takes a link away some milliseconds after the
 * last process, and the nursery the cgroups. Only then are the ids and the
 * addresses free again; what somebody else holds is asked for as long as the
 * launcher lives. Launcher only. */
#pragma once
#include "launcher/launcher.h"
#include "network/network.h"

struct server;

/* What is no part of it: cgroup "", `slot` -1, `net` NULL. If there is no memory for it, it stays until the end. */
void removal_begin(struct server *s, const char *cgroup, int64_t slot,
                   const struct network_link *net);
void removal_cgroup_gone(struct server *s, const char *cgroup); /* the nursery says so */
void removals_done(struct server *s);
