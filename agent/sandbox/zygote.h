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

/* ---- in the interpreter: zygote.c, with builder.c and the rest of the library */
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

/* ---- in the launcher: zygotes.c. On its loop. */
struct server;
struct zygote;
struct builders;

/* Sees to it that there is one for that kind: started in the background, and again when it ends, after a pause
 * that grows. It stays until zygotes_done(). -ENOMEM */
int zygote_keep(struct server *s, const struct sandbox_kind *k);
/* The builders of boxes of that kind: a zygote's, or the launcher's own where that is none or has none. */
struct builders *zygote_builders(struct server *s, const struct sandbox_kind *k);
/* It was never seen at work and may soon be: what nobody waits for is better made then. */
bool zygote_awaited(const struct server *s, const struct sandbox_kind *k);
/* Each that serves shall have so many builders ready. */
void zygotes_want(struct server *s, unsigned count);
void zygotes_done(struct server *s);
/* Its socket, for zygote_bear(); -1 while it does not serve. */
int zygote_orders(const struct zygote *z);

/* ---- in the nursery: zygotes.c */
/* Asks for a builder whose boxes' runtime is the zygote's: it answers BUILDER_BORN on its socket, or that is
 * closed. The descriptors stay the caller's. -errno */
int zygote_bear(int orders, const struct builder_birth *b);
