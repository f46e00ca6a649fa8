/* notes.c - Events of core/v1: what happened to functions, nodes and pools (brain/notes.h), to be
 * listed and watched. Nobody writes them here.
 *
 * A watch asks the brain again each half second: they are few and for people, and while nobody
 * watches, nothing is made of them but the notes. */
#include "api/notes_json.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    TIMEOUT_S = 3600,
    TIMEOUT_MAX_S = 24 * 3600,
    AT_ONCE = 100, /* of a watch, before it is seen whether its client reads */
};
#define ASK_NS (500 * NS_PER_MS)

struct notes_watch {
    struct request *request;
    struct loop_timer timer;
    uint64_t until;
    bool columns_sent, ended;
};

/* ---- which */

static const char *field_of(const void *of, const char *field)
{
    const struct note *n = of;
    static _Thread_local char name[NOTE_NAME];

    if (strcmp(field, "metadata.name") == 0) {
        note_name(n, name);
        return name;
    }
    return strcmp(field, "involvedObject.name") == 0         ? n->name
           : strcmp(field, "involvedObject.namespace") == 0  ? n->ns
           : strcmp(field, "involvedObject.kind") == 0       ? n->kind
           : strcmp(field, "involvedObject.uid") == 0        ? n->object_uid
           : strcmp(field, "involvedObject.apiVersion") == 0 ? "rouse.dev/v1"
           : strcmp(field, "metadata.namespace") == 0        ? note_namespace(n)
           : strcmp(field, "reason") == 0                    ? n->reason
           : strcmp(field, "type") == 0                      ? (n->warning ? "Warning" : "Normal")
                                                             : "rouse-controller";
}

static int read_selector(struct request *r, struct failure *f)
{
    static const char *const known[] = {"metadata.name",
                                        "metadata.namespace",
                                        "involvedObject.kind",
                                        "involvedObject.namespace",
                                        "involvedObject.name",
                                        "involvedObject.uid",
                                        "involvedObject.apiVersion",
                                        "reason",
                                        "type",
                                        "source",
                                        "reportingComponent",
                                        NULL};
    struct err e = {0};

    if (selector_parse_of(request_param(r, "labelSelector"), request_param(r, "fieldSelector"),
                          known, &r->selector, &e) < 0)
        return failure_bad_request(f, "%s", e.message);
    return 0;
}

static bool wanted(const struct request *r, const struct note *n)
{
    return selector_matches_of(r->selector, field_of, n) &&
           (!r->name || strcmp(field_of(n, "metadata.name"), r->name) == 0);
}

/* ---- list and get */

static void answer_one(struct request *r, const struct note *n)
{
    cleanup_buffer struct buffer b = {0};
    cleanup_failure struct failure f = {0};

    if (!n) {
        failure_not_found(&f, "events", "", r->name);
        respond_failure(r, &f);
        return;
    }
    if (r->table) {
        note_table_begin(&b, n->rv, true);
        note_row(r->include, n, &b);
        buffer_puts(&b, "]}\n");
    } else {
        note_json(n, &b);
        buffer_puts(&b, "\n");
    }
    respond_json(r, 200, &b);
}

static void on_list(struct access_request *q)
{
    struct request *r = request_of(q);
    cleanup_buffer struct buffer b = {0};
    const struct note *one = NULL;
    cleanup_failure struct failure f = {0};
    size_t n = 0;

    if (q->error)
        failure_errno(&f, q->error, NULL);
    if (r->table)
        note_table_begin(&b, q->notes_rv, true);
    else
        buffer_printf(&b,
                      "{\"kind\":\"EventList\",\"apiVersion\":\"v1\",\"metadata\":{"
                      "\"resourceVersion\":\"%" PRIu64 "\"},\"items\":[",
                      q->notes_rv);
    for (size_t i = 0; i < q->count; i++) {
        if (!wanted(r, q->notes[i]))
            continue;
        one = q->notes[i];
        buffer_puts(&b, n++ ? "," : "");
        if (r->table)
            note_row(r->include, one, &b);
        else
            note_json(one, &b);
    }
    buffer_puts(&b, "]}\n");
    if (q->error)
        respond_failure(r, &f);
    else if (r->name)
        answer_one(r, one);
    else
        respond_json(r, 200, &b);
    access_request_done(q);
    request_release(r);
}

/* ---- watch */

static void watch_end(struct notes_watch *w)
{
    struct request *r = w->request;

    if (w->ended)
        return;
    w->ended = true;
    loop_timer_cancel(r->api->loop, &w->timer);
    r->api->watch_count--;
    request_release(r);
}

