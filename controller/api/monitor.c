/* monitor.c - /metrics: each loop's figures, asked for on its own thread, one after the other: the
 * brain's, other servers', the API's; then the store's and the process'. The disk's loop is not
 * asked: it may be waiting for an fsync. */
#include "api/api_internal.h"

#include "base/cleanup.h"
#include "brain/brain.h"
#include "http/metrics.h"
#include "reactor/loop_metrics.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>

struct question {
    struct mail mail;
    struct request *request;
    struct buffer text;
    struct registry_stats registry;
    size_t next; /* of the API's figures */
    struct loop_sample loops[API_FIGURES_MAX + 2];
    size_t loop_count;
};

static void take_loop(struct question *q, const struct loop *l, const char *name)
{
    loop_sample_take(l, name, &q->loops[q->loop_count++]);
}

static void sample(struct buffer *out, const char *name, const char *type, const char *help,
                   double value)
{
    metrics_family(out, name, type, help);
    metrics_sample(out, name, value, NULL);
}

static void registry_text(const struct schema_set *schema, const struct registry_stats *s,
                          struct buffer *out)
{
    metrics_family(out, "rouse_api_objects", "gauge", "Objects by resource.");
    for (int k = 0; k < KIND_COUNT; k++)
        metrics_sample(out, "rouse_api_objects", (double)s->objects[k], "resource",
                       schema->kinds[k].plural, NULL);
    sample(out, "rouse_api_watches", "gauge", "Watches that are open.", (double)s->watches);
    sample(out, "rouse_api_events_kept", "gauge", "Events that a watch can resume from.",
           (double)s->events_kept);
    sample(out, "rouse_api_writes_waiting", "gauge",
           "Writes that wait for the store or for an earlier one of their key.",
           (double)s->writes_waiting);
}

static void store_text(struct store *store, struct buffer *out)
{
    struct store_stats s;

    store_stats(store, &s);
    sample(out, "rouse_store_commits_total", "counter", "Transactions that are on disk.",
           (double)s.commits);
    sample(out, "rouse_store_writes_total", "counter", "Rows written by them.", (double)s.writes);
    sample(out, "rouse_store_failures_total", "counter",
           "Writes that the disk or the database refused.", (double)s.failures);
    sample(out, "rouse_store_queue", "gauge", "Writes that wait or are being committed.",
           (double)s.queue);
    metrics_family(out, "rouse_store_commit_seconds", "histogram",
                   "Time of a transaction, its fsync included.");
    metrics_histogram(out, "rouse_store_commit_seconds", &s.commit_seconds, NULL);
}

static void on_figures(struct mail *m)
{
    struct question *q = container_of(m, struct question, mail);
    struct request *r = q->request;

    stats_text(&r->api->stats, &q->text);
    registry_text(r->api->schema, &q->registry, &q->text);
    http_server_metrics(&q->text, "rouse_api", http_server_stats(r->api->server));
    store_text(r->api->c.store, &q->text);
    take_loop(q, r->api->loop, "api");
    loop_metrics(&q->text, q->loops, q->loop_count);
    metrics_process(&q->text);
    respond(r, 200, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
            buffer_bytes(&q->text), buffer_size(&q->text));
    request_release(r);
    buffer_done(&q->text);
    free(q);
}

static void on_other(struct mail *m);

static void ask_next(struct question *q)
{
    struct api *a = q->request->api;
    struct loop *other = q->next < API_FIGURES_MAX ? a->c.figures[q->next].loop : NULL;

    q->mail.fn = other ? on_other : on_figures;
    loop_post(other ? other : a->loop, &q->mail);
}

static void on_other(struct mail *m)
{
    struct question *q = container_of(m, struct question, mail);
    const struct api_figures *f = &q->request->api->c.figures[q->next++];

    take_loop(q, f->loop, f->name);
    if (f->text)
        f->text(f->user, &q->text);
    ask_next(q);
}

static void on_brain(struct mail *m)
{
    struct question *q = container_of(m, struct question, mail);
    struct api *a = q->request->api;

    brain_metrics(a->c.brain, &q->text);
    registry_stats(a->c.registry, &q->registry);
    take_loop(q, brain_loop(a->c.brain), "brain");
    ask_next(q);
}

void metrics_answer(struct request *r)
{
    struct question *q = calloc(1, sizeof(*q));
    cleanup_failure struct failure f = {0};

    if (!q) {
        failure_errno(&f, -ENOMEM, NULL);
        respond_failure(r, &f);
        return;
    }
    q->request = request_hold(r);
    q->mail.fn = on_brain;
    loop_post(brain_loop(r->api->c.brain), &q->mail);
}
