/* The simulated cluster around the real core: nothing is lost, the same seed gives the same table, and what the
 * columns say is so. */
#include "simulate/cluster.h"
#include "base/clock.h"
#include "simulate/events.h"
#include "simulate/rules.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    ck_assert(o.node_s > 4 * 599 && o.node_s < 4 * 601); /* those that stay */
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

/* No more decisions than have time, and nobody is forgotten for it. */
START_TEST(a_turn_takes_its_time)
{
    struct cluster_config c = platform(100);
    struct outcome at_once = run(&c), slow;

    c.turn = 200 * NS_PER_MS;
    slow = run(&c);
    ck_assert_uint_gt(at_once.turns, c.end / c.turn);
    ck_assert_uint_le(slow.turns, c.end / c.turn + 1);
    ck_assert_uint_eq(slow.refused, 0);
    ck_assert_uint_ge(slow.calls + 20, calls_of(100, c.end));
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

static struct cluster_config pooled(uint32_t functions, uint32_t min, uint32_t max)
{
    struct cluster_config c = platform(functions);

    c.nodes = 0;
    c.node_min = min;
    c.node_max = max;
    c.node_memory = 2ull << 30;
    c.node_create = S(20);
    return c;
}

/* What the load needs is made, and no more than may be: less than the most of them all the time. */
START_TEST(a_pool_follows_the_load)
{
    struct cluster_config c = pooled(200, 1, 30);
    struct outcome o;

    c.end = S(2 * 3600);
    o = run(&c);
    ck_assert(o.node_peak > 2 && o.node_peak <= 30);
    ck_assert(o.memory_peak <= o.node_peak * 2048);
    ck_assert(o.node_s > 2 * 7200 && o.node_s < o.node_peak * 7200);
    ck_assert_uint_gt(o.calls, 20000);
    ck_assert_uint_lt(o.refused, o.calls / 100); /* while the first of them are made */
}
END_TEST

START_TEST(a_pool_of_one_refuses_what_does_not_fit)
{
    struct cluster_config c = pooled(200, 1, 1);
    struct outcome o = run(&c);

    ck_assert(o.node_peak > 0 && o.node_peak < 2);
    ck_assert(o.memory_peak <= 2048);
    ck_assert_uint_gt(o.refused, 0);
}
END_TEST

/* Ten minutes of load at the begin of a day, from a file; then nothing. */
static struct trace *brief(void)
{
    char path[] = "/tmp/rouse-brief-XXXXXX";
    FILE *f = fdopen(mkstemp(path), "w");
    const struct trace_config c = {.seed = 1, .rate_max = 1, .duration_max = 3};
    const struct trace_files files = {path, NULL, NULL};
    struct trace *t;
    struct err e;

    ck_assert_ptr_nonnull(f);
    fputs("HashOwner,HashApp,HashFunction,Trigger", f);
    for (int m = 1; m <= TRACE_MINUTES; m++)
        fprintf(f, ",%d", m);
    for (int k = 0; k < 20; k++) {
        fprintf(f, "\no,a,f%d,http", k);
        for (int m = 0; m < TRACE_MINUTES; m++)
            fputs(m < 10 ? ",60" : ",0", f);
    }
    fclose(f);
    ck_assert_msg(trace_read(&c, &files, &t, &e) == 0, "%s", e.message);
    unlink(path);
    return t;
}

/* But one: what sleeps must find a node to wake on, though the pool's min is 0. */
START_TEST(nodes_go_when_nothing_runs)
{
    struct cluster_config c = pooled(20, 0, 40);
    struct trace *t = brief();
    struct outcome o;

    c.end = S(24 * 3600);
    c.node_create = S(5);
    ck_assert_int_eq(cluster_run(&c, t, &o), 0);
    trace_free(t);
    ck_assert_uint_gt(o.calls, 10000);
    ck_assert(o.node_peak > 2 && o.node_peak <= 40);
    ck_assert(o.node_s > 23.5 * 3600);
    ck_assert_msg(o.node_s < 24 * 3600 + o.node_peak * 2 * 3600, "%f of %f", o.node_s, o.node_peak);
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

    ck_assert_uint_eq(knative.calls + knative.refused, calls);
    ck_assert_uint_eq(hpa.calls + hpa.refused, calls);
    ck_assert_uint_eq(keepalive.calls, calls);
    ck_assert(outcome_wait(&hpa, 1) <= 1.08 * (double)RULE_PATIENCE_NS);
    /* The HPA has no zero: each function has an instance all the time. */
    ck_assert(hpa.instance_s >= 200.0 * 1199);
    ck_assert_uint_lt(hpa.cold, knative.cold);
    /* Who finds none free does not wait for another's end. */
    ck_assert(outcome_wait(&keepalive, 0.999) < S(3));
    ck_assert(knative.instance_s < keepalive.instance_s);
    ck_assert(knative.memory_peak < keepalive.memory_peak);
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

UNIT_MAIN("cluster", nothing_is_lost, the_same_seed_gives_the_same_table, a_turn_takes_its_time,
          without_room_calls_are_refused, a_longer_idle_time_is_fewer_cold_starts,
          a_pool_follows_the_load, a_pool_of_one_refuses_what_does_not_fit,
          nodes_go_when_nothing_runs, a_learned_history_is_fewer_cold_starts, others,
          the_heap_keeps_order)
