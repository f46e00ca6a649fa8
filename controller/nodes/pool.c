/* pool.c - pools and their members: what providers answer, who has come, when to look again. */
#include "nodes/pool_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND          (1000ull * 1000 * 1000)
#define LIST_NS         (60 * SECOND) /* a provider is asked again what it has */
#define LIST_RETRY_NS   (5 * SECOND)
#define DELETE_RETRY_NS (10 * SECOND)

static const char *const names[MEMBER_STATE_COUNT] = {"Creating", "Coming", "Joined", "Draining",
                                                      "Deleting"};
static const unsigned edges[MEMBER_STATE_COUNT] = {
    [MEMBER_CREATING] = 1u << MEMBER_COMING | 1u << MEMBER_JOINED | 1u << MEMBER_DELETING,
    [MEMBER_COMING] = 1u << MEMBER_JOINED | 1u << MEMBER_DELETING,
    [MEMBER_JOINED] = 1u << MEMBER_DRAINING | 1u << MEMBER_DELETING,
    [MEMBER_DRAINING] = 1u << MEMBER_JOINED | 1u << MEMBER_DELETING,
};

const char *pool_member_state_name(enum pool_member_state s)
{
    return names[s];
}

static const struct {
    const char *name, *text;
} whys[POOL_WHYS] = {
    [POOL_WHY_NONE] = {"None", ""},
    [POOL_WHY_PENDING] = {"Pending", "instances fit on no node"},
    [POOL_WHY_FULL] = {"Utilization", "the pool is nearly full"},
    [POOL_WHY_MIN] = {"BelowMin", "the pool's min"},
    [POOL_WHY_EMPTY] = {"Empty", "it is empty"},
    [POOL_WHY_UNUSED] = {"FitsElsewhere", "its instances fit elsewhere"},
    [POOL_WHY_NEEDED] = {"NeededAgain", "it is needed again"},
    [POOL_WHY_STUCK] = {"DrainTimeout", "its instances did not move in time"},
    [POOL_WHY_LOST] = {"Lost", "it is lost"},
    [POOL_WHY_ABSENT] = {"NeverCame", "its agent did not come in time"},
    [POOL_WHY_AGAIN] = {"Again", "once more"},
    [POOL_WHY_DELETED] = {"PoolDeleted", "its pool is deleted"},
    [POOL_WHY_DELETED_STUCK] = {"PoolDeletedTimeout",
                                "its pool is deleted, and its instances did not move in time"},
    [POOL_WHY_NO_PROVIDER] = {"NoProvider", "its pool has no provider any more"},
    [POOL_WHY_GIVEN_UP] = {"GivenUp",
                           "it has no provider any more; whatever machines it made are still there"},
};

const char *pool_why_name(enum pool_why w)
{
    return whys[w].name;
}

const char *pool_why_text(enum pool_why w)
{
    return whys[w].text;
}

void member_set(struct member *m, enum pool_member_state to, uint64_t now)
{
    assert(edges[m->state] & 1u << to);
    m->state = to;
    m->since = now;
    m->low_since = 0;
}

struct member *member_find(const struct pools *p, const char *name)
{
    struct map_node *n = map_get_str(&p->members, name);

    return n ? map_entry(n, struct member, node) : NULL;
}

static struct member *member_new(struct pools *p, struct pool *q, const char *name,
                                 enum pool_member_state state, uint64_t now)
{
    struct member *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    snprintf(m->name, sizeof(m->name), "%s", name);
    m->pool = q;
    m->state = state;
    m->since = m->asked = now;
    if (map_put(&p->members, &m->node, m->name, strlen(m->name)) < 0) {
        free(m);
        return NULL;
    }
    list_push_back(&q->members, &m->link);
    return m;
}

void member_free(struct pools *p, struct member *m)
{
    map_del(&p->members, &m->node);
    list_del(&m->link);
    free(m);
}

int pools_new(struct pools **ret)
{
    struct pools *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    list_init(&p->all);
    p->due = UINT64_MAX;
    *ret = p;
    return 0;
}

static void pool_free(struct pools *p, struct pool *q)
{
    list_for_each(it, &q->members) member_free(p, list_entry(it, struct member, link));
    list_del(&q->link);
    pool_spec_unref(q->spec);
    free(q);
}

struct pools *pools_free(struct pools *p)
{
    if (!p)
        return NULL;
    list_for_each(it, &p->all) pool_free(p, list_entry(it, struct pool, link));
    map_done(&p->members);
    free(p);
    return NULL;
}

bool pools_any(const struct pools *p)
{
    return !list_empty(&p->all);
}

static struct pool *find(struct pools *p, const char *name)
{
    list_for_each(it, &p->all)
    {
        struct pool *q = list_entry(it, struct pool, link);

        if (!strcmp(q->spec->name, name))
            return q;
    }
    return NULL;
}

