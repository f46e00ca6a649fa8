/* pool_world.h - node pools by events: nodes, needs and answers of values, and what the pools wish. */
#pragma once
#include "nodes/pool.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define S(n) ((uint64_t)(n)*1000000000)
#define GI   (1ull << 30)
#define MI   (1ull << 20)

enum { NODES = 16, LOG = 64 };

static struct sim {
    struct pools *pools;
    uint64_t now, seed;
    struct pool_node nodes[NODES];
    char names[NODES][64];
    struct pool_need on[NODES][4]; /* instances of each */
    size_t node_count;
    struct pool_need pending[8], starts[8];
    size_t pending_count, start_count;
    /* what was wished */
    struct pool_wish wishes[LOG];
    size_t wish_count;
    struct pool_status status;
} sim, *m = &sim;

static inline struct pool_spec *spec_of(const char *name, uint32_t min, uint32_t max,
                                        uint64_t memory, uint64_t cpu)
{
    struct pool_spec *s = calloc(1, sizeof(*s));

    s->refs = 1;
    strcpy(s->name, name);
    s->min = min;
    s->max = max;
    s->template.memory = memory;
    s->template.cpu = cpu;
    s->template.architecture = strdup("");
    s->up.utilization = 80;
    s->up.window_ns = S(30);
    s->up.provision_timeout_ns = S(900);
    s->up.backoff_ns = S(300);
    s->up.backoff_max_ns = S(1800);
    s->up.backoff_reset_ns = S(10800);
    s->down.threshold = 50;
    s->down.after_ns = S(600);
    s->down.delay_after_add_ns = S(600);
    s->down.delay_after_failure_ns = S(180);
    s->down.drain_timeout_ns = S(600);
    s->down.unready_after_ns = S(1200);
    return s;
}

static const struct pool_need *needs_of(void *user, size_t node, size_t *ret_count)
{
    (void)user;
    *ret_count = 4;
    return m->on[node];
}

static const struct pool_need *starts(void *user, size_t *ret_count)
{
    (void)user;
    *ret_count = m->start_count;
    return m->starts;
}

/* `who` is NULL, or the name of the only pool whose nodes it suits. */
static bool suits_node(void *user, const void *who, size_t node)
{
    (void)user;
    return !who || !strncmp(m->nodes[node].name, who, strlen(who));
}

static bool suits_template(void *user, const void *who, const struct pool_spec *pool)
{
    (void)user;
    return !who || !strcmp(pool->name, who);
}

static uint64_t number(void *user)
{
    (void)user;
    return ++m->seed;
}

static void on_status(void *user, const struct pool_spec *spec, const struct pool_status *s)
{
    (void)spec;
    *(struct pool_status *)user = *s;
}

static size_t decide(void)
{
    struct pool_wishes out = {0};
    struct pool_input in = {.nodes = m->nodes,
                            .node_count = m->node_count,
                            .pending = m->pending,
                            .pending_count = m->pending_count,
                            .needs_of = needs_of,
                            .starts = starts,
                            .suits_node = suits_node,
                            .suits_template = suits_template,
                            .random = number};

    pools_decide(m->pools, &in, m->now, &out);
    m->wish_count = 0;
    for (size_t i = 0; i < out.count; i++) {
        const struct pool_wish *w = &out.items[i];

        ck_assert_uint_lt(m->wish_count, LOG);
        if (w->verb != POOL_LIST)
            m->wishes[m->wish_count++] = *w;
        for (size_t k = 0; k < m->node_count; k++)
            if (!strcmp(m->names[k], w->node) && (w->verb == POOL_DRAIN || w->verb == POOL_OPEN))
                m->nodes[k].open = w->verb == POOL_OPEN;
        if (w->verb == POOL_LIST)
            pools_answer(m->pools, &(struct pool_answer){.verb = POOL_LIST, .pool = "?"}, m->now);
    }
    free(out.items);
    pools_each(m->pools, on_status, &m->status);
    return m->wish_count;
}

static inline size_t count(enum pool_verb verb)
{
    size_t n = 0;

    for (size_t i = 0; i < m->wish_count; i++)
        n += m->wishes[i].verb == verb;
    return n;
}

static inline size_t pass(uint64_t seconds) /* until something is wished, or so long */
{
    for (uint64_t i = 0; i < seconds; i++) {
        m->now += S(1);
        if (decide())
            return m->wish_count;
    }
    return 0;
}

static inline void list_is(const char *pool, const char (*nodes)[64], size_t n)
{
    pools_answer(
        m->pools,
        &(struct pool_answer){.verb = POOL_LIST, .pool = pool, .nodes = nodes, .node_count = n},
        m->now);
}

static inline void answer(enum pool_verb verb, const char *pool, const char *node, int error)
{
    pools_answer(m->pools,
                 &(struct pool_answer){
                     .verb = verb, .pool = pool, .node = node, .error = error, .message = "said no"},
                 m->now);
}

static inline void join_sized(const char *name, uint64_t memory, uint64_t cpu)
{
    size_t i = m->node_count++;

    strcpy(m->names[i], name);
    memset(m->on[i], 0, sizeof(m->on[i]));
    m->nodes[i] = (struct pool_node){.name = m->names[i],
                                     .ready = true,
                                     .open = true,
                                     .allocatable_memory = memory,
                                     .allocatable_cpu = cpu};
}

static inline void join(const char *name)
{
    join_sized(name, GI, 4000);
}

/* `n` instances of 128 MiB and half a cpu each on the node. */
static inline void load(size_t node, uint32_t n)
{
    m->on[node][0] = (struct pool_need){.memory = 128 * MI, .cpu = 500, .count = n};
    m->nodes[node].reserved_memory = n * 128 * MI;
    m->nodes[node].reserved_cpu = n * 500;
    m->nodes[node].instances = n;
}

static inline void wait_for(uint32_t n)
{
    m->pending[0] = (struct pool_need){.memory = 128 * MI, .cpu = 500, .count = n};
    m->pending_count = n > 0;
}

static inline void leave(size_t node)
{
    m->node_count--;
    for (size_t i = node; i < m->node_count; i++) {
        m->nodes[i] = m->nodes[i + 1];
        strcpy(m->names[i], m->names[i + 1]);
        m->nodes[i].name = m->names[i];
        memcpy(m->on[i], m->on[i + 1], sizeof(m->on[i]));
    }
}

static inline void add(struct pool_spec *s)
{
    ck_assert_int_eq(pools_set(m->pools, NULL, s, m->now), 0);
    decide();
    list_is(s->name, NULL, 0);
    pool_spec_unref(s);
}

static inline void begin(void)
{
    memset(m, 0, sizeof(*m));
    m->now = S(1000);
    ck_assert_int_eq(pools_new(&m->pools), 0);
}

static inline void end(void)
{
    pools_free(m->pools);
}
