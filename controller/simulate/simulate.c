#include "simulate/simulate.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/quantity.h"
#include "simulate/cluster.h"
#include "simulate/rules.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

static const char help[] =
    "rouse-controller simulate: the same autoscaler, activator and scheduler on virtual time, beside the rules of\n"
    "other platforms, on a workload drawn from the published shape of a large cloud's.\n"
    "\n"
    "usage: rouse-controller simulate [flags]\n"
    "\n"
    "The workload (controller/simulate/trace.h has its sources)\n"
    "  --functions N            1 to 4000000 (1000)\n"
    "  --time DURATION          of virtual time, up to 1000h (1h)\n"
    "  --rate-max N             calls a second of one function, on average, at most (20)\n"
    "  --duration-max DURATION  a function's average, at most (60s)\n"
    "  --seed N                 the same seed, the same calls (1)\n"
    "\n"
    "The platform\n"
    "  --nodes N                1 to 10000 (20)\n"
    "  --node-memory BYTES      for instances (64Gi)\n"
    "  --concurrency N          calls an instance serves at once, 1 to 1000 (1)\n"
    "  --idle-timeout DURATION  spec.scaling.idleTimeout (60s)\n"
    "  --start DURATION         until a runtime is there, the median (3ms)\n"
    "  --init DURATION          until the function's code is loaded, the median (100ms)\n"
    "  --only NAME              one row: rouse, predictive (the same with\n"
    "                           spec.scaling.predictive), knative, hpa, keepalive\n"
    "\n"
    "columns  cold: calls that found no instance ready; wait: until work began; refused; starts; instance-h and their\n"
    "         idle share; GiB-h; the most GiB at once; nodes: of --node-memory, as the most GiB need them\n"
    "\n"
    "example: rouse-controller simulate --functions 10000 --nodes 100 --time 24h\n";

struct options {
    uint64_t functions, seed, nodes, concurrency, memory, rate_max;
    uint64_t time, duration_max, idle_timeout, start, init;
    const char *only;
};

static bool number(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *ret = strtoull(text, &end, 10);
    return !*end && *ret <= max;
}

static int parse(int argc, char **argv, struct options *o)
{
    const struct {
        const char *flag;
        uint64_t *to, max; /* max 0: a duration; 1: bytes */
    } flags[] = {{"--functions", &o->functions, 4000000},
                 {"--seed", &o->seed, UINT64_MAX / 2},
                 {"--nodes", &o->nodes, 10000},
                 {"--concurrency", &o->concurrency, 1000},
                 {"--rate-max", &o->rate_max, 100000},
                 {"--time", &o->time, 0},
                 {"--duration-max", &o->duration_max, 0},
                 {"--idle-timeout", &o->idle_timeout, 0},
                 {"--start", &o->start, 0},
                 {"--init", &o->init, 0},
                 {"--node-memory", &o->memory, 1}};

    for (int i = 0; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        size_t k = 0;
        bool good;

        while (k < sizeof(flags) / sizeof(*flags) && strcmp(argv[i], flags[k].flag))
            k++;
        if (k == sizeof(flags) / sizeof(*flags) && strcmp(argv[i], "--only")) {
            fprintf(stderr, "rouse-controller simulate: unknown flag %s; --help shows all\n",
                    argv[i]);
            return -EINVAL;
        }
        if (!value) {
            fprintf(stderr, "rouse-controller simulate: %s needs a value\n", argv[i]);
            return -EINVAL;
        }
        if (k == sizeof(flags) / sizeof(*flags)) {
            o->only = value;
            continue;
        }
        good = flags[k].max > 1    ? number(value, flags[k].max, flags[k].to)
               : flags[k].max == 1 ? quantity_memory(value, flags[k].to) == 0
                                   : quantity_duration(value, flags[k].to) == 0;
        if (!good) {
            fprintf(stderr,
                    "rouse-controller simulate: %s \"%s\" is out of its range; --help shows it\n",
                    argv[i], value);
            return -EINVAL;
        }
    }
    if (!o->functions || !o->nodes || !o->concurrency || !o->rate_max || !o->memory || !o->time ||
        !o->duration_max || o->time > 1000 * 3600 * NS_PER_S) {
        fprintf(stderr,
                "rouse-controller simulate: only --idle-timeout, --start, --init and --seed may be 0, and "
                "--time is at most 1000h\n");
        return -EINVAL;
    }
    return 0;
}

