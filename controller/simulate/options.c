#include "simulate/options.h"
#include "base/clock.h"
#include "base/quantity.h"
#include "simulate/cluster.h"
#include "simulate/trace.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FUNCTIONS = 1000 };
#define TIME_MAX (1000ull * 3600 * NS_PER_S)

const char simulate_help[] =
    "rouse-controller simulate: the same autoscaler, activator, scheduler and node pools on virtual time, beside the\n"
    "rules of other platforms, on a workload drawn from the published shape of a large cloud's, or on its own files.\n"
    "\n"
    "usage: rouse-controller simulate [flags]\n"
    "\n"
    "The workload (controller/simulate/trace.h has its sources)\n"
    "  --functions N            1 to 4000000 (1000); of files, so many of the first (all)\n"
    "  --time DURATION          of virtual time, up to 1000h (1h)\n"
    "  --rate-max N             calls a second of one function, on average, at most (20)\n"
    "  --duration-max DURATION  a function's average, at most (60s)\n"
    "  --seed N                 the same seed, the same calls (1)\n"
    "  --invocations FILE       a day of the Azure Functions data set of 2019, instead of a drawn one:\n"
    "                           invocations_per_function_md.anon.dNN.csv\n"
    "  --durations FILE         function_durations_percentiles.anon.dNN.csv (drawn)\n"
    "  --memory FILE            app_memory_percentiles.anon.dNN.csv (drawn)\n"
    "\n"
    "The platform\n"
    "  --nodes N                that are there all the time, 1 to 10000 (20)\n"
    "  --node-max N             instead of these a NodePool with its defaults, of at most so many\n"
    "  --node-min N             ... and at least so many, which are there at the start (1)\n"
    "  --node-create DURATION   from the wish for a node until its agent is there, the median (60s)\n"
    "  --node-memory BYTES      for instances (64Gi)\n"
    "  --concurrency N          calls an instance serves at once, 1 to 1000 (1)\n"
    "  --idle-timeout DURATION  spec.scaling.idleTimeout (60s)\n"
    "  --start DURATION         until a runtime is there, the median (3ms)\n"
    "  --init DURATION          until the function's code is loaded, the median (100ms)\n"
    "  --turn DURATION          between two decisions, at least, as of a controller that is busy: what comes\n"
    "                           meanwhile is decided together; for very many functions and nodes (0s)\n"
    "  --only NAME              one row: rouse, predictive (the same with\n"
    "                           spec.scaling.predictive), knative, hpa, keepalive\n"
    "\n"
    "columns  cold: calls that found no instance ready; wait: until work began; refused: after 30 s without a turn, or\n"
    "         for want of room; starts; instance-h and the hours of it without work; GiB-h; the most GiB at once;\n"
    "         node-h and the most nodes: the pool's own (or --nodes, all the time). For the rules of others, which have\n"
    "         no nodes here: as many of --node-memory as hold what they reserve with 80 % in use, packed without a gap\n"
    "         and there at once; one goes when it was not needed for ten minutes\n"
    "\n"
    "examples: rouse-controller simulate --functions 10000 --nodes 100 --time 24h\n"
    "          rouse-controller simulate --functions 1000 --node-max 20 --node-memory 16Gi --time 6h --rate-max 1\n";

enum kind { NUMBER, DURATION, BYTES, TEXT };
struct flag {
    const char *name;
    enum kind kind;
    void *to;
    uint64_t min, max;
};

static bool number(const char *text, uint64_t *ret)
{
    char *end;

    if (*text < '0' || *text > '9' || strlen(text) > 18)
        return false;
    *ret = strtoull(text, &end, 10);
    return !*end;
}

static bool read_value(const struct flag *f, const char *text)
{
    uint64_t v;
    bool good;

    if (f->kind == TEXT) {
        *(const char **)f->to = text;
        return true;
    }
    good = f->kind == NUMBER     ? number(text, &v)
           : f->kind == DURATION ? quantity_duration(text, &v) == 0
                                 : quantity_memory(text, &v) == 0;
    if (!good || v < f->min || v > f->max)
        return false;
    *(uint64_t *)f->to = v;
    return true;
}

static int refuse(const char *why, const char *name)
{
    fprintf(stderr, "rouse-controller simulate: %s%s\n", name, why);
    return -EINVAL;
}

