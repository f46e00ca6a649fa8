/* near.h - requests that wait a moment for a slot of this node, before they become tickets.
 *
 * A function whose slots here are all busy, but free every few hundred microseconds, is not short of
 * instances: a ticket's way to the activator and back would cost more than the wait. First in, first
 * out per function; whoever waited NEAR_NS is told, and goes on as a ticket. On the loop. */
#pragma once
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "reactor/loop.h"

/* Whoever has to expect more than half of it, by how long invocations took lately, does not begin to
 * wait. */
#define NEAR_NS      (20 * NS_PER_MS)
#define NEAR_HOPE_NS (NEAR_NS / 2)
enum { NEAR_MAX = 1024 }; /* of one function */

struct near;
struct near_queue;

struct near_wait {            /* zero-initialise; embed in the request */
    struct near_queue *queue; /* NULL while it does not wait */
    struct list of_queue, of_all;
    uint64_t until_ns;
};

int near_new(struct loop *l, void (*on_over)(void *user, struct near_wait *w), void *user,
             struct near **ret);
struct near *near_free(struct near *n); /* none may wait */
/* -ENOBUFS: `limit` of that function wait already. -ENOMEM. */
int near_add(struct near *n, struct near_wait *w, const char *function_key, unsigned limit);
void near_cancel(struct near *n, struct near_wait *w); /* no-op if it does not wait */
struct near_wait *near_oldest(struct near *n, const char *function_key); /* NULL: nobody */
unsigned near_count(const struct near *n);
