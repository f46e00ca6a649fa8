/* core_status.c - what is said of a function in its status, and when that is written. */
#include "brain/core_internal.h"

#include <stdio.h>

/* Reasons must be static and few: those of instances come from their agents. */
const char *revision_reason(const struct revision *r)
{
    static const char *const known[] = {
        "InitFailed", "OOMKilled",   "Error",     "FetchFailed",        "SandboxFailed",
        "Timeout",    "InitTimeout", "Completed", "InitializerTimeout", "CrashLoop"};

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (!strcmp(r->reason, known[i]))
            return known[i];
    return "CrashLoop";
}

static void condition(struct condition *to, const char *type, bool status, const char *reason)
{
    *to = (struct condition){
        .type = type, .status = status ? CONDITION_TRUE : CONDITION_FALSE, .reason = reason};
}

static const struct claim *conflict(const struct fn *f)
{
    for (size_t i = 0; i < f->claim_count; i++)
        if (f->claims[i].lost_to)
            return &f->claims[i];
    return NULL;
}

static void degraded(const struct core *c, const struct fn *f, struct condition *to)
{
    list_for_each(it, &f->revisions)
    {
        const struct revision *r = list_entry(it, struct revision, link);
        bool failing = r->init_failed || r->retry_at > c->now;

        if ((r != f->latest && r != f->active) || (!failing && !r->impossible))
            continue;
        condition(to, "Degraded", true, failing ? revision_reason(r) : "NoCapacity");
        if (failing)
            snprintf(to->message, sizeof(to->message), "%s", r->message);
        else
            revision_impossible_text(c, r, to->message);
        return;
    }
    condition(to, "Degraded", false, "AsExpected");
}

static struct scaling_status scaling_of(const struct core *c, const struct fn *f)
{
    bool failing = f->latest->retry_at > c->now || f->active->retry_at > c->now;

    return (struct scaling_status){
        .reason = f->scaled_at ? autoscaler_reason_name(f->why) : NULL,
        .last_s = f->scaled_s,
        .is_able = !failing && !c->halted,
        .able = failing     ? "BackOff"
                : c->halted ? "NodesHalted"
                            : "ReadyForNewScale",
        .is_active = f->decision.reason != REASON_MISSING,
        .active = f->decision.reason == REASON_MISSING ? "MetricMissing" : "ValidMetricFound",
        .is_limited = f->limit != REASON_COUNT,
        .limited = f->limit == REASON_MAX       ? "TooManyInstances"
                   : f->limit == REASON_MIN     ? "TooFewInstances"
                   : f->limit == REASON_LIMITED ? "RateLimited"
                                                : "DesiredWithinRange"};
}

static void status_write(struct core *c, struct fn *f)
{
    struct action *a = actions_add(c->out, ACTION_STATUS);
    struct function_status *s = actions_alloc(c->out, sizeof(*s));
    const struct claim *lost = conflict(f);
    uint32_t wanted = 0;

    s->observed_generation = f->spec->generation;
    strcpy(s->latest_revision, f->latest->id);
    strcpy(s->active_revision, f->active->id);
    list_for_each(it, &f->revisions)
    {
        struct revision *r = list_entry(it, struct revision, link);
        struct tally t = revision_tally(c, r);

        s->instances += t.counted;
        s->ready_instances += t.ready;
        wanted += r->wanted;
        publish_revision(c, r, &t);
    }
    s->desired_instances = wanted;
    s->scaling = scaling_of(c, f);
    if (f->spec->deleting)
        condition(&s->conditions[0], "Ready", false, "Deleting");
    else if (lost)
        condition(&s->conditions[0], "Ready", false, "RouteConflict");
    else
        condition(&s->conditions[0], "Ready", true, "Routed");
    condition(&s->conditions[1], "Active", s->instances > 0, s->instances ? "Running" : "Idle");
    degraded(c, f, &s->conditions[2]);
    condition(&s->conditions[3], "RouteConflict", lost != NULL, lost ? "PathTaken" : "NoConflict");
    if (lost) {
        snprintf(s->conditions[3].message, sizeof(s->conditions[3].message),
                 "path %.75s%s%.50s belongs to %.100s", lost->trigger->path,
                 *lost->host ? " of host " : "", lost->host, lost->lost_to->spec->key);
        strcpy(s->conditions[0].message, s->conditions[3].message);
    }
    a->status.key = actions_strdup(c->out, f->spec->key);
    a->status.status = s;
    f->status_at = c->now;
    f->status_urgent = false;
}

/* ---- when */

void fn_status_dirty(struct core *c, struct fn *f, bool urgent)
{
    if (f->gone)
        return;
    f->status_urgent = f->status_urgent || urgent;
    if (list_empty(&f->status_link))
        list_push_back(&c->status, &f->status_link);
}

static bool status_due(const struct core *c, const struct fn *f)
{
    return f->status_urgent || !f->status_at || c->now - f->status_at >= STATUS_NS;
}

void fn_statuses(struct core *c)
{
    list_for_each(it, &c->status)
    {
        struct fn *f = list_entry(it, struct fn, status_link);

        if (!status_due(c, f))
            continue;
        list_del(&f->status_link);
        status_write(c, f);
    }
}

uint64_t fn_statuses_due(const struct core *c)
{
    uint64_t at = 0;

    list_for_each(it, &c->status)
    {
        const struct fn *f = list_entry(it, struct fn, status_link);

        if (status_due(c, f))
            return c->now;
        if (!at || f->status_at + STATUS_NS < at)
            at = f->status_at + STATUS_NS;
    }
    return at;
}
