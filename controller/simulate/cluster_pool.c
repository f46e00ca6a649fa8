/* cluster_pool.c - which nodes there are: some that stay, or a NodePool's, whose provider this is. */
#include "simulate/cluster_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_NAME "pool"

struct sim_node *node_make(struct cluster *c, const char *name)
{
    struct sim_node *n = calloc(1, sizeof(*n));

    if (c->node_count == c->node_capacity) {
        c->node_capacity = c->node_capacity ? 2 * c->node_capacity : 64;
        c->nodes = realloc(c->nodes, c->node_capacity * sizeof(struct sim_node *));
    }
    if (!n || !c->nodes)
        abort();
    snprintf(n->name, sizeof(n->name), "%s", name);
    list_init(&n->told);
    n->asked = c->now;
    c->nodes[c->node_count++] = n;
    n->peer = c->node_count;
    return n;
}

static void count(struct cluster *c, int by)
{
    c->nodes_now = (size_t)((ssize_t)c->nodes_now + by);
    if ((double)c->nodes_now > c->out->node_peak)
        c->out->node_peak = (double)c->nodes_now;
}

static void ended(struct cluster *c, struct sim_node *n)
{
    if (n == c->nodes[0] || n->gone)
        return;
    n->gone = true;
    outcome_node(c->out, n->asked - CLUSTER_BEGIN, c->now - CLUSTER_BEGIN);
    count(c, -1);
}

void node_comes(struct cluster *c, struct sim_node *n)
{
    if (n->gone)
        return;
    n->there = true;
    node_hello(c, n);
}

/* A NodePool with the defaults of the schema. */
static struct pool_spec *pool_of(const struct cluster_config *c)
{
    struct pool_spec *s = calloc(1, sizeof(*s));

    if (!s)
        abort();
    s->refs = 1;
    strcpy(s->name, POOL_NAME);
    s->provider = POOL_PROCESS;
    s->min = c->node_min;
    s->max = c->node_max;
    s->template.memory = c->node_memory;
    s->template.cpu = c->node_cpu;
    s->template.architecture = strdup("");
    s->template_json = strdup("{}");
    if (!s->template.architecture || !s->template_json)
        abort();
    s->up.utilization = 80;
    s->up.window_ns = 30 * NS_PER_S;
    s->up.provision_timeout_ns = 900 * NS_PER_S;
    s->up.backoff_ns = 300 * NS_PER_S;
    s->up.backoff_max_ns = 1800 * NS_PER_S;
    s->up.backoff_reset_ns = 10800 * NS_PER_S;
    s->down.threshold = 50;
    s->down.after_ns = 600 * NS_PER_S;
    s->down.delay_after_add_ns = 600 * NS_PER_S;
    s->down.delay_after_failure_ns = 180 * NS_PER_S;
    s->down.drain_timeout_ns = 600 * NS_PER_S;
    s->down.unready_after_ns = 1200 * NS_PER_S;
    return s;
}

/* The pool's first ones have been there before: its provider lists them. */
void nodes_begin(struct cluster *c)
{
    uint32_t first = c->config.nodes ? c->config.nodes : c->config.node_min;
    struct actions out = {0};
    struct pool_spec *s;

    node_comes(c, node_make(c, "entry"));
    for (uint32_t k = 0; k < first; k++) {
        char name[32];

        snprintf(name, sizeof(name), POOL_NAME "-%u", k);
        count(c, 1);
        node_comes(c, node_make(c, name));
    }
    if (c->config.nodes)
        return;
    s = pool_of(&c->config);
    core_pool(c->core, c->now, NULL, s, &out);
    cluster_carry_out(c, &out);
    pool_spec_unref(s);
}

void nodes_end(struct cluster *c)
{
    for (size_t k = 0; k < c->node_count; k++) {
        ended(c, c->nodes[k]);
        free(c->nodes[k]);
    }
    free(c->nodes);
}

/* ---- the provider */

static struct sim_node *find(const struct cluster *c, const char *name)
{
    for (size_t k = c->node_count; k-- > 0;)
        if (!c->nodes[k]->gone && !strcmp(c->nodes[k]->name, name))
            return c->nodes[k];
    return NULL;
}

/* Answered later: the core is at work now. */
void provider_asked(struct cluster *c, const struct provider_request *q)
{
    struct sim_node *n = q->verb == PROVIDER_LIST ? NULL : find(c, q->node);

    if (q->verb == PROVIDER_CREATE && !n) {
        double after = (double)c->config.node_create * draw_lognormal(&c->draw, 0, 0.4);

        n = node_make(c, q->node);
        count(c, 1);
        events_put(&c->events, c->now + (uint64_t)after, CLUSTER_NODE, n, 0);
    }
    events_put(&c->events, c->now, CLUSTER_ANSWER, n, q->verb);
}

static void remove_node(struct cluster *c, struct sim_node *n)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Rouse__Control__V1__Leaving leaving = ROUSE__CONTROL__V1__LEAVING__INIT;
    struct actions out = {0};

    ended(c, n);
    if (!n->there)
        return;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LEAVING;
    m.leaving = &leaving;
    cluster_tell(c, n, &m);
    n->there = false;
    core_agent_closed(c->core, c->now, n->peer, "its agent has ended", &out);
    cluster_carry_out(c, &out);
}

static void list_nodes(const struct cluster *c, struct provider_answer *a)
{
    a->nodes = calloc(c->nodes_now + 1, sizeof(*a->nodes));
    if (!a->nodes)
        abort();
    for (size_t k = 1; k < c->node_count; k++)
        if (!c->nodes[k]->gone)
            strcpy(a->nodes[a->node_count++], c->nodes[k]->name);
}

void provider_answers(struct cluster *c, struct sim_node *n, enum provider_verb verb)
{
    struct provider_answer a = {.verb = verb, .pool = POOL_NAME};
    struct actions out = {0};

    if (n)
        strcpy(a.node, n->name);
    if (verb == PROVIDER_DELETE && n)
        remove_node(c, n);
    if (verb == PROVIDER_LIST)
        list_nodes(c, &a);
    core_provider(c->core, c->now, &a, &out);
    cluster_carry_out(c, &out);
    c->touched = true;
    free(a.nodes);
}
