/* delete.c - DELETE of one object or of a collection: each is marked, unrouted by the core, then
 * erased. Of a node that is gone, which is forgotten at once. */
#include "api/api_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct deletion {
    bool dry_run;
    char uid[40], version[24]; /* preconditions; "" none */
    struct object **items;     /* of a collection */
    size_t count, at;
};

static void deletion_free(void *p)
{
    struct deletion *d = p;

    for (size_t i = 0; i < d->count; i++)
        object_unref(d->items[i]);
    free(d->items);
    free(d);
}

static int check_preconditions(struct request *r, const struct object *o, struct failure *f)
{
    struct deletion *d = r->work;
    char rv[24];

    snprintf(rv, sizeof(rv), "%llu", (unsigned long long)o->rv);
    if (d->uid[0] && strcmp(d->uid, o->content->uid) != 0)
        return failure_set(f, 409, "Conflict",
                           "Operation cannot be fulfilled on %s.%s \"%s\": Precondition failed: "
                           "UID in precondition: "
                           "%s, UID in object meta: %s",
                           r->kind->plural, r->api->schema->group, o->content->name, d->uid,
                           o->content->uid);
    if (d->version[0] && strcmp(d->version, rv) != 0)
        return failure_conflict(f, r->kind->plural, r->api->schema->group, o->content->name);
    return 0;
}

static void mark(struct request *r, const struct object *o,
                 void (*on_marked)(struct access_request *q), struct failure *f)
{
    struct content *c;

    if (admission_mark(o, clock_wall_ms(), &c, f) < 0)
        return;
    r->access = (struct access_request){
        .verb = ACCESS_WRITE, .kind = r->kind->kind, .content = c, .stored = o->stored};
    request_ask(r, on_marked);
}

/* ---------------------------------------------------------------- one */
static void ask_one(struct request *r);

static void on_marked(struct access_request *q)
{
    struct request *r = request_of(q);
    struct deletion *d = r->work;

    if (q->error != -EAGAIN || d->version[0] || !request_retry(r, ask_one))
        respond_written(r);
}

/* A node is the core's: it goes at once, or not as long as its agent is connected. */
static void forget_node(struct request *r, bool dry_run)
{
    r->access =
        (struct access_request){.verb = ACCESS_NODE_DELETE, .kind = KIND_NODE, .dry_run = dry_run};
    request_key(r);
    request_ask(r, on_marked);
}

static void on_found(struct access_request *q)
{
    struct request *r = request_of(q);
    struct deletion *d = r->work;
    cleanup_failure struct failure f = {0};
    cleanup_object struct object *o = TAKE_PTR(q->object);

    if (!o)
        failure_not_found(&f, r->kind->plural, r->api->schema->group, r->name);
    else if (check_preconditions(r, o, &f) == 0) {
        if (r->kind->kind == KIND_NODE)
            forget_node(r, d->dry_run);
        else if (d->dry_run || o->content->deleting)
            respond_object(r, 200, o, NULL);
        else
            mark(r, o, on_marked, &f);
    }
    if (f.code)
        respond_failure(r, &f);
    request_release(r);
}

static void ask_one(struct request *r)
{
    r->access = (struct access_request){.verb = ACCESS_GET, .kind = r->kind->kind};
    request_key(r);
    request_ask(r, on_found);
}

/* ---------------------------------------------------------------- a collection: one after the
 * other */
static void next_of_collection(struct request *r);

static void on_one_marked(struct access_request *q)
{
    struct request *r = request_of(q);
    struct deletion *d = r->work;
    cleanup_failure struct failure f = {0};

    /* Changed or gone meanwhile: the collection was what it was when it was listed. */
    if (q->error && q->error != -EAGAIN && q->error != -ENOENT) {
        failure_errno(&f, q->error, q->message);
        respond_failure(r, &f);
        access_request_done(q);
    } else {
        if (!q->error) {
            object_unref(d->items[d->at]);
            d->items[d->at] = TAKE_PTR(q->object);
        }
        access_request_done(q); /* before the next question uses it again */
        d->at++;
        next_of_collection(r);
    }
    request_release(r);
}

static void answer_collection(struct request *r)
{
    struct deletion *d = r->work;
    cleanup_buffer struct buffer b = {0};

    buffer_printf(&b,
                  "{\"apiVersion\":\"rouse.dev/v1\",\"kind\":\"%sList\",\"metadata\":{},\"items\":[",
                  r->kind->name);
    for (size_t i = 0; i < d->count; i++) {
        if (i)
            buffer_puts(&b, ",");
        object_json(d->items[i], &b);
    }
    buffer_puts(&b, "]}\n");
    respond_json(r, 200, &b);
}

static void next_of_collection(struct request *r)
{
    struct deletion *d = r->work;
    cleanup_failure struct failure f = {0};

    while (d->at < d->count && (d->dry_run || d->items[d->at]->content->deleting))
        d->at++;
    if (d->at == d->count)
        answer_collection(r);
    else
        mark(r, d->items[d->at], on_one_marked, &f);
    if (f.code)
        respond_failure(r, &f);
}

static void on_listed(struct access_request *q)
{
    struct request *r = request_of(q);
    struct deletion *d = r->work;

    d->items = TAKE_PTR(q->items);
    for (size_t i = 0; i < q->count; i++) {
        if (selector_matches(r->selector, d->items[i]))
            d->items[d->count++] = d->items[i];
        else
            object_unref(d->items[i]);
    }
    q->count = 0;
    next_of_collection(r);
    request_release(r);
}

/* ---------------------------------------------------------------- reading the request */
static void read_text(struct json_object *body, const char *path, char *out, size_t n)
{
    const char *text = json_object_get_string(table_path(body, path));

    snprintf(out, n, "%s", text ?: "");
}

static void on_body(struct request *r)
{
    struct deletion *d = r->work;
    cleanup_failure struct failure f = {0};
    struct json_object *body = NULL;

    if (buffer_size(&r->body) &&
        admission_parse(buffer_bytes(&r->body), buffer_size(&r->body), &body, &f) < 0) {
        respond_failure(r, &f);
        return;
    }
    read_text(body, ".preconditions.uid", d->uid, sizeof(d->uid));
    read_text(body, ".preconditions.resourceVersion", d->version, sizeof(d->version));
    d->dry_run = request_param(r, "dryRun") || table_path(body, ".dryRun[0]");
    json_object_put(body);
    if (r->name) {
        ask_one(r);
        return;
    }
    r->access = (struct access_request){.verb = ACCESS_LIST, .kind = r->kind->kind};
    snprintf(r->access.ns, sizeof(r->access.ns), "%s", r->ns ?: "");
    request_ask(r, on_listed);
}

void delete_begin(struct request *r)
{
    struct deletion *d = calloc(1, sizeof(*d));
    cleanup_failure struct failure f = {0};
    char type[128] = "";

    request_header(r, "Content-Type", type, sizeof(type));
    type[strcspn(type, "; ")] = '\0';
    if (!d)
        failure_errno(&f, -ENOMEM, NULL);
    else if (type[0] && strcmp(type, "application/json") != 0 && http_has_body(r->x))
        failure_set(&f, 415, "UnsupportedMediaType",
                    "the body of the request was in an unknown format - accepted media types include: "
                    "application/json");
    if (f.code) {
        free(d);
        respond_failure(r, &f);
        return;
    }
    r->work = d;
    r->work_free = deletion_free;
    request_read_body(r, on_body);
}