static void on_gone(struct request *r)
{
    watch_end(r->work);
}

/* Without a resourceVersion all that there is comes first, as ADDED, however often it has happened. */
static void send_note(struct notes_watch *w, const struct note *n, uint64_t after)
{
    cleanup_buffer struct buffer line = {0};
    struct request *r = w->request;

    buffer_printf(&line, "{\"type\":\"%s\",\"object\":", n->first_rv > after ? "ADDED" : "MODIFIED");
    if (r->table) {
        note_table_begin(&line, n->rv, !w->columns_sent);
        note_row(r->include, n, &line);
        buffer_puts(&line, "]}");
        w->columns_sent = true;
    } else {
        note_json(n, &line);
    }
    buffer_puts(&line, "}\n");
    http_respond_write(r->x, buffer_bytes(&line), buffer_size(&line));
}

static void on_news(struct access_request *q)
{
    struct request *r = request_of(q);
    struct notes_watch *w = r->work;
    bool live = !w->ended && r->x && !r->gone, more = q->count == AT_ONCE;

    for (size_t i = 0; i < q->count && live; i++)
        if (wanted(r, q->notes[i]))
            send_note(w, q->notes[i], q->after);
    if (q->error == 0)
        q->after = q->notes_rv;
    access_request_done(q);
    if (live)
        loop_timer_set(r->api->loop, &w->timer, loop_now(r->api->loop) + (more ? 0 : ASK_NS));
    request_release(r);
}

static void on_timer(struct loop_timer *t)
{
    struct notes_watch *w = container_of(t, struct notes_watch, timer);
    struct request *r = w->request;
    struct loop *l = r->api->loop;

    if (loop_now(l) >= w->until) {
        request_hold(r);
        watch_end(w);
        if (r->x && !r->gone)
            http_respond_end(r->x, NULL);
        request_release(r);
    } else if (http_congested(r->x)) { /* it reads what it has first: they are kept for an hour */
        loop_timer_set(l, t, loop_now(l) + ASK_NS);
    } else {
        request_ask(r, on_news);
    }
}

static void watch_start(struct request *r)
{
    const char *seconds = request_param(r, "timeoutSeconds"),
               *rv = request_param(r, "resourceVersion");
    cleanup_failure struct failure f = {0};
    struct notes_watch *w = NULL;
    uint64_t s = seconds ? strtoull(seconds, NULL, 10) : 0, after = 0;
    char *end = NULL;

    if (rv && *rv)
        after = strtoull(rv, &end, 10);
    if (end && (*end || *rv == '-')) {
        failure_bad_request(&f, "Invalid value: \"%.100s\": resourceVersion is not a number", rv);
    } else if (r->api->watch_count >= WATCHES_MAX) {
        f.retry_after_s = 5;
        failure_set(&f, 429, "TooManyRequests", "there are %d watches already", WATCHES_MAX);
    } else if (!(w = calloc(1, sizeof(*w)))) {
        failure_errno(&f, -ENOMEM, NULL);
    }
    if (!w) {
        respond_failure(r, &f);
        return;
    }
    s = s ? s : TIMEOUT_S;
    w->until = loop_now(r->api->loop) + (s < TIMEOUT_MAX_S ? s : TIMEOUT_MAX_S) * NS_PER_S;
    w->request = r;
    w->timer.fn = on_timer;
    r->access.after = after;
    r->access.most = AT_ONCE;
    r->work = w;
    r->work_free = free;
    r->on_gone = on_gone;
    request_hold(r);
    r->api->watch_count++;
    r->answered = true;
    stats_count(&r->api->stats, "watch", r->resource, 200, 0);
    http_respond_start(r->x, 200, "Content-Type: application/json\r\n", -1);
    request_ask(r, on_news);
}

void notes_answer(struct request *r)
{
    const char *include = request_param(r, "includeObject");
    cleanup_failure struct failure f = {0};

    if (read_selector(r, &f) < 0) {
        respond_failure(r, &f);
        return;
    }
    if (include)
        r->include = strcmp(include, "Object") == 0 ? TABLE_OBJECT
                     : strcmp(include, "None") == 0 ? TABLE_NONE
                                                    : TABLE_METADATA;
    r->access = (struct access_request){.verb = ACCESS_NOTES};
    snprintf(r->access.ns, sizeof(r->access.ns), "%s", r->ns ?: "");
    if (request_flag(r, "watch"))
        watch_start(r);
    else
        request_ask(r, on_list);
}
