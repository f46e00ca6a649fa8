/* monitor.c - /metrics: the brain's figures, asked for on its thread, then the API's, the store's,
 * the process'. */
#include "api/api_internal.h"

#include "base/cleanup.h"
#include "brain/brain.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>

struct question {
    struct mail mail;
    struct request *request;
    struct buffer text;
    struct registry_stats registry;
};

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

static void server_text(struct http_server *server, struct buffer *out)
{
    const struct http_server_stats *s = http_server_stats(server);

    sample(out, "rouse_api_connections", "gauge", "Connections that are open.", s->connections);
    sample(out, "rouse_api_bad_requests_total", "counter", "Requests that were not HTTP.",
           (double)s->bad_requests);
}

static void on_figures(struct mail *m)
{
    struct question *q = container_of(m, struct question, mail);
    struct request *r = q->request;

    stats_text(&r->api->stats, &q->text);
    registry_text(r->api->schema, &q->registry, &q->text);
    server_text(r->api->server, &q->text);
    store_text(r->api->c.store, &q->text);
    metrics_process(&q->text);
    respond(r, 200, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
            buffer_bytes(&q->text), buffer_size(&q->text));
    request_release(r);
    buffer_done(&q->text);
    free(q);
}

static void on_brain(struct mail *m)
{
    struct question *q = container_of(m, struct question, mail);
    struct api *a = q->request->api;

    brain_metrics(a->c.brain, &q->text);
    registry_stats(a->c.registry, &q->registry);
    q->mail.fn = on_figures;
    loop_post(a->loop, &q->mail);
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
