#include "bench/agents/fleet.h"
#include "base/cleanup.h"
#include "control/endpoint.h"
#include "control/event.h"
#include "control/many.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIALS = 16 }; /* at once */

struct line {
    struct fleet *fleet;
    struct link *link; /* taken away under the hub's lock, because senders look at it */
};

struct fleet {
    struct hub *hub;
    struct endpoint to;
    struct lws_vhost *vhost;
    lws_sorted_usec_list_t begin;
    const struct fleet_ops *ops;
    void *user;
    unsigned count, dialled; /* the latter the hub's thread's */
    struct line lines[];
};

static void gone(struct line *l, const char *why)
{
    struct link *link;

    pthread_mutex_lock(&l->fleet->hub->lock);
    link = TAKE_PTR(l->link);
    pthread_mutex_unlock(&l->fleet->hub->lock);
    if (link)
        event_post(link, EVENT_CLOSED, why);
    link_unref(link);
}

static void dial(struct fleet *f)
{
    struct line *l = f->dialled < f->count ? &f->lines[f->dialled++] : NULL;
    struct lws_client_connect_info info = {
        .context = f->hub->context,
        .vhost = f->vhost,
        .address = f->to.host,
        .host = f->to.host,
        .port = f->to.port,
        .path = "/",
        .protocol = CONTROL_SUBPROTOCOL,
        .retry_and_idle_policy = &hub_idle_policy,
        .userdata = l,
    };

    if (!l)
        return;
    l->link = link_new(f->hub, (uint64_t)(l - f->lines));
    if (!l->link || !lws_client_connect_via_info(&info))
        gone(l, "cannot dial");
}

static void begin(lws_sorted_usec_list_t *sul)
{
    struct fleet *f = container_of(sul, struct fleet, begin);

    for (int i = 0; i < DIALS; i++)
        dial(f);
}

static int callback(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t n)
{
    struct line *l = user;
    char reason[LINK_REASON];

    switch (why) {
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        gone(l, in ? in : "the connection failed");
        return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        link_opened(l->link, wsi);
        dial(l->fleet);
        return event_post(l->link, EVENT_OPEN, "");
    case LWS_CALLBACK_CLIENT_RECEIVE:
        event_receive(l->link, &rouse__control__v1__controller_message__descriptor, in, n);
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return link_writable(l->link);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        link_peer_said(l->link, in, n);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        link_gone(l->link, reason);
        gone(l, reason);
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        link_woken(((struct fleet *)lws_context_user(lws_get_context(wsi)))->hub);
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = CONTROL_SUBPROTOCOL, .callback = callback, .rx_buffer_size = 64 << 10},
    {0},
};

static void on_event(void *owner, const struct event *e)
{
    struct fleet *f = owner;
    unsigned agent = (unsigned)e->link->id;
    const ControllerMessage *m = (const ControllerMessage *)e->message;

    if (e->kind == EVENT_CLOSED) {
        f->ops->on_closed(f->user, agent, e->text);
    } else if (e->kind == EVENT_OPEN) {
        pthread_mutex_lock(&f->hub->lock);
        e->link->open = true;
        pthread_mutex_unlock(&f->hub->lock);
        f->ops->on_open(f->user, agent);
    } else if (m->body_case != ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_BATCH) {
        f->ops->on_message(f->user, agent, m);
    } else {
        for (size_t i = 0; i < m->batch->n_messages; i++)
            f->ops->on_message(f->user, agent, m->batch->messages[i]);
    }
}

static int start(struct fleet *f)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .fd_limit_per_thread = f->count + 64,
        .timeout_secs = 30,
        .connect_timeout_secs = 30,
    };
    int r = hub_context(f->hub, &info);

    if (r < 0)
        return r;
    r = many_init(f->hub, 0);
    if (r < 0)
        return r;
    f->vhost = lws_create_vhost(f->hub->context, &info);
    if (!f->vhost)
        return -EIO;
    lws_sul_schedule(f->hub->context, 0, &f->begin, begin, 1);
    return hub_start(f->hub);
}

int fleet_new(const char *address, unsigned agents, struct loop *loop, const struct fleet_ops *ops,
              void *user, struct fleet **ret)
{
    struct fleet *f = calloc(1, sizeof(*f) + agents * sizeof(*f->lines));
    int r = f ? endpoint_parse(address, &f->to) : -ENOMEM;

    if (r == 0 && f->to.tls)
        r = -EINVAL;
    if (r < 0) {
        free(f);
        return r;
    }
    f->count = agents;
    f->ops = ops;
    f->user = user;
    for (unsigned i = 0; i < agents; i++)
        f->lines[i].fleet = f;
    r = hub_new(loop, f, on_event, &f->hub);
    if (r == 0)
        r = start(f);
    if (r < 0) {
        fleet_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

int fleet_queue(struct fleet *f, unsigned agent, const AgentMessage *m)
{
    struct packed *p;
    int r = packed_make(&m->base, &p);

    if (r < 0)
        return r;
    pthread_mutex_lock(&f->hub->lock);
    r = f->lines[agent].link ? link_send(f->lines[agent].link, p) : -ENOTCONN;
    pthread_mutex_unlock(&f->hub->lock);
    packed_unref(p);
    return r;
}

void fleet_flush(struct fleet *f)
{
    hub_wake(f->hub);
}

struct fleet *fleet_free(struct fleet *f)
{
    if (!f)
        return NULL;
    if (f->hub)
        hub_stop(f->hub);
    for (unsigned i = 0; i < f->count; i++)
        link_unref(f->lines[i].link);
    hub_unref(f->hub);
    free(f);
    return NULL;
}
