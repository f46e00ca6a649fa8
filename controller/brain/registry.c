/* registry.c - the objects by kind and key, their resourceVersions, and what the core says of them.
 *
 * Loaded before the threads run, then the brain's alone. */
#include "brain/registry_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "brain/function_make.h"
#include "brain/pool_make.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

struct entry *registry_entry(struct registry *r, enum object_kind kind, const char *key)
{
    struct map_node *n = (unsigned)kind < KIND_COUNT ? map_get_str(&r->entries[kind], key) : NULL;

    return n ? map_entry(n, struct entry, node) : NULL;
}

struct entry *registry_entry_make(struct registry *r, enum object_kind kind, const char *key)
{
    struct entry *e = registry_entry(r, kind, key);

    if (e)
        return e;
    e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->registry = r;
    e->kind = kind;
    list_init(&e->waiting);
    e->key = strdup(key);
    if (!e->key || map_put(&r->entries[kind], &e->node, e->key, strlen(e->key)) < 0) {
        free(e->key);
        free(e);
        return NULL;
    }
    return e;
}

static void entry_free(struct entry *e)
{
    object_unref(e->object);
    free(e->labels);
    free(e->key);
    free(e);
}

void registry_entry_drop(struct entry *e)
{
    if (e->object || e->writing || e->erasing || !list_empty(&e->waiting))
        return;
    map_del(&e->registry->entries[e->kind], &e->node);
    entry_free(e);
}

/* ---------------------------------------------------------------- resourceVersions */
static void on_reserved(struct store_write *w)
{
    struct registry *r = container_of(w, struct registry, reserve);

    r->reserving = false;
    if (w->error)
        log_error("resourceVersions could not be reserved: %s", w->message);
    else
        r->rv_limit = w->rv;
}

static void reserve(struct registry *r, struct loop *reply, void (*on_done)(struct store_write *))
{
    r->reserve = (struct store_write){
        .op = STORE_RESERVE, .rv = r->rv_limit + RV_BLOCK, .reply = reply, .on_done = on_done};
    r->reserving = true;
    store_submit(r->store, &r->reserve);
}

/* The next block is asked for when half of this one is used; one that is used up while the disk
 * refuses everything is gone past, since nothing that was promised to be kept hangs on it. */
uint64_t registry_next_rv(struct registry *r)
{
    r->rv++;
    if (!r->reserving && r->rv + RV_BLOCK / 2 >= r->rv_limit)
        reserve(r, r->loop, on_reserved);
    return r->rv;
}

/* ---------------------------------------------------------------- changes */
void registry_replace(struct entry *e, struct object *now)
{
    struct object *old = e->object;

    e->object = now;
    if (!old)
        e->registry->objects[e->kind]++;
    registry_emit(e->registry, old ? EVENT_MODIFIED : EVENT_ADDED, now, old);
    object_unref(old);
}

void registry_remove(struct entry *e)
{
    struct object *old = e->object, *last;

    e->object = NULL;
    e->registry->objects[e->kind]--;
    if (object_new(e->kind, registry_next_rv(e->registry), old->stored, old->content, old->status,
                   &last) == 0) {
        registry_emit(e->registry, EVENT_DELETED, last, old);
        object_unref(last);
    }
    object_unref(old);
}

void registry_observe(struct registry *r, const struct registry_observer *o)
{
    r->observer = *o;
    map_for_each(n, &r->entries[KIND_FUNCTION])
    {
        struct entry *e = map_entry(n, struct entry, node);

        if (e->object)
            o->on_function(o->user, NULL, e->object->content->function);
    }
    registry_node_observe(r);
    registry_history_observe(r);
    map_for_each(n, &r->entries[KIND_NODE_POOL])
    {
        struct entry *e = map_entry(n, struct entry, node);

        if (e->object && o->on_pool)
            o->on_pool(o->user, NULL, e->object->content->pool);
    }
}

static bool same_condition(const struct condition *a, const struct condition *b)
{
    if (!a->type || !b->type)
        return a->type == b->type;
    return strcmp(a->type, b->type) == 0 && a->status == b->status &&
           strcmp(a->reason ?: "", b->reason ?: "") == 0 && strcmp(a->message, b->message) == 0;
}

