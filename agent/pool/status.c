/* status.c - what the controller is told of instances: at once, with Hello, and each second. */
#include "pool/internal.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int send_status(struct pool *p, Rouse__Control__V1__InstanceStatus *s)
{
    Rouse__Control__V1__AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS;
    m.instance_status = s;
    return p->config.send(p->config.user, &m);
}

/* The message's texts are the instance's own. */
static void fill(struct instance *i, Rouse__Control__V1__InstanceStatus *s,
                 Rouse__Control__V1__PhaseTimes *t, size_t *metrics_left)
{
    rouse__control__v1__instance_status__init(s);
    rouse__control__v1__phase_times__init(t);
    t->schedule = i->phase_ns[PHASE_SCHEDULE] / NS_PER_US;
    t->fetch = i->phase_ns[PHASE_FETCH] / NS_PER_US;
    t->sandbox = i->phase_ns[PHASE_SANDBOX] / NS_PER_US;
    t->runtime = i->phase_ns[PHASE_RUNTIME] / NS_PER_US;
    t->init = i->phase_ns[PHASE_INIT] / NS_PER_US;
    s->id = i->id;
    s->function_key = (char *)i->revision->function_key;
    s->revision = (char *)i->revision->revision;
    s->state = (Rouse__Control__V1__InstanceState)i->state;
    s->reason = i->reason;
    s->message = i->message;
    s->exit_code = i->exit.code;
    s->signal = i->exit.signal;
    s->slots = i->slots;
    s->in_flight = i->in_flight;
    s->phases = t;
    s->ready_at_ms = i->ready_at_ms;
    s->idle_since_ms = i->idle_since_ms;
    s->n_metrics = gauges_tell(i, metrics_left, &s->metrics);
}

void status_send(struct instance *i)
{
    Rouse__Control__V1__InstanceStatus s;
    Rouse__Control__V1__PhaseTimes t;
    size_t metrics_left = GAUGES_TOLD_MAX;

    fill(i, &s, &t, &metrics_left);
    if (send_status(i->pool, &s) == 0 && instance_state_final(i->state))
        i->end_told = true;
    gauges_untell(s.n_metrics, s.metrics);
}

/* ---------------------------------------------------------------- tombstones */

struct tombstone *tombstone_free(struct pool *p, struct tombstone *t)
{
    list_del(&t->link);
    p->tombstone_count--;
    free(t->id);
    free(t->function_key);
    free(t->revision);
    free(t->message);
    free(t);
    return NULL;
}

void status_bury(struct instance *i)
{
    struct pool *p = i->pool;
    struct tombstone *t = calloc(1, sizeof(*t));

    if (!t)
        return;
    list_push_back(&p->tombstones, &t->link);
    p->tombstone_count++;
    t->id = strdup(i->id);
    t->function_key = strdup(i->revision->function_key);
    t->revision = strdup(i->revision->revision);
    t->message = strdup(i->message);
    snprintf(t->reason, sizeof(t->reason), "%s", i->reason);
    t->state = i->state;
    t->code = i->exit.code;
    t->signal = i->exit.signal;
    t->told = i->end_told;
    if (!t->id || !t->function_key || !t->revision || !t->message)
        tombstone_free(p, t);
    while (p->tombstone_count > TOMBSTONES_MAX)
        tombstone_free(p, list_entry(p->tombstones.next, struct tombstone, link));
}

struct tombstone *status_tombstone(struct pool *p, const char *id)
{
    list_for_each(it, &p->tombstones)
    {
        struct tombstone *t = list_entry(it, struct tombstone, link);

        if (!strcmp(t->id, id))
            return t;
    }
    return NULL;
}

static void fill_tombstone(struct tombstone *t, Rouse__Control__V1__InstanceStatus *s)
{
    rouse__control__v1__instance_status__init(s);
    s->id = t->id;
    s->function_key = t->function_key;
    s->revision = t->revision;
    s->state = (Rouse__Control__V1__InstanceState)t->state;
    s->reason = t->reason;
    s->message = t->message;
    s->exit_code = t->code;
    s->signal = t->signal;
}

void status_tell(struct pool *p, struct tombstone *t)
{
    Rouse__Control__V1__InstanceStatus s;

    fill_tombstone(t, &s);
    if (send_status(p, &s) == 0)
        t->told = true;
}

void pool_untold(struct pool *p, const char *id)
{
    struct instance *i = instance_find(p, id);
    struct tombstone *t = status_tombstone(p, id);

    if (i && instance_state_final(i->state)) {
        i->end_told = false;
        status_send(i);
    } else if (t) {
        t->told = false;
        status_tell(p, t);
    }
}

/* ---------------------------------------------------------------- hello */

struct hello_entry {
    Rouse__Control__V1__InstanceStatus status;
    Rouse__Control__V1__PhaseTimes phases;
};

