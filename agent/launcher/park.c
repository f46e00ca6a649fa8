#include "launcher/park.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "launcher/kind.h"
#include "sandbox/message.h"
#include "launcher/sandbox.h"
#include "launcher/zygotes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KINDS_MAX       256u
#define BUILDERS_SPARE  4u /* ready at all times */
#define BUILDERS_MAX    8u
#define OF_ZYGOTE_SPARE 2u /* of each */
#define AHEAD_MAX       2u /* builds at once, of what nobody waits for */
#define WAITED_FOR_MAX  6u
/* From a take until what is made ahead goes on: a start to its answer, where there is time for that. */
#define PAUSE_FEW_NS         (3 * NS_PER_MS)
#define PAUSE_NS             (6 * NS_PER_MS)
#define PAUSE_INTERPRETER_NS (15 * NS_PER_MS)
#define BACK_OFF_MIN_NS      (100 * NS_PER_MS)
#define BACK_OFF_MAX_NS      (10 * NS_PER_S)

struct wish {
    struct map_node node; /* by id */
    struct list link;     /* in kind.waiting */
    struct kind *kind;
    uint64_t arrived;
    unsigned lost; /* how often what was built for it was lost */
    char id[64];
    size_t size;
    uint8_t bytes[]; /* the CREATE message */
};

struct cgroup_limits limits_of(const struct sandbox_spec *spec)
{
    return (struct cgroup_limits){.memory = spec->memory,
                                  .cpu_millis = spec->cpu_millis,
                                  .pids = (spec->pids ? spec->pids : SANDBOX_PIDS) +
                                          1}; /* and the init */
}

/* ---- wishes */
static void wish_leave(struct wish *w)
{
    map_del(&w->kind->server->park.wishes, &w->node);
    list_del(&w->link);
    w->kind->waiting_count--;
}

static void wish_fail(struct wish *w, const struct err *e)
{
    struct kind *k = w->kind;

    server_send_failed(k->server, w->id, e);
    wish_leave(w);
    free(w);
}

static struct wish *first_wish(const struct kind *k)
{
    return list_empty(&k->waiting) ? NULL : list_entry(k->waiting.next, struct wish, link);
}

static int wish_new(struct kind *k, const char *id, const void *bytes, size_t size, uint64_t arrived)
{
    struct wish *w = malloc(sizeof(*w) + size);
    int r;

    if (!w)
        return -ENOMEM;
    *w = (struct wish){.kind = k, .arrived = arrived, .size = size};
    snprintf(w->id, sizeof(w->id), "%s", id);
    memcpy(w->bytes, bytes, size);
    r = map_put(&k->server->park.wishes, &w->node, w->id, strlen(w->id));
    if (r < 0) {
        free(w);
        return r;
    }
    list_push_back(&k->waiting, &w->link);
    k->waiting_count++;
    return 0;
}

static struct wish *wish_find(const struct server *s, const char *id)
{
    struct map_node *n = map_get_str(&s->park.wishes, id);

    return n ? map_entry(n, struct wish, node) : NULL;
}

/* ---- building */
static bool may_build_ahead(const struct server *s, const struct kind *k, uint64_t now, uint64_t *at)
{
    uint64_t from = k->not_before > s->park.quiet_until ? k->not_before : s->park.quiet_until;

    if (k->parked_count + k->building >= k->wanted + k->waiting_count || zygote_awaited(s, &k->kind))
        return false;
    if (from > now) {
        *at = from < *at ? from : *at;
        return false;
    }
    return s->park.building < AHEAD_MAX;
}

/* Who waits comes first; among equals, the kind that was built for longest ago. *at: when to look again. */
static struct kind *next_kind(struct server *s, uint64_t now, uint64_t *at)
{
    struct kind *ahead = NULL;

    list_for_each(it, &s->park.order)
    {
        struct kind *k = list_entry(it, struct kind, link);

        if (!zygote_builders(s, &k->kind)->ready_count)
            continue;
        if (k->waiting_count > k->building && s->park.building < WAITED_FOR_MAX)
            return k;
        if (!ahead && may_build_ahead(s, k, now, at))
            ahead = k;
    }
    return ahead;
}

static void build(struct kind *k)
{
    struct server *s = k->server;
    struct wish *w = first_wish(k);
    struct message m = {0};
    const struct sandbox_spec *first = NULL;

    list_del(&k->link);
    list_push_back(&s->park.order, &k->link);
    k->building++;
    s->park.building++;
    if (w && message_decode(w->bytes, w->size, &m) == 0)
        first = &m.spec;
    sandbox_build(s, k, first);
    message_done(&m);
}

