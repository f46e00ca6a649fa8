/* trace_read.c - the files of the Azure Functions data set of 2019, as AzureFunctionsDataset2019.md describes them. */
#include "simulate/trace_internal.h"
#include "base/map.h"
#include "simulate/csv.h"

#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum {
    FUNCTIONS_MAX = 4000000,
    COUNTS_MAX = 1 << 28, /* minutes of functions with calls */
    CALLS_MAX = 10000000, /* of a function in a minute */
    KEY_SIZE = 3 * 130,
    MEMORY_MIN = 32,
    MEMORY_MAX = 4096,
    NAMES = 3 /* owner, app, function: the first columns of two files, and two of the third's */
};
#define DURATION_MAX_MS 1e8
#define MEMORY_MAX_MIB  1e6

struct subject { /* a function or an app */
    struct map_node node;
    uint32_t index; /* a function's */
    uint32_t memory;
    char key[];
};
struct row { /* as it was read: the minutes come later */
    uint32_t function, calls;
    uint16_t minute;
};
struct reading {
    const struct trace_config *config;
    struct trace *trace;
    struct map functions, apps;
    struct row *rows;
    size_t row_count, row_capacity;
    uint32_t capacity; /* of the trace's sources */
    struct err *err;
};

/* ---- names */

static int read_key(const struct csv *c, const int *columns, size_t n, char key[KEY_SIZE],
                    struct err *e)
{
    size_t at = 0;

    for (size_t k = 0; k < n; k++) {
        const char *name;
        int r = csv_name(c, (size_t)columns[k], &name, e);

        if (r < 0)
            return r;
        at += (size_t)snprintf(key + at, KEY_SIZE - at, "%s,", name);
    }
    return 0;
}

static struct subject *find(const struct map *m, const char *key)
{
    struct map_node *n = map_get_str(m, key);

    return n ? map_entry(n, struct subject, node) : NULL;
}

static struct subject *add(struct map *m, const char *key)
{
    size_t n = strlen(key);
    struct subject *s = calloc(1, sizeof(*s) + n + 1);

    if (!s)
        return NULL;
    memcpy(s->key, key, n);
    if (map_put(m, &s->node, s->key, n) < 0) {
        free(s);
        return NULL;
    }
    return s;
}

static void drop_all(struct map *m)
{
    map_for_each(n, m) free(map_entry(n, struct subject, node));
    map_done(m);
}

static int columns_of(const struct csv *c, const char *const *names, size_t n, int *ret,
                      struct err *e)
{
    for (size_t k = 0; k < n; k++) {
        ret[k] = csv_column(c, names[k], e);
        if (ret[k] < 0)
            return ret[k];
    }
    return 0;
}

static const char *const key_columns[NAMES] = {"HashOwner", "HashApp", "HashFunction"};

/* ---- memory, by app: before the functions, which have their app's */

static int read_memory(struct reading *r, struct csv *c)
{
    static const char *const names[] = {"HashOwner", "HashApp", "AverageAllocatedMb"};
    int at[3], e = columns_of(c, names, 3, at, r->err);

    while (e >= 0 && (e = csv_next(c, r->err)) > 0) {
        char key[KEY_SIZE];
        double mib;
        struct subject *app;

        e = read_key(c, at, 2, key, r->err);
        if (e == 0)
            e = csv_number(c, (size_t)at[2], MEMORY_MAX_MIB, &mib, r->err);
        if (e < 0)
            return e;
        app = find(&r->apps, key) ?: add(&r->apps, key);
        if (!app)
            return err_errno(r->err, ENOMEM, "%s", c->path);
        app->memory = (uint32_t)(mib < MEMORY_MIN   ? MEMORY_MIN
                                 : mib > MEMORY_MAX ? MEMORY_MAX
                                                    : mib);
    }
    return e;
}

/* ---- invocations */

static int read_trigger(const struct csv *c, size_t column, enum trace_trigger *ret, struct err *e)
{
    static const struct {
        const char *name;
        enum trace_trigger trigger;
    } known[] = {{"http", TRACE_HTTP},    {"queue", TRACE_QUEUE},
                 {"event", TRACE_EVENT},  {"timer", TRACE_TIMER},
                 {"other", TRACE_OTHER},  {"orchestration", TRACE_ORCHESTRATION},
                 {"others", TRACE_OTHER}, {"storage", TRACE_EVENT}};

    for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++)
        if (!strcmp(c->fields[column], known[k].name)) {
            *ret = known[k].trigger;
            return 0;
        }
    return csv_refuse(c, column, e,
                      "is none of http, queue, event, timer, orchestration, storage, others");
}

