/* registry_write.c - the way of a write: checked, stored, told to the core, answered.
 *
 * One store write a key is in flight; later ones wait in order and are checked
 * when their turn comes. A deleted object is erased when the core has
 * finalised it and its users' finalizers are gone. */
#include "brain/registry_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ERASE_RETRY_S = 1 };

static void next_write(struct entry *e);

static void on_answered(struct mail *m)
{
    struct access_request *q = container_of(m, struct access_request, mail);

    q->on_reply(q);
}

void registry_answer(struct access_request *q, int error, const char *message)
{
    q->error = error;
    snprintf(q->message, sizeof(q->message), "%s", message ?: "");
    q->rv = q->registry->rv;
    q->content = content_unref(q->content);
    free(q->status);
    q->status = NULL;
    q->mail.fn = on_answered;
    loop_post(q->caller, &q->mail);
}

static void tell_core(struct registry *r, const struct content *old, const struct content *now)
{
    const struct content *any = now ?: old;
    const struct registry_observer *o = &r->observer;

    if (any->function && o->on_function)
        o->on_function(o->user, old ? old->function : NULL, now ? now->function : NULL);
    if (any->pool && o->on_pool)
        o->on_pool(o->user, old ? old->pool : NULL, now ? now->pool : NULL);
}

/* ---------------------------------------------------------------- the end of a deleted one */
static void on_retry(struct loop_timer *t)
{
    registry_maybe_erase(container_of(t, struct entry, retry));
}

static void on_erased(struct store_write *w)
{
    struct entry *e = container_of(w, struct entry, erase);
    struct registry *r = e->registry;
    struct content *old;

    e->erasing = false;
    if (w->error) {
        log_error("%s is deleted, but the store still has it: %s", e->key, w->message);
        e->retry.fn = on_retry;
        loop_timer_set(r->loop, &e->retry, loop_now(r->loop) + ERASE_RETRY_S * NS_PER_S);
        next_write(e);
        return;
    }
    old = content_ref(e->object->content);
    e->unrouted = false;
    e->has_status = false;
    registry_remove(e);
    tell_core(r, old, NULL);
    content_unref(old);
    next_write(e);
}

void registry_maybe_erase(struct entry *e)
{
    struct registry *r = e->registry;

    if (!e->object || !e->object->content->deleting || !e->unrouted ||
        e->object->content->finalizers || e->writing || e->erasing || loop_timer_armed(&e->retry))
        return;
    e->erasing = true;
    e->erase = (struct store_write){.op = STORE_DELETE,
                                    .kind = object_kind_name(e->kind),
                                    .key = e->key,
                                    .reply = r->loop,
                                    .on_done = on_erased};
    store_submit(r->store, &e->erase);
}

/* ---------------------------------------------------------------- writes */
static int check(struct entry *e, struct access_request *q)
{
    if (!e->object)
        return q->stored ? -ENOENT : 0;
    if (q->stored == e->object->stored)
        return 0;
    q->object = object_ref(e->object);
    return q->stored ? -EAGAIN : -EEXIST;
}

static void commit(struct entry *e, struct access_request *q)
{
    struct registry *r = e->registry;
    struct content *old = e->object ? content_ref(e->object->content) : NULL;
    cleanup_free char *empty = NULL;
    const char *status;
    struct object *now;
    int x = -ENOMEM;

    if (!e->object)
        empty = registry_first_status(r, q->content);
    status = e->object ? e->object->status : empty;
    if (status)
        x = object_new(e->kind, r->rv + 1, r->rv + 1, q->content, status, &now);
    if (x < 0) {
        /* It is on disk and cannot be shown: only a new start can tell the truth. */
        log_error("out of memory while publishing %s", e->key);
        abort();
    }
    registry_next_rv(r);
    registry_replace(e, now);
    tell_core(r, old, now->content);
    content_unref(old);
    q->object = object_ref(e->object);
}

static void on_stored(struct store_write *w)
{
    struct access_request *q = container_of(w, struct access_request, write);
    struct entry *e = registry_entry(q->registry, q->kind, q->content->key);

    e->writing = NULL;
    q->registry->writes_waiting--;
    if (!w->error)
        commit(e, q);
    registry_answer(q, w->error, w->message);
    next_write(e);
}

static void begin_write(struct entry *e, struct access_request *q)
{
    struct registry *r = e->registry;
    int x = check(e, q);

    if (x < 0) {
        r->writes_waiting--;
        registry_answer(q, x, NULL);
        return;
    }
    e->writing = q;
    q->write = (struct store_write){.op = STORE_PUT,
                                    .kind = object_kind_name(q->kind),
                                    .key = q->content->key,
                                    .json = q->content->row,
                                    .rv = r->rv + 1,
                                    .reply = r->loop,
                                    .on_done = on_stored};
    store_submit(r->store, &q->write);
}

static void next_write(struct entry *e)
{
    registry_maybe_erase(e);
    while (!e->writing && !e->erasing && !list_empty(&e->waiting))
        begin_write(e, list_entry(list_pop_front(&e->waiting), struct access_request, link));
    registry_entry_drop(e);
}

void registry_write(struct registry *r, struct access_request *q)
{
    struct entry *e;
    bool storable = (q->kind == KIND_FUNCTION && q->content->function) ||
                    (q->kind == KIND_NODE_POOL && q->content->pool);

    if (!storable || !q->content->row) {
        registry_answer(q, -EINVAL, "only functions and node pools are stored");
        return;
    }
    e = registry_entry_make(r, q->kind, q->content->key);
    if (!e) {
        registry_answer(q, -ENOMEM, "out of memory");
        return;
    }
    r->writes_waiting++;
    list_push_back(&e->waiting, &q->link);
    if (!e->writing && !e->erasing)
        next_write(e);
}