int pools_set(struct pools *p, struct pool_spec *old, struct pool_spec *now, uint64_t at)
{
    struct pool *q = find(p, now ? now->name : old->name);

    (void)at;
    pools_poke(p);
    if (!now) {
        if (q)
            pool_free(p, q);
        return 0;
    }
    if (!q) {
        q = calloc(1, sizeof(*q));
        if (!q)
            return -ENOMEM;
        list_init(&q->members);
        list_init(&q->link);
        list_push_back(&p->all, &q->link);
    } else {
        pool_spec_unref(q->spec);
    }
    q->spec = pool_spec_ref(now);
    return 0;
}

void pools_poke(struct pools *p)
{
    p->due = 0;
}

uint64_t pools_due(const struct pools *p)
{
    return pools_any(p) ? p->due : UINT64_MAX;
}

uint32_t pool_alive(const struct pool *q)
{
    uint32_t n = 0;

    list_for_each(it, (struct list *)&q->members) n +=
        list_entry(it, struct member, link)->state != MEMBER_DELETING;
    return n;
}

uint32_t pool_staying(const struct pool *q)
{
    uint32_t n = 0;

    list_for_each(it, (struct list *)&q->members) n +=
        list_entry(it, struct member, link)->state < MEMBER_DRAINING;
    return n;
}

/* What one that has come is without, the next one will not have either. */
void pool_template(const struct pool *q, uint64_t *ret_memory, uint64_t *ret_cpu)
{
    const struct pool_template *t = &q->spec->template;

    *ret_memory = q->seen_memory && q->seen_memory < t->memory ? q->seen_memory : t->memory;
    *ret_cpu = q->seen_cpu && q->seen_cpu < t->cpu ? q->seen_cpu : t->cpu;
}

/* What was asked for side by side and fails together is one failure. */
void pool_failed(struct pool *q, uint64_t now, const char *why)
{
    snprintf(q->failure, sizeof(q->failure), "%s", why);
    q->failed_verb = POOL_CREATE;
    if (now < q->backoff_until)
        return;
    if (q->failed_at && now - q->failed_at > q->spec->up.backoff_reset_ns)
        q->backoff_ns = 0;
    q->backoff_ns = q->backoff_ns ? 2 * q->backoff_ns : q->spec->up.backoff_ns;
    if (q->backoff_ns > q->spec->up.backoff_max_ns)
        q->backoff_ns = q->spec->up.backoff_max_ns;
    q->backoff_until = now + q->backoff_ns;
    q->failed_at = now;
}

/* What it failed at works again. */
static void pool_works(struct pool *q, enum pool_verb verb)
{
    if (q->failed_verb == verb)
        q->failure[0] = '\0';
}

void wish(struct pool_wishes *out, enum pool_verb verb, struct pool *q, const char *node,
          enum pool_why why)
{
    struct pool_wish *w;

    if (out->count == out->capacity) {
        size_t capacity = out->capacity ? 2 * out->capacity : 16;

        w = realloc(out->items, capacity * sizeof(*w));
        if (!w)
            abort();
        out->items = w;
        out->capacity = capacity;
    }
    w = &out->items[out->count++];
    *w = (struct pool_wish){.verb = verb, .pool = q->spec, .why = why};
    snprintf(w->node, sizeof(w->node), "%s", node);
}

void member_delete(struct member *m, uint64_t now, struct pool_wishes *out, enum pool_why why)
{
    member_set(m, MEMBER_DELETING, now);
    m->retry_at = 0;
    wish(out, POOL_DELETE, m->pool, m->name, why);
}

/* ---- answers */

static bool begins(const struct pool *q, const char *node)
{
    size_t n = strlen(q->spec->name);

    return !strncmp(node, q->spec->name, n) && node[n] == '-' && node[n + 1];
}

/* Of pools `web` and `web-gpu` the latter has `web-gpu-0c1f2`, though the other's provider may list it, too. */
bool pool_names(const struct pools *p, const struct pool *q, const char *node)
{
    if (!begins(q, node))
        return false;
    list_for_each(it, (struct list *)&p->all)
    {
        const struct pool *other = list_entry(it, struct pool, link);

        if (strlen(other->spec->name) > strlen(q->spec->name) && begins(other, node))
            return false;
    }
    return true;
}

static bool named(const struct pool_answer *a, const char *name)
{
    for (size_t i = 0; i < a->node_count; i++)
        if (!strcmp(a->nodes[i], name))
            return true;
    return false;
}

