/* request.c - the life of a request: taken apart, held while questions are under way, answered
 * once. */
#include "api/api_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void request_free(struct request *r)
{
    list_del(&r->link);
    if (r->work_free)
        r->work_free(r->work);
    for (size_t i = 0; i < r->segment_count; i++)
        free(r->segments[i]);
    for (size_t i = 0; i < r->param_count; i++) {
        free(r->params[i].name);
        free(r->params[i].value);
    }
    selector_free(r->selector);
    r->api->bodies -= r->body_counted;
    buffer_done(&r->body);
    free(r);
}

struct request *request_hold(struct request *r)
{
    r->holds++;
    return r;
}

void request_release(struct request *r)
{
    struct api *a = r->api;

    if (--r->holds)
        return;
    request_free(r);
    if (a->draining && list_empty(&a->requests))
        loop_stop(a->loop);
}

static char *decoded(const char *at, size_t n)
{
    char *out = malloc(n + 1);
    int size;

    if (!out)
        return NULL;
    size = http_percent_decode((struct str){at, n}, out, n + 1);
    if (size < 0 || memchr(out, '\0', (size_t)size)) {
        free(out);
        return NULL;
    }
    out[size] = '\0';
    return out;
}

/* In a query, '+' is a space. */
static char *decoded_param(const char *at, size_t n)
{
    cleanup_free char *copy = malloc(n + 1);

    if (!copy)
        return NULL;
    for (size_t i = 0; i < n; i++)
        copy[i] = at[i] == '+' ? ' ' : at[i];
    return decoded(copy, n);
}

static int take_path(struct request *r, struct str path)
{
    size_t at = 0;

    while (at < path.n) {
        const char *end;
        size_t n;

        if (path.at[at] == '/') {
            at++;
            continue;
        }
        if (r->segment_count == SEGMENTS_MAX)
            return -ENAMETOOLONG;
        end = memchr(path.at + at, '/', path.n - at);
        n = end ? (size_t)(end - path.at) - at : path.n - at;
        r->segments[r->segment_count] = decoded(path.at + at, n);
        if (!r->segments[r->segment_count])
            return -EINVAL;
        r->segment_count++;
        at += n;
    }
    return 0;
}

static int take_query(struct request *r, struct str query)
{
    size_t at = 0;

    while (at < query.n) {
        const char *end = memchr(query.at + at, '&', query.n - at);
        size_t n = end ? (size_t)(end - query.at) - at : query.n - at;
        const char *eq = memchr(query.at + at, '=', n);
        size_t name_n = eq ? (size_t)(eq - query.at) - at : n;
        struct param *p;

        if (r->param_count == PARAMS_MAX)
            return -E2BIG;
        p = &r->params[r->param_count++];
        p->name = decoded_param(query.at + at, name_n);
        p->value = eq ? decoded_param(eq + 1, n - name_n - 1) : strdup("");
        if (!p->name || !p->value)
            return -EINVAL;
        at += n + 1;
    }
    return 0;
}

/* ---------------------------------------------------------------- what the server tells */
/* The body's tree and texts are bounded by a small multiple of it, so its bytes stand for the
 * request's. */
static int keep_body(struct request *r, const uint8_t *data, size_t n, struct failure *f)
{
    struct api *a = r->api;

    if (buffer_size(&r->body) + n > BODY_MAX)
        return failure_set(f, 413, "RequestEntityTooLarge", "Request entity too large: limit is %d",
                           BODY_MAX);
    if (a->bodies + n > BODIES_MAX) {
        f->retry_after_s = 1;
        return failure_set(f, 429, "TooManyRequests",
                           "the bodies of all requests are more than %llu MiB", BODIES_MAX >> 20);
    }
    if (buffer_append(&r->body, data, n) < 0)
        return failure_errno(f, -ENOMEM, NULL);
    a->bodies += n;
    r->body_counted += n;
    return 0;
}

static void on_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    struct request *r = http_user(x);
    cleanup_failure struct failure f = {0};

    request_hold(r);
    if (r->on_body_part)
        r->on_body_part(r, data, n, last);
    else if (!r->answered && keep_body(r, data, n, &f) < 0)
        respond_failure(r, &f);
    else if (!r->answered && last && r->on_body)
        r->on_body(r);
    request_release(r);
}

static void on_drained(struct http_exchange *x)
{
    struct request *r = http_user(x);

    if (r->on_drained)
        r->on_drained(r);
}

static void on_gone(struct http_exchange *x, int error)
{
    struct request *r = http_user(x);

    (void)error;
    r->gone = true;
    if (r->on_gone)
        r->on_gone(r);
}

static void on_done(struct http_exchange *x)
{
    struct request *r = http_user(x);

    if (r->on_gone && !r->gone) {
        r->gone = true;
        r->on_gone(r);
    }
    r->x = NULL;
    request_release(r);
}

static const struct http_exchange_ops ops = {
    .on_body = on_body, .on_drained = on_drained, .on_gone = on_gone, .on_done = on_done};

int request_new(struct api *a, struct http_exchange *x, struct request **ret, struct failure *f)
{
    const struct http_head *h = http_head(x);
    struct request *r = calloc(1, sizeof(*r));

    if (!r)
        return failure_errno(f, -ENOMEM, NULL);
    r->api = a;
    r->x = x;
    r->holds = 1;
    r->began = clock_monotonic_ns();
    r->verb = "get";
    r->resource = "";
    list_init(&r->link);
    list_push_back(&a->requests, &r->link);
    http_set_owner(x, &ops, r);
    *ret = r;
    if (take_path(r, h->path) < 0)
        return failure_bad_request(f, "the path is not valid");
    if (take_query(r, h->query) < 0)
        return failure_bad_request(f, "the query is not valid, or has more than %d parameters",
                                   PARAMS_MAX);
    return 0;
}

