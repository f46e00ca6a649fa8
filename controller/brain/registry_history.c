/* registry_history.c - what the core wants to find again of a function when it starts: rows beside the objects', that
 * no API shows. */
#include "brain/registry_internal.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

struct history { /* a row that was loaded, or one that is written */
    struct list link;
    struct store_write write;
    char *text;
    char key[];
};

static struct history *history_free(struct history *h)
{
    if (!h)
        return NULL;
    list_del(&h->link);
    free(h->text);
    free(h);
    return NULL;
}

static struct history *history_new(const char *key, const char *text)
{
    size_t n = strlen(key) + 1;
    struct history *h = calloc(1, sizeof(*h) + n);

    if (!h)
        return NULL;
    list_init(&h->link);
    memcpy(h->key, key, n);
    h->text = text ? strdup(text) : NULL;
    return text && !h->text ? history_free(h) : h;
}

int registry_history_load(struct registry *r, const struct store_row *row)
{
    struct history *h = history_new(row->key, row->json);

    if (!h)
        return -ENOMEM;
    list_push_back(&r->histories, &h->link);
    return 0;
}

void registry_history_observe(struct registry *r)
{
    list_for_each(it, &r->histories)
    {
        struct history *h = list_entry(it, struct history, link);

        if (r->observer.on_history)
            r->observer.on_history(r->observer.user, h->key, h->text);
        history_free(h);
    }
}

void registry_histories_done(struct registry *r)
{
    list_for_each(it, &r->histories) history_free(list_entry(it, struct history, link));
}

/* One that was not written comes again with the next change. */
static void on_stored(struct store_write *w)
{
    struct history *h = container_of(w, struct history, write);

    if (w->error)
        log_warn("the history of %s was not stored: %s", h->key, w->message);
    history_free(h);
}

void registry_set_history(struct registry *r, const char *key, const char *text)
{
    struct history *h = history_new(key, text);

    if (!h) {
        log_warn("the history of %s was not stored: out of memory", key);
        return;
    }
    list_push_back(&r->histories, &h->link);
    h->write = (struct store_write){.op = text ? STORE_PUT : STORE_DELETE,
                                    .kind = HISTORY_KIND,
                                    .key = h->key,
                                    .json = h->text,
                                    .rv = r->rv,
                                    .reply = r->loop,
                                    .on_done = on_stored};
    store_submit(r->store, &h->write);
}
