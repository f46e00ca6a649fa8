/* metrics.h - figures of HTTP servers and client pools as Prometheus text. On their loop's thread. */
#pragma once
#include "base/buffer.h"
#include "http/client.h"
#include "http/server.h"

/* PREFIX_connections, PREFIX_accepted_total, PREFIX_bad_requests_total, PREFIX_timeouts_total. */
void http_server_metrics(struct buffer *out, const char *prefix, const struct http_server_stats *s);

struct http_client_sample {
    const char *name;
    const struct http_client_stats *stats;
};
/* rouse_http_client_*{client="NAME"}; all of a text's at once, since a family is printed once.
 * Nothing for n == 0. */
void http_client_metrics(struct buffer *out, const struct http_client_sample *samples, size_t n);
