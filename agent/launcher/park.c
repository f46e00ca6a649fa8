#include "launcher/park.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "launcher/kind.h"
#include "launcher/sandbox.h"
#include "launcher/wish.h"
#include "launcher/zygotes.h"
#include "sandbox/message.h"

#include <errno.h>
#include <stdlib.h>

#define KINDS_MAX 256u
/* From a take until what is made ahead goes on: a start to its answer, where there is time for that. */
#define PAUSE_FEW_NS         (3 * NS_PER_MS)
#define PAUSE_NS             (6 * NS_PER_MS)
#define PAUSE_INTERPRETER_NS (15 * NS_PER_MS)
#define BACK_OFF_MIN_NS      (100 * NS_PER_MS)
#define BACK_OFF_MAX_NS      (10 * NS_PER_S)

struct cgroup_limits limits_of(const struct sandbox_spec *spec)
{
    return (struct cgroup_limits){.memory = spec->memory,
                                  .cpu_millis = spec->cpu_millis,
                                  .pids = (spec->pids ? spec->pids : SANDBOX_PIDS) +
                                          1}; /* and the init */
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
    struct wish *w = wish_first(k);

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
    struct wish *w = wish_first(k);

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
    struct wish *w = wish_first(k);

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
    s->park.timer.fn = park_on_timer;
    s->park.news.fn = kinds_on_news;
    park_pump(s);
}

void park_done(struct server *s)
{
    loop_timer_cancel(s->loop, &s->park.timer);
    loop_timer_cancel(s->loop, &s->park.news);
}
