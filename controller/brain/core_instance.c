/* core_instance.c - instances as their agents tell of them: how they are made, their states. */
#include "brain/core_internal.h"

#include <stdio.h>

struct instance *instance_find(struct core *c, const char *id)
{
    struct map_node *n = map_get_str(&c->instances, id);

    return n ? map_entry(n, struct instance, node) : NULL;
}

/* ---- making */

void node_instances(struct core *c, struct node *n, int by)
{
    n->instance_count = (size_t)((ssize_t)n->instance_count + by);
    node_changed(c, n);
    if (n->draining && !n->instance_count && by < 0)
        note_node(c, n, false, "Drained", "it has no instance any more");
}

static int instance_new(struct core *c, struct revision *r, struct node *n, const char *id,
                        struct instance **ret)
{
    struct presence *p = fn_presence(r->fn, n, true);
    struct instance *i = p ? calloc(1, sizeof(*i)) : NULL;

    if (!i)
        return -ENOMEM;
    copy_text(i->id, sizeof(i->id), id);
    if (map_put(&c->instances, &i->node, i->id, strlen(i->id)) < 0) {
        free(i);
        return -ENOMEM;
    }
    i->rev = r;
    i->host = n;
    i->state = STATE_PENDING;
    i->memory = r->spec->memory;
    i->cpu = r->spec->cpu_millis;
    list_push_back(&r->instances, &i->rev_link);
    list_push_back(&n->instances, &i->host_link);
    list_init(&i->leased);
    list_init(&i->leaving_link);
    list_init(&i->added_link);
    list_init(&i->dead_link);
    node_reserve(n, i->memory, i->cpu);
    node_instances(c, n, 1);
    p->instances++;
    tally_changed(i);
    fn_sampled(c, r->fn);
    fn_status_dirty(c, r->fn, false);
    *ret = i;
    return 0;
}

int instance_create(struct core *c, struct revision *r, struct node *n, uint64_t schedule_us)
{
    char id[INSTANCE_ID_MAX + 1];
    struct instance *i;
    int e;

    do
        snprintf(id, sizeof(id), "%.40s-%.8s-%08x", r->spec->name, r->id, (unsigned)core_random(c));
    while (instance_find(c, id));
    e = instance_new(c, r, n, id, &i);
    if (e < 0)
        return e;
    i->schedule_us = schedule_us;
    i->created_ns = c->now;
    list_push_back(&n->added, &i->added_link);
    node_dirty(c, n);
    publish_instance(c, i);
    return 0;
}

void instance_set_endpoint(struct core *c, struct instance *i, bool on)
{
    if (i->endpoint == on)
        return;
    i->endpoint = on;
    sync_change_endpoint(c, i);
}

/* Before its state is taken, too. */
static void take_fields(struct instance *i, const InstanceStatus *s)
{
    i->reported = true;
    i->slots = s->slots;
    i->in_flight = s->in_flight;
    tally_changed(i);
    i->idle_since_ms = s->idle_since_ms;
    i->ready_at_ms = s->ready_at_ms;
    i->exit_code = s->exit_code;
    i->signal = s->signal;
    if (s->phases) {
        if (s->phases->schedule)
            i->schedule_us = s->phases->schedule;
        i->fetch_us = s->phases->fetch;
        i->sandbox_us = s->phases->sandbox;
        i->runtime_us = s->phases->runtime;
        i->init_us = s->phases->init;
    }
    instance_metrics(i, s->n_metrics, s->metrics);
    copy_text(i->reason, sizeof(i->reason), s->reason);
    copy_text(i->message, sizeof(i->message), s->message);
}

