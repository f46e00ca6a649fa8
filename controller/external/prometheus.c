#include "external/prometheus.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "reactor/loop.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct question {
    struct mail mail;
    struct prometheus *p;
    char *key, *query;
    uint32_t metric;
    double value;
    bool answered;
    char why[PROMETHEUS_WHY_MAX]; /* not */
};

struct prometheus {
    struct prometheus_config config;
    struct loop *loop; /* of its own thread, which does nothing else and so may wait in it */
    pthread_t thread;
    bool runs;
    _Atomic bool stops; /* a transfer that is under way ends */
    CURL *curl;
    char *url, *shown;  /* shown: the base, without user and password */
    bool silent;        /* was said */
    struct map failing; /* struct failing: the metrics of which it was said */
    /* the asker's */
    unsigned waiting;
    uint64_t answered, failed, refused;
};

struct failing {
    struct map_node node;
    char name[]; /* as name_of() has it */
};

static struct question *question_free(struct question *q)
{
    if (q) {
        free(q->key);
        free(q->query);
        free(q);
    }
    return NULL;
}

/* ---- on its own thread */

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct buffer *b = user;

    if (buffer_size(b) + size * n > PROMETHEUS_ANSWER_MAX || buffer_append(b, data, size * n) < 0)
        return 0;
    return size * n;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&((struct prometheus *)user)->stops);
}

