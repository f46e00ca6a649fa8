/* registry_publish.c - the read-only kinds: revisions, nodes and instances as the core tells of
 * them. In memory. */
#include "brain/registry_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random.h"

#include <stdio.h>
#include <string.h>

void registry_note(struct registry *r, enum object_kind kind, const char *key, bool warning,
                   const char *reason, const char *message)
{
    const struct entry *e = registry_entry(r, kind, key);
    const struct content *c = e && e->object ? e->object->content : NULL;

    if (c)
        notes_add(r->notes,
                  &(struct note_of){.kind = object_kind_name(kind),
                                    .ns = c->ns ?: "",
                                    .name = c->name,
                                    .object_uid = c->uid,
                                    .warning = warning,
                                    .reason = reason,
                                    .message = message},
                  clock_wall_ms() / 1000);
}

static void make_key(const char *ns, const char *name, char out[320])
{
    snprintf(out, 320, "%s%s%s", ns ?: "", ns ? "/" : "", name);
}

static void add_text(struct buffer *b, const char *field, const char *value)
{
    buffer_printf(b, ",\"%s\":\"", field);
    buffer_json_string(b, value, strlen(value));
    buffer_puts(b, "\"");
}

/* uid and creation time are those of the entry's first object. */
static char *make_metadata(const struct object *old, const char *ns, const char *name,
                           const char *labels, const struct function *owner)
{
    struct buffer b = {0};
    char uid[37], created[32];

    if (old) {
        const char *at = strstr(old->content->metadata, "\"creationTimestamp\":\"");

        memcpy(uid, old->content->uid, sizeof(uid));
        snprintf(created, sizeof(created), "%.20s",
                 at ? at + strlen("\"creationTimestamp\":\"") : "");
    } else {
        random_uuid(uid);
        time_text(clock_wall_ms() / 1000, created);
    }
    buffer_printf(&b, "{\"uid\":\"%s\",\"creationTimestamp\":\"%s\"", uid, created);
    add_text(&b, "name", name);
    if (ns)
        add_text(&b, "namespace", ns);
    if (labels)
        buffer_printf(&b, ",\"labels\":%s", labels);
    if (owner)
        buffer_printf(&b,
                      ",\"ownerReferences\":[{\"apiVersion\":\"rouse.dev/"
                      "v1\",\"kind\":\"Function\",\"name\":\"%s\","
                      "\"uid\":\"%s\",\"controller\":true}]",
                      owner->name, owner->uid);
    if (buffer_puts(&b, "}") < 0) {
        buffer_done(&b);
        return NULL;
    }
    return buffer_take_string(&b);
}

static bool same(const char *a, const char *b)
{
    return strcmp(a ?: "", b ?: "") == 0;
}

void registry_publish(struct registry *r, enum object_kind kind, const char *ns, const char *name,
                      const char *labels_json, const char *spec_json, const char *status_json,
                      const struct function *owner)
{
    char key[320];
    struct entry *e;
    cleanup_content struct content *c = NULL;
    struct object *now;

    make_key(ns, name, key);
    e = registry_entry_make(r, kind, key);
    if (!e)
        return;
    if (e->object && same(e->labels, labels_json) &&
        strcmp(e->object->content->spec, spec_json) == 0) {
        if (strcmp(e->object->status, status_json) == 0)
            return;
        c = content_ref(e->object->content);
    } else {
        cleanup_free char *metadata = make_metadata(e->object, ns, name, labels_json, owner);

        if (!metadata || content_new(metadata, spec_json, NULL, NULL, &c) < 0) {
            registry_entry_drop(e);
            return;
        }
        free(e->labels);
        e->labels = labels_json ? strdup(labels_json) : NULL;
    }
    if (object_new(kind, r->rv + 1, r->rv + 1, c, status_json, &now) < 0) {
        registry_entry_drop(e);
        return;
    }
    registry_next_rv(r);
    registry_replace(e, now);
}

void registry_unpublish(struct registry *r, enum object_kind kind, const char *ns, const char *name)
{
    char key[320];
    struct entry *e;

    make_key(ns, name, key);
    e = registry_entry(r, kind, key);
    if (!e || !e->object)
        return;
    registry_remove(e);
    registry_entry_drop(e);
}
