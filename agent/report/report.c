/* report.c - counters by function and load by revision. On the agent's loop. */
#include "report/report.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    FUNCTIONS_MAX = 10000, /* label values; the rest is `other` */
    LOADS_MAX = 20000,     /* revisions with load or instances */
    CODES_MAX = 16,        /* status codes told apart for one function; the rest is code="other" */
    KEY_MAX = 384,
};

struct code_count {
    int code; /* 0: other */
    uint64_t count;
};
struct function_count {
    struct map_node node;
    char *namespace, *name;
    struct code_count codes[CODES_MAX];
    unsigned code_count;
    uint64_t cold_starts;
    char key[];
};
/* What runs of one revision here; `integral` is slots * ns since the last report. */
struct load {
    struct map_node node;
    const char *function_key, *revision;
    uint32_t in_flight;
    uint32_t instances;
    uint64_t integral, changed_ns, requests;
    bool told_quiet; /* its last message said that nothing ran */
    char key[];
};
struct report {
    struct map functions, loads;
    struct function_count *other;
    struct histogram request_seconds;
    struct histogram phases[PHASE_COUNT];
    uint64_t freezes, thaws, forks;
    uint64_t sandboxes[2]; /* from the pool: [true] */
    int64_t templates;
    uint64_t in_flight;
    uint64_t reported_ns;
    uint64_t dropped_loads;
    void (*fill)(void *user, Rouse__Control__V1__Report *m);
    void *fill_user;
};

static const char *const phase_names[PHASE_COUNT] = {
    "schedule", "fetch", "sandbox", "runtime", "init", "first_byte",
};

const char *start_phase_name(enum start_phase p)
{
    return phase_names[p];
}

static struct function_count *function_free(struct function_count *f)
{
    if (f) {
        free(f->namespace);
        free(f->name);
        free(f);
    }
    return NULL;
}

static struct function_count *function_new(const char *key)
{
    const char *slash = strchr(key, '/');
    size_t n = strlen(key);
    struct function_count *f = calloc(1, sizeof(*f) + n + 1);

    if (!f)
        return NULL;
    memcpy(f->key, key, n);
    f->namespace = slash ? strndup(key, (size_t)(slash - key)) : strdup("");
    f->name = strdup(slash ? slash + 1 : key);
    return f->namespace && f->name ? f : function_free(f);
}

int report_new(struct report **ret)
{
    struct report *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->other = function_new("/other");
    if (!r->other) {
        free(r);
        return -ENOMEM;
    }
    histogram_init(&r->request_seconds, histogram_seconds);
    for (int i = 0; i < PHASE_COUNT; i++)
        histogram_init(&r->phases[i], histogram_seconds);
    r->reported_ns = clock_monotonic_ns();
    *ret = r;
    return 0;
}

struct report *report_free(struct report *r)
{
    if (!r)
        return NULL;
    map_for_each(it, &r->functions) function_free(map_entry(it, struct function_count, node));
    map_for_each(it, &r->loads) free(map_entry(it, struct load, node));
    map_done(&r->functions);
    map_done(&r->loads);
    function_free(r->other);
    free(r);
    return NULL;
}

static struct function_count *function_of(struct report *r, const char *key)
{
    struct map_node *n = map_get_str(&r->functions, key);
    struct function_count *f;

    if (n)
        return map_entry(n, struct function_count, node);
    if (r->functions.count >= FUNCTIONS_MAX)
        return r->other;
    f = function_new(key);
    if (!f)
        return r->other;
    if (map_put(&r->functions, &f->node, f->key, strlen(f->key)) < 0) {
        function_free(f);
        return r->other;
    }
    return f;
}

static size_t load_key(char out[KEY_MAX], const char *function_key, const char *revision)
{
    size_t a = strlen(function_key), b = strlen(revision);

    if (a + b + 1 >= KEY_MAX)
        return 0;
    memcpy(out, function_key, a + 1);
    memcpy(out + a + 1, revision, b);
    return a + 1 + b;
}

/* NULL past the bound, or for names that the API cannot have let through. */
static struct load *load_of(struct report *r, const char *function_key, const char *revision,
                            bool make)
{
    char key[KEY_MAX];
    size_t n = load_key(key, function_key, revision);
    struct map_node *node = n ? map_get(&r->loads, key, n) : NULL;
    struct load *l;

    if (node)
        return map_entry(node, struct load, node);
    if (!make)
        return NULL;
    if (!n || r->loads.count >= LOADS_MAX)
        goto dropped;
    l = calloc(1, sizeof(*l) + n + 1);
    if (!l)
        goto dropped;
    memcpy(l->key, key, n);
    l->function_key = l->key;
    l->revision = l->key + strlen(function_key) + 1;
    if (map_put(&r->loads, &l->node, l->key, n) < 0) {
        free(l);
        goto dropped;
    }
    return l;
dropped:
    r->dropped_loads++;
    return NULL;
}