void pool_hello(struct pool *p, Rouse__Control__V1__Hello *hello)
{
    size_t room = p->instances.count + p->tombstone_count, n = 0, metrics_left = GAUGES_TOLD_MAX;
    struct hello_entry *all = room ? calloc(room, sizeof(*all)) : NULL;

    hello->instances = room ? calloc(room, sizeof(*hello->instances)) : NULL;
    hello->n_instances = 0;
    hello->desired = p->has_epoch ? &p->epoch : NULL;
    /* What the last connection asked for ended with it. */
    logs_forget_followers(p->logs);
    map_for_each(it, &p->revisions) map_entry(it, struct revision, node)->wanted = 0;
    if (!all || !hello->instances) {
        free(all);
        return;
    }
    map_for_each(it, &p->instances)
    {
        struct instance *i = map_entry(it, struct instance, node);

        i->end_told = instance_state_final(i->state);
        i->memory_told = 0;
        fill(i, &all[n].status, &all[n].phases, &metrics_left);
        n++;
    }
    list_for_each(it, &p->tombstones)
    {
        struct tombstone *t = list_entry(it, struct tombstone, link);

        if (t->told)
            continue;
        t->told = true;
        fill_tombstone(t, &all[n++].status);
    }
    for (size_t k = 0; k < n; k++)
        hello->instances[k] = &all[k].status;
    hello->n_instances = n;
    if (!n)
        free(all);
}

void pool_hello_done(struct pool *p, Rouse__Control__V1__Hello *hello)
{
    (void)p;
    for (size_t k = 0; k < hello->n_instances; k++)
        gauges_untell(hello->instances[k]->n_metrics, hello->instances[k]->metrics);
    if (hello->n_instances)
        free(container_of(hello->instances[0], struct hello_entry, status));
    free(hello->instances);
    hello->instances = NULL;
    hello->n_instances = 0;
    hello->desired = NULL;
}

/* ---------------------------------------------------------------- load */

static void read_usage(struct instance *i, uint64_t now_ns)
{
    struct sandbox_usage u = {0};
    uint64_t cpu, over = i->usage_at_ns ? now_ns - i->usage_at_ns : 0;
    double millis;

    if (!i->sandbox)
        return;
    /* A frozen one is read once: thousands of them would be most of what an idle agent does. */
    if (i->state == STATE_FROZEN && i->usage_final && !atomic_exchange(&i->memory.taken, false)) {
        i->cpu_millis = 0;
        i->usage_at_ns = now_ns;
        return;
    }
    i->memory_seen = 0;
    if (launcher_usage(i->pool->config.launcher, i->cgroup, &u) < 0)
        return;
    cpu = u.cpu_ns > i->cpu_seen_ns ? u.cpu_ns - i->cpu_seen_ns : 0;
    millis = over ? (double)cpu * 1000 / (double)over + 0.5 : 0;
    i->cpu_millis = millis < UINT32_MAX ? (uint32_t)millis : UINT32_MAX;
    i->cpu_seen_ns = u.cpu_ns;
    i->usage_at_ns = now_ns;
    i->memory_seen = u.memory;
    i->usage_final = i->state == STATE_FROZEN;
}

static void add_load(struct instance *i, size_t *metrics_left, Rouse__Control__V1__Report *m)
{
    Rouse__Control__V1__InstanceLoad *l = malloc(sizeof(*l));

    if (!l)
        return;
    rouse__control__v1__instance_load__init(l);
    l->id = strdup(i->id);
    if (!l->id) {
        free(l);
        return;
    }
    l->in_flight = i->in_flight;
    l->idle_since_ms = i->idle_since_ms;
    l->cpu = i->cpu_millis;
    l->memory = i->memory_told = i->memory_seen;
    l->n_metrics = gauges_tell(i, metrics_left, &l->metrics);
    m->instances[m->n_instances++] = l;
}

void status_fill_load(void *user, Rouse__Control__V1__Report *m)
{
    struct pool *p = user;
    uint64_t now_ns = clock_monotonic_ns();
    Rouse__Control__V1__Resources *r = malloc(sizeof(*r));
    size_t metrics_left = GAUGES_TOLD_MAX;

    if (r)
        rouse__control__v1__resources__init(r);
    m->reserved = r;
    m->instances = p->instances.count ? calloc(p->instances.count, sizeof(*m->instances)) : NULL;
    map_for_each(it, &p->instances)
    {
        struct instance *i = map_entry(it, struct instance, node);

        if (r && i->revision->spec) {
            r->memory += i->revision->spec->memory;
            r->cpu += i->revision->spec->cpu;
        }
        read_usage(i, now_ns);
        /* Of a frozen one the rest has been said with its state. */
        if (m->instances && !instance_state_final(i->state) &&
            (i->state != STATE_FROZEN || i->memory_seen != i->memory_told))
            add_load(i, &metrics_left, m);
    }
}
