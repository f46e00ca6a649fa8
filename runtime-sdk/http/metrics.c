/* metrics.c - see the header. */
#include "http/metrics.h"
#include "base/cleanup.h"
#include "base/metrics.h"

#include <stdio.h>

static void one(struct buffer *out, const char *prefix, const char *name, const char *type,
                const char *help, double value)
{
    char full[96];

    snprintf(full, sizeof(full), "%s_%s", prefix, name);
    metrics_family(out, full, type, help);
    metrics_sample(out, full, value, NULL);
}

void http_server_metrics(struct buffer *out, const char *prefix, const struct http_server_stats *s)
{
    one(out, prefix, "connections", "gauge", "Connections that are open.", s->connections);
    one(out, prefix, "accepted_total", "counter", "Connections accepted.", (double)s->accepted);
    one(out, prefix, "bad_requests_total", "counter", "Requests that were no HTTP or over a limit.",
        (double)s->bad_requests);
    one(out, prefix, "timeouts_total", "counter",
        "Connections closed because their client was too slow.", (double)s->timeouts);
}

static const struct {
    const char *name, *help;
    size_t offset;
} counters[] = {
#define COUNTER(field, help)                                                                       \
    {                                                                                              \
        "rouse_http_client_" #field "_total", help, offsetof(struct http_client_stats, field)      \
    }
    COUNTER(calls, "Calls that a pool of connections was asked for."),
    COUNTER(dials, "Connections dialled."),
    COUNTER(reused, "Calls on a kept connection."),
    COUNTER(stale, "Kept connections that the peer had closed."),
    COUNTER(retries, "Second tries after a kept connection had gone."),
    COUNTER(connect_failures, "Connections that were refused, unreachable or too late."),
    COUNTER(backed_off, "Calls not made: the address did not accept a moment ago."),
    COUNTER(over_limit, "Calls not made: the address has no connection left."),
#undef COUNTER
};

void http_client_metrics(struct buffer *out, const struct http_client_sample *samples, size_t n)
{
    static const char connections[] = "rouse_http_client_connections";
    static const char failing[] = "rouse_http_client_failing_addresses";

    if (!n)
        return;
    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        metrics_family(out, counters[i].name, "counter", counters[i].help);
        for (size_t k = 0; k < n; k++) {
            const uint64_t *value =
                (const uint64_t *)((const char *)samples[k].stats + counters[i].offset);

            metrics_sample(out, counters[i].name, (double)*value, "client", samples[k].name, NULL);
        }
    }
    metrics_family(out, connections, "gauge", "Connections of a pool, the idle ones included.");
    for (size_t k = 0; k < n; k++)
        metrics_sample(out, connections, samples[k].stats->links, "client", samples[k].name, NULL);
    metrics_family(out, failing, "gauge", "Addresses that did not accept when last asked.");
    for (size_t k = 0; k < n; k++)
        metrics_sample(out, failing, samples[k].stats->failing, "client", samples[k].name, NULL);
}