static int together(struct simulate_options *o, bool nodes, bool pool)
{
    if (o->node_max && nodes)
        return refuse(" and --nodes exclude each other", "--node-max");
    if (pool && !o->node_max)
        return refuse(" are of the pool that --node-max asks for; it is missing",
                      "--node-min and --node-create");
    if (o->node_min > o->node_max && o->node_max)
        return refuse(" is more than --node-max", "--node-min");
    if (!o->invocations && (o->durations || o->app_memory))
        return refuse(" are of functions that --invocations names; it is missing",
                      "--durations and --memory");
    if (o->only && strcmp(o->only, "rouse") != 0 && strcmp(o->only, "predictive") != 0 &&
        strcmp(o->only, "knative") != 0 && strcmp(o->only, "hpa") != 0 &&
        strcmp(o->only, "keepalive") != 0)
        return refuse(" knows rouse, predictive, knative, hpa, keepalive", "--only");
    if (!o->invocations && !o->functions)
        o->functions = FUNCTIONS;
    return 0;
}

int simulate_options_parse(int argc, char **argv, struct simulate_options *o)
{
    const struct flag flags[] = {{"--functions", NUMBER, &o->functions, 1, 4000000},
                                 {"--seed", NUMBER, &o->seed, 0, UINT64_MAX},
                                 {"--nodes", NUMBER, &o->nodes, 1, CLUSTER_NODES_MAX},
                                 {"--node-min", NUMBER, &o->node_min, 0, CLUSTER_NODES_MAX},
                                 {"--node-max", NUMBER, &o->node_max, 1, CLUSTER_NODES_MAX},
                                 {"--node-create", DURATION, &o->node_create, 0, TIME_MAX},
                                 {"--node-memory", BYTES, &o->memory, 64 << 20, 1ull << 50},
                                 {"--concurrency", NUMBER, &o->concurrency, 1, 1000},
                                 {"--rate-max", NUMBER, &o->rate_max, 1, 100000},
                                 {"--time", DURATION, &o->time, 1, TIME_MAX},
                                 {"--duration-max", DURATION, &o->duration_max, 1, TIME_MAX},
                                 {"--idle-timeout", DURATION, &o->idle_timeout, 0, TIME_MAX},
                                 {"--start", DURATION, &o->start, 0, TIME_MAX},
                                 {"--init", DURATION, &o->init, 0, TIME_MAX},
                                 {"--turn", DURATION, &o->turn, 0, NS_PER_S},
                                 {"--invocations", TEXT, &o->invocations, 0, 0},
                                 {"--durations", TEXT, &o->durations, 0, 0},
                                 {"--memory", TEXT, &o->app_memory, 0, 0},
                                 {"--only", TEXT, &o->only, 0, 0}};
    bool nodes = false, pool = false;

    *o = (struct simulate_options){.seed = 1,
                                   .nodes = 20,
                                   .node_min = 1,
                                   .node_create = 60 * NS_PER_S,
                                   .memory = 64ull << 30,
                                   .concurrency = 1,
                                   .rate_max = 20,
                                   .time = 3600 * NS_PER_S,
                                   .duration_max = 60 * NS_PER_S,
                                   .idle_timeout = 60 * NS_PER_S,
                                   .start = 3 * NS_PER_MS,
                                   .init = 100 * NS_PER_MS};
    for (int i = 0; i < argc; i += 2) {
        size_t k = 0;

        while (k < sizeof(flags) / sizeof(*flags) && strcmp(argv[i], flags[k].name))
            k++;
        if (k == sizeof(flags) / sizeof(*flags))
            return refuse(" is no flag; --help shows all", argv[i]);
        if (i + 1 == argc)
            return refuse(" needs a value", argv[i]);
        if (!read_value(&flags[k], argv[i + 1])) {
            fprintf(stderr,
                    "rouse-controller simulate: %s \"%s\" is out of its range; --help shows it\n",
                    argv[i], argv[i + 1]);
            return -EINVAL;
        }
        nodes = nodes || flags[k].to == &o->nodes;
        pool = pool || flags[k].to == &o->node_min || flags[k].to == &o->node_create;
    }
    return together(o, nodes, pool);
}
