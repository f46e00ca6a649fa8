/* cpus.h - how many processors a program has by default. */
#pragma once
#include <stdint.h>

enum { CPUS_MAX = 1024 };

/* ROUSE_MAXPROCS if it is 1 to 1024; else the cgroup's quota rounded up, where there is one, but not more than
 * the cpus this thread may run on. At least 1. */
uint32_t cpus_default(void);
/* The least quota of this process's cgroups and of those above them, in cpus, rounded up; CPUS_MAX: none. Below
 * `root` (tests; else "") lie proc/self/cgroup and sys/fs/cgroup, of version 1, 2 or both. */
uint32_t cpus_quota(const char *root);
