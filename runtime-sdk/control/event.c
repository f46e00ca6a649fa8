#include "control/event.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void event_run(struct mail *m)
{
    struct event *e = container_of(m, struct event, mail);
    struct hub *h = e->link->hub;

    if (!h->left) {
        h->on_event(h->owner, e);
        /* The owner may have left in its own callback: then there is no thread to wake. */
        if (e->message && !h->left)
            link_delivered(e->link, e->size);
    }
    if (e->message)
        protobuf_c_message_free_unpacked(e->message, NULL);
    link_unref(e->link);
    hub_unref(h);
    free(e);
}

static void post(struct link *l, struct event *e)
{
    e->link = link_ref(l);
    e->mail.fn = event_run;
    atomic_fetch_add(&l->hub->refs, 1);
    loop_post(l->hub->loop, &e->mail);
}

int event_post(struct link *l, enum event_kind kind, const char *text)
{
    struct event *e = calloc(1, sizeof(*e));

    if (!e)
        return -ENOMEM;
    e->kind = kind;
    snprintf(e->text, sizeof(e->text), "%s", text);
    post(l, e);
    return 0;
}

static int post_message(struct link *l, const ProtobufCMessageDescriptor *d)
{
    struct event *e = calloc(1, sizeof(*e));

    if (!e)
        return -ENOMEM;
    e->kind = EVENT_MESSAGE;
    e->size = buffer_size(&l->in);
    e->message = link_unpack(d, &l->in);
    if (!e->message) {
        free(e);
        return -EBADMSG;
    }
    link_delivering(l, e->size);
    post(l, e);
    return 0;
}

void event_receive(struct link *l, const ProtobufCMessageDescriptor *d, const void *in, size_t n)
{
    int r;

    if (!link_receive(l, in, n))
        return;
    r = post_message(l, d);
    buffer_done(&l->in);
    if (r < 0)
        link_refuse(l, r);
}
