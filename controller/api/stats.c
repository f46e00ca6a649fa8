/* stats.c - bounded tables of counters. */
#include "api/stats.h"

#include <stdio.h>
#include <string.h>

static struct api_series *find_series(struct api_stats *s, const char *verb, const char *resource,
                                      int code)
{
    struct api_series *x;

    for (size_t i = 0; i < s->series_count; i++) {
        x = &s->series[i];
        if (x->code == code && strcmp(x->verb, verb) == 0 && strcmp(x->resource, resource) == 0)
            return x;
    }
    if (s->series_count == STATS_SERIES_MAX)
        return NULL;
    x = &s->series[s->series_count++];
    *x = (struct api_series){.verb = verb, .resource = resource, .code = code};
    return x;
}

static struct histogram *find_verb(struct api_stats *s, const char *verb)
{
    for (size_t i = 0; i < s->verb_count; i++)
        if (strcmp(s->verbs[i].verb, verb) == 0)
            return &s->verbs[i].seconds;
    if (s->verb_count == STATS_VERBS_MAX)
        return NULL;
    s->verbs[s->verb_count].verb = verb;
    histogram_init(&s->verbs[s->verb_count].seconds, histogram_seconds);
    return &s->verbs[s->verb_count++].seconds;
}

void stats_count(struct api_stats *s, const char *verb, const char *resource, int code, double seconds)
{
    struct api_series *series = find_series(s, verb, resource, code);
    struct histogram *h = find_verb(s, verb);

    if (series)
        series->count++;
    else
        s->not_counted++;
    if (h)
        histogram_observe(h, seconds);
}

void stats_text(const struct api_stats *s, struct buffer *out)
{
    char code[16];

    metrics_family(out, "rouse_api_requests_total", "counter",
                   "Requests to the API that were answered.");
    for (size_t i = 0; i < s->series_count; i++) {
        snprintf(code, sizeof(code), "%d", s->series[i].code);
        metrics_sample(out, "rouse_api_requests_total", (double)s->series[i].count, "verb",
                       s->series[i].verb, "resource", s->series[i].resource, "code", code, NULL);
    }
    metrics_family(out, "rouse_api_request_seconds", "histogram",
                   "Time from the head of a request to its answer.");
    for (size_t i = 0; i < s->verb_count; i++)
        metrics_histogram(out, "rouse_api_request_seconds", &s->verbs[i].seconds, "verb",
                          s->verbs[i].verb, NULL);
    metrics_family(out, "rouse_api_slow_watches_total", "counter",
                   "Watches that were cut because they fell behind.");
    metrics_sample(out, "rouse_api_slow_watches_total", (double)s->slow_watches, NULL);
}
