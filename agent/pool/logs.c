#include "pool/logs.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "invoke/log_pipe.h"
#include "pool/log_writer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    RING_MAX = 1 << 20,
    TOTAL_MAX = 64 << 20, /* all rings; the longest silent one goes first */
    PENDING_MAX = 64 << 10,
    FOLLOWERS_MAX = 64,
    CHUNK_MAX = 256 << 10,
};
#define FLUSH_NS (100 * NS_PER_MS)

struct function_log {
    struct map_node node;
    struct list used;  /* in logs.used, the longest silent first */
    struct list dirty; /* in logs.dirty while `pending` is not empty */
    struct logs *logs;
    unsigned refs;
    struct buffer ring;
    struct buffer pending; /* not yet handed to the writer and the followers */
    char key[];
};
struct follower {
    struct list link;
    uint64_t request;
    struct function_log *log;
};
struct logs {
    struct loop *loop;
    struct log_writer *writer, *own_writer; /* own: NULL if it is shared */
    char *dir;
    struct map functions;
    struct list used, dirty, followers;
    unsigned follower_count;
    size_t total;
    struct loop_timer flush;
    int (*send)(void *user, const Rouse__Control__V1__AgentMessage *m);
    void *user;
    time_t second;
    char stamp[32];
};

static void send_chunk(struct logs *l, uint64_t request, const uint8_t *text, size_t n, bool last)
{
    Rouse__Control__V1__LogChunk chunk = ROUSE__CONTROL__V1__LOG_CHUNK__INIT;
    Rouse__Control__V1__AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    chunk.request = request;
    chunk.text.data = (uint8_t *)text;
    chunk.text.len = n;
    chunk.last = last;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LOG_CHUNK;
    m.log_chunk = &chunk;
    l->send(l->user, &m);
}

static void log_flush(struct function_log *f)
{
    struct logs *l = f->logs;
    char path[PATH_MAX], name[256];

    if (list_empty(&f->dirty))
        return;
    list_del(&f->dirty);
    list_for_each(it, &l->followers)
    {
        struct follower *w = list_entry(it, struct follower, link);

        if (w->log == f)
            send_chunk(l, w->request, buffer_bytes(&f->pending), buffer_size(&f->pending), false);
    }
    snprintf(name, sizeof(name), "%s", f->key);
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '.';
    if (snprintf(path, sizeof(path), "%s/%s.log", l->dir, name) < (int)sizeof(path))
        log_writer_append(l->writer, path, &f->pending);
    else
        buffer_done(&f->pending);
}

static void on_flush(struct loop_timer *t)
{
    struct logs *l = container_of(t, struct logs, flush);

    while (!list_empty(&l->dirty))
        log_flush(list_entry(l->dirty.next, struct function_log, dirty));
}

int logs_new(struct loop *loop, const char *state_dir, struct log_writer *writer,
             int (*send)(void *user, const Rouse__Control__V1__AgentMessage *m), void *user,
             struct logs **ret)
{
    struct logs *l = calloc(1, sizeof(*l));
    int r;

    if (!l)
        return -ENOMEM;
    l->loop = loop;
    l->send = send;
    l->user = user;
    l->flush.fn = on_flush;
    list_init(&l->used);
    list_init(&l->dirty);
    list_init(&l->followers);
    r = asprintf(&l->dir, "%s/logs", state_dir) < 0 ? -ENOMEM : file_mkdirs(l->dir, 0750);
    l->writer = writer;
    if (r == 0 && !writer)
        r = log_writer_new(&l->own_writer);
    if (!writer)
        l->writer = l->own_writer;
    if (r < 0) {
        free(l->dir);
        free(l);
        return r;
    }
    *ret = l;
    return 0;
}

static void log_destroy(struct function_log *f)
{
    log_flush(f);
    list_del(&f->used);
    map_del(&f->logs->functions, &f->node);
    f->logs->total -= buffer_size(&f->ring);
    buffer_done(&f->ring);
    buffer_done(&f->pending);
    free(f);
}

struct logs *logs_free(struct logs *l)
{
    if (!l)
        return NULL;
    logs_forget_followers(l);
    map_for_each(it, &l->functions) log_destroy(map_entry(it, struct function_log, node));
    map_done(&l->functions);
    log_writer_free(l->own_writer);
    loop_timer_cancel(l->loop, &l->flush);
    free(l->dir);
    free(l);
    return NULL;
}

struct function_log *logs_get(struct logs *l, const char *function_key)
{
    struct map_node *n = map_get_str(&l->functions, function_key);
    size_t size = strlen(function_key) + 1;
    struct function_log *f;

    if (n) {
        f = map_entry(n, struct function_log, node);
        f->refs++;
        return f;
    }
    f = calloc(1, sizeof(*f) + size);
    if (!f)
        return NULL;
    memcpy(f->key, function_key, size);
    f->logs = l;
    f->refs = 1;
    list_init(&f->dirty);
    if (map_put(&l->functions, &f->node, f->key, size - 1) < 0) {
        free(f);
        return NULL;
    }
    list_push_back(&l->used, &f->used);
    return f;
}

/* A ring outlives its instances: `rouse logs` asks after a crash. Empty ones go at once. */
void function_log_put(struct function_log *f)
{
    if (f && !--f->refs && !buffer_size(&f->ring))
        log_destroy(f);
}

