/* figures.c - the report of each second and /metrics: asked of all shards, told as one. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "code/cache.h"
#include "http/metrics.h"
#include "reactor/loop_metrics.h"
#include "pool/reclaim.h"
#include "report/report.h"
#include "router/gateway.h"
#include "router/metrics_server.h"
#include "router/peer.h"
#include "runtime/runtimes.h"
#include "launcher/launcher.h"
#include "shard/internal.h"
#include "shard/merge_metrics.h"
#include "shard/merge_report.h"

#include <stdio.h>
#include <stdlib.h>

/* A report must be there before the next one is due. */
#define REPORT_PATIENCE_NS  (800 * NS_PER_MS)
#define METRICS_PATIENCE_NS (2 * NS_PER_S)

typedef Rouse__Control__V1__Report Report;

static void send_report(struct shards *all, Report *m)
{
    AgentMessage a = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    a.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_REPORT;
    a.report = m;
    session_send(all->session, &a);
}

/* ---------------------------------------------------------------- on the shard's loop */
static void ask_report(struct shard *s, struct buffer *out)
{
    uint8_t *to;
    size_t n;
    Report m;

    report_load(s->report, clock_monotonic_ns(), &m);
    n = rouse__control__v1__report__get_packed_size(&m);
    to = buffer_reserve(out, n);
    if (to)
        buffer_commit(out, rouse__control__v1__report__pack(&m, to));
    report_load_done(&m);
}

static void client_metrics(const struct shard *s, struct buffer *out)
{
    struct http_client_sample clients[] = {
        {"gateway", gateway_client_stats(s->gateway)},
        {"peer", peer_server_client_stats(s->peer)},
    };

    http_client_metrics(out, clients, clients[1].stats ? 2 : 1);
}

static void parked_metrics(const struct shards *all, struct buffer *out)
{
    const struct runtimes *runtimes = all->config.runtimes;

    metrics_family(out, "rouse_agent_sandboxes_parked", "gauge",
                   "Sandboxes that were made ahead and wait for an instance.");
    for (size_t i = 0; i < runtimes_count(runtimes); i++) {
        const struct runtime *r = runtimes_at(runtimes, i);

        metrics_sample(out, "rouse_agent_sandboxes_parked",
                       (double)launcher_parked(all->config.launcher, r->rootfs), "runtime", r->name,
                       NULL);
    }
}

static void ask_metrics(struct shard *s, struct buffer *out)
{
    struct loop_sample loop;
    char name[16];

    snprintf(name, sizeof(name), "%u", s->index);
    loop_sample_take(s->loop, name, &loop);
    report_metrics(s->report, out);
    pool_function_metrics(s->pool, out);
    gateway_metrics(s->gateway, out);
    peer_server_metrics(s->peer, out);
    client_metrics(s, out);
    if (is_main(s))
        reclaim_metrics(s->all->config.reclaim, out);
    if (is_main(s) && s->all->config.code)
        code_cache_metrics(s->all->config.code, out);
    if (is_main(s) && s->all->config.launcher) {
        parked_metrics(s->all, out);
        launcher_metrics(s->all->config.launcher, out);
    }
    loop_metrics(out, &loop, 1);
    metrics_family(out, "rouse_loop_instances", "gauge", "Instances that each event loop serves.");
    metrics_sample(out, "rouse_loop_instances", (double)pool_instances(s->pool), "loop", name, NULL);
}

/* ---------------------------------------------------------------- on the main loop */
static void all_reported(struct gather *g)
{
    Report sum = ROUSE__CONTROL__V1__REPORT__INIT;
    Report *all = malloc(sizeof(*all));

    if (!all)
        return;
    *all = sum;
    for (unsigned i = 0; i < g->all->config.count; i++) {
        const struct gather_part *p = &g->parts[i];
        Report *part = buffer_size(&p->bytes)
                           ? rouse__control__v1__report__unpack(NULL, buffer_size(&p->bytes),
                                                                buffer_bytes(&p->bytes))
                           : NULL;

        if (!part)
            continue;
        merge_report(all, part, p->fresh);
        rouse__control__v1__report__free_unpacked(part, NULL);
    }
    send_report(g->all, all);
    rouse__control__v1__report__free_unpacked(all, NULL);
}

void figures_report(void *user)
{
    struct shards *all = user;
    Report m;

    if (shard_at(all, 0)->ended)
        return;
    if (all->config.count > 1) {
        gather_start(&all->reports);
        return;
    }
    report_load(shard_at(all, 0)->report, clock_monotonic_ns(), &m);
    send_report(all, &m);
    report_load_done(&m);
}

static void all_shown(struct gather *g)
{
    const struct buffer *texts[LOOPS_MAX];
    cleanup_buffer struct buffer out = {0};
    unsigned count = g->all->config.count;

    for (unsigned i = 0; i < count; i++)
        texts[i] = &g->parts[i].bytes;
    if (count == 1)
        metrics_server_answer(g->all->metrics, texts[0]);
    else if (merge_metrics(&out, texts, count) == 0)
        metrics_server_answer(g->all->metrics, &out);
    else
        metrics_server_answer(g->all->metrics, &(struct buffer){0});
}

void shards_collect_metrics(void *user)
{
    struct shards *all = user;

    gather_start(&all->texts);
}

void figures_init(struct shards *all)
{
    all->reports = (struct gather){
        .all = all, .patience_ns = REPORT_PATIENCE_NS, .ask = ask_report, .done = all_reported};
    all->texts = (struct gather){
        .all = all, .patience_ns = METRICS_PATIENCE_NS, .ask = ask_metrics, .done = all_shown};
}

void figures_done(struct shards *all)
{
    gather_done(&all->reports);
    gather_done(&all->texts);
}
