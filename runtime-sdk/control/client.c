/* client.c - the agent's side: dials, and dials again.
 *
 * Callbacks of libwebsockets and the dialling run on the hub's thread; `link`
 * is guarded by the hub's lock, because senders look at it. */
#include "control/channel.h"
#include "control/endpoint.h"
#include "control/event.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BACKOFF_MIN_US = 50000, BACKOFF_MAX_US = 5000000, STEADY_US = 1000000 };

struct control_client {
    struct control_client_options o;
    struct hub *hub;
    struct endpoint to;
    char *bearer; /* "Bearer TOKEN" or NULL */
    struct lws_vhost *vhost;
    lws_sorted_usec_list_t again;
    bool waiting; /* `again` is set */
    uint64_t backoff_us;
    char last_failure[LINK_REASON]; /* a dial that fails for the same reason is told once */
    struct link *link;              /* while dialling or open; written under the hub's lock */
    bool opened;                    /* this link was told as open */
};

static void dial(lws_sorted_usec_list_t *sul);

/* Between half the backoff and the whole of it; it doubles each time. */
static void dial_later(struct control_client *c)
{
    uint64_t wait = c->backoff_us / 2 + random_u64() % (c->backoff_us / 2);

    if (c->waiting || atomic_load(&c->hub->stopping))
        return;
    c->waiting = true;
    c->backoff_us = c->backoff_us * 2 < BACKOFF_MAX_US ? c->backoff_us * 2 : BACKOFF_MAX_US;
    lws_sul_schedule(c->hub->context, 0, &c->again, dial, (lws_usec_t)wait);
}

static struct link *take_link(struct control_client *c)
{
    struct link *l;

    pthread_mutex_lock(&c->hub->lock);
    l = TAKE_PTR(c->link);
    pthread_mutex_unlock(&c->hub->lock);
    return l;
}

static void failed(struct control_client *c, const char *why)
{
    struct link *l = take_link(c);
    char reason[LINK_REASON];

    if (!l)
        return;
    snprintf(reason, sizeof(reason), "%s", why);
    log_debug("control: dial failed: %s", reason);
    if (strcmp(reason, c->last_failure) != 0) {
        memcpy(c->last_failure, reason, sizeof(reason));
        event_post(l, EVENT_CLOSED, reason);
    }
    link_unref(l);
    dial_later(c);
}

static void dial(lws_sorted_usec_list_t *sul)
{
    struct control_client *c = container_of(sul, struct control_client, again);
    struct lws_client_connect_info info = {
        .context = c->hub->context,
        .vhost = c->vhost,
        .address = c->to.host,
        .host = c->to.host,
        .port = c->to.port,
        .path = "/",
        .protocol = CONTROL_SUBPROTOCOL,
        .ssl_connection = c->to.tls ? LCCSCF_USE_SSL : 0,
        .retry_and_idle_policy = &hub_idle_policy,
    };
    struct link *l = link_new(c->hub, 0);

    c->waiting = false;
    if (!l) {
        dial_later(c);
        return;
    }
    pthread_mutex_lock(&c->hub->lock);
    c->link = l;
    pthread_mutex_unlock(&c->hub->lock);
    c->opened = false;
    info.userdata = c;
    if (!lws_client_connect_via_info(&info))
        failed(c, "cannot dial");
}

static int add_token(struct control_client *c, struct lws *wsi, unsigned char **p, size_t n)
{
    if (!c->bearer)
        return 0;
    return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION,
                                        (const unsigned char *)c->bearer, (int)strlen(c->bearer), p,
                                        *p + n)
               ? -1
               : 0;
}

static int established(struct control_client *c, struct lws *wsi)
{
    char text[128];

    link_opened(c->link, wsi);
    c->link->opened_us = (uint64_t)lws_now_usecs();
    endpoint_text(&c->to, text);
    if (event_post(c->link, EVENT_OPEN, text) < 0)
        return -1;
    c->opened = true;
    c->last_failure[0] = '\0';
    log_debug("control: open to %s", text);
    return 0;
}

static void closed(struct control_client *c)
{
    struct link *l = c->link;
    char reason[LINK_REASON];

    if (!l || !c->opened) {
        failed(c, "the connection was lost before it was open");
        return;
    }
    /* A server that takes and drops at once is not dialled at full speed. */
    if ((uint64_t)lws_now_usecs() - l->opened_us >= STEADY_US)
        c->backoff_us = BACKOFF_MIN_US;
    link_gone(l, reason);
    take_link(c);
    log_debug("control: closed: %s", reason);
    event_post(l, EVENT_CLOSED, reason);
    link_unref(l);
    dial_later(c);
}