/* What it has is a member, whoever asked for it; what it no longer has is none. */
static void on_list(struct pools *p, struct pool *q, const struct pool_answer *a, uint64_t now)
{
    q->listing = false;
    q->list_due = now + (a->error ? LIST_RETRY_NS : LIST_NS);
    if (a->error) {
        snprintf(q->failure, sizeof(q->failure), "list: %s", a->message ? a->message : "");
        q->failed_verb = POOL_LIST;
        return;
    }
    pool_works(q, POOL_LIST);
    q->listed = true;
    for (size_t i = 0; i < a->node_count; i++)
        if (pool_names(p, q, a->nodes[i]) && !member_find(p, a->nodes[i]))
            member_new(p, q, a->nodes[i], MEMBER_COMING, now);
    list_for_each(it, &q->members)
    {
        struct member *m = list_entry(it, struct member, link);

        if (m->asked < q->list_asked && m->since < q->list_asked && m->state != MEMBER_CREATING &&
            !m->ready && !named(a, m->name))
            member_free(p, m);
    }
}

static void on_create(struct pool *q, struct member *m, const struct pool_answer *a, uint64_t now)
{
    if (m->state != MEMBER_CREATING)
        return;
    if (!a->error) {
        member_set(m, MEMBER_COMING, now);
        return;
    }
    pool_failed(q, now, a->message ? a->message : "");
    /* It may be there by half. */
    member_set(m, MEMBER_DELETING, now);
    m->retry_at = now;
}

static void on_delete(struct pools *p, struct pool *q, struct member *m,
                      const struct pool_answer *a, uint64_t now)
{
    uint64_t until = now + q->spec->down.delay_after_failure_ns;

    if (m->state != MEMBER_DELETING)
        return;
    if (!a->error) {
        pool_works(q, POOL_DELETE);
        member_free(p, m);
        return;
    }
    m->retry_at = now + DELETE_RETRY_NS;
    snprintf(q->failure, sizeof(q->failure), "delete: %s", a->message ? a->message : "");
    q->failed_verb = POOL_DELETE;
    if (p->no_removal_until < until)
        p->no_removal_until = until;
}

/* Its program, or the controller's flag for it, is gone: nobody was asked. */
static bool is_no_provider(int error)
{
    return error == -ENOENT || error == -EACCES || error == -ENOTDIR || error == -ENOTSUP;
}

void pools_answer(struct pools *p, const struct pool_answer *a, uint64_t now)
{
    struct pool *q = find(p, a->pool);
    struct member *m = a->node ? member_find(p, a->node) : NULL;

    if (!q || q->given_up)
        return;
    pools_poke(p);
    if (!is_no_provider(a->error))
        q->provider_lost = 0;
    else if (!q->provider_lost)
        q->provider_lost = now;
    if (!a->error)
        q->failing_since = 0;
    else if (!q->failing_since)
        q->failing_since = now;
    if (a->verb == POOL_LIST)
        on_list(p, q, a, now);
    else if (m && m->pool == q && a->verb == POOL_CREATE)
        on_create(q, m, a, now);
    else if (m && m->pool == q && a->verb == POOL_DELETE)
        on_delete(p, q, m, a, now);
}

/* ---- looking */

static void joined(struct pools *p, struct member *m, uint64_t now)
{
    struct pool *q = m->pool;
    uint64_t until = now + q->spec->down.delay_after_add_ns;

    member_set(m, MEMBER_JOINED, now);
    q->seen_memory = m->view->allocatable_memory;
    q->seen_cpu = m->view->allocatable_cpu;
    q->backoff_ns = q->backoff_until = q->failed_at = 0;
    q->failure[0] = '\0';
    if (p->no_removal_until < until)
        p->no_removal_until = until;
}

/* Whose nodes have come, and whether so many are missing that it must be the controller's own view. */
static void look(struct pools *p, const struct pool_input *in, uint64_t now)
{
    size_t unready = 0, count = 0;

    for (size_t i = 0; i < in->node_count; i++) {
        struct member *m = member_find(p, in->nodes[i].name);

        count += !in->nodes[i].gone;
        unready += !in->nodes[i].gone && !in->nodes[i].ready;
        if (m) {
            m->view = &in->nodes[i];
            m->index = i;
            if (m->view->ready && m->state < MEMBER_JOINED)
                joined(p, m, now);
            continue;
        }
        /* Made for a controller that is no more, while it was being asked for. */
        list_for_each(it, &p->all)
        {
            struct pool *q = list_entry(it, struct pool, link);

            if (pool_names(p, q, in->nodes[i].name) && in->nodes[i].ready &&
                q->list_due > q->list_asked + LIST_RETRY_NS)
                q->list_due = q->list_asked + LIST_RETRY_NS;
        }
    }
    map_for_each(n, &p->members)
    {
        struct member *m = map_entry(n, struct member, node);

        m->ready = m->view && m->view->ready;
        if (m->ready || m->state < MEMBER_JOINED)
            m->away_since = 0;
        else if (!m->away_since)
            m->away_since = now;
    }
    p->halted = unready > POOLS_UNREADY_COUNT && unready * 100 > POOLS_UNREADY_PERCENT * count;
}