const char *request_param(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->param_count; i++)
        if (strcmp(r->params[i].name, name) == 0)
            return r->params[i].value;
    return NULL;
}

bool request_flag(const struct request *r, const char *name)
{
    const char *v = request_param(r, name);

    return v && (strcmp(v, "true") == 0 || strcmp(v, "1") == 0);
}

const char *request_header(const struct request *r, const char *name, char *out, size_t n)
{
    const struct str *v = r->x ? http_head_get(http_head(r->x), name) : NULL;

    if (!v || v->n >= n)
        return NULL;
    memcpy(out, v->at, v->n);
    out[v->n] = '\0';
    return out;
}

bool request_method(const struct request *r, const char *method)
{
    return r->x && str_eq(http_head(r->x)->method, method);
}

bool request_live(const struct request *r)
{
    return r->x && !r->gone && !r->answered;
}

void request_read_body(struct request *r, void (*fn)(struct request *r))
{
    cleanup_failure struct failure f = {0};

    r->on_body = fn;
    if (http_head(r->x)->content_length > BODY_MAX) {
        failure_set(&f, 413, "RequestEntityTooLarge", "Request entity too large: limit is %d",
                    BODY_MAX);
        respond_failure(r, &f);
    } else if (!http_has_body(r->x)) {
        fn(r);
    } else {
        http_read_body(r->x, 0);
    }
}

void request_key(struct request *r)
{
    snprintf(r->access.key, sizeof(r->access.key), "%s%s%s", r->ns ?: "", r->ns ? "/" : "", r->name);
}

void request_ask(struct request *r, void (*on_reply)(struct access_request *q))
{
    request_hold(r);
    r->access.caller = r->api->loop;
    r->access.on_reply = on_reply;
    access_post(r->api->c.registry, &r->access);
}

/* ---------------------------------------------------------------- answers */
static void count(struct request *r, int status)
{
    r->answered = true;
    stats_count(&r->api->stats, r->verb, r->resource, status,
                (double)(clock_monotonic_ns() - r->began) / (double)NS_PER_S);
}

void respond(struct request *r, int status, const char *headers, const void *body, size_t n)
{
    if (!request_live(r))
        return;
    count(r, status);
    http_respond(r->x, status, headers, body, n);
}

void respond_json(struct request *r, int status, const struct buffer *body)
{
    respond(r, status, "Content-Type: application/json\r\n", buffer_bytes(body), buffer_size(body));
}

void respond_text(struct request *r, int status, const char *text)
{
    respond(r, status, "Content-Type: text/plain; charset=utf-8\r\n", text, strlen(text));
}

bool request_retry(struct request *r, void (*begin)(struct request *r))
{
    enum { ATTEMPTS_MAX = 5 };

    if (++r->attempts >= ATTEMPTS_MAX)
        return false;
    access_request_done(&r->access);
    begin(r);
    request_release(r);
    return true;
}

void respond_written(struct request *r)
{
    cleanup_failure struct failure f = {0};

    if (!r->access.error)
        respond_object(r, 200, r->access.object, NULL);
    else if (failure_of_write(&f, r, r->name, &r->access) < 0)
        respond_failure(r, &f);
    access_request_done(&r->access);
    request_release(r);
}

int failure_of_write(struct failure *f, const struct request *r, const char *name,
                     const struct access_request *q)
{
    const char *plural = r->kind->plural, *group = r->api->schema->group;

    if (q->error == -EAGAIN)
        return failure_conflict(f, plural, group, name);
    if (q->error == -ENOENT)
        return failure_not_found(f, plural, group, name);
    if (q->error == -EBUSY)
        return failure_set(
            f, 409, "Conflict",
            "the agent of %s \"%s\" is connected: drain it (rouse drain %s), stop its agent, "
            "then delete it; a NodePool's node goes by the pool",
            plural, name, name);
    return failure_errno(f, q->error, q->message);
}

void respond_failure(struct request *r, const struct failure *f)
{
    cleanup_buffer struct buffer b = {0};
    char headers[256];
    size_t n = (size_t)snprintf(headers, sizeof(headers), "Content-Type: application/json\r\n");

    if (f->retry_after_s)
        n += (size_t)snprintf(headers + n, sizeof(headers) - n, "Retry-After: %u\r\n",
                              f->retry_after_s);
    if (f->code == 401)
        snprintf(headers + n, sizeof(headers) - n, "WWW-Authenticate: Bearer\r\n");
    failure_json(f, r->api->schema->group, r->kind ? r->kind->plural : NULL,
                 r->kind ? r->kind->name : NULL, r->name, &b);
    respond(r, f->code, headers, buffer_bytes(&b), buffer_size(&b));
}

void respond_object(struct request *r, int status, const struct object *o, const char *headers)
{
    cleanup_buffer struct buffer b = {0};
    cleanup_free char *all = NULL;

    if (r->table && r->kind) {
        char metadata[64];

        snprintf(metadata, sizeof(metadata), "{\"resourceVersion\":\"%llu\"}",
                 (unsigned long long)o->rv);
        table_begin(r->kind, metadata, true, &b);
        table_row(r->kind, o, r->include, clock_wall_ms() / 1000, &b);
        table_end(&b);
    } else {
        object_json(o, &b);
    }
    buffer_puts(&b, "\n");
    if (asprintf(&all, "Content-Type: application/json\r\n%s", headers ?: "") < 0)
        all = NULL;
    respond(r, status, all, buffer_bytes(&b), buffer_size(&b));
}
