/* cpus.h - how many processors a program has by default. */
#pragma once
#include <stdint.h>

/* ROUSE_MAXPROCS if it is 1 to 1024; else the cgroup's quota rounded up, where there is one, but not more than
 * the cpus this thread may run on. At least 1. */
uint32_t cpus_default(void);
