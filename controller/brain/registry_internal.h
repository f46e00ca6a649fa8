/* registry_internal.h - what the files of the registry share. The brain's thread only. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "brain/access.h"
#include "brain/notes.h"
#include "brain/registry.h"
#include "reactor/loop.h"
#include "store/store.h"

enum {
    EVENTS_MAX = 10000,
    RV_BLOCK = 1000000, /* resourceVersions reserved on disk at a time */
};
#define EVENTS_BYTES_MAX (16ull << 20)

struct event {
    enum event_type type;
    struct object *now, *old;
    size_t size;
};

struct entry { /* one key; there while it has an object or a write */
    struct map_node node;
    struct registry *registry;
    enum object_kind kind;
    char *key;
    struct object *object;          /* NULL: not there (yet, or any more) */
    struct access_request *writing; /* its store write is in flight */
    struct list waiting;            /* access_request.link: later writes of the same key */
    /* a deleted function's end */
    bool unrouted, erasing;
    struct store_write erase;
    struct loop_timer retry;
    /* the core's last word, to find that nothing changed */
    bool has_status;
    struct function_status status;
    uint64_t transition_s[FUNCTION_CONDITIONS];
    struct node_wanted wanted; /* a node's; the core remembers it of one that is gone */
    char *labels;              /* published ones: labels_json as given */
};

struct registry {
    struct store *store;
    struct loop *loop;
    struct map entries[KIND_COUNT];
    uint64_t objects[KIND_COUNT];
    struct registry_observer observer;
    uint64_t rv, rv_limit; /* given out; reserved on disk */
    struct store_write reserve;
    bool reserving;
    uint64_t writes_waiting;
    /* the events of late, to resume from: a ring of EVENTS_MAX */
    struct event *events;
    size_t first, count, bytes;
    uint64_t oldest_rv; /* every event after this one is in the ring */
    struct list watches;
    size_t watch_count;
    struct notes *notes;
    char *gateway;
    struct list histories; /* rows that were loaded, until the core has them; then those being written */
};

struct entry *registry_entry(struct registry *r, enum object_kind kind, const char *key);
struct entry *registry_entry_make(struct registry *r, enum object_kind kind,
                                  const char *key); /* NULL: no memory */
void registry_entry_drop(struct entry *e); /* frees it if it has neither object nor write */
uint64_t registry_next_rv(struct registry *r);
/* Puts `now` (a reference) in the entry's place and tells the watchers. */
void registry_replace(struct entry *e, struct object *now);
/* Takes the object out: a DELETED event with a resourceVersion of its own. */
void registry_remove(struct entry *e);

/* Of an object that the core has said nothing of yet. The caller frees it; NULL: no memory. */
char *registry_first_status(const struct registry *r, const struct content *c);

/* registry_events.c */
void registry_emit(struct registry *r, enum event_type type, struct object *now, struct object *old);
void registry_events_done(struct registry *r);

/* registry_write.c */
void registry_write(struct registry *r, struct access_request *q);
void registry_maybe_erase(struct entry *e);
void registry_answer(struct access_request *q, int error, const char *message);

/* registry_history.c */
#define HISTORY_KIND "History" /* of their rows; no object's */
int registry_history_load(struct registry *r, const struct store_row *row);
void registry_history_observe(struct registry *r); /* and forgets them */
void registry_histories_done(struct registry *r);

/* registry_node.c */
void registry_node_write(struct registry *r, struct access_request *q);
void registry_node_delete(struct registry *r, struct access_request *q);
int registry_node_load(struct registry *r, const struct store_row *row);
void registry_node_observe(struct registry *r); /* tells the observer of all that are stored */
static inline bool node_wanted_any(const struct node_wanted *w)
{
    return w->unschedulable || w->drain;
}

/* status_json.c: function_status as the object's status. The caller frees it; NULL: no memory. */
char *status_json(const struct function_status *s, const uint64_t *transition_s,
                  const struct function *f, const char *gateway);