static void ask_lists(struct pools *p, uint64_t now, struct pool_wishes *out)
{
    list_for_each(it, &p->all)
    {
        struct pool *q = list_entry(it, struct pool, link);

        if (q->listing || q->given_up || now < q->list_due)
            continue;
        q->listing = true;
        q->list_asked = now;
        wish(out, POOL_LIST, q, "", POOL_WHY_NONE);
    }
}

/* Deletions that were refused, nodes that never came or are lost. */
static void clean(struct member *m, uint64_t now, struct pool_wishes *out)
{
    const struct pool_spec *s = m->pool->spec;

    if (m->state == MEMBER_DELETING) {
        if (m->retry_at && now >= m->retry_at) {
            m->retry_at = 0;
            wish(out, POOL_DELETE, m->pool, m->name, POOL_WHY_AGAIN);
        }
    } else if (m->state == MEMBER_COMING && now - m->asked >= s->up.provision_timeout_ns) {
        pool_failed(m->pool, now, "a node was made, but its agent did not come in time");
        member_delete(m, now, out, POOL_WHY_ABSENT);
    } else if (m->away_since && now - m->away_since >= s->down.unready_after_ns) {
        member_delete(m, now, out, POOL_WHY_LOST);
    }
}

void pools_decide(struct pools *p, struct pool_input *in, uint64_t now, struct pool_wishes *out)
{
    bool pending;

    look(p, in, now);
    ask_lists(p, now, out);
    if (!p->halted) {
        map_for_each(n, &p->members) clean(map_entry(n, struct member, node), now, out);
        pending = pools_up(p, in, now, out);
        pools_down(p, in, now, pending, out);
    }
    for (size_t i = 0; i < out->count; i++) {
        struct pool_wish *w = &out->items[i];

        if (w->verb != POOL_CREATE)
            continue;
        list_for_each(it, &p->all)
        {
            struct pool *q = list_entry(it, struct pool, link);
            uint64_t until = now + q->spec->down.delay_after_add_ns;

            if (q->spec != w->pool)
                continue;
            do {
                snprintf(w->node, sizeof(w->node), "%s-%05llx", q->spec->name,
                         (unsigned long long)(in->random(in->user) & 0xfffff));
            } while (member_find(p, w->node));
            if (!member_new(p, q, w->node, MEMBER_CREATING, now))
                abort();
            if (p->no_removal_until < until)
                p->no_removal_until = until;
        }
    }
    map_for_each(n, &p->members) map_entry(n, struct member, node)->view = NULL;
    p->due = now + POOL_TICK_NS;
}

/* ---- telling */

static void status_of(const struct pools *p, const struct pool *q, struct pool_status *s)
{
    *s = (struct pool_status){
        .ok = true, .limited = q->limited, .backing_off = q->backing_off, .halted = p->halted};
    list_for_each(it, (struct list *)&q->members)
    {
        const struct member *m = list_entry(it, struct member, link);

        s->nodes++;
        s->ready += m->ready;
        s->desired += m->state < MEMBER_DRAINING;
    }
    if (!q->listed || q->failure[0]) {
        s->ok = false;
        snprintf(s->reason, sizeof(s->reason), "%s",
                 q->backing_off  ? "BackOff"
                 : q->failure[0] ? "ProviderFailed"
                                 : "Asking");
        snprintf(s->message, sizeof(s->message), "%s", q->failure);
    } else {
        snprintf(s->reason, sizeof(s->reason), "%s", q->spec->deleting ? "Deleting" : "AsWanted");
    }
    if (p->halted) {
        s->ok = false;
        snprintf(s->reason, sizeof(s->reason), "TooManyUnready");
        snprintf(s->message, sizeof(s->message),
                 "more than %d %% and more than %d of all nodes are unready: none is added or removed",
                 POOLS_UNREADY_PERCENT, POOLS_UNREADY_COUNT);
    }
    snprintf(s->limited_reason, sizeof(s->limited_reason), "%s", q->limited ? "AtMax" : "HasRoom");
    if (q->limited)
        snprintf(s->limited_message, sizeof(s->limited_message),
                 "more nodes would be of use, but spec.max is %u", q->spec->max);
}

void pools_each(struct pools *p,
                void (*on)(void *user, const struct pool_spec *spec, const struct pool_status *s),
                void *user)
{
    list_for_each(it, &p->all)
    {
        struct pool *q = list_entry(it, struct pool, link);
        struct pool_status s;

        status_of(p, q, &s);
        on(user, q->spec, &s);
    }
}

const char *pools_of_node(const struct pools *p, const char *node)
{
    const struct member *m = member_find(p, node);

    return m ? m->pool->spec->name : "";
}
