/* merge_logs.c - a request for logs goes to all shards; their last lines are made one text, then what
 * follows is passed on as it comes.
 *
 * A shard's last lines are over when its own word says so, which comes behind
 * them; what it says later waits with them until the last shard has answered.
 * When the connection ends, so do all of them: the shards forget theirs too. */
#include "base/cleanup.h"
#include "base/list.h"
#include "shard/internal.h"
#include "shard/merge_lines.h"

#include <stdlib.h>

enum { LOG_GATHERS_MAX = 16, LOG_PART_MAX = 4 << 20, LOG_CHUNK_MAX = 256 << 10 };

struct log_gather {
    struct list link;
    uint64_t request;
    uint32_t tail_lines;
    bool follow;
    bool refused; /* somebody cannot follow */
    unsigned missing;
    struct buffer parts[LOOPS_MAX];
};
struct log_letter {
    struct letter letter;
    struct shard *shard;
    uint64_t request, connection;
    size_t size;
    uint8_t bytes[]; /* a packed LogRequest */
};

static struct log_gather *find(const struct shards *all, uint64_t request)
{
    list_for_each(it, &all->log_gathers)
    {
        struct log_gather *g = list_entry(it, struct log_gather, link);

        if (g->request == request)
            return g;
    }
    return NULL;
}

static void drop(struct shards *all, struct log_gather *g)
{
    list_del(&g->link);
    all->log_gather_count--;
    for (unsigned i = 0; i < all->config.count; i++)
        buffer_done(&g->parts[i]);
    free(g);
}

void logs_done(struct shards *all)
{
    while (!list_empty(&all->log_gathers))
        drop(all, list_entry(all->log_gathers.next, struct log_gather, link));
}

/* ---------------------------------------------------------------- to the controller */
static void send_chunk(struct shards *all, uint64_t request, const uint8_t *text, size_t n, bool last)
{
    Rouse__Control__V1__LogChunk chunk = ROUSE__CONTROL__V1__LOG_CHUNK__INIT;
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    chunk.request = request;
    chunk.text.data = (uint8_t *)text;
    chunk.text.len = n;
    chunk.last = last;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LOG_CHUNK;
    m.log_chunk = &chunk;
    session_send(all->session, &m);
}

/* All have answered. */
static void finish(struct shards *all, struct log_gather *g)
{
    const struct buffer *texts[LOOPS_MAX];
    cleanup_buffer struct buffer out = {0};

    for (unsigned i = 0; i < all->config.count; i++)
        texts[i] = &g->parts[i];
    merge_lines(&out, texts, all->config.count, g->tail_lines);
    while (buffer_size(&out)) {
        size_t n = buffer_size(&out);

        if (n > LOG_CHUNK_MAX) { /* whole lines: a line is far shorter */
            const uint8_t *cut = memrchr(buffer_bytes(&out), '\n', LOG_CHUNK_MAX);

            n = cut ? (size_t)(cut - buffer_bytes(&out)) + 1 : LOG_CHUNK_MAX;
        }
        send_chunk(all, g->request, buffer_bytes(&out), n, false);
        buffer_consume(&out, n);
    }
    if (!g->follow || g->refused)
        send_chunk(all, g->request, NULL, 0, true);
    drop(all, g);
}

bool logs_take(struct shards *all, unsigned from, const Rouse__Control__V1__LogChunk *c)
{
    struct log_gather *g = find(all, c->request);

    if (!g)
        return false;
    g->refused = g->refused || c->last;
    if (buffer_size(&g->parts[from]) + c->text.len <= LOG_PART_MAX && c->text.len)
        buffer_append(&g->parts[from], c->text.data, c->text.len);
    return true;
}

static void told(struct shards *all, uint64_t request)
{
    struct log_gather *g = find(all, request);

    if (g && !--g->missing)
        finish(all, g);
}

/* ---------------------------------------------------------------- the shards */
static void on_told(struct letter *l, bool late)
{
    struct log_letter *t = (struct log_letter *)l;

    (void)late;
    if (t->connection == t->shard->all->up.connection)
        told(t->shard->all, t->request);
}

static void on_asked(struct letter *l, bool late)
{
    struct log_letter *a = (struct log_letter *)l, *t;
    Rouse__Control__V1__LogRequest *r;

    if (late)
        return;
    r = rouse__control__v1__log_request__unpack(NULL, a->size, a->bytes);
    if (r) {
        pool_log_request(a->shard->pool, r);
        rouse__control__v1__log_request__free_unpacked(r, NULL);
    }
    t = letter_make(sizeof(*t));
    t->shard = a->shard;
    t->request = a->request;
    t->connection = a->connection;
    letter_post(&a->shard->all->box, &t->letter, on_told);
}

static void ask(struct shard *s, const Rouse__Control__V1__LogRequest *r)
{
    size_t size = rouse__control__v1__log_request__get_packed_size(r);
    struct log_letter *a;

    if (is_main(s)) {
        pool_log_request(s->pool, r);
        told(s->all, r->id);
        return;
    }
    a = letter_new(sizeof(*a) + size);
    if (!a) {
        told(s->all, r->id);
        return;
    }
    a->shard = s;
    a->request = r->id;
    a->connection = s->all->up.connection;
    a->size = rouse__control__v1__log_request__pack(r, a->bytes);
    letter_post(&s->box, &a->letter, on_asked);
}

void logs_ask(struct shards *all, const Rouse__Control__V1__LogRequest *r)
{
    struct log_gather *g = find(all, r->id);

    if (g && r->cancel)
        drop(all, g);
    if (!r->cancel) {
        g = all->log_gather_count < LOG_GATHERS_MAX && !g ? calloc(1, sizeof(*g)) : NULL;
        if (!g) {
            send_chunk(all, r->id, NULL, 0, true);
            return;
        }
        g->request = r->id;
        g->tail_lines = r->tail_lines;
        g->follow = r->follow;
        g->missing = all->config.count;
        list_push_back(&all->log_gathers, &g->link);
        all->log_gather_count++;
    }
    for (unsigned i = all->config.count; i-- > 0;)
        ask(shard_at(all, i), r);
}
