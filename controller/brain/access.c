/* access.c - requests of other threads, on the brain's: get, list, write, status. */
#include "brain/registry_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <string.h>

static void get(struct registry *r, struct access_request *q)
{
    struct entry *e = registry_entry(r, q->kind, q->key);

    if (e)
        q->object = object_ref(e->object);
    registry_answer(q, q->object ? 0 : -ENOENT, NULL);
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(struct object *const *)a)->content->key,
                  (*(struct object *const *)b)->content->key);
}

static void list(struct registry *r, struct access_request *q)
{
    q->items = calloc(r->entries[q->kind].count + 1, sizeof(struct object *));
    if (!q->items) {
        registry_answer(q, -ENOMEM, "out of memory");
        return;
    }
    map_for_each(n, &r->entries[q->kind])
    {
        struct object *o = map_entry(n, struct entry, node)->object;

        if (o && (!q->ns[0] || (o->content->ns && strcmp(o->content->ns, q->ns) == 0)))
            q->items[q->count++] = object_ref(o);
    }
    qsort(q->items, q->count, sizeof(struct object *), by_key);
    registry_answer(q, 0, NULL);
}

static void notes(struct registry *r, struct access_request *q)
{
    int e = notes_since(r->notes, q->ns, q->after, q->most, clock_wall_ms() / 1000, &q->notes,
                        &q->count, &q->notes_rv);

    registry_answer(q, e, e < 0 ? "out of memory" : NULL);
}

static void set_status(struct registry *r, struct access_request *q)
{
    struct entry *e = registry_entry(r, q->kind, q->key);
    struct object *now;

    if (!e || !e->object) {
        registry_answer(q, -ENOENT, NULL);
        return;
    }
    if (strcmp(e->object->status, q->status) != 0) {
        if (object_new(e->kind, r->rv + 1, e->object->stored, e->object->content, q->status, &now) <
            0) {
            registry_answer(q, -ENOMEM, "out of memory");
            return;
        }
        registry_next_rv(r);
        registry_replace(e, now);
    }
    q->object = object_ref(e->object);
    registry_answer(q, 0, NULL);
}

static void on_request(struct mail *m)
{
    struct access_request *q = container_of(m, struct access_request, mail);
    struct registry *r = q->registry;

    switch (q->verb) {
    case ACCESS_GET:
        get(r, q);
        return;
    case ACCESS_LIST:
        list(r, q);
        return;
    case ACCESS_WRITE:
        registry_write(r, q);
        return;
    case ACCESS_NODE:
        registry_node_write(r, q);
        return;
    case ACCESS_NOTES:
        notes(r, q);
        return;
    case ACCESS_NODE_DELETE:
        registry_node_delete(r, q);
        return;
    case ACCESS_STATUS:
        set_status(r, q);
        return;
    }
}

void access_post(struct registry *r, struct access_request *q)
{
    q->registry = r;
    q->error = 0;
    q->object = NULL;
    q->items = NULL;
    q->notes = NULL;
    q->count = 0;
    list_init(&q->link);
    q->mail.fn = on_request;
    loop_post(r->loop, &q->mail);
}

void access_request_done(struct access_request *q)
{
    for (size_t i = 0; i < q->count && q->items; i++)
        object_unref(q->items[i]);
    for (size_t i = 0; i < q->count && q->notes; i++)
        note_unref(q->notes[i]);
    free(q->items);
    free(q->notes);
    q->items = NULL;
    q->notes = NULL;
    q->count = 0;
    q->object = object_unref(q->object);
}