static int add_row(struct reading *r, uint32_t function, size_t minute, uint32_t calls)
{
    if (r->row_count == COUNTS_MAX)
        return -E2BIG;
    if (r->row_count == r->row_capacity) {
        size_t to = r->row_capacity ? 2 * r->row_capacity : 4096;
        struct row *rows = realloc(r->rows, to * sizeof(*rows));

        if (!rows)
            return -ENOMEM;
        r->rows = rows;
        r->row_capacity = to;
    }
    r->rows[r->row_count++] = (struct row){function, calls, (uint16_t)minute};
    return 0;
}

static int add_function(struct reading *r, const char *key, enum trace_trigger trigger,
                        struct subject **ret)
{
    struct trace *t = r->trace;
    struct subject *s;

    if (t->count == FUNCTIONS_MAX)
        return -E2BIG;
    if (t->count == r->capacity) {
        uint32_t to = r->capacity ? 2 * r->capacity : 1024;
        struct source *sources = realloc(t->sources, to * sizeof(*sources));

        if (!sources)
            return -ENOMEM;
        t->sources = sources;
        r->capacity = to;
    }
    s = add(&r->functions, key);
    if (!s)
        return -ENOMEM;
    s->index = t->count++;
    t->sources[s->index] = (struct source){0};
    trace_describe(t, r->config, &t->sources[s->index].f);
    t->sources[s->index].f.trigger = trigger;
    *ret = s;
    return 0;
}

static int read_minutes(struct reading *r, const struct csv *c, uint32_t function)
{
    double sum = 0;

    for (size_t m = 0; m < TRACE_MINUTES; m++) {
        uint64_t calls;
        int e = csv_integer(c, NAMES + 1 + m, CALLS_MAX, &calls, r->err);

        if (e == 0 && calls)
            e = add_row(r, function, m, (uint32_t)calls);
        if (e < 0)
            return e;
        sum += (double)calls;
    }
    r->trace->sources[function].f.rate = sum / (TRACE_MINUTES * 60.0);
    return 0;
}

/* A function's rows, if it has several, come one after the other or not: their calls add up. */
static int read_function(struct reading *r, const struct csv *c, const int *at)
{
    char key[KEY_SIZE], app_key[KEY_SIZE];
    enum trace_trigger trigger = TRACE_OTHER;
    struct subject *s, *app;
    int e = read_key(c, at, NAMES, key, r->err);

    if (e == 0)
        e = read_key(c, at, 2, app_key, r->err);
    if (e == 0)
        e = read_trigger(c, NAMES, &trigger, r->err);
    if (e < 0)
        return e;
    s = find(&r->functions, key);
    if (!s && r->config->functions && r->trace->count == r->config->functions)
        return 0;
    if (!s)
        e = add_function(r, key, trigger, &s);
    if (e < 0)
        return e;
    app = find(&r->apps, app_key);
    if (app)
        r->trace->sources[s->index].f.memory = app->memory;
    return read_minutes(r, c, s->index);
}

static int read_invocations(struct reading *r, struct csv *c)
{
    int at[NAMES], e = columns_of(c, key_columns, NAMES, at, r->err);

    if (e == 0 && (c->count != NAMES + 1 + TRACE_MINUTES || strcmp(c->columns[NAMES], "Trigger") != 0 ||
                   strcmp(c->columns[NAMES + 1], "1") != 0 ||
                   strcmp(c->columns[NAMES + TRACE_MINUTES], "1440") != 0))
        e = err_set(r->err, EINVAL,
                    "%s:1: the columns are not HashOwner, HashApp, HashFunction, Trigger and 1 to 1440",
                    c->path);
    while (e >= 0 && (e = csv_next(c, r->err)) > 0)
        e = read_function(r, c, at);
    if (e == 0 && !r->trace->count)
        return err_set(r->err, EINVAL, "%s: there is no function in it", c->path);
    return e;
}

/* ---- durations */

