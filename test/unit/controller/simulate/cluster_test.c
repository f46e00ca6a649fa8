/* The simulated cluster around the real core: nothing is lost, the same seed gives the same table, and what the
 * columns say is so. */
#include "simulate/cluster.h"
#include "base/clock.h"
#include "simulate/events.h"
#include "simulate/rules.h"
#include "unit.h"

#include <string.h>

#define S(n) ((uint64_t)(n)*NS_PER_S)

static struct trace *trace_of(uint32_t functions, double rate_max)
{
    struct trace_config c = {
        .seed = 7, .functions = functions, .rate_max = rate_max, .duration_max = 5};
    struct trace *t;

    ck_assert_int_eq(trace_new(&c, &t), 0);
    return t;
}

static struct cluster_config platform(uint32_t functions)
{
    return (struct cluster_config){.seed = 7,
                                   .nodes = 4,
                                   .node_memory = 64ull << 30,
                                   .node_cpu = 1000000,
                                   .functions = functions,
                                   .concurrency = 1,
                                   .idle_timeout = S(60),
                                   .start = 3 * NS_PER_MS,
                                   .init = 100 * NS_PER_MS,
                                   .end = S(600)};
}

static struct outcome run(const struct cluster_config *c)
{
    struct trace *t = trace_of(c->functions, 5);
    struct outcome o;

    ck_assert_int_eq(cluster_run(c, t, &o), 0);
    trace_free(t);
    return o;
}

static uint64_t calls_of(uint32_t functions, uint64_t end)
{
    struct trace *t = trace_of(functions, 5);
    struct trace_call k;
    uint64_t n = 0;

    for (trace_next(t, &k); k.at < end; trace_next(t, &k))
        n++;
    trace_free(t);
    return n;
}

START_TEST(nothing_is_lost)
{
    struct cluster_config c = platform(200);
    struct outcome o = run(&c);
    uint64_t calls = calls_of(200, c.end);

    ck_assert_uint_gt(calls, 1000);
    ck_assert_uint_eq(o.refused, 0);
    ck_assert_uint_le(o.calls, calls);
    ck_assert_uint_le(calls - o.calls, 20); /* those that wait when the time is over */
    ck_assert_uint_gt(o.cold, 0);
    ck_assert_uint_lt(o.cold, o.calls / 2);
    ck_assert(o.busy_s > 0 && o.busy_s < o.instance_s);
    ck_assert(o.memory_now < 1 && o.memory_now > -1);
}
END_TEST

START_TEST(the_same_seed_gives_the_same_table)
{
    struct cluster_config c = platform(100);
    struct outcome a = run(&c), b = run(&c);

    a.core_ns = b.core_ns = 0;
    ck_assert_int_eq(memcmp(&a, &b, sizeof(a)), 0);
}
END_TEST

START_TEST(without_room_calls_are_refused)
{
    struct cluster_config c = platform(200);
    struct outcome o;

    c.nodes = 1;
    c.node_memory = 1ull << 30;
    o = run(&c);
    ck_assert_uint_gt(o.refused, 0);
    ck_assert(o.memory_peak <= 1024);
}
END_TEST

START_TEST(a_longer_idle_time_is_fewer_cold_starts)
{
    struct cluster_config c = platform(200);
    struct outcome brief, lengthy;

    c.idle_timeout = S(10);
    brief = run(&c);
    c.idle_timeout = S(300);
    lengthy = run(&c);
    ck_assert_uint_gt(brief.cold, lengthy.cold);
    ck_assert(brief.instance_s < lengthy.instance_s);
}
END_TEST

/* Timers, above all, are called again after the same time. */
START_TEST(a_learned_history_is_fewer_cold_starts)
{
    struct cluster_config c = platform(100);
    struct outcome plain, learned;

    c.end = S(4 * 3600);
    plain = run(&c);
    c.predictive = true;
    learned = run(&c);
    ck_assert_uint_eq(plain.calls, learned.calls);
    ck_assert_uint_lt(learned.cold * 5, plain.cold * 4);
}
END_TEST

static struct outcome rule(enum rule r, uint32_t functions)
{
    struct rule_config c = {.rule = r,
                            .seed = 7,
                            .functions = functions,
                            .concurrency = 1,
                            .start = 3 * NS_PER_MS,
                            .init = 100 * NS_PER_MS,
                            .end = S(1200)};
    struct trace *t = trace_of(functions, 5);
    struct outcome o;

    ck_assert_int_eq(rule_run(&c, t, &o), 0);
    trace_free(t);
    return o;
}

START_TEST(others)
{
    uint64_t calls = calls_of(200, S(1200));
    struct outcome knative = rule(RULE_KNATIVE, 200), hpa = rule(RULE_HPA, 200),
                   keepalive = rule(RULE_KEEPALIVE, 200);

    ck_assert_uint_eq(knative.calls, calls);
    ck_assert_uint_eq(hpa.calls, calls);
    ck_assert_uint_eq(keepalive.calls, calls);
    /* The HPA has no zero: each function has an instance all the time. */
    ck_assert(hpa.instance_s >= 200.0 * 1199);
    ck_assert_uint_lt(hpa.cold, knative.cold);
    /* Who finds none free does not wait for another's end. */
    ck_assert(outcome_wait(&keepalive, 0.999) < S(3));
    ck_assert(knative.instance_s < keepalive.instance_s);
    ck_assert(knative.memory_now > -1 && knative.memory_now < 1);
}
END_TEST

START_TEST(the_heap_keeps_order)
{
    struct events e = {0};
    uint64_t seed = 1, last = 0, order = 0, at;

    for (int i = 0; i < 5000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        events_put(&e, seed >> 60, 0, NULL, 0);
    }
    while (events_first(&e, &at)) {
        struct event v = events_pop(&e);

        ck_assert_uint_eq(v.at, at);
        ck_assert(v.at > last || (v.at == last && v.order >= order));
        last = v.at;
        order = v.order;
    }
    events_done(&e);
}
END_TEST

UNIT_MAIN("cluster", nothing_is_lost, the_same_seed_gives_the_same_table,
          without_room_calls_are_refused, a_longer_idle_time_is_fewer_cold_starts,
          a_learned_history_is_fewer_cold_starts, others, the_heap_keeps_order)