static void print(const struct options *o, const char *name, const struct outcome *r, double took)
{
    double share = r->calls ? (double)r->cold / (double)r->calls : 0;
    double idle = r->instance_s > 0 ? 1 - r->busy_s / r->instance_s : 0;
    double nodes = r->memory_peak * (1 << 20) / (double)o->memory;

    printf("%-10s %10llu %7.3f%% %8.1f %9.1f %8llu %9llu %11.1f %5.1f%% %9.1f %9.1f %6.0f\n", name,
           (unsigned long long)r->calls, 100 * share, outcome_wait(r, 0.99) / NS_PER_MS,
           outcome_wait(r, 0.999) / NS_PER_MS, (unsigned long long)r->refused,
           (unsigned long long)r->starts, r->instance_s / 3600, 100 * idle,
           r->memory_s / 1024 / 3600, r->memory_peak / 1024, nodes < 1 ? 1 : nodes + 0.999);
    fflush(stdout);
    if (r->turns)
        fprintf(stderr, "%s: %.1f s; %llu decisions of the core, %.1f us each\n", name, took,
                (unsigned long long)r->turns, (double)r->core_ns / NS_PER_US / (double)r->turns);
    else
        fprintf(stderr, "%s: %.1f s\n", name, took);
}

enum { ROW_PREDICTIVE = RULE_COUNT, ROW_ROUSE, ROWS };

static int one(const struct options *o, int row)
{
    const struct trace_config tc = {.seed = o->seed,
                                    .functions = (uint32_t)o->functions,
                                    .rate_max = (double)o->rate_max,
                                    .duration_max = (double)o->duration_max / NS_PER_S};
    const struct cluster_config cc = {.seed = o->seed,
                                      .nodes = (uint32_t)o->nodes,
                                      .node_memory = o->memory,
                                      .node_cpu = 1000000000,
                                      .functions = tc.functions,
                                      .concurrency = (uint32_t)o->concurrency,
                                      .idle_timeout = o->idle_timeout,
                                      .predictive = row == ROW_PREDICTIVE,
                                      .start = o->start,
                                      .init = o->init,
                                      .end = o->time};
    const struct rule_config rc = {.rule = (enum rule)row,
                                   .seed = o->seed,
                                   .functions = tc.functions,
                                   .concurrency = cc.concurrency,
                                   .start = o->start,
                                   .init = o->init,
                                   .end = o->time};
    const char *name = row == ROW_ROUSE        ? "rouse"
                       : row == ROW_PREDICTIVE ? "predictive"
                                               : rule_name(rc.rule);
    uint64_t since = clock_monotonic_ns();
    struct outcome r;
    struct trace *t;
    int e;

    if (o->only && strcmp(o->only, name))
        return 0;
    e = trace_new(&tc, &t);
    if (e < 0)
        return e;
    e = row >= RULE_COUNT ? cluster_run(&cc, t, &r) : rule_run(&rc, t, &r);
    trace_free(t);
    if (e == 0)
        print(o, name, &r, (double)(clock_monotonic_ns() - since) / NS_PER_S);
    return e;
}

int simulate_main(int argc, char **argv)
{
    struct options o = {.functions = 1000, .seed = 1, .nodes = 20, .concurrency = 1, .rate_max = 20};
    int e = 0;

    o.memory = 64ull << 30;
    o.time = 3600 * NS_PER_S;
    o.duration_max = o.idle_timeout = 60 * NS_PER_S;
    o.start = 3 * NS_PER_MS;
    o.init = 100 * NS_PER_MS;
    if (argc == 1 && !strcmp(argv[0], "--help")) {
        fputs(help, stdout);
        return 0;
    }
    if (parse(argc, argv, &o) < 0)
        return EXIT_USAGE;
    printf("%-10s %10s %8s %8s %9s %8s %9s %11s %6s %9s %9s %6s\n", "", "calls", "cold", "wait p99",
           "p99.9 ms", "refused", "starts", "instance-h", "idle", "GiB-h", "most GiB", "nodes");
    for (int row = ROWS; e == 0 && row-- > 0;)
        e = one(&o, row);
    if (e < 0)
        fprintf(stderr, "rouse-controller simulate: %s\n", strerror(-e));
    return e < 0 ? 1 : 0;
}
