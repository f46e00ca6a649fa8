/* wanted.h - how many slots of each revision the activator still wants, whichever shard has them. Pure.
 *
 * Every shard is told the whole number, since nobody knows whose slot frees
 * first; what they offer is counted here, once. */
#pragma once
#include "base/map.h"
#include <stdbool.h>
#include <stdint.h>

struct wanted { /* zero-initialised: nothing */
    struct map revisions;
};
int wanted_set(struct wanted *w, const char *function_key, const char *revision, uint32_t count);
/* One is offered: true if it is wanted, and counted then. */
bool wanted_take(struct wanted *w, const char *function_key, const char *revision);
void wanted_clear(struct wanted *w);