static unsigned waiting_in_all(const struct server *s)
{
    return (unsigned)s->park.wishes.count;
}

/* The builders cannot even be made: who waits hears why. */
static void fail_waiting(struct server *s)
{
    struct err e = s->builders.error;

    s->builders.error.code = 0;
    list_for_each(it, &s->park.order)
    {
        struct kind *k = list_entry(it, struct kind, link);
        struct wish *w;

        while ((w = first_wish(k)))
            wish_fail(w, &e);
        kind_free_if_unused(k);
    }
}

/* Spare ones are made when it is quiet: what starts now has the cpus first. */
static void want_builders(struct server *s, uint64_t now, uint64_t *at)
{
    unsigned waiting = waiting_in_all(s), building = s->park.building;
    unsigned missing = waiting > building ? waiting - building : 0;
    unsigned spare = BUILDERS_SPARE;

    if (now < s->park.quiet_until) {
        spare = 0;
        *at = s->park.quiet_until < *at ? s->park.quiet_until : *at;
    }
    if (missing > BUILDERS_MAX - BUILDERS_SPARE)
        missing = BUILDERS_MAX - BUILDERS_SPARE;
    zygotes_want(s, missing + (spare ? OF_ZYGOTE_SPARE : 0));
    builders_want(&s->builders, missing + spare);
}

static void pump_once(struct server *s)
{
    uint64_t now = clock_monotonic_ns(), at = UINT64_MAX;
    struct kind *k;

    while ((k = next_kind(s, now, &at)))
        build(k);
    if (s->builders.error.code && !s->builders.ready_count && waiting_in_all(s))
        fail_waiting(s);
    want_builders(s, now, &at);
    if (at != UINT64_MAX)
        loop_timer_set(s->loop, &s->park.timer, at);
}

void park_pump(struct server *s)
{
    if (s->closing || s->park.pumping)
        return;
    s->park.pumping = true;
    pump_once(s);
    s->park.pumping = false;
}

static void on_timer(struct loop_timer *t)
{
    park_pump(container_of(t, struct server, park.timer));
}

static void built(struct kind *k)
{
    k->building--;
    k->server->park.building--;
}

/* ---- taking */
static void give(struct sandbox *b, struct wish *w)
{
    struct message m;

    if (message_decode(w->bytes, w->size, &m) == 0) { /* as it did before, unless there is no memory */
        wish_leave(w);
        sandbox_take(b, &m.spec, w->arrived, false);
        message_done(&m);
        free(w);
    } else {
        struct err e;

        err_errno(&e, ENOMEM, "sandbox");
        wish_fail(w, &e);
        b->kind = NULL;
        sandbox_discard(b, &e);
    }
}

static struct sandbox *pop_parked(struct kind *k)
{
    struct list *l;

    while ((l = list_pop_front(&k->parked))) {
        struct sandbox *b = list_entry(l, struct sandbox, parked);

        kind_count_parked(k, -1);
        if (sandbox_alive(b))
            return b;
        b->kind = NULL; /* its end comes */
    }
    return NULL;
}

/* What is made ahead shall not take the cpu from what was just started; nor stop its forks and execs, which wait
 * for a builder's attach to v1. No longer than that, either: what is put off meets the next start instead. */
uint64_t park_quiet_until(const struct kind *k, uint64_t before, uint64_t now)
{
    uint64_t at = now + (k->kind.argv ? PAUSE_INTERPRETER_NS : PAUSE_NS);

    if (k->parked_count * 2 < k->wanted)
        return now + PAUSE_FEW_NS;
    return at > before ? at : before;
}

void park_create(struct server *s, const struct message *m, const void *bytes, size_t size,
                 uint64_t arrived)
{
    const uint64_t now = clock_monotonic_ns();
    struct cgroup_limits limits;
    struct sandbox *b = NULL;
    struct err e = {0};
    struct kind *k;
    int r;

    if (sandbox_find(s, m->id) || wish_find(s, m->id))
        return;
    r = kind_get(s, &m->spec.kind, &k, &e);

    if (r == 0) {
        b = k->waiting_count ? NULL : pop_parked(k);
        limits = limits_of(&m->spec);
        nursery_expect(&s->nursery, &limits);
        s->park.quiet_until = park_quiet_until(k, s->park.quiet_until, now);
        kind_learn(k, now);
    }
    if (r == 0 && b) {
        if (sandbox_remember(b, bytes, size) < 0)
            log_debug("sandbox %s: should it be lost, it is told so", m->id);
        sandbox_take(b, &m->spec, arrived, true);
    } else if (r == 0) {
        r = wish_new(k, m->id, bytes, size, arrived);
        if (r < 0) {
            err_errno(&e, -r, "sandbox");
            kind_free_if_unused(k);
        }
    }
    if (r < 0)
        server_send_failed(s, m->id, &e);
    park_pump(s);
}

