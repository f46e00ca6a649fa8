/* access.h - the registry for the other threads: requests go to the brain's loop, answers come back
 * to the caller's.
 *
 * A request is embedded in the caller's own struct and is the brain's from
 * access_post() until on_reply(), which runs exactly once, on the caller's
 * loop. A write is answered after it is on disk and the core has been told, so
 * whoever hears of it may rely on it. */
#pragma once
#include "brain/notes.h"
#include "brain/object.h"
#include "reactor/loop.h"
#include "store/store.h"

enum access_verb {
    ACCESS_GET,
    ACCESS_LIST,
    ACCESS_WRITE, /* create and update, and the mark that begins a deletion */
    ACCESS_NODE,  /* what users want of a node */
    ACCESS_NODE_DELETE,
    ACCESS_NOTES,  /* what happened (notes.h) */
    ACCESS_STATUS, /* replaces a function's status until the core says otherwise */
};

struct access_request {
    enum access_verb verb;
    enum object_kind kind;
    struct node_wanted node, node_was; /* NODE; what it was made from */
    bool dry_run;                      /* NODE_DELETE: only whether it may go */
    char key[320];           /* GET, STATUS, NODE*: "ns/name" or "name"; WRITE: that of content */
    char ns[64];             /* LIST, NOTES: one namespace; "": all */
    uint64_t after;          /* NOTES: later than this rv; 0: all */
    size_t most;             /* NOTES: the first so many of them; 0: all */
    struct content *content; /* WRITE: a reference, given back with the reply */
    uint64_t stored;         /* WRITE: the object.stored it was made from; 0: it must not exist */
    char *status;            /* STATUS: malloc'd JSON, freed with the reply */
    struct loop *caller;
    void (*on_reply)(struct access_request *q);
    /* the answer. ENOENT: absent; EEXIST: there already; EAGAIN: changed since `stored`, or not `node_was`; EBUSY: a node whose
     * agent is connected; or the store's error. */
    int error;
    char message[160];
    struct object *object; /* GET, WRITE, NODE*, STATUS (and EEXIST: what is there); a reference for the caller */
    struct object **items; /* LIST, sorted by key; references */
    struct note **notes;   /* NOTES, the oldest first; references */
    size_t count;
    uint64_t rv;       /* the registry's at that moment */
    uint64_t notes_rv; /* NOTES: the latest one's, of `most` the last of them */
    /* the brain's */
    struct registry *registry;
    struct store_write write;
    char row[NODE_SPEC_TEXT]; /* NODE*: what is written */
    struct mail mail;
    struct list link;
};
/* Any thread. */
void access_post(struct registry *r, struct access_request *q);
/* Drops what the answer holds; the request may be used again. */
void access_request_done(struct access_request *q);

/* ---- watches */
enum event_type {
    EVENT_ADDED,
    EVENT_MODIFIED,
    EVENT_DELETED,
    EVENT_SYNCED,   /* after the synthetic ADDEDs; has an rv only */
    EVENT_BOOKMARK, /* the answer to access_watch_bookmark() */
    EVENT_EXPIRED,  /* the resourceVersion is too old: nothing follows */
};
struct access_watch;
struct access_watch_options {
    enum object_kind kind;
    const char *ns, *name; /* NULL: all */
    uint64_t rv;           /* events after it; 0: everything there is as ADDED, then events */
    struct loop *caller;
    /* On the caller's loop. `old` is what a MODIFIED or DELETED replaced, or NULL. References stay
     * the watch's. */
    void (*on_event)(void *user, enum event_type type, const struct object *now,
                     const struct object *old, uint64_t rv);
    void *user;
};
int access_watch_start(struct registry *r, const struct access_watch_options *o,
                       struct access_watch **ret);
void access_watch_bookmark(struct access_watch *w);
/* On the caller's loop; no on_event() follows. */
void access_watch_stop(struct access_watch *w);

struct registry_stats {
    uint64_t objects[KIND_COUNT];
    uint64_t rv, watches, events_kept, writes_waiting;
};
