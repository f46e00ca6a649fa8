/* brain_log.c - a function's log lines, gathered from every node that is there. On the brain's
 * thread. */
#include "brain/brain_internal.h"
#include "base/list.h"

#include <errno.h>
#include <string.h>

enum { LOGS_MAX = 256 }; /* readers at a time */

struct log_source {
    struct list link;
    uint64_t peer;
};
struct brain_log {
    struct brain *brain;
    uint64_t id;
    struct map_node node; /* brain.logs */
    char *key;
    uint32_t tail_lines;
    bool follow;
    struct list sources; /* nodes that have not said the last word */
    void (*on_text)(void *user, const void *text, size_t n, bool last);
    void *user;
    struct loop_deferred empty; /* no node is there: said after the start has returned */
};

static void ask(struct brain_log *l, uint64_t peer, bool cancel)
{
    ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;
    LogRequest r = ROUSE__CONTROL__V1__LOG_REQUEST__INIT;

    r.id = l->id;
    r.function_key = l->key;
    r.tail_lines = l->tail_lines;
    r.follow = l->follow;
    r.cancel = cancel;
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_LOG_REQUEST;
    m.log_request = &r;
    brain_send(l->brain, peer, &m);
}

static void on_peer(void *user, uint64_t peer)
{
    struct brain_log *l = user;
    struct log_source *s = calloc(1, sizeof(*s));

    if (!s) /* that node's lines are missing */
        return;
    s->peer = peer;
    list_push_back(&l->sources, &s->link);
    ask(l, peer, false);
}

static void log_free(struct brain_log *l)
{
    map_del(&l->brain->logs, &l->node);
    list_for_each(it, &l->sources) free(list_entry(it, struct log_source, link));
    free(l->key);
    free(l);
}

static void end(struct brain_log *l)
{
    void (*on_text)(void *, const void *, size_t, bool) = l->on_text;
    void *user = l->user;

    log_free(l);
    on_text(user, "", 0, true);
}

static void on_empty(struct loop_deferred *d)
{
    struct brain_log *l = container_of(d, struct brain_log, empty);

    if (l->on_text)
        end(l);
    else
        log_free(l); /* cancelled meanwhile */
}

int brain_log_start(struct brain *b, const char *key, uint32_t tail_lines, bool follow,
                    void (*on_text)(void *user, const void *text, size_t n, bool last), void *user,
                    struct brain_log **ret)
{
    struct brain_log *l;

    if (!core_has_function(b->core, key))
        return -ENOENT;
    if (b->logs.count >= LOGS_MAX)
        return -EBUSY;
    l = calloc(1, sizeof(*l));
    if (!l || !(l->key = strdup(key))) {
        free(l);
        return -ENOMEM;
    }
    l->brain = b;
    l->id = ++b->next_log;
    l->tail_lines = tail_lines;
    l->follow = follow;
    l->on_text = on_text;
    l->user = user;
    list_init(&l->sources);
    if (map_put(&b->logs, &l->node, (const char *)&l->id, sizeof(l->id)) < 0) {
        free(l->key);
        free(l);
        return -ENOMEM;
    }
    core_peers(b->core, on_peer, l);
    if (list_empty(&l->sources)) {
        l->empty.fn = on_empty;
        loop_defer(b->loop, &l->empty);
    }
    *ret = l;
    return 0;
}

void brain_log_cancel(struct brain_log *l)
{
    if (!l)
        return;
    if (l->empty.fn) {
        l->on_text = NULL;
        return;
    }
    list_for_each(it, &l->sources) ask(l, list_entry(it, struct log_source, link)->peer, true);
    log_free(l);
}

static void source_done(struct brain_log *l, uint64_t peer)
{
    bool had = false;

    list_for_each(it, &l->sources)
    {
        struct log_source *s = list_entry(it, struct log_source, link);

        if (s->peer != peer)
            continue;
        had = true;
        list_del(&s->link);
        free(s);
    }
    if (had && list_empty(&l->sources))
        end(l);
}

static bool has_source(const struct brain_log *l, uint64_t peer)
{
    list_for_each(it, &l->sources) if (list_entry(it, struct log_source, link)->peer ==
                                       peer) return true;
    return false;
}

void brain_log_chunk(struct brain *b, uint64_t peer, const LogChunk *m)
{
    struct map_node *n = map_get(&b->logs, &m->request, sizeof(m->request));
    struct brain_log *l = n ? map_entry(n, struct brain_log, node) : NULL;

    if (!l || !has_source(l, peer))
        return;
    if (m->text.len)
        l->on_text(l->user, m->text.data, m->text.len, false);
    n = map_get(&b->logs, &m->request, sizeof(m->request)); /* on_text may have cancelled it */
    if (n && m->last)
        source_done(l, peer);
}

void brain_log_peer_gone(struct brain *b, uint64_t peer)
{
    map_for_each(n, &b->logs) source_done(map_entry(n, struct brain_log, node), peer);
}

void brain_logs_done(struct brain *b)
{
    map_for_each(n, &b->logs) log_free(map_entry(n, struct brain_log, node));
    map_done(&b->logs);
}
