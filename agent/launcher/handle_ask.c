/* handle_ask.c - what the agent asks of its launcher; what that has no room for now waits in order. */
#include "launcher/handle.h"
#include "base/cleanup.h"
#include "sandbox/message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTBOX_MAX (16u << 20) /* bytes that the launcher has not taken yet */

void handle_flush(struct launcher *l)
{
    list_for_each(it, &l->outbox)
    {
        struct request *q = list_entry(it, struct request, link);

        /* Any other error shows as the end of the socket too. */
        if (message_send(l->sock, q->data, q->size, NULL, 0) == -EAGAIN)
            return;
        list_del(&q->link);
        l->outbox_bytes -= q->size;
        free(q);
    }
    loop_watch_set(l->loop, &l->watch, LOOP_READ);
}

static int send_request(struct launcher *l, const struct message *m)
{
    cleanup_buffer struct buffer b = {0};
    struct request *q;
    int r = message_encode(&b, m);

    if (r < 0)
        return r;
    if (l->lost)
        return -EPIPE;
    if (list_empty(&l->outbox)) {
        r = message_send(l->sock, buffer_bytes(&b), buffer_size(&b), NULL, 0);
        if (r != -EAGAIN)
            return r;
    }
    if (l->outbox_bytes + buffer_size(&b) > OUTBOX_MAX)
        return -ENOBUFS;
    q = malloc(sizeof(*q) + buffer_size(&b));
    if (!q)
        return -ENOMEM;
    q->size = buffer_size(&b);
    memcpy(q->data, buffer_bytes(&b), q->size);
    list_push_back(&l->outbox, &q->link);
    l->outbox_bytes += q->size;
    return l->loop ? loop_watch_set(l->loop, &l->watch, LOOP_READ | LOOP_WRITE) : 0;
}

bool handle_id_valid(const char *id)
{
    size_t n = id ? strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") : 0;

    return n > 0 && n < 64 && !id[n];
}

static struct known *find(const struct launcher *l, const char *id)
{
    struct map_node *n = map_get_str(&l->known, id);

    return n ? map_entry(n, struct known, node) : NULL;
}

/* For what is known by that id from here on. */
static int ask_for(struct launcher *l, const struct message *m)
{
    struct known *k;
    int r;

    if (find(l, m->id))
        return -EEXIST;
    k = calloc(1, sizeof(*k));
    if (!k)
        return -ENOMEM;
    snprintf(k->id, sizeof(k->id), "%s", m->id);
    r = map_put(&l->known, &k->node, k->id, strlen(k->id));
    if (r < 0) {
        free(k);
        return r;
    }
    r = send_request(l, m);
    if (r < 0)
        handle_forget(l, k);
    return r;
}

int launcher_create(struct launcher *l, const struct sandbox_spec *s)
{
    const struct message m = {.type = MESSAGE_CREATE, .id = s->id, .spec = *s};

    if (!handle_id_valid(s->id) || !s->hostname || strlen(s->hostname) > 63 || !s->argv ||
        !s->argv[0] || s->argv[0][0] != '/' || !s->env || !s->kind.runtime_root || !s->code_dir)
        return -EINVAL;
    return ask_for(l, &m);
}

int launcher_adopt(struct launcher *l, const struct sandbox_adoption *a)
{
    const struct message m = {.type = MESSAGE_ADOPT, .id = a->id, .adoption = *a};

    return handle_id_valid(a->id) && handle_id_valid(a->of) && a->pid > 1 ? ask_for(l, &m) : -EINVAL;
}

int launcher_stop_sandbox(struct launcher *l, const char *id, uint64_t grace_ns)
{
    const struct message m = {.type = MESSAGE_STOP, .id = id, .grace_ns = grace_ns};

    return find(l, id) ? send_request(l, &m) : -ENOENT;
}

int launcher_park(struct launcher *l, const struct sandbox_kind *k, unsigned count)
{
    const struct message m = {.type = MESSAGE_PARK, .id = "", .spec.kind = *k, .count = count};

    return send_request(l, &m);
}

int launcher_ports(struct launcher *l, const char *const *addresses)
{
    const struct message m = {.type = MESSAGE_PORTS, .id = "", .ports = addresses};

    return send_request(l, &m);
}
