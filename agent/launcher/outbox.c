/* outbox.c - what the launcher says to its agent, which may not listen just now. */
#include "launcher/server.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct outgoing {
    struct list link;
    uint8_t *data;
    size_t size, n_fds;
    int fds[MESSAGE_FDS_MAX];
};

static void outgoing_free(struct outgoing *o)
{
    list_del(&o->link);
    message_close(o->fds, o->n_fds);
    free(o->data);
    free(o);
}

void server_flush(struct server *s)
{
    list_for_each(it, &s->outbox)
    {
        struct outgoing *o = list_entry(it, struct outgoing, link);
        int r = message_send(s->sock, o->data, o->size, o->fds, o->n_fds);

        if (r == -EAGAIN)
            return;
        outgoing_free(o);
        if (r < 0) {
            server_end(s);
            return;
        }
    }
    loop_watch_set(s->loop, &s->watch, LOOP_READ);
}

void server_send_failed(struct server *s, const char *id, const struct err *e)
{
    const struct message m = {.type = MESSAGE_FAILED, .id = id, .error = *e};

    server_send(s, &m, NULL, 0);
}

void server_send(struct server *s, const struct message *m, const int *fds, size_t n)
{
    cleanup_buffer struct buffer b = {0};
    struct outgoing *o;
    int r = message_encode(&b, m);

    if (s->closing || r < 0) {
        message_close(fds, n);
        return;
    }
    r = list_empty(&s->outbox) ? message_send(s->sock, buffer_bytes(&b), buffer_size(&b), fds, n)
                               : -EAGAIN;
    if (r != -EAGAIN) {
        message_close(fds, n);
        if (r < 0)
            server_end(s);
        return;
    }
    /* Bounded by the sandboxes: two answers each at most. */
    o = calloc(1, sizeof(*o));
    if (!o) {
        message_close(fds, n);
        server_end(s);
        return;
    }
    o->size = buffer_size(&b);
    o->data = TAKE_PTR(b.data);
    o->n_fds = n;
    if (n)
        memcpy(o->fds, fds, n * sizeof(*fds));
    list_push_back(&s->outbox, &o->link);
    loop_watch_set(s->loop, &s->watch, LOOP_READ | LOOP_WRITE);
}