/* Their texts are static and come from one place. */
static bool same_scaling(const struct scaling_status *a, const struct scaling_status *b)
{
    return a->reason == b->reason && a->last_s == b->last_s && a->able == b->able &&
           a->active == b->active && a->limited == b->limited;
}

static bool same_status(const struct function_status *a, const struct function_status *b)
{
    for (int i = 0; i < FUNCTION_CONDITIONS; i++)
        if (!same_condition(&a->conditions[i], &b->conditions[i]))
            return false;
    return a->observed_generation == b->observed_generation && a->instances == b->instances &&
           a->ready_instances == b->ready_instances &&
           a->desired_instances == b->desired_instances && same_scaling(&a->scaling, &b->scaling) &&
           strcmp(a->latest_revision, b->latest_revision) == 0 &&
           strcmp(a->active_revision, b->active_revision) == 0;
}

void registry_set_status(struct registry *r, const char *key, const struct function_status *s)
{
    struct entry *e = registry_entry(r, KIND_FUNCTION, key);
    cleanup_free char *json = NULL;
    struct object *now;

    if (!e || !e->object || (e->has_status && same_status(&e->status, s)))
        return;
    for (int i = 0; i < FUNCTION_CONDITIONS; i++)
        if (!e->has_status || e->status.conditions[i].status != s->conditions[i].status)
            e->transition_s[i] = clock_wall_ms() / 1000;
    e->status = *s;
    e->has_status = true;
    json = status_json(s, e->transition_s, e->object->content->function, r->gateway);
    if (!json || object_new(KIND_FUNCTION, r->rv + 1, e->object->stored, e->object->content, json,
                            &now) < 0) {
        e->has_status = false;
        return;
    }
    registry_next_rv(r);
    registry_replace(e, now);
}

void registry_set_status_json(struct registry *r, enum object_kind kind, const char *key,
                              const char *status)
{
    struct entry *e = registry_entry(r, kind, key);
    struct object *now;

    if (!e || !e->object || !strcmp(e->object->status, status) ||
        object_new(kind, r->rv + 1, e->object->stored, e->object->content, status, &now) < 0)
        return;
    registry_next_rv(r);
    registry_replace(e, now);
}

void registry_finalize(struct registry *r, enum object_kind kind, const char *key)
{
    struct entry *e = registry_entry(r, kind, key);

    if (!e || !e->object || !e->object->content->deleting)
        return;
    e->unrouted = true;
    registry_maybe_erase(e);
}

/* ---------------------------------------------------------------- loading */
char *registry_first_status(const struct registry *r, const struct content *c)
{
    if (!c->function)
        return strdup("{\"nodes\":0,\"ready\":0,\"desired\":0}");
    return status_json(&(struct function_status){0}, (uint64_t[FUNCTION_CONDITIONS]){0},
                       c->function, r->gateway);
}

struct load {
    struct registry *r;
    struct err *e;
};

static int load_content(enum object_kind kind, const struct store_row *row, struct content **ret)
{
    struct json_object *o = json_tokener_parse(row->json), *metadata, *spec, *package, *created;
    struct function *f = NULL;
    struct pool_spec *pool = NULL;
    int r = -EINVAL;

    if (json_object_is_type(o, json_type_object) &&
        json_object_object_get_ex(o, "metadata", &metadata) &&
        json_object_object_get_ex(o, "spec", &spec) &&
        json_object_object_get_ex(o, "package", &package) &&
        json_object_object_get_ex(o, "createdMs", &created)) {
        r = kind == KIND_NODE_POOL ? pool_make(metadata, spec, &pool)
                                   : function_make(metadata, spec, json_object_get_string(package),
                                                   json_object_get_uint64(created), &f);
        if (r == 0)
            r = content_new(json_object_to_json_string_ext(metadata, JSON_C_TO_STRING_NOSLASHESCAPE),
                            json_object_to_json_string_ext(spec, JSON_C_TO_STRING_NOSLASHESCAPE),
                            row->json, f, ret);
    }
    if (r < 0) {
        function_unref(f);
        pool_spec_unref(pool);
    } else {
        (*ret)->pool = pool;
    }
    json_object_put(o);
    return r;
}

static enum object_kind stored_kind(const char *name)
{
    static const enum object_kind stored[] = {KIND_FUNCTION, KIND_NODE_POOL};

