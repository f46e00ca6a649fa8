/* watch.c - watches as chunked lines of JSON.
 *
 * A watcher that does not read gets its events queued here, up
 * to WATCH_BEHIND_MAX bytes; past that it is cut, and comes back to list again. */
#include "api/api_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BOOKMARK_S = 60, TIMEOUT_MAX_S = 24 * 3600, TIMEOUT_S = 3600 };

struct queued {
    struct list link;
    struct buffer line;
};

struct watch {
    struct request *request;
    struct access_watch *access;
    struct loop_timer bookmark, timeout;
    bool bookmarks, initial_end; /* allowWatchBookmarks; sendInitialEvents */
    bool columns_sent, ended;
    struct list queue;
    size_t behind;
};

static void watch_end(struct watch *w)
{
    struct request *r = w->request;

    if (w->ended)
        return;
    w->ended = true;
    loop_timer_cancel(r->api->loop, &w->bookmark);
    loop_timer_cancel(r->api->loop, &w->timeout);
    access_watch_stop(w->access);
    r->api->watch_count--;
    r->api->behind -= w->behind;
    while (!list_empty(&w->queue)) {
        struct queued *q = list_entry(list_pop_front(&w->queue), struct queued, link);

        buffer_done(&q->line);
        free(q);
    }
    request_release(r);
}

/* Ends the answer; what is queued is not sent any more unless nothing is. */
static void watch_finish(struct watch *w)
{
    struct request *r = request_hold(w->request);

    watch_end(w);
    if (r->x && !r->gone)
        http_respond_end(r->x, NULL);
    request_release(r);
}

static void write_line(struct watch *w, struct buffer *line)
{
    struct request *r = w->request;
    struct queued *q;

    if (!r->x || r->gone || w->ended)
        return;
    if (list_empty(&w->queue) && !http_congested(r->x)) {
        http_respond_write(r->x, buffer_bytes(line), buffer_size(line));
        return;
    }
    w->behind += buffer_size(line);
    r->api->behind += buffer_size(line);
    q = w->behind > WATCH_BEHIND_MAX || r->api->behind > WATCHES_BEHIND_MAX ? NULL
                                                                            : malloc(sizeof(*q));
    if (!q) {
        r->api->stats.slow_watches++;
        http_abort(r->x);
        return;
    }
    q->line = *line;
    *line = (struct buffer){0};
    list_init(&q->link);
    list_push_back(&w->queue, &q->link);
}

static void on_drained(struct request *r)
{
    struct watch *w = r->work;

    while (!w->ended && r->x && !r->gone && !list_empty(&w->queue) && !http_congested(r->x)) {
        struct queued *q = list_entry(list_pop_front(&w->queue), struct queued, link);

        w->behind -= buffer_size(&q->line);
        r->api->behind -= buffer_size(&q->line);
        http_respond_write(r->x, buffer_bytes(&q->line), buffer_size(&q->line));
        buffer_done(&q->line);
        free(q);
    }
}

static void send_object(struct watch *w, const char *type, const struct object *o)
{
    cleanup_buffer struct buffer line = {0};
    struct request *r = w->request;

    buffer_printf(&line, "{\"type\":\"%s\",\"object\":", type);
    if (r->table) {
        char metadata[64];

        snprintf(metadata, sizeof(metadata), "{\"resourceVersion\":\"%" PRIu64 "\"}", o->rv);
        table_begin(r->kind, metadata, !w->columns_sent, &line);
        table_row(r->kind, o, r->include, clock_wall_ms() / 1000, &line);
        table_end(&line);
        w->columns_sent = true;
    } else {
        object_json(o, &line);
    }
    buffer_puts(&line, "}\n");
    write_line(w, &line);
}

