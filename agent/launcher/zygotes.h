/* zygotes.h - the launcher's zygotes (sandbox/zygote.h): one for each kind that may have one. On its loop. */
#pragma once
#include "sandbox/zygote.h"

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

/* ---- in the nursery */
/* Asks for a builder whose boxes' runtime is the zygote's: it answers BUILDER_BORN on its socket, or that is
 * closed. The descriptors stay the caller's. -errno */
int zygote_bear(int orders, const struct builder_birth *b);
