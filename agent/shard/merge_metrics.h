/* merge_metrics.h - the Prometheus texts of several shards as the one of their agent. Pure.
 *
 * Samples of one name and the same labels are summed, buckets of histograms too.
 * What every shard says of the whole (the process, the route table, the
 * connection to the controller) is the largest of them. */
#pragma once
#include "base/buffer.h"

/* Parses `count` texts as base/metrics.h writes them. -ENOMEM. */
int merge_metrics(struct buffer *out, const struct buffer *const *texts, unsigned count);
