/* registry_events.c - the ring of late events, and the watchers they go to.
 *
 * A watch belongs to its caller's loop; the brain holds it on a list between the
 * start's and the stop's mail. Mail of one sender keeps its order, so the caller
 * may free a watch when the brain's answer to the stop has come. */
#include "brain/registry_internal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

struct access_watch {
    struct registry *registry;
    enum object_kind kind;
    char *ns, *name;
    uint64_t from, after; /* asked for; events up to this one are not sent */
    struct loop *caller;
    void (*on_event)(void *user, enum event_type type, const struct object *now,
                     const struct object *old, uint64_t rv);
    void *user;
    bool stopped;     /* the caller's */
    struct list link; /* the brain's */
    struct mail start, stop;
};

struct event_mail { /* brain to caller */
    struct mail mail;
    struct access_watch *watch;
    enum event_type type;
    struct object *now, *old;
    uint64_t rv;
};

static void on_event_mail(struct mail *m)
{
    struct event_mail *em = container_of(m, struct event_mail, mail);

    if (!em->watch->stopped)
        em->watch->on_event(em->watch->user, em->type, em->now, em->old, em->rv);
    object_unref(em->now);
    object_unref(em->old);
    free(em);
}

static void send(struct access_watch *w, enum event_type type, struct object *now,
                 struct object *old, uint64_t rv)
{
    struct event_mail *em = malloc(sizeof(*em));

    if (!em)
        abort(); /* a small fixed size; a watcher that misses an event is worse */
    *em = (struct event_mail){.mail.fn = on_event_mail,
                              .watch = w,
                              .type = type,
                              .now = object_ref(now),
                              .old = object_ref(old),
                              .rv = rv};
    loop_post(w->caller, &em->mail);
}

static bool matches(const struct access_watch *w, const struct object *o)
{
    return o->kind == w->kind && o->rv > w->after &&
           (!w->ns || (o->content->ns && strcmp(o->content->ns, w->ns) == 0)) &&
           (!w->name || strcmp(o->content->name, w->name) == 0);
}

/* ---------------------------------------------------------------- the ring */
static void forget_oldest(struct registry *r)
{
    struct event *ev = &r->events[r->first];

    r->oldest_rv = ev->now->rv;
    r->bytes -= ev->size;
    object_unref(ev->now);
    object_unref(ev->old);
    r->first = (r->first + 1) % EVENTS_MAX;
    r->count--;
}

void registry_emit(struct registry *r, enum event_type type, struct object *now, struct object *old)
{
    struct event *ev;

    while (r->count == EVENTS_MAX || (r->count && r->bytes + now->size > EVENTS_BYTES_MAX))
        forget_oldest(r);
    ev = &r->events[(r->first + r->count++) % EVENTS_MAX];
    *ev = (struct event){
        .type = type, .now = object_ref(now), .old = object_ref(old), .size = now->size};
    r->bytes += ev->size;
    list_for_each(it, &r->watches)
    {
        struct access_watch *w = list_entry(it, struct access_watch, link);

        if (matches(w, now))
            send(w, type, now, old, now->rv);
    }
}

void registry_events_done(struct registry *r)
{
    while (r->count)
        forget_oldest(r);
}

/* ---------------------------------------------------------------- on the brain's thread */
static void send_all(struct registry *r, struct access_watch *w)
{
    map_for_each(n, &r->entries[w->kind])
    {
        struct object *o = map_entry(n, struct entry, node)->object;

        if (o && matches(w, o))
            send(w, EVENT_ADDED, o, NULL, o->rv);
    }
    w->after = r->rv;
    send(w, EVENT_SYNCED, NULL, NULL, r->rv);
}

static void send_since(struct registry *r, struct access_watch *w)
{
    w->after = w->from;
    for (size_t i = 0; i < r->count; i++) {
        struct event *ev = &r->events[(r->first + i) % EVENTS_MAX];

        if (matches(w, ev->now))
            send(w, ev->type, ev->now, ev->old, ev->now->rv);
    }
}

static void on_start(struct mail *m)
{
    struct access_watch *w = container_of(m, struct access_watch, start);
    struct registry *r = w->registry;

    if (w->from && w->from < r->oldest_rv) {
        send(w, EVENT_EXPIRED, NULL, NULL, r->oldest_rv);
        return;
    }
    if (w->from)
        send_since(r, w);
    else
        send_all(r, w);
    list_push_back(&r->watches, &w->link);
    r->watch_count++;
}

static void on_stopped(struct mail *m)
{
    struct access_watch *w = container_of(m, struct access_watch, stop);

    free(w->ns);
    free(w->name);
    free(w);
}

static void on_stop(struct mail *m)
{
    struct access_watch *w = container_of(m, struct access_watch, stop);

    if (!list_empty(&w->link)) {
        list_del(&w->link);
        w->registry->watch_count--;
    }
    w->stop.fn = on_stopped;
    loop_post(w->caller, &w->stop);
}

struct bookmark {
    struct mail mail;
    struct access_watch *watch;
};

static void on_bookmark(struct mail *m)
{
    struct bookmark *b = container_of(m, struct bookmark, mail);

    if (!list_empty(&b->watch->link))
        send(b->watch, EVENT_BOOKMARK, NULL, NULL, b->watch->registry->rv);
    free(b);
}

/* ---------------------------------------------------------------- on the caller's thread */
int access_watch_start(struct registry *r, const struct access_watch_options *o,
                       struct access_watch **ret)
{
    struct access_watch *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->registry = r;
    w->kind = o->kind;
    w->from = o->rv;
    w->caller = o->caller;
    w->on_event = o->on_event;
    w->user = o->user;
    list_init(&w->link);
    w->ns = o->ns ? strdup(o->ns) : NULL;
    w->name = o->name ? strdup(o->name) : NULL;
    if ((o->ns && !w->ns) || (o->name && !w->name)) {
        free(w->ns);
        free(w->name);
        free(w);
        return -ENOMEM;
    }
    w->start.fn = on_start;
    loop_post(r->loop, &w->start);
    *ret = w;
    return 0;
}

void access_watch_bookmark(struct access_watch *w)
{
    struct bookmark *b = malloc(sizeof(*b));

    if (!b)
        return;
    b->mail.fn = on_bookmark;
    b->watch = w;
    loop_post(w->registry->loop, &b->mail);
}

void access_watch_stop(struct access_watch *w)
{
    w->stopped = true;
    w->stop.fn = on_stop;
    loop_post(w->registry->loop, &w->stop);
}