static int read_duration(struct reading *r, const struct csv *c, const int *at,
                         const struct subject *s)
{
    float *to = r->trace->recorded->percentiles[s->index], last = 0;
    double average;
    int e = csv_number(c, (size_t)at[NAMES], DURATION_MAX_MS, &average, r->err);

    for (size_t k = 0; e == 0 && k < TRACE_PERCENTILES; k++) {
        double ms;

        e = csv_number(c, (size_t)at[NAMES + 1 + k], DURATION_MAX_MS, &ms, r->err);
        if (e < 0)
            break;
        last = to[k] = (float)ms > last ? (float)ms : last;
    }
    if (e == 0)
        r->trace->sources[s->index].f.duration = average > 1 ? average / 1000 : 0.001;
    return e;
}

static int read_durations(struct reading *r, struct csv *c)
{
    static const char *const names[NAMES + 1 + TRACE_PERCENTILES] = {"HashOwner",
                                                                     "HashApp",
                                                                     "HashFunction",
                                                                     "Average",
                                                                     "percentile_Average_0",
                                                                     "percentile_Average_1",
                                                                     "percentile_Average_25",
                                                                     "percentile_Average_50",
                                                                     "percentile_Average_75",
                                                                     "percentile_Average_99",
                                                                     "percentile_Average_100"};
    int at[NAMES + 1 + TRACE_PERCENTILES];
    int e = columns_of(c, names, NAMES + 1 + TRACE_PERCENTILES, at, r->err);
    struct recorded *to = r->trace->recorded;

    to->percentiles = calloc(r->trace->count, sizeof(*to->percentiles));
    if (!to->percentiles)
        return -ENOMEM;
    for (uint32_t i = 0; i < r->trace->count; i++)
        to->percentiles[i][0] = -1;
    while (e >= 0 && (e = csv_next(c, r->err)) > 0) {
        char key[KEY_SIZE];
        const struct subject *s;

        e = read_key(c, at, NAMES, key, r->err);
        s = e == 0 ? find(&r->functions, key) : NULL;
        if (s)
            e = read_duration(r, c, at, s);
    }
    return e;
}

/* ---- all of it */

/* By the minute, and in one by the file. */
static int sort_rows(struct reading *r)
{
    struct recorded *to = r->trace->recorded;
    size_t at[TRACE_MINUTES];

    to->counts = calloc(r->row_count + 1, sizeof(*to->counts));
    if (!to->counts)
        return -ENOMEM;
    for (size_t k = 0; k < r->row_count; k++)
        to->minute[r->rows[k].minute + 1]++;
    for (size_t m = 0; m < TRACE_MINUTES; m++) {
        to->minute[m + 1] += to->minute[m];
        at[m] = to->minute[m];
    }
    for (size_t k = 0; k < r->row_count; k++) {
        const struct row *row = &r->rows[k];

        to->counts[at[row->minute]++] = (struct count){row->function, row->calls};
    }
    return 0;
}

static int read_file(struct reading *r, const char *path,
                     int (*read)(struct reading *r, struct csv *c))
{
    struct csv c = {0};
    int e;

    if (!path)
        return 0;
    e = csv_open(&c, path, r->err);
    if (e == 0)
        e = read(r, &c);
    csv_close(&c);
    if (e < 0 && !r->err->code)
        err_errno(r->err, -e, "%s", path);
    return e;
}

int trace_read(const struct trace_config *config, const struct trace_files *files,
               struct trace **ret, struct err *ret_err)
{
    struct reading r = {.config = config, .err = ret_err, .trace = calloc(1, sizeof(*r.trace))};
    int e = 0;

    *ret_err = (struct err){0};
    if (r.trace)
        r.trace->recorded = calloc(1, sizeof(*r.trace->recorded));
    if (!r.trace || !r.trace->recorded)
        e = err_errno(ret_err, ENOMEM, "%s", files->invocations);
    if (e == 0) {
        r.trace->draw.state = config->seed;
        e = read_file(&r, files->memory, read_memory);
    }
    if (e == 0)
        e = read_file(&r, files->invocations, read_invocations);
    if (e == 0)
        e = read_file(&r, files->durations, read_durations);
    if (e == 0 && (e = sort_rows(&r)) < 0)
        err_errno(ret_err, -e, "%s", files->invocations);
    drop_all(&r.functions);
    drop_all(&r.apps);
    free(r.rows);
    if (e < 0) {
        trace_free(r.trace);
        return e;
    }
    *ret = r.trace;
    return 0;
}
