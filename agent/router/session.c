/* session.c - the control client's events: open, messages, closed. On the main loop. */
#include "router/session.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "control/channel.h"
#include "runtime/runtimes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

enum { REPORT_MS = 1000, REDIAL_MS = 200, SOON_US = 1000, LATER_US = 10000 };

typedef Rouse__Control__V1__Hello Hello;

struct session {
    struct session_config config;
    struct control_client *client; /* NULL between a broken session and the next dial */
    uint64_t incarnation;          /* of this agent */
    uint64_t controller;           /* incarnation; 0: none yet */
    bool open, said_hello, welcome, routed;
    struct loop_timer report, redial, soon;
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
    Rouse__Control__V1__RuntimeInfo *runtimes, **runtime_list;
    Rouse__Control__V1__Hello__LabelsEntry *labels, **label_list;
    Rouse__Control__V1__Taint *taints, **taint_list;
};

static int hello_lists(const struct session_config *c, Hello *h, struct hello_parts *p)
{
    size_t count = runtimes_count(c->runtimes);

    p->runtimes = calloc(count + 1, sizeof(*p->runtimes));
    p->runtime_list = calloc(count + 1, sizeof(*p->runtime_list));
    p->labels = calloc(c->label_count + 1, sizeof(*p->labels));
    p->label_list = calloc(c->label_count + 1, sizeof(*p->label_list));
    p->taints = calloc(c->taint_count + 1, sizeof(*p->taints));
    p->taint_list = calloc(c->taint_count + 1, sizeof(*p->taint_list));
    if (!p->runtimes || !p->runtime_list || !p->labels || !p->label_list || !p->taints ||
        !p->taint_list)
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
    for (size_t i = 0; i < c->taint_count; i++) {
        rouse__control__v1__taint__init(&p->taints[i]);
        p->taints[i].key = (char *)c->taints[i].name;
        p->taints[i].value = (char *)c->taints[i].value;
        p->taint_list[i] = &p->taints[i];
    }
    h->runtimes = p->runtime_list;
    h->n_runtimes = count;
    h->labels = p->label_list;
    h->n_labels = c->label_count;
    h->taints = p->taint_list;
    h->n_taints = c->taint_count;
    return 0;
}

static int send_hello(struct session *s, const Hello *actual)
{
    const struct session_config *c = &s->config;
    struct hello_parts p = {.allocatable = ROUSE__CONTROL__V1__RESOURCES__INIT};
    Hello h = *actual;
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
        h.version = (char *)c->version;
        m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO;
        m.hello = &h;
        r = control_client_send(s->client, &m);
    }
    free(p.runtimes);
    free(p.runtime_list);
    free(p.labels);
    free(p.label_list);
    free(p.taints);
    free(p.taint_list);
    return r;
}

/* ---------------------------------------------------------------- break and redial */
static void lost(struct session *s)
{
    s->open = s->said_hello = s->welcome = false;
    loop_timer_cancel(s->config.loop, &s->report);
    loop_timer_cancel(s->config.loop, &s->soon);
    s->config.ops->on_away(s->config.user);
}

/* Ends the connection from within one of its callbacks: the client goes in the timer, then a new one comes. */
void session_break(struct session *s, const char *why)
{
    if (!s->open)
        return;
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
    s->config.ops->on_welcome(s->config.user, m);
    loop_timer_set(s->config.loop, &s->report, loop_now(s->config.loop) + REPORT_MS * NS_PER_MS);
}

static void hand_on(struct session *s, const ControllerMessage *m)
{
    const char *why = "a message that cannot be made true here";

    if (s->config.ops->on_message(s->config.user, m, &why) < 0)
        session_break(s, why);
    else if (m->body_case == ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES)
        s->routed = true;
}

static void on_message(void *user, const ControllerMessage *m)
{
    struct session *s = user;

    if (!s->said_hello)
        return;
    if (!s->welcome && m->body_case != ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_WELCOME &&
        m->body_case != ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_HELLO_REJECT) {
        session_break(s, "the controller did not say Welcome first");
        return;
    }
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_HELLO_REJECT:
        s->config.ops->on_rejected(s->config.user, m->hello_reject->reason);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_WELCOME:
        on_welcome(s, m->welcome);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY__NOT_SET:
        log_debug("session: a message of a kind that this version does not know");
        break;
    default:
        hand_on(s, m);
    }
}

static void on_open(void *user)
{
    struct session *s = user;

    s->open = true;
    s->config.ops->on_open(s->config.user);
}

int session_hello(struct session *s, const Hello *actual)
{
    int r;

    if (!s->open || s->said_hello)
        return -ENOTCONN;
    s->said_hello = true;
    r = send_hello(s, actual);
    if (r < 0)
        session_break(s, "Hello could not be sent");
    return r;
}

static void on_closed(void *user, const char *reason)
{
    struct session *s = user;

    if (s->open)
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

    s->config.ops->on_report(s->config.user);
    if (s->welcome)
        loop_timer_set(s->config.loop, t, loop_now(s->config.loop) + REPORT_MS * NS_PER_MS);
}

static void on_soon(struct loop_timer *t)
{
    struct session *s = list_entry(t, struct session, soon);

    if (s->client)
        control_client_flush(s->client);
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
    s->soon.fn = on_soon;
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
    loop_timer_cancel(s->config.loop, &s->soon);
    if (s->client)
        control_client_free(s->client);
    free(s);
    return NULL;
}

/* How long a message may wait for others, in microseconds. A cold start acknowledges what is desired, tells four states and
 * takes its ticket back: told one by one, each wakes the channel's thread here, the controller's, its brain, and what
 * that answers, on the processors that the start itself needs. Together they are one message that comes after it.
 * What is on its way to ready nobody acts on; nor on an acknowledgement, but for a drain. */
static uint64_t may_wait_us(const AgentMessage *m)
{
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS:
        return m->instance_status->state < ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_READY
                   ? LATER_US
                   : SOON_US;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE:
        return SOON_US;
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK:
        return LATER_US;
    default:
        return 0;
    }
}

int session_send(struct session *s, const AgentMessage *m)
{
    bool waits_for_welcome = m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET ||
                             m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE;
    uint64_t wait, at;

    if (!s || !s->client || !s->said_hello || (waits_for_welcome && !s->welcome))
        return -ENOTCONN;
    wait = may_wait_us(m);
    if (!wait) {
        loop_timer_cancel(s->config.loop, &s->soon);
        return control_client_send(s->client, m);
    }
    at = loop_now(s->config.loop) + wait * NS_PER_US;
    if (!loop_timer_armed(&s->soon) || at < s->soon.at)
        loop_timer_set(s->config.loop, &s->soon, at);
    return control_client_queue(s->client, m);
}

bool session_ready(const struct session *s)
{
    return s->controller && s->routed;
}