void report_request(struct report *r, const char *function_key, int code, uint64_t ns)
{
    struct function_count *f = function_of(r, function_key);
    unsigned i = 0;

    histogram_observe(&r->request_seconds, (double)ns / (double)NS_PER_S);
    while (i < f->code_count && f->codes[i].code != code)
        i++;
    if (i == f->code_count) {
        if (f->code_count < CODES_MAX)
            f->code_count++;
        else
            i = CODES_MAX - 1;
        f->codes[i].code = i == CODES_MAX - 1 ? 0 : code;
    }
    f->codes[i].count++;
}

static void load_advance(struct load *l, uint64_t now_ns)
{
    if (now_ns > l->changed_ns) {
        l->integral += l->in_flight * (now_ns - l->changed_ns);
        l->changed_ns = now_ns;
    }
}

void report_begin(struct report *r, const char *function_key, const char *revision, uint64_t now_ns)
{
    struct load *l = load_of(r, function_key, revision, true);

    r->in_flight++;
    if (!l)
        return;
    load_advance(l, now_ns);
    l->in_flight++;
    l->requests++;
}

void report_end(struct report *r, const char *function_key, const char *revision, uint64_t now_ns)
{
    struct load *l = load_of(r, function_key, revision, false);

    if (r->in_flight)
        r->in_flight--;
    if (!l || !l->in_flight)
        return;
    load_advance(l, now_ns);
    l->in_flight--;
}

void report_cold_start(struct report *r, const char *function_key)
{
    function_of(r, function_key)->cold_starts++;
}

void report_phase(struct report *r, enum start_phase p, uint64_t ns)
{
    histogram_observe(&r->phases[p], (double)ns / (double)NS_PER_S);
}

void report_template(struct report *r, int delta)
{
    r->templates += delta;
}

void report_sandbox(struct report *r, bool pooled)
{
    r->sandboxes[pooled]++;
}

void report_fork(struct report *r)
{
    r->forks++;
}

void report_frozen(struct report *r)
{
    r->freezes++;
}

void report_thawed(struct report *r)
{
    r->thaws++;
}

void report_instance(struct report *r, const char *function_key, const char *revision, int delta)
{
    struct load *l = load_of(r, function_key, revision, delta > 0);

    if (l && (delta > 0 || l->instances))
        l->instances += (uint32_t)delta;
}

void report_set_source(struct report *r, void (*fill)(void *user, Rouse__Control__V1__Report *m),
                       void *user)
{
    r->fill = fill;
    r->fill_user = user;
}

static Rouse__Control__V1__FunctionLoad *load_message(struct load *l, uint64_t interval_ns)
{
    Rouse__Control__V1__FunctionLoad *f = malloc(sizeof(*f));

    if (!f)
        return NULL;
    rouse__control__v1__function_load__init(f);
    f->function_key = strdup(l->function_key);
    f->revision = strdup(l->revision);
    if (!f->function_key || !f->revision) {
        rouse__control__v1__function_load__free_unpacked(f, NULL);
        return NULL;
    }
    f->concurrency = interval_ns ? (double)l->integral / (double)interval_ns : 0;
    f->requests = l->requests;
    return f;
}

/* What sleeps is not told of again each second. */
static bool is_news(struct load *l)
{
    bool quiet = !l->integral && !l->requests;

    if (quiet && l->told_quiet && l->instances)
        return false;
    l->told_quiet = quiet;
    return true;
}

void report_load(struct report *r, uint64_t now_ns, Rouse__Control__V1__Report *m)
{
    uint64_t interval = now_ns > r->reported_ns ? now_ns - r->reported_ns : 0;

    rouse__control__v1__report__init(m);
    m->interval_ms = (uint32_t)(interval / NS_PER_MS);
    if (r->fill)
        r->fill(r->fill_user, m);
    m->functions = r->loads.count ? calloc(r->loads.count, sizeof(*m->functions)) : NULL;
    map_for_each(it, &r->loads)
    {
        struct load *l = map_entry(it, struct load, node);
        Rouse__Control__V1__FunctionLoad *f;

        load_advance(l, now_ns);
        f = m->functions && is_news(l) ? load_message(l, interval) : NULL;
        if (f)
            m->functions[m->n_functions++] = f;
        l->integral = l->requests = 0;
        if (!l->instances && !l->in_flight) {
            map_del(&r->loads, &l->node);
            free(l);
        }
    }
    r->reported_ns = now_ns;
}

