/* status_json.c - a function's status as JSON; counts are always present, 0 included. */
#include "brain/registry_internal.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void time_text(uint64_t epoch_s, char out[32])
{
    time_t t = (time_t)epoch_s;
    struct tm tm;

    gmtime_r(&t, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void add_condition(struct buffer *b, const struct condition *c, uint64_t transition_s,
                          int64_t generation)
{
    static const char *const status_names[] = {"False", "True", "Unknown"};
    char at[32];

    time_text(transition_s, at);
    buffer_printf(b, "{\"type\":\"%s\",\"status\":\"%s\",\"reason\":\"%s\",\"message\":\"", c->type,
                  status_names[c->status], c->reason ?: "");
    buffer_json_string(b, c->message, strlen(c->message));
    buffer_printf(b, "\",\"lastTransitionTime\":\"%s\",\"observedGeneration\":%lld}", at,
                  (long long)generation);
}

static void add_scaling(struct buffer *b, const struct scaling_status *s)
{
    const struct {
        const char *type, *reason;
        bool holds;
    } conditions[] = {{"AbleToScale", s->able, s->is_able},
                      {"ScalingActive", s->active, s->is_active},
                      {"ScalingLimited", s->limited, s->is_limited}};
    char at[32];

    if (!s->reason)
        return;
    buffer_printf(b, ",\"scaling\":{\"reason\":\"%s\"", s->reason);
    if (s->last_s) {
        time_text(s->last_s, at);
        buffer_printf(b, ",\"lastScaleTime\":\"%s\"", at);
    }
    buffer_puts(b, ",\"conditions\":[");
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++)
        buffer_printf(b, "%s{\"type\":\"%s\",\"status\":\"%s\",\"reason\":\"%s\"}", i ? "," : "",
                      conditions[i].type, conditions[i].holds ? "True" : "False",
                      conditions[i].reason);
    buffer_puts(b, "]}");
}

char *status_json(const struct function_status *s, const uint64_t *transition_s,
                  const struct function *f, const char *gateway)
{
    struct buffer b = {0};
    bool first = true;

    buffer_printf(&b,
                  "{\"observedGeneration\":%lld,\"instances\":%u,\"readyInstances\":%u,"
                  "\"desiredInstances\":%u",
                  (long long)s->observed_generation, s->instances, s->ready_instances,
                  s->desired_instances);
    buffer_printf(&b, ",\"summary\":\"%u/%u\"", s->ready_instances, s->desired_instances);
    if (s->latest_revision[0])
        buffer_printf(&b, ",\"latestRevision\":\"%s\"", s->latest_revision);
    if (s->active_revision[0])
        buffer_printf(&b, ",\"activeRevision\":\"%s\"", s->active_revision);
    if (f) {
        buffer_puts(&b, ",\"url\":\"");
        buffer_json_string(&b, gateway ?: "", strlen(gateway ?: ""));
        buffer_printf(&b, "/function/%s/%s/\"", f->ns, f->name);
    }
    add_scaling(&b, &s->scaling);
    buffer_puts(&b, ",\"conditions\":[");
    for (int i = 0; i < FUNCTION_CONDITIONS; i++) {
        if (!s->conditions[i].type)
            continue;
        if (!first)
            buffer_puts(&b, ",");
        first = false;
        add_condition(&b, &s->conditions[i], transition_s[i], s->observed_generation);
    }
    if (buffer_puts(&b, "]}") < 0) {
        buffer_done(&b);
        return NULL;
    }
    return buffer_take_string(&b);
}
