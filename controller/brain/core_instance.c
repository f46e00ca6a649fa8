/* core_instance.c - instances as their agents tell of them: states, crash loops, the way out. */
#include "brain/core_internal.h"

#include <stdio.h>

/* Length of the UTF-8 sequence at s (RFC 3629, overlong forms let through), 0 if it is none. */
static size_t sequence(const char *s)
{
    unsigned char c = (unsigned char)*s;
    size_t n = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : c >= 0xe0 && c < 0xf0 ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;

    for (size_t i = 1; i < n; i++)
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Texts of agents hold what functions print. They go into JSON, so what is not UTF-8 becomes '?'.
 */
void copy_text(char *to, size_t size, const char *from)
{
    while (*from) {
        size_t n = sequence(from), put = n ? n : 1;

        if (put >= size)
            break;
        memcpy(to, n ? from : "?", put);
        from += put;
        to += put;
        size -= put;
    }
    *to = 0;
}

struct instance *instance_find(struct core *c, const char *id)
{
    struct map_node *n = map_get_str(&c->instances, id);

    return n ? map_entry(n, struct instance, node) : NULL;
}

bool instance_suspect(const struct core *c, const struct instance *i)
{
    return !i->host->peer && c->now - i->host->since_ns >= SUSPECT_NS;
}

/* *ret_until: when time alone makes another one of it. */
static struct tally walk(const struct core *c, const struct revision *r, uint64_t *ret_until)
{
    struct tally t = {0};

    *ret_until = UINT64_MAX;

    list_for_each(it, &r->instances)
    {
        const struct instance *i = list_entry(it, struct instance, rev_link);

        t.all += !i->dead;
        t.running += i->dead ? 0 : i->in_flight;
        if (!instance_counts(i))
            continue;
        t.counted++;
        t.ready += instance_serves(i);
        t.serving += instance_serves(i) && i->host->peer;
        if (instance_suspect(c, i)) {
            t.suspect++;
            continue;
        }
        if (!i->host->peer && i->host->since_ns + SUSPECT_NS < *ret_until)
            *ret_until = i->host->since_ns + SUSPECT_NS;
        t.starting += !instance_serves(i);
        if (instance_moves(i))
            t.moving++;
        else
            t.settled += instance_serves(i);
    }
    return t;
}

struct tally revision_tally(const struct core *c, struct revision *r)
{
    if (!r->tally_known || c->now >= r->tally_until)
        r->tally = walk(c, r, &r->tally_until);
    r->tally_known = true;
    return r->tally;
}

bool tally_right(const struct core *c, const struct revision *r)
{
    uint64_t until;
    struct tally now = walk(c, r, &until);

    return !r->tally_known || c->now >= r->tally_until ||
           (until == r->tally_until && memcmp(&now, &r->tally, sizeof(now)) == 0);
}

void node_tallies_changed(struct node *n)
{
    list_for_each(it, &n->instances) tally_changed(list_entry(it, struct instance, host_link));
}

/* ---- making */

static void node_instances(struct core *c, struct node *n, int by)
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

static void set_endpoint(struct core *c, struct instance *i, bool on)
{
    if (i->endpoint == on)
        return;
    i->endpoint = on;
    sync_change_endpoint(c, i);
}

static void leaving_counts(struct instance *i, bool on)
{
    struct node *n = i->host;

    n->leaving_memory += on ? i->memory : -i->memory;
    n->leaving_cpu += on ? i->cpu : -i->cpu;
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
        set_endpoint(c, i, true);
    } else if (i->state == STATE_DRAINING) {
        i->leaving = LEAVING_REMOVED;
        leaving_counts(i, true);
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

/* ---- going */

/* Takes it off everything but its revision's list and the map, before it is dead or freed. */
static void detach(struct core *c, struct instance *i)
{
    struct presence *p = fn_presence(i->rev->fn, i->host, false);

    set_endpoint(c, i, false);
    slots_of_instance_gone(c, i);
    if (i->leaving != LEAVING_NOT)
        leaving_counts(i, false);
    i->leaving = LEAVING_NOT;
    tally_changed(i);
    list_del(&i->leaving_link);
    list_del(&i->added_link);
    list_del(&i->host_link);
    node_release(i->host, i->memory, i->cpu);
    node_instances(c, i->host, -1);
    if (p)
        p->instances--;
    i->in_flight = 0;
    c->capacity_changed = true;
    fn_dirty(c, i->rev->fn);
    fn_status_dirty(c, i->rev->fn, false);
}

void instance_free(struct core *c, struct instance *i)
{
    if (!i)
        return;
    if (!i->dead)
        detach(c, i);
    list_del(&i->dead_link);
    list_del(&i->rev_link);
    map_del(&c->instances, &i->node);
    instance_uses_nothing(i);
    free(i);
}

static void instance_end(struct core *c, struct instance *i)
{
    unpublish_instance(c, i);
    instance_free(c, i);
}

void instance_lost(struct core *c, struct instance *i, const char *why)
{
    core_log(c, true, "instance %s on %s is lost: %s", i->id, i->host->name, why);
    note_fn(c, i->rev->fn, true, "InstanceLost", "an instance on %s: %s", i->host->name, why);
    instance_end(c, i);
}

/* Failed ones are shown for a while, so that a person can read why. */
static void keep_dead(struct core *c, struct instance *i)
{
    detach(c, i);
    i->dead = true;
    i->dead_until = c->now + DEAD_NS;
    list_push_back(&c->dead, &i->dead_link);
    publish_instance(c, i);
}

void instances_dead(struct core *c)
{
    list_for_each(it, &c->dead)
    {
        struct instance *i = list_entry(it, struct instance, dead_link);

        if (i->dead_until > c->now)
            break;
        fn_dirty(c, i->rev->fn);
        instance_end(c, i);
    }
}

void instances_forget(struct core *c, const struct node *n)
{
    list_for_each(it, &c->dead)
    {
        struct instance *i = list_entry(it, struct instance, dead_link);

        if (i->host != n)
            continue;
        fn_dirty(c, i->rev->fn);
        instance_end(c, i);
    }
}

void instance_leave(struct core *c, struct instance *i)
{
    if (i->dead || i->leaving != LEAVING_NOT)
        return;
    leaving_counts(i, true);
    slots_of_instance_back(c, i);
    i->leaving = LEAVING_UNROUTED;
    tally_changed(i);
    i->leaving_sequence = 0; /* was never routed: nothing to wait for */
    if (i->endpoint) {
        set_endpoint(c, i, false);
        i->leaving_sequence = sync_next_sequence(c);
    }
    i->leaving_until = c->now + c->config.unroute_ns;
    list_push_back(&c->leaving, &i->leaving_link);
    fn_status_dirty(c, i->rev->fn, false);
}

bool instance_return(struct core *c, struct instance *i)
{
    if (i->dead || i->taken || i->leaving != LEAVING_UNROUTED || instance_moves(i))
        return false;
    leaving_counts(i, false);
    i->leaving = LEAVING_NOT;
    tally_changed(i);
    list_del(&i->leaving_link);
    if (instance_serves(i))
        set_endpoint(c, i, true);
    slots_of_instance_match(c, i);
    return true;
}

void instances_leaving(struct core *c)
{
    list_for_each(it, &c->leaving)
    {
        struct instance *i = list_entry(it, struct instance, leaving_link);

        if (c->now < i->leaving_until && !sync_acked(c, i->leaving_sequence))
            continue;
        list_del(&i->leaving_link);
        i->leaving = LEAVING_REMOVED;
        if (!list_empty(&i->added_link)) { /* its node never heard of it */
            instance_end(c, i);
            continue;
        }
        if (node_removed(i->host, i->id) < 0)
            i->host->desired_full = true;
        node_dirty(c, i->host);
    }
}

/* ---- crash loops */

bool revision_backing_off(const struct core *c, const struct revision *r)
{
    return r->retry_at > c->now;
}

void revision_settle(struct revision *r)
{
    r->start_failures = r->crashes = 0;
    r->backoff_ns = r->retry_at = 0;
    r->init_failed = false;
    list_del(&r->backoff_link);
}

static void back_off(struct core *c, struct revision *r)
{
    if (revision_backing_off(c, r))
        return;
    r->backoff_ns = !r->backoff_ns                        ? BACKOFF_NS
                    : r->backoff_ns >= BACKOFF_MAX_NS / 2 ? BACKOFF_MAX_NS
                                                          : 2 * r->backoff_ns;
    r->retry_at = c->now + r->backoff_ns;
    if (list_empty(&r->backoff_link))
        list_push_back(&c->backoff, &r->backoff_link);
    note_fn(c, r->fn, true, "BackOff", "no other instance is tried for %u s",
            (unsigned)(r->backoff_ns / NS_PER_S));
}

/* What a failure means: the function's own initialisation says the same again, so nobody waits for
 * a second try; a fetch or a sandbox is tried three times; an instance that dies soon after it was
 * ready, five times. */
static void failed(struct core *c, struct instance *i, enum instance_state was)
{
    enum { START_TRIES = 3, CRASH_TRIES = 5 };
    struct revision *r = i->rev;
    bool on_purpose = i->leaving != LEAVING_NOT || !fn_live(r->fn);
    bool init = was == STATE_INITIALIZING;
    struct tally t;

    if (on_purpose)
        return;
    core_log(c, true, "instance %s on %s failed: %s %.200s", i->id, i->host->name, i->reason,
             i->message);
    copy_text(r->reason, sizeof(r->reason), *i->reason ? i->reason : init ? "InitFailed" : "Error");
    copy_text(r->message, sizeof(r->message), i->message);
    note_fn(c, r->fn, true, revision_reason(r), "an instance on %s%s%.400s", i->host->name,
            *i->message ? ": " : " failed", i->message);
    if (was == STATE_READY || was == STATE_FROZEN) {
        r->crashes = c->now - i->ready_ns < SETTLED_NS ? r->crashes + 1 : 0;
        if (r->crashes >= CRASH_TRIES)
            back_off(c, r);
    } else {
        r->start_failures++;
        r->init_failed = r->init_failed || init;
        if (init || r->start_failures >= START_TRIES)
            back_off(c, r);
    }
    fn_status_dirty(c, r->fn, true);
    t = revision_tally(c, r);
    if (!revision_backing_off(c, r) || t.ready || r != r->fn->active)
        return;
    if (!t.counted)
        scale_to(c, r->fn, r->fn->spec->scaling.min, REASON_CRASH_LOOP);
    if (init)
        tickets_refuse_all(c, r->fn, REFUSED_INIT_FAILED,
                           "the function could not be initialised; its Degraded condition says more");
    else if (!t.counted)
        tickets_refuse_all(c, r->fn, REFUSED_CRASH_LOOP,
                           "the function's instances fail; its Degraded condition says more");
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
        set_endpoint(c, i, true);
    } else {
        set_endpoint(c, i, false);
    }
    if (i->state == STATE_DRAINING && i->leaving == LEAVING_NOT) { /* its agent is shutting down */
        i->leaving = LEAVING_REMOVED;
        leaving_counts(i, true);
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
    failed(c, i, was);
    keep_dead(c, i);
}
