/* registry_node.c - what users want of nodes: the one part of a published object that is stored.
 *
 * The object is the core's. A row says by the node's name that it is cordoned
 * or drained, is there while one of them is so, and outlives the node, unless
 * that is deleted. */
#include "brain/registry_internal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

void node_spec_text(const struct node_wanted *w, char out[NODE_SPEC_TEXT])
{
    snprintf(out, NODE_SPEC_TEXT, "{\"unschedulable\":%s,\"drain\":%s}",
             w->unschedulable ? "true" : "false", w->drain ? "true" : "false");
}

static void tell(struct registry *r, const struct entry *e)
{
    if (r->observer.on_node)
        r->observer.on_node(r->observer.user, e->key, &e->wanted);
}

void registry_node_observe(struct registry *r)
{
    map_for_each(n, &r->entries[KIND_NODE])
    {
        const struct entry *e = map_entry(n, struct entry, node);

        if (node_wanted_any(&e->wanted))
            tell(r, e);
    }
}

static bool flag(struct json_object *o, const char *name)
{
    struct json_object *v;

    return json_object_object_get_ex(o, name, &v) && json_object_get_boolean(v);
}

int registry_node_load(struct registry *r, const struct store_row *row)
{
    struct json_object *o = json_tokener_parse(row->json);
    struct entry *e = json_object_is_type(o, json_type_object)
                          ? registry_entry_make(r, KIND_NODE, row->key)
                          : NULL;

    if (e)
        e->wanted = (struct node_wanted){flag(o, "unschedulable"), flag(o, "drain")};
    json_object_put(o);
    return e ? 0 : -EINVAL;
}

/* The core publishes the same in a moment; whoever asked sees it at once. */
static void show(struct registry *r, struct entry *e)
{
    const struct content *was = e->object->content;
    cleanup_content struct content *c = NULL;
    char spec[NODE_SPEC_TEXT];
    struct object *now;

    node_spec_text(&e->wanted, spec);
    if (strcmp(was->spec, spec) == 0 || content_new(was->metadata, spec, NULL, NULL, &c) < 0 ||
        object_new(e->kind, r->rv + 1, r->rv + 1, c, e->object->status, &now) < 0)
        return;
    registry_next_rv(r);
    registry_replace(e, now);
}

/* Those that came while another was stored: what they were made from may be the past. */
static void next(struct registry *r, struct entry *e)
{
    while (!e->writing && !list_empty(&e->waiting)) {
        struct access_request *q =
            list_entry(list_pop_front(&e->waiting), struct access_request, link);

        r->writes_waiting--;
        if (q->verb == ACCESS_NODE_DELETE)
            registry_node_delete(r, q);
        else
            registry_node_write(r, q);
    }
    registry_entry_drop(e);
}

static void wait(struct registry *r, struct entry *e, struct access_request *q)
{
    r->writes_waiting++;
    list_push_back(&e->waiting, &q->link);
}

static void on_stored(struct store_write *w)
{
    struct access_request *q = container_of(w, struct access_request, write);
    struct registry *r = q->registry;
    struct entry *e = registry_entry(r, KIND_NODE, q->key);

    e->writing = NULL;
    r->writes_waiting--;
    if (!w->error) {
        e->wanted = q->node;
        tell(r, e);
        if (e->object && !q->object) {
            show(r, e);
            q->object = object_ref(e->object);
        }
    }
    registry_answer(q, w->error ? w->error : q->object ? 0 : -ENOENT, w->message);
    next(r, e);
}

static void store_wanted(struct registry *r, struct entry *e, struct access_request *q)
{
    node_spec_text(&q->node, q->row);
    e->writing = q;
    r->writes_waiting++;
    q->write = (struct store_write){.op = node_wanted_any(&q->node) ? STORE_PUT : STORE_DELETE,
                                    .kind = object_kind_name(KIND_NODE),
                                    .key = e->key,
                                    .json = q->row,
                                    .rv = r->rv + 1,
                                    .reply = r->loop,
                                    .on_done = on_stored};
    store_submit(r->store, &q->write);
}

void registry_node_write(struct registry *r, struct access_request *q)
{
    struct entry *e = registry_entry(r, KIND_NODE, q->key);

    if (!e || !e->object)
        registry_answer(q, -ENOENT, NULL);
    else if (e->writing)
        wait(r, e, q);
    else if (e->wanted.unschedulable != q->node_was.unschedulable ||
             e->wanted.drain != q->node_was.drain)
        registry_answer(q, -EAGAIN, NULL);
    else
        store_wanted(r, e, q);
}

/* What was wanted of it goes with it. The core unpublishes it in a moment; whoever asked sees it gone at once. */
void registry_node_delete(struct registry *r, struct access_request *q)
{
    struct entry *e = registry_entry(r, KIND_NODE, q->key);
    struct object *o;
    int error;

    if (e && e->writing) {
        wait(r, e, q);
        return;
    }
    o = e ? object_ref(e->object) : NULL;
    error = !o ? -ENOENT
            : !r->observer.on_node_delete
                ? -EBUSY
                : r->observer.on_node_delete(r->observer.user, q->key, q->dry_run);

    if (error < 0) {
        object_unref(o);
        registry_answer(q, error, NULL);
        return;
    }
    q->object = o;
    q->node = (struct node_wanted){0};
    if (q->dry_run) {
        registry_answer(q, 0, NULL);
        return;
    }
    store_wanted(r, e, q); /* which keeps the entry */
    registry_unpublish(r, KIND_NODE, NULL, q->key);
}
