/* merge_lines.h - logs of one function from several shards, in the order of time. Pure.
 *
 * Each text is whole lines in order, which begin with "2026-11-23T10:00:00.123Z ":
 * times compare as text. Lines of one text stay in their order. */
#pragma once
#include "base/buffer.h"
#include <stdint.h>

/* Appends the last `limit` lines of all (0: all lines). -ENOMEM. */
int merge_lines(struct buffer *out, const struct buffer *const *texts, unsigned count,
                uint32_t limit);