static void send_bookmark(struct watch *w, uint64_t rv, bool end_of_initial)
{
    cleanup_buffer struct buffer line = {0};
    struct request *r = w->request;

    if (r->table)
        buffer_printf(&line,
                      "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Table\",\"apiVersion\":\"meta."
                      "k8s.io/v1\","
                      "\"metadata\":{\"resourceVersion\":\"%" PRIu64
                      "\"},\"columnDefinitions\":null,\"rows\":[]}}\n",
                      rv);
    else
        buffer_printf(
            &line,
            "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"apiVersion\":\"rouse.dev/v1\","
            "\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\",\"creationTimestamp\":null%s}}}\n",
            r->kind->name, rv,
            end_of_initial ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    write_line(w, &line);
}

static void send_expired(struct watch *w, uint64_t oldest)
{
    cleanup_buffer struct buffer line = {0};
    cleanup_failure struct failure f = {0};

    failure_set(&f, 410, "Expired", "too old resource version: %s (%" PRIu64 ")",
                request_param(w->request, "resourceVersion") ?: "0", oldest);
    buffer_puts(&line, "{\"type\":\"ERROR\",\"object\":");
    failure_json(&f, "", NULL, NULL, NULL, &line);
    line.end--; /* the Status' own end of line */
    buffer_puts(&line, "}\n");
    write_line(w, &line);
    watch_finish(w);
}

/* What a selector lets through changes with an object's labels: to this watcher it appears and
 * disappears. */
static void on_change(struct watch *w, enum event_type type, const struct object *now,
                      const struct object *old)
{
    const struct selector *s = w->request->selector;
    bool is = type != EVENT_DELETED && selector_matches(s, now);
    bool was = type != EVENT_ADDED && old && selector_matches(s, old);

    if (is)
        send_object(w, was ? "MODIFIED" : "ADDED", now);
    else if (was)
        send_object(w, "DELETED", now);
}

static void on_event(void *user, enum event_type type, const struct object *now,
                     const struct object *old, uint64_t rv)
{
    struct watch *w = user;
    struct request *r = request_hold(w->request); /* it may end within */

    switch (type) {
    case EVENT_ADDED:
    case EVENT_MODIFIED:
    case EVENT_DELETED:
        on_change(w, type, now, old);
        break;
    case EVENT_SYNCED:
        if (w->initial_end)
            send_bookmark(w, rv, true);
        break;
    case EVENT_BOOKMARK:
        send_bookmark(w, rv, false);
        break;
    case EVENT_EXPIRED:
        send_expired(w, rv);
        break;
    }
    request_release(r);
}

static void on_bookmark_timer(struct loop_timer *t)
{
    struct watch *w = container_of(t, struct watch, bookmark);
    struct loop *l = w->request->api->loop;

    access_watch_bookmark(w->access);
    loop_timer_set(l, t, loop_now(l) + BOOKMARK_S * NS_PER_S);
}

static void on_timeout(struct loop_timer *t)
{
    watch_finish(container_of(t, struct watch, timeout));
}

static void on_gone(struct request *r)
{
    watch_end(r->work);
}

static void set_timers(struct watch *w)
{
    const char *text = request_param(w->request, "timeoutSeconds");
    uint64_t s = text && text[0] ? strtoull(text, NULL, 10) : 0;
    struct loop *l = w->request->api->loop;

    if (!s)
        s = TIMEOUT_S;
    if (s > TIMEOUT_MAX_S)
        s = TIMEOUT_MAX_S;
    w->timeout.fn = on_timeout;
    loop_timer_set(l, &w->timeout, loop_now(l) + s * NS_PER_S);
    w->bookmark.fn = on_bookmark_timer;
    if (w->bookmarks)
        loop_timer_set(l, &w->bookmark, loop_now(l) + BOOKMARK_S * NS_PER_S);
}

static int read_rv(struct request *r, uint64_t *ret, struct failure *f)
{
    const char *text = request_param(r, "resourceVersion");
    char *end;

    *ret = 0;
    if (!text || !text[0])
        return 0;
    *ret = strtoull(text, &end, 10);
    if (*end || text[0] == '-')
        return failure_bad_request(f, "Invalid value: \"%.100s\": resourceVersion is not a number",
                                   text);
    return 0;
}

void watch_begin(struct request *r)
{
    cleanup_failure struct failure f = {0};
    struct access_watch_options o = {.kind = r->kind->kind,
                                     .ns = r->ns,
                                     .name = r->name ?: selector_name(r->selector),
                                     .caller = r->api->loop,
                                     .on_event = on_event};
    struct watch *w = NULL;
    int x;

    if (r->api->watch_count >= WATCHES_MAX) {
        f.retry_after_s = 5;
        failure_set(&f, 429, "TooManyRequests", "there are %d watches already", WATCHES_MAX);
    } else if (read_rv(r, &o.rv, &f) == 0) {
        w = calloc(1, sizeof(*w));
        if (!w)
            failure_errno(&f, -ENOMEM, NULL);
    }
    if (f.code) {
        respond_failure(r, &f);
        return;
    }
    if (request_flag(r, "sendInitialEvents"))
        o.rv = 0;
    w->request = r;
    w->bookmarks = request_flag(r, "allowWatchBookmarks");
    w->initial_end = request_flag(r, "sendInitialEvents") && w->bookmarks;
    list_init(&w->queue);
    o.user = w;
    x = access_watch_start(r->api->c.registry, &o, &w->access);
    if (x < 0) {
        free(w);
        failure_errno(&f, x, NULL);
        respond_failure(r, &f);
        return;
    }
    r->work = w;
    r->work_free = free;
    r->on_gone = on_gone;
    r->on_drained = on_drained;
    request_hold(r);
    r->api->watch_count++;
    r->answered = true;
    stats_count(&r->api->stats, r->verb, r->resource, 200, 0);
    set_timers(w);
    http_respond_start(r->x, 200, "Content-Type: application/json\r\n", -1);
}
