/* pool.c - the pool as others call it: desired state, wishes for slots and logs, invocations. */
#include "pool/internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define END_PATIENCE_NS (10 * NS_PER_S)

int pool_new(const struct pool_config *c, struct pool **ret)
{
    struct pool *p = calloc(1, sizeof(*p));
    int r = -ENOMEM;

    if (!p)
        return -ENOMEM;
    p->config = *c;
    if (c->bridge) {
        p->bridge = *c->bridge;
        p->config.bridge = &p->bridge;
    }
    p->loop = c->loop;
    p->last_slot = c->slot_base;
    list_init(&p->tombstones);
    list_init(&p->templates);
    rouse__control__v1__epoch__init(&p->epoch);
    p->state_dir = strdup(c->state_dir);
    p->node = strdup(c->node);
    if (p->state_dir && p->node)
        r = invocations_new(p->loop, &p->invocations);
    if (r == 0)
        r = logs_new(p->loop, p->state_dir, c->log_writer, c->send, c->user, &p->logs);
    if (r == 0)
        r = outside_attach(p);
    if (r < 0) {
        logs_free(p->logs);
        invocations_free(p->invocations);
        free(p->state_dir);
        free(p->node);
        free(p);
        return r;
    }
    report_set_source(c->report, status_fill_load, p);
    *ret = p;
    return 0;
}

static void on_end_late(struct loop_timer *t)
{
    struct pool *p = container_of(t, struct pool, end);

    log_warn("%zu instances did not stop in time", p->instances.count);
    loop_stop(p->loop);
}

/* Nobody waits for what still runs: no drain, but every runtime has its preStop, if it is idle, and its
 * SIGTERM. */
static void stop_all(struct pool *p)
{
    p->ending = true;
    map_for_each(it, &p->instances)
    {
        struct instance *i = map_entry(it, struct instance, node);

        instance_drain(i, "");
        if (!i->stopping)
            instance_stop(i, STOP_GRACE_NS);
    }
    if (!p->instances.count)
        return;
    p->end.fn = on_end_late;
    loop_timer_set(p->loop, &p->end, clock_monotonic_ns() + END_PATIENCE_NS);
    loop_run(p->loop);
    loop_timer_cancel(p->loop, &p->end);
}

struct pool *pool_free(struct pool *p)
{
    if (!p)
        return NULL;
    stop_all(p);
    report_set_source(p->config.report, NULL, NULL);
    map_for_each(it, &p->instances) instance_free(map_entry(it, struct instance, node));
    templates_done(p);
    map_done(&p->instances);
    map_done(&p->leases);
    map_for_each(it, &p->revisions) revision_free(map_entry(it, struct revision, node));
    map_done(&p->revisions);
    while (!list_empty(&p->tombstones))
        tombstone_free(p, list_entry(p->tombstones.next, struct tombstone, link));
    logs_free(p->logs);
    invocations_free(p->invocations);
    free(p->state_dir);
    free(p->node);
    free(p);
    return NULL;
}

/* ---------------------------------------------------------------- desired */

static bool is_our_epoch(const struct pool *p, const Rouse__Control__V1__Epoch *e)
{
    return p->has_epoch && p->epoch.incarnation == e->incarnation && p->epoch.sequence == e->sequence;
}

static void want(struct pool *p, const Rouse__Control__V1__DesiredInstance *d)
{
    struct tombstone *t;
    int r;

    if (instance_find(p, d->id))
        return;
    t = status_tombstone(p, d->id);
    if (t) { /* it has been, and the controller has not heard how it ended */
        status_tell(p, t);
        return;
    }
    r = instance_create(p, d);
    if (r < 0)
        log_warn("instance %s of %s cannot be made: %s", d->id, d->function_key, strerror(-r));
}

/* Everything that is not named goes. The table of names lives for this call. */
static int drain_unnamed(struct pool *p, const Rouse__Control__V1__Desired *d)
{
    struct map named = {0};
    struct map_node *nodes = calloc(d->n_instances + 1, sizeof(*nodes));
    int r = nodes ? 0 : -ENOMEM;

    for (size_t k = 0; k < d->n_instances && r == 0; k++)
        if (!map_get_str(&named, d->instances[k]->id))
            r = map_put(&named, &nodes[k], d->instances[k]->id, strlen(d->instances[k]->id));
    if (r == 0) {
        map_for_each(it, &p->instances)
        {
            struct instance *i = map_entry(it, struct instance, node);

            if (!map_get_str(&named, i->id))
                instance_drain(i, "");
        }
        list_for_each(it, &p->tombstones)
        {
            struct tombstone *t = list_entry(it, struct tombstone, link);

            if (!map_get_str(&named, t->id))
                tombstone_free(p, t);
        }
    }
    map_done(&named);
    free(nodes);
    return r;
}