static int callback(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t n)
{
    struct control_client *c = lws_context_user(lws_get_context(wsi));
    struct link *l = c && c->opened ? c->link : NULL;

    (void)user;
    switch (why) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return add_token(c, wsi, in, n);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        failed(c, in ? in : "the connection failed");
        return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        return established(c, wsi);
    case LWS_CALLBACK_CLIENT_RECEIVE:
        if (l)
            event_receive(l, &rouse__control__v1__controller_message__descriptor, in, n);
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return l ? link_writable(l) : 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        if (l)
            link_peer_said(l, in, n);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        closed(c);
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        link_woken(c->hub);
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = CONTROL_SUBPROTOCOL, .callback = callback, .rx_buffer_size = 64 << 10},
    {0},
};

/* ---- events on the loop */
static void deliver(struct control_client *c, const struct event *e)
{
    const ControllerMessage *m = (const ControllerMessage *)e->message;
    struct hub *h = e->link->hub;

    if (m->body_case != ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_BATCH) {
        c->o.on_message(c->o.user, m);
        return;
    }
    for (size_t i = 0; i < m->batch->n_messages && !h->left; i++)
        c->o.on_message(c->o.user, m->batch->messages[i]);
}

static void on_event(void *owner, const struct event *e)
{
    struct control_client *c = owner;

    /* Sending works from here on, so that nothing can go out before what on_open() says. */
    if (e->kind == EVENT_OPEN) {
        pthread_mutex_lock(&c->hub->lock);
        e->link->open = e->link == c->link;
        pthread_mutex_unlock(&c->hub->lock);
    }
    if (e->kind == EVENT_OPEN && c->o.on_open)
        c->o.on_open(c->o.user);
    else if (e->kind == EVENT_MESSAGE && c->o.on_message)
        deliver(c, e);
    else if (e->kind == EVENT_CLOSED && c->o.on_closed)
        c->o.on_closed(c->o.user, e->text);
}

/* ---- the public side */
static int start(struct control_client *c)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .client_ssl_ca_filepath = c->o.tls_ca,
        .fd_limit_per_thread = 16,
        .timeout_secs = 5,
        .connect_timeout_secs = 5,
    };
    int r;

    if (c->to.tls)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    r = hub_context(c->hub, &info);
    if (r < 0)
        return r;
    c->vhost = lws_create_vhost(c->hub->context, &info);
    if (!c->vhost)
        return -EIO;
    c->waiting = true;
    lws_sul_schedule(c->hub->context, 0, &c->again, dial, 1);
    return hub_start(c->hub);
}

int control_client_new(const struct control_client_options *o, struct control_client **ret)
{
    struct control_client *c;
    struct endpoint to;
    int r = endpoint_parse(o->address, &to);

    if (r < 0 || to.port == 0)
        return -EINVAL;
    if (o->tls_ca && access(o->tls_ca, R_OK) < 0)
        return -errno;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->o = *o;
    c->to = to;
    c->backoff_us = BACKOFF_MIN_US;
    r = o->token && asprintf(&c->bearer, "Bearer %s", o->token) < 0 ? -ENOMEM : 0;
    if (r == 0)
        r = hub_new(o->loop, c, on_event, &c->hub);
    if (r == 0)
        r = start(c);
    if (r < 0) {
        control_client_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int control_client_queue(struct control_client *c, const AgentMessage *m)
{
    struct packed *p;
    int r = packed_make(&m->base, &p);

    if (r < 0)
        return r;
    pthread_mutex_lock(&c->hub->lock);
    r = c->link ? link_send(c->link, p) : -ENOTCONN;
    pthread_mutex_unlock(&c->hub->lock);
    packed_unref(p);
    return r;
}

void control_client_flush(struct control_client *c)
{
    hub_wake(c->hub);
}

int control_client_send(struct control_client *c, const AgentMessage *m)
{
    int r = control_client_queue(c, m);

    if (r != -ENOTCONN)
        hub_wake(c->hub);
    return r;
}

struct control_client *control_client_free(struct control_client *c)
{
    if (!c)
        return NULL;
    if (c->hub) {
        hub_stop(c->hub);
        link_unref(take_link(c));
    }
    hub_unref(c->hub);
    free(c->bearer);
    free(c);
    return NULL;
}
