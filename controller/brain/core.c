#include "brain/core_internal.h"

#include <stdarg.h>
#include <stdio.h>

const struct core_config core_defaults = {
    .queue_deadline_ns = 30 * NS_PER_S,
    .queue_per_function = 10000,
    .queue_total = 100000,
    .held_per_function = 256ull << 20,
    .held_total = 1ull << 30,
    .body_limit = 6ull << 20,
    .adopt_ns = 2 * NS_PER_S,
    .lease_ns = 10 * NS_PER_S,
    .unroute_ns = 3 * NS_PER_S,
    .peer_secret = "",
    .activator_address = "",
};

int core_new(const struct core_config *config, uint64_t now, struct core **ret)
{
    struct core *c = calloc(1, sizeof(*c));
    struct activator_limits limits = {
        .tickets_per_function = config->queue_per_function,
        .tickets_total = config->queue_total,
        .held_per_function = config->held_per_function,
        .held_total = config->held_total,
    };

    if (!c)
        return -ENOMEM;
    c->config = *config;
    if (!c->config.autoscaler.stable_seconds)
        c->config.autoscaler = autoscaler_defaults;
    c->random = config->incarnation;
    c->started = c->now = now;
    c->next_sample = now + SAMPLE_NS;
    c->routes_sequence = c->changes_from = 1;
    list_init(&c->active);
    list_init(&c->dirty);
    list_init(&c->status);
    list_init(&c->deleting);
    list_init(&c->leaving);
    list_init(&c->roomless);
    list_init(&c->dead);
    list_init(&c->backoff);
    list_init(&c->slots);
    list_init(&c->nodes_dirty);
    list_init(&c->nodes_fresh);
    list_init(&c->nodes_changed);
    list_init(&c->wanted);
    list_init(&c->crowded);
    list_init(&c->gone);
    histogram_init(&c->wait, histogram_seconds);
    c->config.peer_secret = strdup(config->peer_secret ? config->peer_secret : "");
    c->config.activator_address = strdup(config->activator_address ? config->activator_address : "");
    c->changes = calloc(CHANGES_MAX, sizeof(*c->changes));
    if (!c->config.peer_secret || !c->config.activator_address || !c->changes ||
        nodes_new(&c->nodes) < 0 || pools_new(&c->pools) < 0 ||
        activator_new(&limits, &c->activator) < 0) {
        core_free(c);
        return -ENOMEM;
    }
    *ret = c;
    return 0;
}

struct core *core_free(struct core *c)
{
    struct actions dropped = {0};

    if (!c)
        return NULL;
    c->out = &dropped;
    map_for_each(n, &c->instances) instance_free(c, map_entry(n, struct instance, node));
    map_for_each(n, &c->functions) fn_free(c, map_entry(n, struct fn, node));
    list_for_each(it, &c->gone) fn_free(c, list_entry(it, struct fn, active_link));
    map_done(&c->functions);
    map_done(&c->instances);
    route_done(c);
    c->nodes = nodes_free(c->nodes);
    wishes_done(c);
    c->pools = pools_free(c->pools);
    c->activator = activator_free(c->activator);
    for (size_t i = 0; c->changes && i < CHANGES_MAX; i++)
        free(c->changes[i].key);
    free(c->changes);
    free((char *)c->config.peer_secret);
    free((char *)c->config.activator_address);
    actions_done(&dropped);
    free(c);
    return NULL;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t core_random(struct core *c)
{
    uint64_t z = c->random += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void core_log(struct core *c, bool warning, const char *fmt, ...)
{
    struct action *a = actions_add(c->out, ACTION_LOG);
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    a->log.warning = warning;
    a->log.text = actions_strdup(c->out, text);
}

static void end_of_adoption(struct core *c)
{
    c->adopted = true;
    map_for_each(n, &c->functions)
    {
        struct fn *f = map_entry(n, struct fn, node);

        if (!list_empty(&f->active_link) || f->latest != f->active)
            fn_dirty(c, f);
    }
}

static void backoffs_over(struct core *c)
{
    list_for_each(it, &c->backoff)
    {
        struct revision *r = list_entry(it, struct revision, backoff_link);

        if (r->retry_at > c->now)
            continue;
        list_del(&r->backoff_link);
        fn_dirty(c, r->fn);
        fn_status_dirty(c, r->fn, false);
    }
}

static void retry_unplaced(struct core *c)
{
    c->capacity_changed = false;
    list_for_each(it, &c->roomless)
    {
        struct revision *r = list_entry(it, struct revision, roomless_link);

        if (!r->unplaced)
            list_del(&r->roomless_link);
        else if (fn_live(r->fn))
            fn_dirty(c, r->fn);
    }
}

static void publish_changed(struct core *c)
{
    struct list *l;

    while ((l = list_pop_front(&c->nodes_changed)))
        publish_node(c, list_entry(l, struct node, changed_link));
}

void core_turn(struct core *c, uint64_t now, struct actions *out)
{
    c->now = now;
    c->out = out;
    if (!c->adopted && !core_adopting(c))
        end_of_adoption(c);
    tickets_due(c);
    slots_expired(c);
    agents_tick(c);
    backoffs_over(c);
    scale_sample(c);
    histories_tick(c);
    if (c->capacity_changed)
        retry_unplaced(c);
    scale_turn(c);
    pools_turn(c);
    sync_routes(c);
    instances_leaving(c);
    fn_deletions(c);
    sync_desired(c);
    fn_statuses(c);
    instances_dead(c);
    publish_changed(c);
}

static void earlier(uint64_t *at, uint64_t other)
{
    if (other && other < *at)
        *at = other;
}

uint64_t core_due(const struct core *c)
{
    uint64_t at = UINT64_MAX;

    if (!list_empty(&c->dirty) || c->capacity_changed || !list_empty(&c->nodes_dirty))
        return c->now;
    if (!list_empty(&c->active))
        earlier(&at, c->next_sample);
    if (!c->adopted)
        earlier(&at, c->started + c->config.adopt_ns);
    earlier(&at, activator_next_deadline(c->activator));
    earlier(&at, agents_due(c));
    earlier(&at, fn_statuses_due(c));
    earlier(&at, scale_crowd_due(c));
    earlier(&at, slots_due(c));
    earlier(&at, spread_due(c));
    if (!core_adopting(c)) /* whose end is due, too */
        earlier(&at, pools_due(c->pools) < c->now ? c->now : pools_due(c->pools));
    list_for_each(it, &c->backoff)
        earlier(&at, list_entry(it, struct revision, backoff_link)->retry_at);
    list_for_each(it, &c->deleting)
        earlier(&at, list_entry(it, struct fn, delete_link)->delete_until);
    if (!list_empty(&c->leaving))
        earlier(&at, list_entry(c->leaving.next, struct instance, leaving_link)->leaving_until);
    if (!list_empty(&c->dead))
        earlier(&at, list_entry(c->dead.next, struct instance, dead_link)->dead_until);
    return at;
}

void core_peers(struct core *c, void (*on_peer)(void *user, uint64_t peer), void *user)
{
    for (size_t i = 0; i < nodes_count(c->nodes); i++)
        if (nodes_at(c->nodes, i)->peer)
            on_peer(user, nodes_at(c->nodes, i)->peer);
}