void report_load_done(Rouse__Control__V1__Report *m)
{
    for (size_t i = 0; i < m->n_functions; i++)
        rouse__control__v1__function_load__free_unpacked(m->functions[i], NULL);
    for (size_t i = 0; i < m->n_instances; i++)
        rouse__control__v1__instance_load__free_unpacked(m->instances[i], NULL);
    if (m->reserved)
        rouse__control__v1__resources__free_unpacked(m->reserved, NULL);
    free(m->functions);
    free(m->instances);
    rouse__control__v1__report__init(m);
}

static void function_requests(struct buffer *out, const struct function_count *f)
{
    for (unsigned i = 0; i < f->code_count; i++) {
        char code[16] = "other";

        if (f->codes[i].code)
            snprintf(code, sizeof(code), "%d", f->codes[i].code);
        metrics_sample(out, "rouse_requests_total", (double)f->codes[i].count, "namespace",
                       f->namespace, "function", f->name, "code", code, NULL);
    }
}

static void function_cold_starts(struct buffer *out, const struct function_count *f)
{
    if (f->cold_starts)
        metrics_sample(out, "rouse_cold_starts_total", (double)f->cold_starts, "namespace",
                       f->namespace, "function", f->name, NULL);
}

void report_metrics(const struct report *r, struct buffer *out)
{
    metrics_family(out, "rouse_requests_total", "counter", "Requests answered at this entry.");
    map_for_each(it, &r->functions)
        function_requests(out, map_entry(it, struct function_count, node));
    function_requests(out, r->other);
    metrics_family(out, "rouse_request_seconds", "histogram",
                   "Time to answer a request at this entry.");
    metrics_histogram(out, "rouse_request_seconds", &r->request_seconds, NULL);
    metrics_family(out, "rouse_in_flight", "gauge", "Invocations that hold a slot on this node.");
    metrics_sample(out, "rouse_in_flight", (double)r->in_flight, NULL);
    metrics_family(out, "rouse_cold_starts_total", "counter",
                   "Instances that served their first invocation.");
    map_for_each(it, &r->functions)
        function_cold_starts(out, map_entry(it, struct function_count, node));
    function_cold_starts(out, r->other);
    metrics_family(out, "rouse_cold_start_seconds", "histogram", "Phases of a cold start.");
    for (int p = 0; p < PHASE_COUNT; p++)
        metrics_histogram(out, "rouse_cold_start_seconds", &r->phases[p], "phase", phase_names[p],
                          NULL);
    metrics_family(out, "rouse_instances_frozen", "gauge",
                   "Idle instances that are frozen: they use no CPU.");
    metrics_sample(out, "rouse_instances_frozen", (double)(r->freezes - r->thaws), NULL);
    metrics_family(out, "rouse_freezes_total", "counter", "Instances that were frozen.");
    metrics_sample(out, "rouse_freezes_total", (double)r->freezes, NULL);
    metrics_family(out, "rouse_thaws_total", "counter",
                   "Frozen instances that were woken, by a request or to be stopped.");
    metrics_sample(out, "rouse_thaws_total", (double)r->thaws, NULL);
    metrics_family(out, "rouse_agent_sandbox_starts_total", "counter",
                   "Sandboxes that an instance was started in: one made ahead, or one made then.");
    metrics_sample(out, "rouse_agent_sandbox_starts_total", (double)r->sandboxes[true], "from",
                   "pool", NULL);
    metrics_sample(out, "rouse_agent_sandbox_starts_total", (double)r->sandboxes[false], "from",
                   "new", NULL);
    metrics_family(out, "rouse_templates", "gauge", "Templates that are kept to fork instances of.");
    metrics_sample(out, "rouse_templates", (double)r->templates, NULL);
    metrics_family(out, "rouse_forks_total", "counter", "Instances that were forked of a template.");
    metrics_sample(out, "rouse_forks_total", (double)r->forks, NULL);
    metrics_family(out, "rouse_load_dropped_total", "counter",
                   "Load that was past the bound of revisions.");
    metrics_sample(out, "rouse_load_dropped_total", (double)r->dropped_loads, NULL);
    metrics_process(out);
}