    for (size_t i = 0; i < ARRAY_LEN(stored); i++)
        if (!strcmp(name, object_kind_name(stored[i])))
            return stored[i];
    return KIND_COUNT;
}

static int on_row(void *user, const struct store_row *row)
{
    struct load *load = user;
    struct content *c = NULL;
    cleanup_free char *status = NULL;
    enum object_kind kind = stored_kind(row->kind);
    struct entry *e;
    int r;

    if (!strcmp(row->kind, object_kind_name(KIND_NODE))) {
        r = registry_node_load(load->r, row);
        return r < 0 ? err_errno(load->e, -r, "cannot load Node %s from the store", row->key) : 0;
    }
    if (!strcmp(row->kind, HISTORY_KIND)) {
        r = registry_history_load(load->r, row);
        return r < 0 ? err_errno(load->e, -r, "cannot load %s's history", row->key) : 0;
    }
    if (kind == KIND_COUNT)
        return err_set(load->e, EINVAL, "the store holds %s %s, which this version does not know",
                       row->kind, row->key);
    r = load_content(kind, row, &c);
    if (r == 0 && strcmp(c->key, row->key) != 0)
        r = -EINVAL;
    if (r == 0) {
        status = registry_first_status(load->r, c);
        e = status ? registry_entry_make(load->r, kind, row->key) : NULL;
        /* The resourceVersion of this life's begin: what was said of the object after its row was
         * written is lost. */
        r = e ? object_new(kind, load->r->rv, load->r->rv, c, status, &e->object) : -ENOMEM;
        if (r == 0)
            load->r->objects[kind]++;
    }
    content_unref(c);
    return r < 0 ? err_errno(load->e, -r, "cannot load %s %s from the store", row->kind, row->key)
                 : 0;
}

static void on_first_reserve(struct store_write *w)
{
    loop_stop(w->reply);
}

/* The first block, waited for on a loop of our own: the brain's does not run yet. */
static int reserve_first(struct registry *r, struct err *e)
{
    struct loop *l;
    int x = loop_new(&l);

    if (x < 0)
        return err_errno(e, -x, "registry: loop");
    r->rv_limit = store_reserved(r->store);
    r->rv = r->rv_limit + 1;
    r->oldest_rv = r->rv;
    reserve(r, l, on_first_reserve);
    loop_run(l);
    loop_free(l);
    r->reserving = false;
    if (r->reserve.error)
        return err_set(e, -r->reserve.error, "%s", r->reserve.message);
    r->rv_limit = r->reserve.rv;
    return 0;
}

int registry_new(struct store *s, struct registry **ret, struct err *e)
{
    struct registry *r = calloc(1, sizeof(*r));
    int x;

    if (!r)
        return err_errno(e, ENOMEM, "registry");
    r->store = s;
    list_init(&r->watches);
    list_init(&r->histories);
    r->events = calloc(EVENTS_MAX, sizeof(*r->events));
    /* They are not stored: of another life of the controller none has the same number. */
    x = r->events && notes_new(clock_wall_ms(), &r->notes) == 0 ? reserve_first(r, e)
                                                                : err_errno(e, ENOMEM, "registry");
    if (x == 0)
        x = store_list(s, on_row, &(struct load){r, e}, e);
    if (x < 0) {
        registry_free(r);
        return x;
    }
    *ret = r;
    return 0;
}

void registry_attach(struct registry *r, struct loop *brain)
{
    r->loop = brain;
}

void registry_set_gateway(struct registry *r, const char *url)
{
    free(r->gateway);
    r->gateway = url ? strdup(url) : NULL;
}

struct registry *registry_free(struct registry *r)
{
    if (!r)
        return NULL;
    registry_events_done(r);
    registry_histories_done(r);
    notes_free(r->notes);
    for (int k = 0; k < KIND_COUNT; k++) {
        map_for_each(n, &r->entries[k]) entry_free(map_entry(n, struct entry, node));
        map_done(&r->entries[k]);
    }
    free(r->events);
    free(r->gateway);
    free(r);
    return NULL;
}

void registry_stats(const struct registry *r, struct registry_stats *ret)
{
    *ret = (struct registry_stats){.rv = r->rv,
                                   .watches = r->watch_count,
                                   .events_kept = r->count,
                                   .writes_waiting = r->writes_waiting};
    memcpy(ret->objects, r->objects, sizeof(ret->objects));
}
