#include "launcher/wish.h"
#include "launcher/kind.h"
#include "launcher/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wish_leave(struct wish *w)
{
    map_del(&w->kind->server->park.wishes, &w->node);
    list_del(&w->link);
    w->kind->waiting_count--;
}

void wish_fail(struct wish *w, const struct err *e)
{
    struct kind *k = w->kind;

    server_send_failed(k->server, w->id, e);
    wish_leave(w);
    free(w);
}

struct wish *wish_first(const struct kind *k)
{
    return list_empty(&k->waiting) ? NULL : list_entry(k->waiting.next, struct wish, link);
}

int wish_new(struct kind *k, const char *id, const void *bytes, size_t size, uint64_t arrived)
{
    struct wish *w = malloc(sizeof(*w) + size);
    int r;

    if (!w)
        return -ENOMEM;
    *w = (struct wish){.kind = k, .arrived = arrived, .size = size};
    snprintf(w->id, sizeof(w->id), "%s", id);
    memcpy(w->bytes, bytes, size);
    r = map_put(&k->server->park.wishes, &w->node, w->id, strlen(w->id));
    if (r < 0) {
        free(w);
        return r;
    }
    list_push_back(&k->waiting, &w->link);
    k->waiting_count++;
    return 0;
}

struct wish *wish_find(const struct server *s, const char *id)
{
    struct map_node *n = map_get_str(&s->park.wishes, id);

    return n ? map_entry(n, struct wish, node) : NULL;
}
