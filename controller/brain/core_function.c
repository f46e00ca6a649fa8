/* core_function.c - functions and their revisions: what was applied, and which one has the traffic. */
#include "brain/core_internal.h"

#include <stdio.h>

struct fn *fn_find(struct core *c, const char *key)
{
    struct map_node *n = map_get_str(&c->functions, key);

    return n ? map_entry(n, struct fn, node) : NULL;
}

bool core_has_function(struct core *c, const char *key)
{
    return fn_find(c, key) != NULL;
}

bool fn_live(const struct fn *f)
{
    return !f->gone && !f->spec->deleting;
}

void fn_wanted(struct core *c, struct fn *f)
{
    if (list_empty(&f->wanted_link))
        list_push_back(&c->wanted, &f->wanted_link);
}

void fn_dirty(struct core *c, struct fn *f)
{
    if (list_empty(&f->dirty_link))
        list_push_back(&c->dirty, &f->dirty_link);
    fn_wanted(c, f);
}

void fn_sampled(struct core *c, struct fn *f)
{
    if (f->gone || !list_empty(&f->active_link))
        return;
    if (list_empty(&c->active) && c->next_sample <= c->now)
        c->next_sample = c->now + SAMPLE_NS;
    list_push_back(&c->active, &f->active_link);
    if (f->last_active < c->now)
        f->last_active = c->now;
    f->queue_before = 0; /* who has just come has come since */
    activator_queue_since(&f->queue, c->now);
    if (!f->scaler)
        f->scaler = autoscaler_new(&c->config.autoscaler, &f->spec->scaling);
}

/* ---- revisions */

static int revision_new(struct fn *f, const char *id, struct revision **ret)
{
    struct revision *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    snprintf(r->id, sizeof(r->id), "%s", id);
    r->fn = f;
    r->spec = function_ref(f->spec);
    list_init(&r->instances);
    list_init(&r->backoff_link);
    list_init(&r->roomless_link);
    list_push_front(&f->revisions, &r->link);
    *ret = r;
    return 0;
}

static void revision_free(struct revision *r)
{
    list_del(&r->backoff_link);
    list_del(&r->roomless_link);
    list_del(&r->link);
    function_unref(r->spec);
    free(r);
}

struct revision *fn_revision(struct fn *f, const char *id)
{
    list_for_each(it, &f->revisions)
    {
        struct revision *r = list_entry(it, struct revision, link);

        if (!strcmp(r->id, id))
            return r;
    }
    return NULL;
}

int fn_revision_foreign(struct fn *f, const char *id, struct revision **ret)
{
    struct revision *r;

    if (strlen(id) >= REVISION_TEXT)
        return -EINVAL;
    if (revision_new(f, id, &r) < 0)
        return -ENOMEM;
    r->foreign = true;
    *ret = r;
    return 0;
}

static void respec(struct revision *r, struct function *spec)
{
    function_ref(spec);
    function_unref(r->spec);
    r->spec = spec;
}

void fn_activate(struct core *c, struct fn *f, struct revision *r)
{
    if (f->active == r)
        return;
    note_fn(c, f, false, "RevisionActive", "revision %s has the traffic that %s had", r->id,
            f->active->id);
    f->active = r;
    sync_change_route(c, f);
    fn_status_dirty(c, f, true);
    fn_dirty(c, f);
}

static int latest_is(struct core *c, struct fn *f)
{
    struct revision *r = fn_revision(f, f->spec->revision);

    if (!r && revision_new(f, f->spec->revision, &r) < 0)
        return -ENOMEM;
    scale_respec(c, f);
    /* what is there when the controller starts has had its first start */
    if (f->latest != r && c->now != c->started && !f->spec->deleting) {
        f->initial = f->spec->scaling.initial;
        f->initial_until = 0;
    }
    respec(r, f->spec);
    r->foreign = false;
    f->latest = r;
    if (!f->active)
        f->active = r;
    list_for_each(it, &f->revisions)
    { /* what we know of a foreign one is the function as it is now */
        struct revision *other = list_entry(it, struct revision, link);

        if (other->foreign)
            respec(other, f->spec);
    }
    fn_dirty(c, f);
    return 0;
}

/* ---- life */

static int fn_new(struct core *c, struct function *spec, struct fn **ret)
{
    struct fn *f = calloc(1, sizeof(*f));

    if (!f)
        return -ENOMEM;
    f->spec = function_ref(spec);
    list_init(&f->delete_link);
    list_init(&f->revisions);
    list_init(&f->slots);
    list_init(&f->active_link);
    list_init(&f->dirty_link);
    list_init(&f->needy_link);
    list_init(&f->wanted_link);
    list_init(&f->crowd_link);
    list_init(&f->status_link);
    activator_queue_init(&f->queue, c->now);
    f->limit = REASON_COUNT;
    f->last_active = c->now;
    f->found = c->now == c->started;
    if (map_put(&c->functions, &f->node, f->spec->key, strlen(f->spec->key)) < 0) {
        function_unref(f->spec);
        free(f);
        return -ENOMEM;
    }
    *ret = f;
    return 0;
}