static void remove_named(struct pool *p, const Rouse__Control__V1__Desired *d)
{
    for (size_t k = 0; k < d->n_removed; k++) {
        struct instance *i = instance_find(p, d->removed[k]);
        struct tombstone *t = status_tombstone(p, d->removed[k]);

        if (i)
            instance_drain(i, "");
        if (t)
            tombstone_free(p, t);
    }
}

static void send_ack(struct pool *p)
{
    Rouse__Control__V1__Ack ack = ROUSE__CONTROL__V1__ACK__INIT;
    Rouse__Control__V1__AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    ack.desired = &p->epoch;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK;
    m.ack = &ack;
    p->config.send(p->config.user, &m);
}

int pool_desired(struct pool *p, const Rouse__Control__V1__Desired *d)
{
    int r = 0;

    if (!d->epoch)
        return -EINVAL;
    if (p->ending) /* what is wanted now is wanted elsewhere */
        return 0;
    if (d->since && !is_our_epoch(p, d->since))
        return -ESTALE;
    if (!d->since)
        revision_drop_unused(p); /* a full one brings what it needs */
    for (size_t k = 0; k < d->n_revisions && r == 0; k++)
        r = revision_learn(p, d->revisions[k]);
    if (r == 0 && d->since)
        remove_named(p, d);
    else if (r == 0)
        r = drain_unnamed(p, d);
    if (r < 0)
        return r;
    for (size_t k = 0; k < d->n_instances; k++)
        want(p, d->instances[k]);
    p->has_epoch = true;
    p->epoch.incarnation = d->epoch->incarnation;
    p->epoch.sequence = d->epoch->sequence;
    send_ack(p);
    return 0;
}

/* ---------------------------------------------------------------- wishes */

void pool_slot_wanted(struct pool *p, const Rouse__Control__V1__SlotWanted *w)
{
    struct revision *r = w->count ? revision_get(p, w->function_key, w->revision)
                                  : revision_find(p, w->function_key, w->revision);

    if (!r)
        return;
    r->wanted = w->count;
    slots_offer(r);
}

void pool_slot_back(struct pool *p, uint64_t slot)
{
    slot_give_back(p, slot, false);
}

void pool_slot_unused(struct pool *p, uint64_t slot)
{
    slot_give_back(p, slot, true);
}

void pool_away(struct pool *p)
{
    slots_away(p);
}

void pool_log_request(struct pool *p, const Rouse__Control__V1__LogRequest *r)
{
    logs_request(p->logs, r);
}

void pool_cordon(struct pool *p, bool cordoned)
{
    if (p->cordoned != cordoned)
        log_info("node %s is %s", p->node, cordoned ? "cordoned" : "open again");
    p->cordoned = cordoned;
}

size_t pool_instances(const struct pool *p)
{
    return p->instances.count;
}

/* ---------------------------------------------------------------- invocations */

int pool_invoke(struct pool *p, struct http_exchange *x, const struct invoke_params *params,
                void (*on_done)(void *user, const struct invoke_outcome *o), void *user)
{
    struct revision *r = revision_find(p, params->function_key, params->revision);
    struct instance *i;
    int e;

    if (params->slot) {
        e = r ? slot_claim(p, params->slot, r, &i) : -ESTALE;
        if (e < 0)
            return e;
    } else if (!r || !r->live) {
        return -ENOENT;
    } else if ((r->wanted && !params->in_turn) || list_empty(&r->free)) {
        return -EAGAIN;
    } else {
        i = list_entry(r->free.next, struct instance, free);
    }
    e = work_invoke(i, x, params, on_done, user);
    return e == -ENOMEM ? -EAGAIN : e;
}

bool pool_has_slot(const struct pool *p, const char *function_key, const char *revision)
{
    const struct revision *r = revision_find((struct pool *)p, function_key, revision);

    return r && !r->wanted && !list_empty(&r->free);
}
