/* read.c - get and list. A list that is paged keeps its objects for the pages to come: one
 * resourceVersion. */
#include "api/api_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SNAPSHOT_S = 300 };

struct snapshot {
    struct list link;
    enum object_kind kind;
    char ns[64];
    uint64_t rv, made;
    struct object **items; /* all that were there, unfiltered */
    size_t count;
};

static void snapshot_free(struct api *a, struct snapshot *s)
{
    list_del(&s->link);
    a->snapshot_count--;
    for (size_t i = 0; i < s->count; i++)
        object_unref(s->items[i]);
    free(s->items);
    free(s);
}

void snapshots_drop(struct api *a)
{
    list_for_each(it, &a->snapshots) snapshot_free(a, list_entry(it, struct snapshot, link));
}

static void drop_old(struct api *a)
{
    uint64_t now = loop_now(a->loop);

    list_for_each(it, &a->snapshots)
    {
        struct snapshot *s = list_entry(it, struct snapshot, link);

        if (now - s->made > SNAPSHOT_S * NS_PER_S || a->snapshot_count >= SNAPSHOTS_MAX)
            snapshot_free(a, s);
    }
}

static struct snapshot *find_snapshot(struct request *r, uint64_t rv)
{
    list_for_each(it, &r->api->snapshots)
    {
        struct snapshot *s = list_entry(it, struct snapshot, link);

        if (s->rv == rv && s->kind == r->kind->kind && strcmp(s->ns, r->ns ?: "") == 0)
            return s;
    }
    return NULL;
}

static void keep_snapshot(struct request *r)
{
    struct access_request *q = &r->access;
    struct snapshot *s;

    if (find_snapshot(r, q->rv))
        return;
    drop_old(r->api);
    s = calloc(1, sizeof(*s));
    if (!s)
        return;
    list_init(&s->link);
    s->kind = r->kind->kind;
    snprintf(s->ns, sizeof(s->ns), "%s", r->ns ?: "");
    s->rv = q->rv;
    s->made = loop_now(r->api->loop);
    s->items = TAKE_PTR(q->items);
    s->count = q->count;
    q->count = 0;
    list_push_back(&r->api->snapshots, &s->link);
    r->api->snapshot_count++;
}

/* ---------------------------------------------------------------- get */
static void on_got(struct access_request *q)
{
    struct request *r = request_of(q);
    cleanup_failure struct failure f = {0};

    if (q->object && r->sub == SUB_SCALE) {
        respond_scale(r, q->object);
    } else if (q->object) {
        respond_object(r, 200, q->object, NULL);
    } else {
        failure_not_found(&f, r->kind->plural, r->api->schema->group, r->name);
        respond_failure(r, &f);
    }
    access_request_done(q);
    request_release(r);
}

void read_get(struct request *r)
{
    r->access = (struct access_request){.verb = ACCESS_GET, .kind = r->kind->kind};
    request_key(r);
    request_ask(r, on_got);
}

/* ---------------------------------------------------------------- list */
struct page {
    uint64_t rv;
    struct object **items;
    size_t count, limit; /* limit 0: all */
    const char *after;   /* key of the last one of the page before, or NULL */
};

static int item_json(struct request *r, const struct object *o, struct buffer *out)
{
    return r->table ? table_row(r->kind, o, r->include, clock_wall_ms() / 1000, out)
                    : object_json(o, out);
}

/* Fills `rows`; returns the key to go on from, or NULL, and how many remain. */
static const char *fill_page(struct request *r, const struct page *p, struct buffer *rows,
                             size_t *ret_remaining)
{
    const char *last = NULL;
    size_t n = 0, remaining = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct object *o = p->items[i];

        if ((p->after && strcmp(o->content->key, p->after) <= 0) || !selector_matches(r->selector, o))
            continue;
        if (p->limit && n == p->limit) {
            remaining++;
            continue;
        }
        if (n++)
            buffer_puts(rows, ",");
        item_json(r, o, rows);
        last = o->content->key;
    }
    *ret_remaining = remaining;
    return remaining ? last : NULL;
}

static void answer_page(struct request *r, const struct page *p)
{
    cleanup_buffer struct buffer rows = {0}, all = {0};
    char metadata[512], token[400] = "";
    size_t remaining;
    const char *last = fill_page(r, p, &rows, &remaining);

    if (last)
        snprintf(token, sizeof(token), ",\"continue\":\"%" PRIu64 ".%s\",\"remainingItemCount\":%zu",
                 p->rv, last, remaining);
    snprintf(metadata, sizeof(metadata), "{\"resourceVersion\":\"%" PRIu64 "\"%s}", p->rv, token);
    if (r->table)
        table_begin(r->kind, metadata, true, &all);
    else
        buffer_printf(
            &all, "{\"apiVersion\":\"rouse.dev/v1\",\"kind\":\"%sList\",\"metadata\":%s,\"items\":[",
            r->kind->name, metadata);
    buffer_append(&all, buffer_bytes(&rows), buffer_size(&rows));
    buffer_puts(&all, "]}\n");
    respond_json(r, 200, &all);
}

/* "RV.KEY": keys hold nothing that JSON or a query would mind. */
static int read_continue(struct request *r, const char *token, struct page *p, struct failure *f)
{
    char *end;
    uint64_t rv = strtoull(token, &end, 10);
    struct snapshot *s;

    if (end == token || *end != '.' || !end[1] || strlen(end) > 330)
        return failure_bad_request(f, "continue key is not valid");
    s = find_snapshot(r, rv);
    if (!s)
        return failure_set(f, 410, "Expired",
                           "The provided continue parameter is too old to display a consistent "
                           "list result. You must "
                           "start a new list without the continue parameter.");
    p->rv = s->rv;
    p->items = s->items;
    p->count = s->count;
    p->after = end + 1;
    return 0;
}

static int read_limit(struct request *r, size_t *ret, struct failure *f)
{
    const char *text = request_param(r, "limit");
    char *end;
    long long v;

    *ret = 0;
    if (!text || !text[0])
        return 0;
    v = strtoll(text, &end, 10);
    if (*end || v < 0)
        return failure_bad_request(f, "limit must be a number");
    *ret = (size_t)v;
    return 0;
}

static void on_list(struct access_request *q)
{
    struct request *r = request_of(q);
    cleanup_failure struct failure f = {0};
    struct page p = {.rv = q->rv, .items = q->items, .count = q->count};

    if (q->error)
        failure_errno(&f, q->error, q->message);
    else if (read_limit(r, &p.limit, &f) == 0)
        answer_page(r, &p);
    if (f.code)
        respond_failure(r, &f);
    else if (p.limit && p.limit < p.count)
        keep_snapshot(r);
    access_request_done(q);
    request_release(r);
}

void read_list(struct request *r)
{
    const char *token = request_param(r, "continue"), *rv = request_param(r, "resourceVersion");
    cleanup_failure struct failure f = {0};
    struct page p = {0};
    char *end;

    if (token && token[0]) {
        if (read_limit(r, &p.limit, &f) < 0 || read_continue(r, token, &p, &f) < 0)
            respond_failure(r, &f);
        else
            answer_page(r, &p);
        return;
    }
    if (rv && rv[0] && (strtoull(rv, &end, 10) == UINT64_MAX || *end)) {
        failure_bad_request(&f, "Invalid value: \"%.100s\": resourceVersion is not a number", rv);
        respond_failure(r, &f);
        return;
    }
    r->access = (struct access_request){.verb = ACCESS_LIST, .kind = r->kind->kind};
    snprintf(r->access.ns, sizeof(r->access.ns), "%s", r->ns ?: "");
    request_ask(r, on_list);
}
