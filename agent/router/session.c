/* session.c - the control client's events: open, messages, closed. On the agent's loop. */
#include "router/session.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "control/channel.h"
#include "pool/pool.h"
#include "report/report.h"
#include "router/gateway.h"
#include "router/peer.h"
#include "router/routes.h"
#include "runtime/runtimes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

enum { REPORT_MS = 1000, REDIAL_MS = 200 };

typedef Rouse__Control__V1__Hello Hello;

struct session {
    struct session_config config;
    struct control_client *client; /* NULL between a broken session and the next dial */
    uint64_t incarnation;          /* of this agent */
    uint64_t controller;           /* incarnation; 0: none yet */
    bool said_hello, welcome, routed;
    struct loop_timer report, redial;
};

/* ---------------------------------------------------------------- Hello */
static const char *architecture(void)
{
    static struct utsname u;

    if (uname(&u) < 0)
        return "unknown";
    if (!strcmp(u.machine, "x86_64"))
        return "amd64";
    return strcmp(u.machine, "aarch64") ? u.machine : "arm64";
}

/* What Hello points to, in arrays that the caller frees. */
struct hello_parts {
    Rouse__Control__V1__Resources allocatable;
    Rouse__Control__V1__Epoch routes;
    Rouse__Control__V1__RuntimeInfo *runtimes, **runtime_list;
    Rouse__Control__V1__Hello__LabelsEntry *labels, **label_list;
};

static int hello_lists(const struct session_config *c, Hello *h, struct hello_parts *p)
{
    size_t count = runtimes_count(c->runtimes);

    p->runtimes = calloc(count + 1, sizeof(*p->runtimes));
    p->runtime_list = calloc(count + 1, sizeof(*p->runtime_list));
    p->labels = calloc(c->label_count + 1, sizeof(*p->labels));
    p->label_list = calloc(c->label_count + 1, sizeof(*p->label_list));
    if (!p->runtimes || !p->runtime_list || !p->labels || !p->label_list)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct runtime *r = runtimes_at(c->runtimes, i);

        rouse__control__v1__runtime_info__init(&p->runtimes[i]);
        p->runtimes[i].name = r->name;
        p->runtimes[i].digest = r->digest;
        p->runtime_list[i] = &p->runtimes[i];
    }
    for (size_t i = 0; i < c->label_count; i++) {
        rouse__control__v1__hello__labels_entry__init(&p->labels[i]);
        p->labels[i].key = (char *)c->labels[i].name;
        p->labels[i].value = (char *)c->labels[i].value;
        p->label_list[i] = &p->labels[i];
    }
    h->runtimes = p->runtime_list;
    h->n_runtimes = count;
    h->labels = p->label_list;
    h->n_labels = c->label_count;
    return 0;
}

static int send_hello(struct session *s)
{
    const struct session_config *c = &s->config;
    struct hello_parts p = {.allocatable = ROUSE__CONTROL__V1__RESOURCES__INIT,
                            .routes = ROUSE__CONTROL__V1__EPOCH__INIT};
    Hello h = ROUSE__CONTROL__V1__HELLO__INIT;
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    int r = hello_lists(c, &h, &p);

    if (r == 0) {
        h.protocol = 1;
        h.node = (char *)c->node;
        h.incarnation = s->incarnation;
        h.architecture = (char *)architecture();
        p.allocatable.memory = c->memory;
        p.allocatable.cpu = c->cpu_millis;
        h.allocatable = &p.allocatable;
        h.gateway_address = (char *)c->gateway_address;
        h.peer_address = (char *)c->peer_address;
        if (routes_epoch(c->routes, &p.routes.incarnation, &p.routes.sequence))
            h.routes = &p.routes;
        h.version = (char *)c->version;
        pool_hello(c->pool, &h);
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO;
        m.hello = &h;
        r = control_client_send(s->client, &m);
        pool_hello_done(c->pool, &h);
    }
    free(p.runtimes);
    free(p.runtime_list);
    free(p.labels);
    free(p.label_list);
    return r;
}

/* ---------------------------------------------------------------- break and redial */
static void lost(struct session *s)
{
    s->said_hello = s->welcome = false;
    loop_timer_cancel(s->config.loop, &s->report);
    gateway_away(s->config.gateway);
}

/* Ends the connection from within one of its callbacks: the client goes in the timer, then a new one comes. */
static void break_session(struct session *s, const char *why)
{
    log_warn("session: %s; connecting anew", why);
    lost(s);
    loop_timer_set(s->config.loop, &s->redial, loop_now(s->config.loop) + 1);
}

