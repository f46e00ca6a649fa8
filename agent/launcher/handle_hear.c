/* handle_hear.c - what the launcher says to the agent: callbacks, and what is parked. */
#include "launcher/handle.h"
#include "base/cleanup.h"
#include "sandbox/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void handle_forget(struct launcher *l, struct known *k)
{
    map_del(&l->known, &k->node);
    free(k);
}

void handle_parked_free(struct parked *p)
{
    list_del(&p->link);
    buffer_done(&p->key);
    free(p->runtime_root);
    free(p);
}

static void lose(struct launcher *l)
{
    loop_watch_cancel(l->loop, &l->watch);
    l->lost = true;
    if (l->ops.on_lost)
        l->ops.on_lost(l->user);
}

static void take_started(struct launcher *l, struct message *m, const int *fds, size_t n)
{
    int *const to[] = {&m->started.stdout_fd, &m->started.stderr_fd, &m->started.frames_listen_fd,
                       &m->started.api_listen_fd};
    size_t k = 0;

    for (size_t i = 0; i < ARRAY_LEN(to); i++)
        if (m->fds & 1u << i && k < n)
            *to[i] = fds[k++];
    l->ops.on_started(l->user, m->id, &m->started);
}

/* Without memory for it, it is not known. */
static struct parked *parked_of(struct launcher *l, const struct sandbox_kind *k)
{
    const struct message m = {.type = MESSAGE_PARK, .id = "", .spec.kind = *k};
    cleanup_buffer struct buffer key = {0};
    struct parked *p;

    if (message_encode(&key, &m) < 0)
        return NULL;
    list_for_each(it, &l->parked)
    {
        p = list_entry(it, struct parked, link);
        if (buffer_size(&p->key) == buffer_size(&key) &&
            !memcmp(buffer_bytes(&p->key), buffer_bytes(&key), buffer_size(&key)))
            return p;
    }
    p = calloc(1, sizeof(*p));
    if (!p || !(p->runtime_root = strdup(k->runtime_root))) {
        free(p);
        return NULL;
    }
    p->key = key;
    key = (struct buffer){0};
    list_push_back(&l->parked, &p->link);
    return p;
}

static void take_parked(struct launcher *l, struct message *m)
{
    struct parked *p = parked_of(l, &m->spec.kind);

    if (p)
        p->count = m->count;
    if (p && !p->count)
        handle_parked_free(p);
    message_done(m);
}

unsigned launcher_parked(const struct launcher *l, const char *runtime_root)
{
    unsigned n = 0;

    list_for_each(it, &l->parked)
    {
        const struct parked *p = list_entry(it, struct parked, link);

        n += strcmp(p->runtime_root, runtime_root) ? 0 : p->count;
    }
    return n;
}

/* The id is no longer known when the callback runs: it may create it anew. */
static void take(struct launcher *l, struct message *m, const int *fds, size_t n)
{
    struct map_node *node = map_get_str(&l->known, m->id);
    struct known *k = node ? map_entry(node, struct known, node) : NULL;

    if (k && m->type == MESSAGE_STARTED) {
        take_started(l, m, fds, n);
        return;
    }
    message_close(fds, n);
    if (m->type == MESSAGE_PARKED)
        take_parked(l, m);
    if (!k)
        return;
    if (m->type == MESSAGE_FAILED || m->type == MESSAGE_EXIT)
        handle_forget(l, k);
    if (m->type == MESSAGE_FAILED)
        l->ops.on_failed(l->user, m->id, &m->error);
    if (m->type == MESSAGE_EXIT)
        l->ops.on_exit(l->user, m->id, &m->exit);
}

void handle_on_socket(struct loop_watch *w, uint32_t events)
{
    struct launcher *l = container_of(w, struct launcher, watch);
    int fds[MESSAGE_FDS_MAX];
    struct message m;
    size_t n, n_fds;
    int r;

    if (events & LOOP_WRITE)
        handle_flush(l);
    /* One message a call: the watch is level triggered, and a callback may free the launcher. */
    r = message_recv(l->sock, l->received, MESSAGE_MAX, &n, fds, &n_fds);
    if (r == -EAGAIN)
        return;
    if (r == 0 && n)
        r = message_decode(l->received, n, &m);
    if (r < 0 || n == 0) {
        lose(l);
        return;
    }
    take(l, &m, fds, n_fds);
}
