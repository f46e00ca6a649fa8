/* sqlite.c - the store in one SQLite file: WAL, synchronous=FULL, one thread, group commit.
 *
 * The thread is a loop: a turn's mail is one transaction, and the answers go
 * out after COMMIT has returned, which in this mode means after fdatasync of
 * the log. The connection holds its lock for life, so a second controller on
 * the same directory is told at once. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { APPLICATION_ID = 0x526f7573, SCHEMA_VERSION = 1 };

struct sqlite_store {
    struct store base;
    sqlite3 *db;
    sqlite3_stmt *put, *delete, *reserve;
    uint64_t reserved;
    struct loop *loop;
    pthread_t thread;
    bool running;
    struct list queue; /* the turn's writes; the thread's */
    struct loop_deferred commit;
    bool commit_planned;
    struct mail stop;
    pthread_mutex_t lock; /* guards stats: written here, read by the API's thread */
    struct store_stats stats;
};

static int code_to_errno(sqlite3 *db, int rc)
{
    int sys = db ? sqlite3_system_errno(db) : 0;

    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -EROFS;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_TOOBIG:
        return -EFBIG;
    default:
        return sys > 0 ? -sys : -EIO;
    }
}

static int bind_row(sqlite3_stmt *st, const struct store_write *w)
{
    int rc = SQLITE_OK;

    switch (w->op) {
    case STORE_PUT:
        rc = sqlite3_bind_text(st, 4, w->json, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
            rc = sqlite3_bind_int64(st, 3, (sqlite3_int64)w->rv);
        __attribute__((fallthrough));
    case STORE_DELETE:
        if (rc == SQLITE_OK)
            rc = sqlite3_bind_text(st, 1, w->kind, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
            rc = sqlite3_bind_text(st, 2, w->key, -1, SQLITE_STATIC);
        break;
    case STORE_RESERVE:
        rc = sqlite3_bind_int64(st, 1, (sqlite3_int64)w->rv);
        break;
    }
    return rc;
}

static int apply(struct sqlite_store *s, const struct store_write *w)
{
    sqlite3_stmt *st = w->op == STORE_PUT ? s->put : w->op == STORE_DELETE ? s->delete : s->reserve;
    int rc = bind_row(st, w);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int transaction(struct sqlite_store *s)
{
    int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    if (rc != SQLITE_OK)
        return rc;
    list_for_each(it, &s->queue)
    {
        rc = apply(s, list_entry(it, struct store_write, link));
        if (rc != SQLITE_OK)
            break;
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    return rc;
}

static void on_answer(struct mail *m)
{
    struct store_write *w = container_of(m, struct store_write, mail);

    w->on_done(w);
}

static void commit(struct sqlite_store *s)
{
    uint64_t began = clock_monotonic_ns(), n = 0;
    char message[sizeof(((struct store_write *)0)->message)] = "";
    struct list *it;
    int rc, error;

    if (list_empty(&s->queue))
        return;
    rc = transaction(s);
    error = code_to_errno(s->db, rc);
    if (error) {
        snprintf(message, sizeof(message), "the store cannot write: %s (%s)", sqlite3_errmsg(s->db),
                 strerror(-error));
        if (!sqlite3_get_autocommit(s->db))
            sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        log_error("%s", message);
    }
    list_for_each(w, &s->queue) n++;
    pthread_mutex_lock(&s->lock);
    s->stats.queue -= n;
    if (error) {
        s->stats.failures += n;
    } else {
        s->stats.commits++;
        s->stats.writes += n;
    }
    histogram_observe(&s->stats.commit_seconds,
                      (double)(clock_monotonic_ns() - began) / (double)NS_PER_S);
    pthread_mutex_unlock(&s->lock);
    while ((it = list_pop_front(&s->queue))) {
        struct store_write *w = list_entry(it, struct store_write, link);

        w->error = error;
        memcpy(w->message, message, sizeof(message));
        w->mail.fn = on_answer;
        loop_post(w->reply, &w->mail);
    }
}

static void on_commit(struct loop_deferred *d)
{
    struct sqlite_store *s = container_of(d, struct sqlite_store, commit);

    s->commit_planned = false;
    commit(s);
}

static void on_write(struct mail *m)
{
    struct store_write *w = container_of(m, struct store_write, mail);
    struct sqlite_store *s = container_of(w->store, struct sqlite_store, base);

    list_push_back(&s->queue, &w->link);
    if (!s->commit_planned) {
        s->commit_planned = true;
        loop_defer(s->loop, &s->commit);
    }
}

static void sqlite_submit(struct store *base, struct store_write *w)
{
    struct sqlite_store *s = container_of(base, struct sqlite_store, base);

    list_init(&w->link);
    w->store = base;
    w->mail.fn = on_write;
    pthread_mutex_lock(&s->lock);
    s->stats.queue++;
    pthread_mutex_unlock(&s->lock);
    loop_post(s->loop, &w->mail);
}

static void *store_thread(void *arg)
{
    struct sqlite_store *s = arg;

    loop_run(s->loop);
    return NULL;
}

static void on_stop(struct mail *m)
{
    struct sqlite_store *s = container_of(m, struct sqlite_store, stop);

    commit(s);
    loop_stop(s->loop);
}

static struct store *sqlite_free(struct store *base)
{
    struct sqlite_store *s = container_of(base, struct sqlite_store, base);

    if (s->running) {
        s->stop.fn = on_stop;
        loop_post(s->loop, &s->stop);
        pthread_join(s->thread, NULL);
    }
    sqlite3_finalize(s->put);
    sqlite3_finalize(s->delete);
    sqlite3_finalize(s->reserve);
    sqlite3_close(s->db);
    loop_free(s->loop);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}

static void sqlite_stats(struct store *base, struct store_stats *ret)
{
    struct sqlite_store *s = container_of(base, struct sqlite_store, base);

    pthread_mutex_lock(&s->lock);
    *ret = s->stats;
    pthread_mutex_unlock(&s->lock);
}

static uint64_t sqlite_reserved(struct store *base)
{
    return container_of(base, struct sqlite_store, base)->reserved;
}

static int sqlite_list(struct store *base, int (*on_row)(void *user, const struct store_row *row),
                       void *user, struct err *e)
{
    struct sqlite_store *s = container_of(base, struct sqlite_store, base);
    sqlite3_stmt *st = NULL;
    int rc, r = 0;

    rc = sqlite3_prepare_v2(s->db, "SELECT kind, key, rv, json FROM objects ORDER BY kind, key", -1,
                            &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        struct store_row row;

        rc = sqlite3_step(st);
        if (rc != SQLITE_ROW)
            break;
        row.kind = (const char *)sqlite3_column_text(st, 0);
        row.key = (const char *)sqlite3_column_text(st, 1);
        row.rv = (uint64_t)sqlite3_column_int64(st, 2);
        row.json = (const char *)sqlite3_column_text(st, 3);
        r = row.kind && row.key && row.json ? on_row(user, &row) : -ENOMEM;
        if (r < 0)
            break;
    }
    if (r >= 0 && rc != SQLITE_DONE)
        r = err_set(e, -code_to_errno(s->db, rc), "cannot read the store: %s", sqlite3_errmsg(s->db));
    sqlite3_finalize(st);
    return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------- opening */
static int64_t pragma_int(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int64_t v = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

static int check_whole(sqlite3 *db, const char *path, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int r = 0;

    if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW) {
        r = err_set(e, EUCLEAN, "%s is damaged: %s", path, sqlite3_errmsg(db));
    } else {
        const char *text = (const char *)sqlite3_column_text(st, 0);

        if (!text || strcmp(text, "ok") != 0)
            r = err_set(e, EUCLEAN, "%s is damaged: %s", path, text ? text : "unreadable");
    }
    sqlite3_finalize(st);
    return r;
}

static int set_up(struct sqlite_store *s, const char *path, struct err *e)
{
    static const char schema[] =
        "BEGIN IMMEDIATE;"
        "CREATE TABLE IF NOT EXISTS objects(kind TEXT NOT NULL, key TEXT NOT NULL,"
        " rv INTEGER NOT NULL, json TEXT NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS marks(name TEXT PRIMARY KEY, value INTEGER NOT NULL);"
        "INSERT OR IGNORE INTO marks VALUES('resourceVersion', 0);"
        "PRAGMA application_id=1383036275; PRAGMA user_version=1;"
        "COMMIT;";
    int64_t application, version;
    int rc;

    rc = sqlite3_exec(s->db,
                      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                      "PRAGMA temp_store=MEMORY;",
                      NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        if ((rc & 0xff) == SQLITE_BUSY)
            return err_set(e, EBUSY, "%s is in use by another controller", path);
        return err_set(e, -code_to_errno(s->db, rc), "cannot open %s: %s", path,
                       sqlite3_errmsg(s->db));
    }
    application = pragma_int(s->db, "PRAGMA application_id");
    version = pragma_int(s->db, "PRAGMA user_version");
    if (application != APPLICATION_ID &&
        (application != 0 || pragma_int(s->db, "SELECT count(*) FROM sqlite_master") != 0))
        return err_set(e, EINVAL, "%s is not a Rouse store", path);
    if (version > SCHEMA_VERSION)
        return err_set(e, EINVAL, "%s was written by a newer version (store format %lld, known: %d)",
                       path, (long long)version, SCHEMA_VERSION);
    if (check_whole(s->db, path, e) < 0)
        return -EUCLEAN;
    rc = sqlite3_exec(s->db, schema, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(
            s->db, "INSERT OR REPLACE INTO objects(kind, key, rv, json) VALUES(?1,?2,?3,?4)", -1,
            &s->put, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(s->db, "DELETE FROM objects WHERE kind=?1 AND key=?2", -1,
                                &s->delete, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(s->db,
                                "UPDATE marks SET value=max(value, ?1) WHERE name='resourceVersion'",
                                -1, &s->reserve, NULL);
    if (rc != SQLITE_OK)
        return err_set(e, -code_to_errno(s->db, rc), "cannot prepare %s: %s", path,
                       sqlite3_errmsg(s->db));
    s->reserved = (uint64_t)pragma_int(s->db, "SELECT value FROM marks WHERE name='resourceVersion'");
    return 0;
}

static const struct store_ops sqlite_ops = {
    .list = sqlite_list,
    .reserved = sqlite_reserved,
    .submit = sqlite_submit,
    .stats = sqlite_stats,
    .free = sqlite_free,
};

int store_open_sqlite(const char *dir, struct store **ret, struct err *e)
{
    struct sqlite_store *s;
    cleanup_free char *path = NULL;
    int r, rc;

    r = file_mkdirs(dir, 0700);
    if (r < 0)
        return err_errno(e, -r, "cannot make %s", dir);
    if (asprintf(&path, "%s/store.db", dir) < 0)
        return err_errno(e, ENOMEM, "store");
    s = calloc(1, sizeof(*s));
    if (!s)
        return err_errno(e, ENOMEM, "store");
    s->base.ops = &sqlite_ops;
    s->commit.fn = on_commit;
    list_init(&s->queue);
    list_init(&s->commit.link);
    pthread_mutex_init(&s->lock, NULL);
    histogram_init(&s->stats.commit_seconds, histogram_seconds);
    rc = sqlite3_open_v2(path, &s->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc != SQLITE_OK)
        r = err_set(e, -code_to_errno(s->db, rc), "cannot open %s: %s", path, sqlite3_errmsg(s->db));
    else
        r = set_up(s, path, e);
    if (r == 0 && (r = loop_new(&s->loop)) < 0)
        err_errno(e, -r, "store: loop");
    if (r == 0) {
        r = thread_start(&s->thread, store_thread, s);
        if (r < 0)
            err_errno(e, -r, "store: thread");
        s->running = r == 0;
    }
    if (r < 0) {
        sqlite_free(&s->base);
        return r;
    }
    *ret = &s->base;
    return 0;
}