static void ring_drop_line(struct function_log *f)
{
    const uint8_t *end = memchr(buffer_bytes(&f->ring), '\n', buffer_size(&f->ring));
    size_t n = end ? (size_t)(end - buffer_bytes(&f->ring)) + 1 : buffer_size(&f->ring);

    buffer_consume(&f->ring, n);
    f->logs->total -= n;
}

static void total_shrink(struct logs *l, const struct function_log *keep)
{
    list_for_each(it, &l->used)
    {
        struct function_log *f = list_entry(it, struct function_log, used);

        if (l->total <= TOTAL_MAX)
            return;
        if (f == keep)
            continue;
        l->total -= buffer_size(&f->ring);
        buffer_done(&f->ring);
        if (!f->refs)
            log_destroy(f);
    }
}

static size_t stamp(struct logs *l, char out[40])
{
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != l->second) {
        l->second = now.tv_sec;
        gmtime_r(&now.tv_sec, &tm);
        strftime(l->stamp, sizeof(l->stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    }
    return (size_t)snprintf(out, 40, "%s.%03ldZ", l->stamp, now.tv_nsec / 1000000);
}

static void append_one(struct function_log *f, const char *request_id, const char *text, size_t n)
{
    struct logs *l = f->logs;
    char head[256];
    size_t size = stamp(l, head);
    struct buffer *const targets[] = {&f->ring, &f->pending};

    size += (size_t)snprintf(head + size, sizeof(head) - size, " %.160s ",
                             request_id ? request_id : "-");
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        struct buffer *b = targets[i];
        uint8_t *to = buffer_reserve(b, size + n + 1);

        if (!to)
            return;
        memcpy(to, head, size);
        if (n)
            memcpy(to + size, text, n);
        to[size + n] = '\n';
        buffer_commit(b, size + n + 1);
    }
    l->total += size + n + 1;
    while (buffer_size(&f->ring) > RING_MAX)
        ring_drop_line(f);
    list_del(&f->used);
    list_push_back(&l->used, &f->used);
    if (list_empty(&f->dirty))
        list_push_back(&l->dirty, &f->dirty);
    if (buffer_size(&f->pending) > PENDING_MAX)
        log_flush(f);
    else if (!loop_timer_armed(&l->flush))
        loop_timer_set(l->loop, &l->flush, loop_now(l->loop) + FLUSH_NS);
    total_shrink(l, f);
}

void function_log_line(struct function_log *f, const char *request_id, const char *text, size_t n)
{
    do {
        const char *end = n ? memchr(text, '\n', n) : NULL;
        size_t part = end ? (size_t)(end - text) : n;
        bool newline = end != NULL;

        if (part > LOG_LINE_MAX) {
            part = LOG_LINE_MAX;
            newline = false;
        }
        append_one(f, request_id, text, part);
        text += part + newline;
        n -= part + newline;
    } while (n);
}

/* ---------------------------------------------------------------- requests */

static void send_tail(struct logs *l, const Rouse__Control__V1__LogRequest *r,
                      const struct function_log *f)
{
    const uint8_t *at = f ? buffer_bytes(&f->ring) : NULL,
                  *end = f ? at + buffer_size(&f->ring) : NULL;
    const uint8_t *from = at;
    uint32_t lines = 0;

    for (const uint8_t *p = end; r->tail_lines && p > at; p--)
        if (p[-1] == '\n' && lines++ == r->tail_lines) {
            from = p;
            break;
        }
    while (from < end) {
        size_t n = (size_t)(end - from);

        /* Whole lines: a line is far below the limit of a chunk. */
        if (n > CHUNK_MAX) {
            const uint8_t *cut = memrchr(from, '\n', CHUNK_MAX);

            n = cut ? (size_t)(cut - from) + 1 : CHUNK_MAX;
        }
        send_chunk(l, r->id, from, n, false);
        from += n;
    }
}

static void follower_free(struct logs *l, struct follower *w)
{
    list_del(&w->link);
    l->follower_count--;
    function_log_put(w->log);
    free(w);
}

static void cancel(struct logs *l, uint64_t request)
{
    list_for_each(it, &l->followers)
    {
        struct follower *w = list_entry(it, struct follower, link);

        if (w->request == request) {
            follower_free(l, w);
            return;
        }
    }
}

void logs_request(struct logs *l, const Rouse__Control__V1__LogRequest *r)
{
    struct map_node *n = map_get_str(&l->functions, r->function_key);
    struct function_log *f = n ? map_entry(n, struct function_log, node) : NULL;
    struct follower *w = NULL;

    if (r->cancel) {
        cancel(l, r->id);
        return;
    }
    if (f)
        log_flush(f);
    send_tail(l, r, f);
    if (r->follow && l->follower_count < FOLLOWERS_MAX)
        w = calloc(1, sizeof(*w));
    if (w)
        w->log = logs_get(l, r->function_key);
    if (!w || !w->log) {
        free(w);
        send_chunk(l, r->id, NULL, 0, true);
        return;
    }
    w->request = r->id;
    list_push_back(&l->followers, &w->link);
    l->follower_count++;
}

void logs_forget_followers(struct logs *l)
{
    while (!list_empty(&l->followers))
        follower_free(l, list_entry(l->followers.next, struct follower, link));
}