static int transfer(struct prometheus *p, const char *query, struct buffer *body,
                    char why[PROMETHEUS_WHY_MAX])
{
    char error[CURL_ERROR_SIZE] = "";
    char *escaped = curl_easy_escape(p->curl, query, 0), *form = NULL;
    CURLcode e;

    if (!escaped || asprintf(&form, "query=%s&timeout=4s", escaped) < 0) {
        curl_free(escaped);
        return -ENOMEM;
    }
    curl_easy_setopt(p->curl, CURLOPT_URL, p->url);
    curl_easy_setopt(p->curl, CURLOPT_POSTFIELDS, form);
    curl_easy_setopt(p->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(p->curl, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(p->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(p->curl, CURLOPT_XFERINFODATA, p);
    curl_easy_setopt(p->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(p->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(p->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(p->curl, CURLOPT_TIMEOUT_MS, (long)PROMETHEUS_TIMEOUT_MS);
    curl_easy_setopt(p->curl, CURLOPT_ERRORBUFFER, error);
    e = curl_easy_perform(p->curl);
    curl_easy_setopt(p->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_free(escaped);
    free(form);
    if (e == CURLE_OK)
        return 0;
    if (e == CURLE_WRITE_ERROR)
        snprintf(why, PROMETHEUS_WHY_MAX, "its answer is larger than %d bytes",
                 PROMETHEUS_ANSWER_MAX);
    else
        snprintf(why, PROMETHEUS_WHY_MAX, "%.150s", *error ? error : curl_easy_strerror(e));
    return -EIO;
}

static void say_server(struct prometheus *p, bool silent, const char *why)
{
    if (silent == p->silent)
        return;
    p->silent = silent;
    if (silent)
        log_warn("external metrics: %s: %s", p->shown, why);
    else
        log_info("external metrics: %s answers again", p->config.url);
}

static void failing_forget(struct prometheus *p)
{
    map_for_each(n, &p->failing)
    {
        struct failing *f = map_entry(n, struct failing, node);

        map_del(&p->failing, n);
        free(f);
    }
}

/* Of what is no longer asked for nobody tells: when there are too many all begin anew. */
static void failing_add(struct prometheus *p, const char *name)
{
    size_t n = strlen(name);
    struct failing *f;

    if (p->failing.count == PROMETHEUS_WAITING)
        failing_forget(p);
    f = calloc(1, sizeof(*f) + n + 1);
    if (!f)
        return;
    memcpy(f->name, name, n);
    if (map_put(&p->failing, &f->node, f->name, n) < 0)
        free(f);
}

/* Of each metric once when it begins and once when it is over, not four times a minute. */
static void say_metric(struct prometheus *p, const struct question *q)
{
    cleanup_free char *name = NULL;
    struct map_node *n;

    if (asprintf(&name, "metric %u of %s", q->metric, q->key) < 0) {
        name = NULL;
        return;
    }
    n = map_get_str(&p->failing, name);
    if (!q->answered && !n) {
        failing_add(p, name);
        log_warn("external %s: %s: %s", name, p->shown, q->why);
    } else if (q->answered && n) {
        map_del(&p->failing, n);
        free(map_entry(n, struct failing, node));
        log_info("external %s is there", name);
    }
}

/* What a proxy before it serves with an error is no answer. */
static int read_answer(struct prometheus *p, struct question *q, const struct buffer *body)
{
    char why[PROMETHEUS_WHY_MAX] = "";
    long status = 0;
    int r = prometheus_parse((const char *)buffer_bytes(body), buffer_size(body), &q->value, why);

    curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status <= 299) {
        snprintf(q->why, sizeof(q->why), "%s", why);
        return r;
    }
    snprintf(q->why, sizeof(q->why), "its answer has the status %ld%s%.100s", status,
             r < 0 ? ": " : "", why);
    return r < 0 ? r : -EBADMSG;
}

static void on_back(struct mail *m);

static void on_question(struct mail *m)
{
    struct question *q = container_of(m, struct question, mail);
    struct prometheus *p = q->p;
    cleanup_buffer struct buffer body = {0};

    snprintf(q->why, sizeof(q->why), "out of memory");
    if (!atomic_load(&p->stops)) {
        bool silent = transfer(p, q->query, &body, q->why) < 0;

        q->answered = !silent && read_answer(p, q, &body) == 0;
        if (!atomic_load(&p->stops)) {
            say_server(p, silent, q->why);
            if (!silent)
                say_metric(p, q);
        }
    }
    q->mail.fn = on_back;
    loop_post(p->config.loop, &q->mail);
}

static void *run(void *user)
{
    pthread_setname_np(pthread_self(), "prometheus");
    loop_run(((struct prometheus *)user)->loop);
    return NULL;
}

/* ---- on the asker's */

static void on_back(struct mail *m)
{
    struct question *q = container_of(m, struct question, mail);
    struct prometheus *p = q->p;

    p->waiting--;
    p->answered += q->answered;
    p->failed += !q->answered;
    if (!atomic_load(&p->stops))
        p->config.on_answer(p->config.user,
                            &(struct prometheus_answer){.key = q->key,
                                                        .query = q->query,
                                                        .metric = q->metric,
                                                        .value = q->value,
                                                        .why = q->answered ? NULL : q->why});
    question_free(q);
}

void prometheus_ask(struct prometheus *p, const char *key, uint32_t metric, const char *query)
{
    struct question *q = p->waiting < PROMETHEUS_WAITING ? calloc(1, sizeof(*q)) : NULL;

    if (q) {
        q->key = strdup(key);
        q->query = strdup(query);
    }
    if (!q || !q->key || !q->query) {
        p->refused++;
        question_free(q);
        return;
    }
    q->p = p;
    q->metric = metric;
    q->mail.fn = on_question;
    p->waiting++;
    loop_post(p->loop, &q->mail);
}

void prometheus_metrics(const struct prometheus *p, struct buffer *out)
{
    const char *name = "rouse_autoscaler_external_queries_total";

    metrics_family(out, name, "counter", "Questions for external metrics, by what became of them.");
    metrics_sample(out, name, (double)p->answered, "result", "answered", NULL);
    metrics_sample(out, name, (double)p->failed, "result", "failed", NULL);
    metrics_sample(out, name, (double)p->refused, "result", "refused", NULL);
}

/* ---- life */

struct end {
    struct mail mail;
    struct loop *loop;
};

/* First in, first out: the questions before it are on their way back. */
static void on_end(struct mail *m)
{
    loop_stop(container_of(m, struct end, mail)->loop);
}

void prometheus_stop(struct prometheus *p)
{
    struct end end = {.mail = {.fn = on_end}};

    if (!p || !p->runs)
        return;
    end.loop = p->loop;
    atomic_store(&p->stops, true);
    loop_post(p->loop, &end.mail);
    pthread_join(p->thread, NULL);
    p->runs = false;
}

struct prometheus *prometheus_free(struct prometheus *p)
{
    if (!p)
        return NULL;
    prometheus_stop(p);
    p->loop = loop_free(p->loop);
    failing_forget(p);
    map_done(&p->failing);
    if (p->curl)
        curl_easy_cleanup(p->curl);
    free(p->url);
    free(p->shown);
    free(p);
    return NULL;
}

/* What may be in a log. The user's part ends at the last @ before the path. */
static char *without_user(const char *url)
{
    const char *host = strstr(url, "://"), *at;
    char *shown;

    if (!host)
        return strdup(url);
    host += 3;
    at = memrchr(host, '@', strcspn(host, "/?#"));
    return asprintf(&shown, "%.*s%s", (int)(host - url), url, at ? at + 1 : host) < 0 ? NULL : shown;
}

int prometheus_new(const struct prometheus_config *c, struct prometheus **ret)
{
    struct prometheus *p = calloc(1, sizeof(*p));
    size_t n = strlen(c->url);
    int r = p && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;

    if (r < 0) {
        free(p);
        return r;
    }
    p->config = *c;
    while (n && c->url[n - 1] == '/')
        n--;
    if (asprintf(&p->url, "%.*s/api/v1/query", (int)n, c->url) < 0)
        p->url = NULL;
    p->shown = without_user(c->url);
    p->curl = curl_easy_init();
    r = p->url && p->shown && p->curl ? loop_new(&p->loop) : -ENOMEM;
    if (r == 0)
        r = thread_start(&p->thread, run, p);
    p->runs = r == 0;
    if (r < 0) {
        prometheus_free(p);
        return r;
    }
    *ret = p;
    return 0;
}
