/* zygote.h - an interpreter that has its modules loaded and makes builders: each box that one of them builds
 * has a fork of the interpreter for its runtime, which so shares its memory and needs no start.
 *
 * It is a process of the launcher, one for each Runtime that has such: the Runtime's own argv, as root but alone
 * in a mount namespace with the Runtime's files and nothing of the node's, in a cgroup of its own. Its bootstrap
 * loads, by $ROUSE_ZYGOTE="LIBRARY,SOCKET" (descriptors), the library that is made of builder.c and
 * what that needs; the agent carries it, so that it always is of the same version. It hears the launcher's
 * orders and not a byte of any function; nor is it heard by one. */
#pragma once
#include "sandbox/builder.h"

/* The library's one function: makes builders as it is told on `socket` (SEQPACKET). 0: there will be no more
 * orders. 1: in a new process, which is a box's runtime, unprivileged, in /var/task, with the signals and the
 * name that the interpreter had; everything from descriptor 3 on is closed. */
int rouse_zygote_serve(int socket) __attribute__((visibility("default")));

/* An order: this and the descriptors of the builder's birth: its socket, procs, cgroup. */
struct zygote_order {
    uint32_t procs_count;
    bool cgroup;
};
/* What it says: a byte, once it serves. */
#define ZYGOTE_READY 'z'