int instance_adopt(struct core *c, struct revision *r, struct node *n, const InstanceStatus *s)
{
    struct instance *i;
    int e = instance_new(c, r, n, s->id, &i);

    if (e < 0)
        return e;
    take_fields(i, s);
    i->state = (enum instance_state)s->state;
    if (instance_serves(i)) {
        i->ready_ns = c->now;
        if (!r->start_ns)
            r->start_ns = (i->fetch_us + i->sandbox_us + i->runtime_us + i->init_us) * NS_PER_US;
        instance_set_endpoint(c, i, true);
    } else if (i->state == STATE_DRAINING) {
        i->leaving = LEAVING_REMOVED;
        instance_leaving_counts(i, true);
    }
    publish_instance(c, i);
    if (core_adopting(c)) {
        struct tally t = revision_tally(c, r), of_active = revision_tally(c, r->fn->active);

        if (t.ready && !of_active.ready) /* an update was going on: who served goes on serving */
            fn_activate(c, r->fn, r);
        fn_sampled(c, r->fn);
        autoscaler_adopt(r->fn->scaler, t.ready, c->now);
        if (r->fn->requested < t.counted)
            scale_to(c, r->fn, t.counted, REASON_ADOPTED);
    }
    fn_dirty(c, r->fn);
    fn_status_dirty(c, r->fn, instance_serves(i));
    return 0;
}

/* ---- states */

static bool reachable(enum instance_state from, enum instance_state to)
{
    bool seen[STATE_COUNT] = {false};

    seen[from] = true;
    for (int round = 0; round < STATE_COUNT; round++)
        for (enum instance_state a = STATE_PENDING; a < STATE_COUNT; a++)
            for (enum instance_state b = STATE_PENDING; b < STATE_COUNT && seen[a]; b++)
                seen[b] = seen[b] || instance_state_edge(a, b);
    return seen[to];
}

/* A mean of some last ones. */
static void took_to_start(struct revision *r, uint64_t ns)
{
    r->start_ns = r->start_ns ? r->start_ns - r->start_ns / 4 + ns / 4 : ns;
}

static void became(struct core *c, struct instance *i, enum instance_state was)
{
    struct fn *f = i->rev->fn;
    bool served = was == STATE_READY || was == STATE_FROZEN;

    if (instance_serves(i)) {
        if (!served) {
            i->ready_ns = c->now;
            f->freed_at = c->now; /* that nobody freed a slot while it started says nothing of calls */
            if (i->created_ns)
                took_to_start(i->rev, c->now - i->created_ns);
            i->rev->start_failures = 0;
            i->rev->init_failed = false;
            if (!i->rev->crashes)
                revision_settle(i->rev);
        }
        instance_set_endpoint(c, i, true);
    } else {
        instance_set_endpoint(c, i, false);
    }
    if (i->state == STATE_DRAINING && i->leaving == LEAVING_NOT) { /* its agent is shutting down */
        i->leaving = LEAVING_REMOVED;
        instance_leaving_counts(i, true);
        slots_of_instance_gone(c, i);
    }
    if (instance_serves(i) != served)
        fn_status_dirty(c, f, true);
    fn_dirty(c, f);
    publish_instance(c, i);
}

void instance_status(struct core *c, struct instance *i, const InstanceStatus *s)
{
    enum instance_state was = i->state, to = (enum instance_state)s->state;

    if (i->dead)
        return;
    if (to <= STATE_UNKNOWN || to >= STATE_COUNT || !reachable(was, to)) {
        core_log(c, true, "instance %s on %s: from %s to %s is no way; ignored", i->id,
                 i->host->name, instance_state_name(was), instance_state_name(to));
        return;
    }
    take_fields(i, s);
    if (to == was)
        return;
    i->state = to;
    if (!instance_state_final(to)) {
        became(c, i, was);
        return;
    }
    if (i->leaving != LEAVING_REMOVED) { /* its node's Desired still names it */
        if (node_removed(i->host, i->id) < 0)
            i->host->desired_full = true;
        node_dirty(c, i->host);
    }
    if (to == STATE_STOPPED || i->leaving != LEAVING_NOT) {
        instance_end(c, i);
        return;
    }
    instance_failed(c, i, was);
    instance_keep_dead(c, i);
}
