#include "simulate/simulate.h"
#include "base/clock.h"
#include "simulate/cluster.h"
#include "simulate/options.h"
#include "simulate/rules.h"

#include <stdio.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static void print_head(void)
{
    printf("%-10s %10s %8s %8s %9s %8s %9s %11s %9s %9s %9s %8s %6s\n", "", "calls", "cold",
           "wait p99", "p99.9 ms", "refused", "starts", "instance-h", "idle-h", "GiB-h", "most GiB",
           "node-h", "nodes");
}

static void print(const char *name, const struct outcome *r, double took)
{
    double share = r->calls ? (double)r->cold / (double)r->calls : 0;

    printf("%-10s %10llu %7.3f%% %8.1f %9.1f %8llu %9llu %11.1f %9.1f %9.1f %9.1f %8.1f %6.0f\n",
           name, (unsigned long long)r->calls, 100 * share, outcome_wait(r, 0.99) / NS_PER_MS,
           outcome_wait(r, 0.999) / NS_PER_MS, (unsigned long long)r->refused,
           (unsigned long long)r->starts, r->instance_s / 3600, (r->instance_s - r->busy_s) / 3600,
           r->memory_s / 1024 / 3600, r->memory_peak / 1024, r->node_s / 3600, r->node_peak);
    fflush(stdout);
    if (r->turns)
        fprintf(stderr, "%s: %.1f s; %llu decisions of the core, %.1f us each\n", name, took,
                (unsigned long long)r->turns, (double)r->core_ns / NS_PER_US / (double)r->turns);
    else
        fprintf(stderr, "%s: %.1f s\n", name, took);
}

enum { ROW_PREDICTIVE = RULE_COUNT, ROW_ROUSE, ROWS };

static int open_trace(const struct simulate_options *o, struct trace **ret, struct err *e)
{
    const struct trace_config c = {.seed = o->seed,
                                   .functions = (uint32_t)o->functions,
                                   .rate_max = (double)o->rate_max,
                                   .duration_max = (double)o->duration_max / NS_PER_S};
    const struct trace_files files = {o->invocations, o->durations, o->app_memory};
    int r;

    if (o->invocations)
        return trace_read(&c, &files, ret, e);
    r = trace_new(&c, ret);
    return r < 0 ? err_errno(e, -r, "the workload") : 0;
}

static int run_cluster(const struct simulate_options *o, bool predictive, struct trace *t,
                       struct outcome *ret)
{
    const struct cluster_config c = {.seed = o->seed,
                                     .nodes = o->node_max ? 0 : (uint32_t)o->nodes,
                                     .node_min = o->node_max ? (uint32_t)o->node_min : 0,
                                     .node_max = (uint32_t)o->node_max,
                                     .node_create = o->node_create,
                                     .node_memory = o->memory,
                                     .node_cpu = 1000000000,
                                     .functions = trace_functions(t),
                                     .concurrency = (uint32_t)o->concurrency,
                                     .idle_timeout = o->idle_timeout,
                                     .predictive = predictive,
                                     .start = o->start,
                                     .init = o->init,
                                     .turn = o->turn,
                                     .end = o->time};

    return cluster_run(&c, t, ret);
}

static int run_rule(const struct simulate_options *o, enum rule rule, struct trace *t,
                    struct outcome *ret)
{
    const struct rule_config c = {.rule = rule,
                                  .seed = o->seed,
                                  .functions = trace_functions(t),
                                  .concurrency = (uint32_t)o->concurrency,
                                  .start = o->start,
                                  .init = o->init,
                                  .end = o->time};
    int r = rule_run(&c, t, ret);

    if (r == 0)
        outcome_pack(ret, (double)o->memory / (1 << 20));
    return r;
}

static int one(const struct simulate_options *o, int row, struct err *e)
{
    const char *name = row == ROW_ROUSE        ? "rouse"
                       : row == ROW_PREDICTIVE ? "predictive"
                                               : rule_name((enum rule)row);
    uint64_t since = clock_monotonic_ns();
    struct outcome out;
    struct trace *t;
    int r;

    if (o->only && strcmp(o->only, name))
        return 0;
    r = open_trace(o, &t, e);
    if (r < 0)
        return r;
    r = row >= RULE_COUNT ? run_cluster(o, row == ROW_PREDICTIVE, t, &out)
                          : run_rule(o, (enum rule)row, t, &out);
    trace_free(t);
    if (r < 0)
        return err_errno(e, -r, "%s", name);
    print(name, &out, (double)(clock_monotonic_ns() - since) / NS_PER_S);
    return 0;
}

int simulate_main(int argc, char **argv)
{
    struct simulate_options o;
    struct err e = {0};
    int r = 0;

    if (argc == 1 && !strcmp(argv[0], "--help")) {
        fputs(simulate_help, stdout);
        return 0;
    }
    if (simulate_options_parse(argc, argv, &o) < 0)
        return EXIT_USAGE;
    print_head();
    for (int row = ROWS; r == 0 && row-- > 0;)
        r = one(&o, row, &e);
    if (r < 0)
        fprintf(stderr, "rouse-controller simulate: %s\n", e.message);
    return r < 0 ? 1 : 0;
}
