/* logs.c - GET .../functions/NAME/log: lines from the brain, streamed.
 *
 * The stream lives on two threads: `log` is the brain's, the rest the API's.
 * Text that the client does not take in time is dropped with a note, so that a
 * slow reader never holds up a function's output. */
#include "api/api_internal.h"

#include "base/cleanup.h"
#include "brain/brain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { BEHIND_MAX = 4 << 20 };

struct stream {
    struct mail start, cancel;
    struct request *request;
    struct brain *brain;
    struct loop *api_loop;
    char key[320];
    uint32_t tail;
    bool follow;
    /* the brain's */
    struct brain_log *log;
    bool over;
    /* the API's */
    bool started, ended, cancelling;
    struct buffer behind;
    bool dropped;
};

struct piece { /* brain to API */
    struct mail mail;
    struct stream *stream;
    bool last;
    int error;
    size_t n;
    uint8_t text[];
};

static void pump(struct stream *s)
{
    struct request *r = s->request;

    while (r->x && !r->gone && buffer_size(&s->behind) && !http_congested(r->x)) {
        size_t n = buffer_size(&s->behind) < 65536 ? buffer_size(&s->behind) : 65536;

        http_respond_write(r->x, buffer_bytes(&s->behind), n);
        buffer_consume(&s->behind, n);
    }
    if (r->x && !r->gone && s->ended && !buffer_size(&s->behind))
        http_respond_end(r->x, NULL);
}

static void begin_answer(struct stream *s)
{
    struct request *r = s->request;

    if (s->started || !request_live(r))
        return;
    s->started = true;
    r->answered = true;
    stats_count(&r->api->stats, r->verb, r->resource, 200, 0);
    http_respond_start(r->x, 200, "Content-Type: text/plain; charset=utf-8\r\n", -1);
}

static void take(struct stream *s, const struct piece *p)
{
    static const char note[] = "[lines dropped: the reader is too slow]\n";

    if (buffer_size(&s->behind) + p->n <= BEHIND_MAX) {
        buffer_append(&s->behind, p->text, p->n);
        s->dropped = false;
    } else if (!s->dropped) {
        buffer_puts(&s->behind, note);
        s->dropped = true;
    }
}

static void on_piece(struct mail *m)
{
    struct piece *p = container_of(m, struct piece, mail);
    struct stream *s = p->stream;
    struct request *r = s->request;
    cleanup_failure struct failure f = {0};

    if (p->error) {
        failure_not_found(&f, r->kind->plural, r->api->schema->group, r->name);
        respond_failure(r, &f);
    } else {
        begin_answer(s);
        take(s, p);
        s->ended = s->ended || p->last;
        pump(s);
    }
    if (p->last)
        request_release(r); /* the brain's hold: nothing comes after the last piece */
    free(p);
}

/* ---------------------------------------------------------------- on the brain's thread */
static void post_piece(struct stream *s, const void *text, size_t n, bool last, int error)
{
    struct piece *p = malloc(sizeof(*p) + n);

    if (!p && !last)
        return;
    if (!p)
        abort();
    *p = (struct piece){.stream = s, .last = last, .error = error, .n = n};
    if (n)
        memcpy(p->text, text, n);
    p->mail.fn = on_piece;
    loop_post(s->api_loop, &p->mail);
}

static void on_text(void *user, const void *text, size_t n, bool last)
{
    struct stream *s = user;

    if (last) {
        s->over = true;
        s->log = NULL;
    }
    post_piece(s, text, n, last, 0);
}

static void on_start(struct mail *m)
{
    struct stream *s = container_of(m, struct stream, start);
    struct brain_log *log = NULL;
    int x = brain_log_start(s->brain, s->key, s->tail, s->follow, on_text, s, &log);

    if (x < 0) {
        s->over = true;
        post_piece(s, NULL, 0, true, x);
        return;
    }
    if (!s->over) {
        s->log = log;
        post_piece(s, NULL, 0, false, 0); /* the answer begins though nothing was logged yet */
    }
}

static void on_cancelled(struct mail *m)
{
    request_release(container_of(m, struct stream, cancel)->request);
}

static void on_cancel(struct mail *m)
{
    struct stream *s = container_of(m, struct stream, cancel);

    if (!s->over) {
        s->over = true;
        if (s->log)
            brain_log_cancel(s->log);
        s->log = NULL;
        post_piece(s, NULL, 0, true, 0);
    }
    s->cancel.fn = on_cancelled;
    loop_post(s->api_loop, &s->cancel);
}

/* ---------------------------------------------------------------- on the API's */
static void on_gone(struct request *r)
{
    struct stream *s = r->work;

    if (s->cancelling)
        return;
    s->cancelling = true;
    request_hold(r);
    s->cancel.fn = on_cancel;
    loop_post(brain_loop(s->brain), &s->cancel);
}

static void on_drained(struct request *r)
{
    request_hold(r);
    pump(r->work);
    request_release(r);
}

static void stream_free(void *p)
{
    struct stream *s = p;

    s->request->api->log_count--;
    buffer_done(&s->behind);
    free(s);
}

void logs_answer(struct request *r)
{
    const char *tail = request_param(r, "tailLines");
    struct stream *s = calloc(1, sizeof(*s));
    cleanup_failure struct failure f = {0};
    char *end = NULL;
    unsigned long lines = tail && tail[0] ? strtoul(tail, &end, 10) : 0;

    if (!s)
        failure_errno(&f, -ENOMEM, NULL);
    else if (r->api->log_count >= LOGS_MAX) {
        f.retry_after_s = 5;
        failure_set(&f, 429, "TooManyRequests", "%d logs are being read already", LOGS_MAX);
    } else if (end && (*end || tail[0] == '-' || lines > UINT32_MAX))
        failure_bad_request(&f, "tailLines must be a number");
    if (f.code) {
        free(s);
        respond_failure(r, &f);
        return;
    }
    r->api->log_count++;
    s->request = request_hold(r);
    s->brain = r->api->c.brain;
    s->api_loop = r->api->loop;
    s->tail = (uint32_t)lines;
    s->follow = request_flag(r, "follow");
    snprintf(s->key, sizeof(s->key), "%s/%s", r->ns, r->name);
    r->work = s;
    r->work_free = stream_free;
    r->on_gone = on_gone;
    r->on_drained = on_drained;
    s->start.fn = on_start;
    loop_post(brain_loop(s->brain), &s->start);
}
