/* stats.h - the API's own figures: requests by verb, resource and code; how long they took. The
 * API's thread. */
#pragma once
#include "base/metrics.h"

enum { STATS_SERIES_MAX = 512, STATS_VERBS_MAX = 12 };

struct api_series {
    const char *verb, *resource; /* static */
    int code;
    uint64_t count;
};
struct api_stats {
    struct api_series series[STATS_SERIES_MAX];
    size_t series_count;
    uint64_t not_counted; /* series past the bound */
    struct {
        const char *verb;
        struct histogram seconds;
    } verbs[STATS_VERBS_MAX];
    size_t verb_count;
    uint64_t slow_watches; /* cut because they fell behind */
};
void stats_count(struct api_stats *s, const char *verb, const char *resource, int code,
                 double seconds);
void stats_text(const struct api_stats *s, struct buffer *out);