void fn_free(struct core *c, struct fn *f)
{
    struct ticket *t;

    route_unclaim(c, f);
    while ((t = activator_oldest(&f->queue)))
        activator_remove(c->activator, t, c->now);
    slots_of_fn_gone(c, f);
    list_for_each(it, &f->revisions) revision_free(list_entry(it, struct revision, link));
    list_del(&f->delete_link);
    list_del(&f->active_link);
    list_del(&f->dirty_link);
    list_del(&f->needy_link);
    list_del(&f->wanted_link);
    list_del(&f->crowd_link);
    list_del(&f->status_link);
    scale_rest(f);
    free(f->history);
    free(f->externals);
    free(f->presence);
    function_unref(f->spec);
    free(f);
}

void fn_tidy(struct core *c, struct fn *f)
{
    bool empty = true;

    list_for_each(it, &f->revisions)
    {
        struct revision *r = list_entry(it, struct revision, link);

        empty = empty && list_empty(&r->instances);
        if (!list_empty(&r->instances) || r == f->active || r == f->latest)
            continue;
        unpublish_revision(c, r);
        revision_free(r);
    }
    if (!f->gone || !empty)
        return;
    list_for_each(it, &f->revisions) unpublish_revision(c, list_entry(it, struct revision, link));
    fn_free(c, f);
}

static void begin_delete(struct core *c, struct fn *f)
{
    route_unclaim(c, f);
    sync_change_route(c, f);
    f->delete_sequence = sync_next_sequence(c);
    f->delete_until = c->now + c->config.lease_ns;
    list_push_back(&c->deleting, &f->delete_link);
    tickets_refuse_all(c, f, REFUSED_NOT_FOUND, "the function was deleted");
    fn_status_dirty(c, f, true);
    fn_dirty(c, f);
}

/* The registry has forgotten it. Its instances drain on, so it lives on without its key. */
static void end(struct core *c, struct fn *f)
{
    if (!f->spec->deleting) {
        route_unclaim(c, f);
        sync_change_route(c, f);
    }
    tickets_refuse_all(c, f, REFUSED_NOT_FOUND, "the function was deleted");
    history_drop(c, f);
    map_del(&c->functions, &f->node);
    f->gone = true;
    list_del(&f->delete_link);
    list_del(&f->active_link);
    scale_rest(f);
    list_del(&f->status_link);
    list_push_back(&c->gone, &f->active_link);
    fn_dirty(c, f);
}

static void spec_is(struct core *c, struct fn *f, struct function *spec)
{
    struct function *old = f->spec;

    route_unclaim(c, f);
    map_del(&c->functions, &f->node);
    f->spec = function_ref(spec);
    if (map_put(&c->functions, &f->node, f->spec->key, strlen(f->spec->key)) < 0)
        abort(); /* the place it had a moment ago */
    function_unref(old);
    sync_change_route(c, f);
    if (latest_is(c, f) < 0 || route_claim(c, f) < 0)
        core_log(c, true, "function %s: out of memory, its change is not in effect", spec->key);
    fn_status_dirty(c, f, true);
}

void core_function(struct core *c, uint64_t now, struct function *old, struct function *spec,
                   struct actions *out)
{
    struct fn *f;

    (void)old;
    c->now = now;
    c->out = out;
    if (!spec) {
        f = old ? fn_find(c, old->key) : NULL;
        if (f)
            end(c, f);
        return;
    }
    f = fn_find(c, spec->key);
    if (!f) {
        if (fn_new(c, spec, &f) < 0 || latest_is(c, f) < 0) {
            core_log(c, true, "function %s: out of memory, it is not served", spec->key);
            return;
        }
        if (!spec->deleting && route_claim(c, f) < 0)
            core_log(c, true, "function %s: out of memory, some of its paths are not served",
                     spec->key);
        sync_change_route(c, f);
        fn_status_dirty(c, f, true);
        if (spec->deleting)
            begin_delete(c, f);
        return;
    }
    if (spec->deleting && !f->spec->deleting) {
        spec_is(c, f, spec);
        begin_delete(c, f);
    } else if (!spec->deleting) {
        spec_is(c, f, spec);
    }
}

static void finalize(struct core *c, const char *key)
{
    struct action *a = actions_add(c->out, ACTION_FINALIZE);

    a->stored.kind = KIND_FUNCTION;
    a->stored.key = actions_strdup(c->out, key);
}

/* Unrouted everywhere: the registry may let go of it. */
void fn_deletions(struct core *c)
{
    list_for_each(it, &c->deleting)
    {
        struct fn *f = list_entry(it, struct fn, delete_link);

        if (!sync_acked(c, f->delete_sequence) && c->now < f->delete_until)
            continue;
        list_del(&f->delete_link);
        finalize(c, f->spec->key);
    }
}

struct presence *fn_presence(struct fn *f, struct node *n, bool make)
{
    size_t from = 0, to = f->presence_count;
    struct presence *all;

    while (from < to) {
        size_t at = (from + to) / 2;

        if (f->presence[at].node == n)
            return &f->presence[at];
        if (f->presence[at].node->place.order < n->place.order)
            from = at + 1;
        else
            to = at;
    }
    if (!make || !(all = realloc(f->presence, (f->presence_count + 1) * sizeof(*all))))
        return NULL;
    f->presence = all;
    memmove(&all[from + 1], &all[from], (f->presence_count++ - from) * sizeof(*all));
    all[from] = (struct presence){.node = n};
    return &all[from];
}
