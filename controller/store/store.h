/* store.h - what must outlive the controller: rows of (kind, key) -> JSON, on disk before they
 * count.
 *
 * store_list() is called once, before the other threads run. Afterwards
 * store_submit() takes writes from any thread; the store's own thread commits
 * whatever has queued up as one transaction, and every answer follows the
 * commit. A backend is a table of operations, so that another (Kubernetes')
 * can stand in the same place. */
#pragma once
#include "base/error.h"
#include "base/metrics.h"
#include "reactor/loop.h"

struct store;

enum store_op { STORE_PUT, STORE_DELETE, STORE_RESERVE };

/* One write. Embed it in the request; it belongs to the store from store_submit() until on_done().
 */
struct store_write {
    enum store_op op;
    const char *kind, *key; /* PUT, DELETE */
    const char *json;       /* PUT; NUL-terminated */
    uint64_t rv;            /* PUT: kept with the row. RESERVE: the new high-water mark */
    struct loop *reply;     /* on_done() runs on this loop */
    void (*on_done)(struct store_write *w); /* exactly once */
    /* the answer */
    int error;         /* 0: it is on disk; else -errno (-ENOSPC, -EIO, -EUCLEAN...) */
    char message[160]; /* why, for a person */
    /* the store's */
    struct store *store;
    struct mail mail;
    struct list link;
};
struct store_row {
    const char *kind, *key, *json;
    uint64_t rv;
};

struct store_stats {
    uint64_t commits, writes, failures;
    uint64_t queue; /* writes that wait or are being committed */
    struct histogram commit_seconds;
};

struct store_ops {
    /* Each row once. A negative answer of on_row ends the walk and is returned. */
    int (*list)(struct store *s, int (*on_row)(void *user, const struct store_row *row), void *user,
                struct err *e);
    uint64_t (*reserved)(struct store *s);
    void (*submit)(struct store *s, struct store_write *w);
    void (*stats)(struct store *s, struct store_stats *ret);
    struct store *(*free)(struct store *s);
};
struct store { /* a backend's struct begins with it */
    const struct store_ops *ops;
};

/* DIR/store.db, made if absent; starts the store's thread. Damage, a foreign file or a second
 * controller on the same directory are refused with a message. */
int store_open_sqlite(const char *dir, struct store **ret, struct err *e);

static inline int store_list(struct store *s, int (*on_row)(void *user, const struct store_row *row),
                             void *user, struct err *e)
{
    return s->ops->list(s, on_row, user, e);
}
/* The resourceVersion high-water mark as it was when the store was opened: every resourceVersion
 * ever given out is at most this. */
static inline uint64_t store_reserved(struct store *s)
{
    return s->ops->reserved(s);
}
static inline void store_submit(struct store *s, struct store_write *w)
{
    s->ops->submit(s, w);
}
static inline void store_stats(struct store *s, struct store_stats *ret) /* any thread */
{
    s->ops->stats(s, ret);
}
/* Commits what is queued, ends the thread. NULL is a no-op. */
static inline struct store *store_free(struct store *s)
{
    return s ? s->ops->free(s) : NULL;
}
