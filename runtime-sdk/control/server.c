/* server.c - the controller's side: accepts agents, keeps them by their number.
 *
 * Callbacks of libwebsockets run on the hub's thread; `peers` is guarded by
 * the hub's lock, the rest never changes after control_server_new(). */
#include "control/channel.h"
#include "control/endpoint.h"
#include "control/event.h"
#include "control/many.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer { /* in the map while open */
    struct map_node node;
    struct link *link;
};
struct session { /* libwebsockets' memory for a connection */
    struct peer *peer;
};

struct control_server {
    struct control_server_options o;
    struct hub *hub;
    char *token;
    char address[128];
    struct map peers;
    uint64_t last_id; /* hub's thread */
    atomic_uint_fast64_t refused;
};

/* No early exit at the first byte that differs, so that time tells nothing. */
static bool same_token(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned diff = n != m;

    for (size_t i = 0; i < n; i++)
        diff |= (unsigned char)a[i] ^ (unsigned)(m ? (unsigned char)b[i % m] : 0);
    return diff == 0;
}

static bool header_text(struct lws *wsi, enum lws_token_indexes token, char *out, int size)
{
    return lws_hdr_total_length(wsi, token) > 0 && lws_hdr_copy(wsi, out, size, token) > 0;
}

static size_t peer_count(struct control_server *s)
{
    size_t n;

    pthread_mutex_lock(&s->hub->lock);
    n = s->peers.count;
    pthread_mutex_unlock(&s->hub->lock);
    return n;
}

/* The HTTP status that refuses this upgrade; 0: welcome. Browsers name an Origin, agents never do.
 */
static unsigned judge(struct control_server *s, struct lws *wsi)
{
    char text[1024];

    if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) > 0)
        return HTTP_STATUS_FORBIDDEN;
    if (!header_text(wsi, WSI_TOKEN_PROTOCOL, text, sizeof(text)) ||
        strcmp(text, CONTROL_SUBPROTOCOL) != 0)
        return HTTP_STATUS_BAD_REQUEST;
    if (s->token && (!header_text(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, text, sizeof(text)) ||
                     strncasecmp(text, "Bearer ", 7) != 0 || !same_token(text + 7, s->token)))
        return HTTP_STATUS_UNAUTHORIZED;
    if (peer_count(s) >= s->o.max_agents)
        return HTTP_STATUS_SERVICE_UNAVAILABLE;
    return 0;
}

static int confirm_upgrade(struct control_server *s, struct lws *wsi)
{
    unsigned status = judge(s, wsi);

    if (!status)
        return 0;
    atomic_fetch_add(&s->refused, 1);
    log_debug("control: upgrade refused with %u", status);
    return lws_return_http_status(wsi, status, NULL) < 0 ? -1 : 1;
}

static void peer_text(struct lws *wsi, char out[128])
{
    char host[96] = "";

    lws_get_peer_simple(wsi, host, sizeof(host));
    snprintf(out, 128, "%s", host);
}

static int established(struct control_server *s, struct lws *wsi, struct session *session)
{
    struct peer *p = calloc(1, sizeof(*p));
    char address[128];
    int r;

    if (!p)
        return -1;
    p->link = link_new(s->hub, ++s->last_id);
    if (!p->link) {
        free(p);
        return -1;
    }
    peer_text(wsi, address);
    pthread_mutex_lock(&s->hub->lock);
    r = map_put(&s->peers, &p->node, (const char *)&p->link->id, sizeof(p->link->id));
    p->link->open = r == 0;
    pthread_mutex_unlock(&s->hub->lock);
    if (r == 0 && event_post(p->link, EVENT_OPEN, address) == 0) {
        link_opened(p->link, wsi);
        session->peer = p;
        log_debug("control: peer %lu open from %s", (unsigned long)p->link->id, address);
        return 0;
    }
    pthread_mutex_lock(&s->hub->lock);
    if (r == 0)
        map_del(&s->peers, &p->node);
    pthread_mutex_unlock(&s->hub->lock);
    link_unref(p->link);
    free(p);
    return -1;
}

static void closed(struct control_server *s, struct session *session)
{
    struct peer *p = TAKE_PTR(session->peer);
    char reason[LINK_REASON];

    if (!p)
        return;
    pthread_mutex_lock(&s->hub->lock);
    map_del(&s->peers, &p->node);
    pthread_mutex_unlock(&s->hub->lock);
    link_gone(p->link, reason);
    log_debug("control: peer %lu closed: %s", (unsigned long)p->link->id, reason);
    event_post(p->link, EVENT_CLOSED, reason);
    link_unref(p->link);
    free(p);
}

/* `user` is a session only in the callbacks of an upgraded connection. */
static struct link *session_link(void *user)
{
    struct session *session = user;

    return session && session->peer ? session->peer->link : NULL;
}

static int callback(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t n)
{
    struct control_server *s = lws_context_user(lws_get_context(wsi));
    struct link *l;

    switch (why) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(s, wsi);
    case LWS_CALLBACK_HTTP:
        lws_return_http_status(wsi, HTTP_STATUS_NOT_FOUND, NULL);
        return -1;
    case LWS_CALLBACK_ESTABLISHED:
        return established(s, wsi, user);
    case LWS_CALLBACK_RECEIVE:
        l = session_link(user);
        if (l)
            event_receive(l, &rouse__control__v1__agent_message__descriptor, in, n);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        l = session_link(user);
        return l ? link_writable(l) : -1;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        l = session_link(user);
        if (l)
            link_peer_said(l, in, n);
        return 0;
    case LWS_CALLBACK_CLOSED:
        if (user)
            closed(s, user);
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        link_woken(s->hub);
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = CONTROL_SUBPROTOCOL,
     .callback = callback,
     .per_session_data_size = sizeof(struct session),
     .rx_buffer_size = 64 << 10},
    {0},
};

