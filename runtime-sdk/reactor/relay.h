/* relay.h - joins two streams: what one brings goes out on the other, until both have ended.
 *
 * On the loop's thread; takes both connections over. Reading of one side stops while the other takes
 * nothing (conn_congested()), so a relay holds at most both high waters and one read each. The end of
 * one direction is passed on as a half-close and the other direction goes on. It is over when both have
 * ended, when one side broke (the other is cut too, and sees a reset), or when no byte moved for a while. */
#pragma once
#include "reactor/conn.h"

struct relay;

struct relay_side {
    struct conn *conn;
    const uint8_t *rest; /* bytes that were read from it before; copied, they go first */
    size_t n;
};
struct relay_options {
    uint64_t idle_ns; /* without a byte either way; 0: 5 min */
    /* Once, at the end of a turn, last; the relay is freed and both connections are left to flush and
     * close by themselves. 0, -ETIMEDOUT when it was idle, or what broke. `bytes`: from a, from b. */
    void (*on_over)(void *user, int error, const uint64_t bytes[2]);
    void *user;
};
/* -errno: the connections stay the caller's. */
int relay_start(const struct relay_side *a, const struct relay_side *b,
                const struct relay_options *o, struct relay **ret);
uint64_t relay_bytes(const struct relay *r); /* both ways, so far */
struct relay *relay_free(struct relay *r); /* cuts both; on_over() does not follow; NULL is a no-op */
