/* capacity.h - what this machine, or the cgroup this agent lives in, has to give. Start-up only; reads files. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes: the machine's memory, or the smallest cgroup limit above this process. */
uint64_t capacity_memory(void);
/* The directory of that smallest limit, for who watches what is used of it. False: there is none. */
bool capacity_memory_cgroup(char *ret, size_t size);
/* CPUs that this process may run on. */
unsigned capacity_cpus(void);

/* The path of `controller` ("memory"; "" for v2's unified tree) in the text of /proc/PID/cgroup. False: none. */
bool capacity_cgroup_path(const char *text, const char *controller, char *ret, size_t size);
/* A cgroup's limit file: false for "max", for v1's idea of no limit, and for what is no number. */
bool capacity_limit(const char *text, uint64_t *ret);