/* ---- events on the loop */
static void deliver(struct control_server *s, const struct event *e)
{
    const AgentMessage *m = (const AgentMessage *)e->message;
    struct hub *h = e->link->hub;

    if (m->body_case != ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_BATCH) {
        s->o.on_message(s->o.user, e->link->id, m);
        return;
    }
    for (size_t i = 0; i < m->batch->n_messages && !h->left; i++)
        s->o.on_message(s->o.user, e->link->id, m->batch->messages[i]);
}

static void on_event(void *owner, const struct event *e)
{
    struct control_server *s = owner;

    if (e->kind == EVENT_OPEN && s->o.on_open)
        s->o.on_open(s->o.user, e->link->id, e->text);
    else if (e->kind == EVENT_MESSAGE && s->o.on_message)
        deliver(s, e);
    else if (e->kind == EVENT_CLOSED && s->o.on_closed)
        s->o.on_closed(s->o.user, e->link->id, e->text);
}

/* ---- the public side */
static int listen_on(struct control_server *s, struct endpoint *at)
{
    struct lws_context_creation_info info = {
        .port = at->port,
        .iface = at->host,
        .protocols = protocols,
        .ssl_cert_filepath = s->o.tls_cert,
        .ssl_private_key_filepath = s->o.tls_key,
        .retry_and_idle_policy = &hub_idle_policy,
        .timeout_secs = 5,
        .keepalive_timeout = 5,
        .options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND,
    };
    struct lws_vhost *vhost;
    int r;

    if (s->o.tls_cert)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    if (!strchr(at->host, ':'))
        info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    r = hub_context(s->hub, &info);
    if (r == 0)
        r = many_init(s->hub, s->o.many_from);
    if (r < 0)
        return r;
    vhost = lws_create_vhost(s->hub->context, &info);
    if (!vhost)
        return -EADDRINUSE;
    at->port = lws_get_vhost_listen_port(vhost);
    at->tls = s->o.tls_cert != NULL;
    endpoint_text(at, s->address);
    return hub_start(s->hub);
}

int control_server_new(const struct control_server_options *o, struct control_server **ret)
{
    struct control_server *s;
    struct endpoint at;
    int r = endpoint_parse(o->address, &at);

    if (r < 0 || at.tls || !o->tls_cert != !o->tls_key)
        return -EINVAL;
    if (o->tls_cert && (access(o->tls_cert, R_OK) < 0 || access(o->tls_key, R_OK) < 0))
        return -errno;
    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->o = *o;
    s->o.max_agents = o->max_agents ? o->max_agents : 10000;
    s->token = o->token ? strdup(o->token) : NULL;
    r = o->token && !s->token ? -ENOMEM : hub_new(o->loop, s, on_event, &s->hub);
    if (r == 0)
        r = listen_on(s, &at);
    if (r < 0) {
        control_server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void control_server_address(const struct control_server *s, char out[128])
{
    memcpy(out, s->address, sizeof(s->address));
}

uint64_t control_server_refused(const struct control_server *s)
{
    return atomic_load(&s->refused);
}

static struct link *find(struct control_server *s, uint64_t peer)
{
    struct map_node *n = map_get(&s->peers, &peer, sizeof(peer));

    return n ? map_entry(n, struct peer, node)->link : NULL;
}

int control_server_send(struct control_server *s, uint64_t peer, const ControllerMessage *m)
{
    struct packed *p;
    struct link *l;
    int r = packed_make(&m->base, &p);

    if (r < 0)
        return r;
    pthread_mutex_lock(&s->hub->lock);
    l = find(s, peer);
    r = l ? link_send(l, p) : -ENOTCONN;
    pthread_mutex_unlock(&s->hub->lock);
    packed_unref(p);
    if (r != -ENOTCONN)
        hub_wake(s->hub);
    return r;
}

int control_server_send_all(struct control_server *s, const uint64_t *peers, size_t n,
                            const ControllerMessage *m)
{
    struct packed *p;
    int r = packed_make(&m->base, &p);

    if (r < 0)
        return r;
    pthread_mutex_lock(&s->hub->lock);
    for (size_t i = 0; i < n; i++) {
        struct link *l = find(s, peers[i]);

        if (l)
            link_send(l, p);
    }
    pthread_mutex_unlock(&s->hub->lock);
    packed_unref(p);
    hub_wake(s->hub);
    return 0;
}

void control_server_close(struct control_server *s, uint64_t peer, const char *reason)
{
    struct link *l;

    pthread_mutex_lock(&s->hub->lock);
    l = find(s, peer);
    if (l)
        link_close(l, LWS_CLOSE_STATUS_POLICY_VIOLATION, false, reason);
    pthread_mutex_unlock(&s->hub->lock);
    if (l)
        hub_wake(s->hub);
}

struct control_server *control_server_free(struct control_server *s)
{
    if (!s)
        return NULL;
    if (s->hub)
        hub_stop(s->hub);
    map_done(&s->peers);
    hub_unref(s->hub);
    free(s->token);
    free(s);
    return NULL;
}