/* ---------------------------------------------------------------- messages */
static void on_welcome(struct session *s, const Rouse__Control__V1__Welcome *m)
{
    bool again = s->controller == m->incarnation;

    log_info("session: %s controller incarnation=%016llx", again ? "back with the" : "with a new",
             (unsigned long long)m->incarnation);
    s->controller = m->incarnation;
    s->welcome = true;
    peer_server_secret(s->config.peer, m->peer_secret);
    gateway_welcome(s->config.gateway, m->peer_secret);
    loop_timer_set(s->config.loop, &s->report, loop_now(s->config.loop) + REPORT_MS * NS_PER_MS);
}

static void on_routes(struct session *s, const Rouse__Control__V1__Routes *m)
{
    Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__Ack ack = ROUSE__CONTROL__V1__ACK__INIT;
    AgentMessage a = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    int r = routes_apply(s->config.routes, m);

    if (r < 0 || !routes_epoch(s->config.routes, &epoch.incarnation, &epoch.sequence)) {
        break_session(s, r == -ESTALE ? "routes on an epoch that is not ours"
                                      : "routes could not be applied");
        return;
    }
    s->routed = true;
    ack.routes = &epoch;
    a.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK;
    a.ack = &ack;
    session_send(s, &a);
}

static void on_message(void *user, const ControllerMessage *m)
{
    struct session *s = user;

    if (!s->said_hello)
        return;
    if (!s->welcome && m->body_case != ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_WELCOME &&
        m->body_case != ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_HELLO_REJECT) {
        break_session(s, "the controller did not say Welcome first");
        return;
    }
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_HELLO_REJECT:
        s->config.on_rejected(s->config.user, m->hello_reject->reason);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_WELCOME:
        on_welcome(s, m->welcome);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED:
        if (pool_desired(s->config.pool, m->desired) == -ESTALE)
            break_session(s, "desired state on an epoch that is not ours");
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES:
        on_routes(s, m->routes);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_WANTED:
        pool_slot_wanted(s->config.pool, m->slot_wanted);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_GRANT:
        gateway_grant(s->config.gateway, m->grant);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_REFUSE:
        gateway_refuse(s->config.gateway, m->refuse);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_CORDON:
        pool_cordon(s->config.pool, m->cordon->cordoned);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_LOG_REQUEST:
        pool_log_request(s->config.pool, m->log_request);
        break;
    default:
        log_debug("session: a message of a kind that this version does not know");
    }
}

static void on_open(void *user)
{
    struct session *s = user;

    s->said_hello = true;
    if (send_hello(s) < 0)
        break_session(s, "Hello could not be sent");
}

static void on_closed(void *user, const char *reason)
{
    struct session *s = user;

    if (s->said_hello)
        log_warn("session: controller lost: %s", reason);
    lost(s);
}

static int dial(struct session *s)
{
    struct control_client_options o = {
        .address = s->config.address,
        .token = s->config.token,
        .loop = s->config.loop,
        .on_open = on_open,
        .on_message = on_message,
        .on_closed = on_closed,
        .user = s,
    };

    return control_client_new(&o, &s->client);
}

static void on_redial(struct loop_timer *t)
{
    struct session *s = list_entry(t, struct session, redial);

    if (s->client)
        s->client = control_client_free(s->client);
    else if (dial(s) == 0)
        return;
    loop_timer_set(s->config.loop, t, loop_now(s->config.loop) + REDIAL_MS * NS_PER_MS);
}

static void on_report(struct loop_timer *t)
{
    struct session *s = list_entry(t, struct session, report);
    AgentMessage a = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Rouse__Control__V1__Report m;

    report_load(s->config.report, clock_monotonic_ns(), &m);
    a.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_REPORT;
    a.report = &m;
    session_send(s, &a);
    report_load_done(&m);
    loop_timer_set(s->config.loop, t, loop_now(s->config.loop) + REPORT_MS * NS_PER_MS);
}

/* ---------------------------------------------------------------- life */
int session_new(const struct session_config *c, struct session **ret)
{
    struct session *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    s->config = *c;
    s->incarnation = random_u64() | 1;
    s->report.fn = on_report;
    s->redial.fn = on_redial;
    r = dial(s);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct session *session_free(struct session *s)
{
    if (!s)
        return NULL;
    loop_timer_cancel(s->config.loop, &s->report);
    loop_timer_cancel(s->config.loop, &s->redial);
    if (s->client)
        control_client_free(s->client);
    free(s);
    return NULL;
}

int session_send(struct session *s, const AgentMessage *m)
{
    bool waits_for_welcome = m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET ||
                             m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE;

    if (!s || !s->client || !s->said_hello || (waits_for_welcome && !s->welcome))
        return -ENOTCONN;
    return control_client_send(s->client, m);
}

bool session_ready(const struct session *s)
{
    return s->controller && s->routed;
}