int park_again(struct server *s, const char *id, const void *bytes, size_t size, uint64_t arrived)
{
    struct message m;
    struct err e;
    struct kind *k;
    int r = message_decode(bytes, size, &m);

    if (r < 0)
        return r;
    r = kind_get(s, &m.spec.kind, &k, &e);
    if (r == 0) {
        r = wish_new(k, id, bytes, size, arrived);
        kind_free_if_unused(k);
    }
    message_done(&m);
    park_pump(s);
    return r;
}

bool park_cancel(struct server *s, const char *id)
{
    struct wish *w = wish_find(s, id);
    struct kind *k = w ? w->kind : NULL;
    struct err e;

    if (!w)
        return false;
    err_set(&e, ECANCELED, "stopped before it started");
    wish_fail(w, &e);
    kind_free_if_unused(k);
    return true;
}

void park_set(struct server *s, const struct message *m)
{
    struct err e = {0};
    struct kind *k;

    if (!s->ahead)
        return;
    if (s->park.kinds.count >= KINDS_MAX || kind_get(s, &m->spec.kind, &k, &e) < 0) {
        log_warn("not parked: %s", e.code ? e.message : "too many kinds");
        return;
    }
    if (m->count && zygote_keep(s, &k->kind) < 0)
        log_warn("no zygote for %s: out of memory", k->kind.runtime_root);
    if (k->asked_at) {
        k->asked_at = 0;
        s->park.learned--;
    }
    k->wanted = m->count < SERVER_SANDBOXES_MAX ? m->count : SERVER_SANDBOXES_MAX;
    kind_drop_surplus(k);
    kind_free_if_unused(k);
    park_pump(s);
}

/* ---- what becomes of what is built */
void park_box_ready(struct sandbox *b)
{
    struct kind *k = b->kind;
    struct server *s = k->server;
    struct wish *w = first_wish(k);

    built(k);
    if (w) {
        give(b, w);
    } else {
        list_push_back(&k->parked, &b->parked);
        kind_count_parked(k, 1);
        kind_drop_surplus(k);
    }
    kind_free_if_unused(k);
    park_pump(s);
}

/* Nobody's fault: somebody killed its builder. All that were ready may have been. */
static bool forgive(struct kind *k)
{
    struct wish *w = first_wish(k);

    return w && ++w->lost <= BUILDERS_MAX;
}

/* Longer each time, until it has gone well for a while; several that end together count once. */
static void back_off(struct kind *k)
{
    uint64_t now = clock_monotonic_ns();

    if (now < k->not_before)
        return;
    if (!k->back_off || now - k->failed_at > 2 * BACK_OFF_MAX_NS)
        k->back_off = BACK_OFF_MIN_NS;
    else
        k->back_off = k->back_off * 2 < BACK_OFF_MAX_NS ? k->back_off * 2 : BACK_OFF_MAX_NS;
    k->failed_at = now;
    k->not_before = now + k->back_off;
}

void park_build_failed(struct kind *k, const struct err *e)
{
    struct server *s = k->server;
    struct wish *w = first_wish(k);

    built(k);
    back_off(k);
    if (w)
        wish_fail(w, e);
    else if (!s->closing)
        log_warn("cannot build a sandbox ahead for %s: %s", k->kind.runtime_root, e->message);
    kind_free_if_unused(k);
    park_pump(s);
}

void park_box_gone(struct sandbox *b)
{
    struct kind *k = b->kind;

    if (!list_empty(&b->parked)) {
        list_del(&b->parked);
        kind_count_parked(k, -1);
        back_off(k);
        if (!k->server->closing)
            log_warn("a parked sandbox for %s ended: %s", k->kind.runtime_root, b->error.message);
        park_pump(k->server);
        return;
    }
    if (b->lost && forgive(k)) {
        built(k);
        park_pump(k->server);
        return;
    }
    park_build_failed(k, &b->error);
}

void park_init(struct server *s)
{
    list_init(&s->park.order);
    s->park.timer.fn = on_timer;
    s->park.news.fn = kinds_on_news;
    park_pump(s);
}

void park_done(struct server *s)
{
    loop_timer_cancel(s->loop, &s->park.timer);
    loop_timer_cancel(s->loop, &s->park.news);
}
