/* gather.h - the same question to every shard, answered in bytes, all of them together.
 *
 * The one on the main loop answers at once, the others by letter. A shard that
 * takes longer than the patience is left behind: its last answer stands in, and
 * its late one counts the next time. On the main loop but for ask(). */
#pragma once
#include "base/buffer.h"
#include "router/siblings.h"
#include "reactor/loop.h"

struct shard;
struct shards;

struct gather_part {
    struct buffer bytes; /* the last answer */
    bool asked;          /* and has not answered */
    bool fresh;          /* since the last done() */
};
struct gather {
    struct shards *all;
    uint64_t patience_ns;
    void (*ask)(struct shard *s, struct buffer *out); /* the shard's loop */
    void (*done)(struct gather *g);
    struct gather_part parts[LOOPS_MAX];
    struct loop_timer timer;
    unsigned missing;
    bool running;
};
void gather_start(struct gather *g); /* no-op while it runs; done() may come within the call */
void gather_done(struct gather *g);  /* frees; done() does not come any more */
