/* brain.c - feeds the core with what comes by mail, and carries out what it decides. */
#include "brain/brain_internal.h"
#include "base/clock.h"
#include "base/random.h"
#include "external/prometheus.h"

#include <errno.h>

void brain_touch(struct brain *b)
{
    if (b->turn_due)
        return;
    b->turn_due = true;
    loop_defer(b->loop, &b->turn);
}

int brain_send(struct brain *b, uint64_t peer, const ControllerMessage *m)
{
    return b->control ? control_server_send(b->control, peer, m) : -ENOTCONN;
}

/* The core's clock stands still while it decides: what deciding took is added here. */
static void stamp_desired(const struct brain *b, const ControllerMessage *m)
{
    uint64_t us = (clock_monotonic_ns() - loop_now(b->loop)) / NS_PER_US;

    if (m->body_case != ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED)
        return;
    for (size_t k = 0; k < m->desired->n_instances; k++)
        m->desired->instances[k]->schedule_us += us;
}

/* What goes to many nodes stands in a row, and is packed once for all of them. The last of the row. */
static const struct action *send_row(struct brain *b, const struct action *a)
{
    uint64_t peers[256];
    const struct action *last = a;
    size_t n = 0;

    peers[n++] = a->send.peer;
    while (n < ARRAY_LEN(peers) && last->next && last->next->kind == ACTION_SEND &&
           last->next->send.message == a->send.message) {
        last = last->next;
        peers[n++] = last->send.peer;
    }
    if (n > 1 && b->control) {
        control_server_send_all(b->control, peers, n, a->send.message);
    } else {
        stamp_desired(b, a->send.message);
        brain_send(b, a->send.peer, a->send.message);
    }
    return last;
}

static void carry_out(struct brain *b, const struct action *a)
{
    switch (a->kind) {
    case ACTION_SEND: /* send_row() */
        break;
    case ACTION_CLOSE:
        if (b->control)
            control_server_close(b->control, a->close.peer, a->close.reason);
        break;
    case ACTION_ANSWER:
        brain_ticket_answer(b, a->answer.ticket, a->answer.grant);
        break;
    case ACTION_STATUS:
        registry_set_status(b->registry, a->status.key, a->status.status);
        break;
    case ACTION_PUBLISH:
        registry_publish(b->registry, a->object.kind, a->object.ns, a->object.name,
                         a->object.labels, a->object.spec, a->object.status, a->object.owner);
        break;
    case ACTION_UNPUBLISH:
        registry_unpublish(b->registry, a->object.kind, a->object.ns, a->object.name);
        break;
    case ACTION_FINALIZE:
        registry_finalize(b->registry, a->stored.kind, a->stored.key);
        break;
    case ACTION_OBJECT_STATUS:
        registry_set_status_json(b->registry, a->stored.kind, a->stored.key, a->stored.status);
        break;
    case ACTION_HISTORY:
        registry_set_history(b->registry, a->history.key, a->history.text);
        break;
    case ACTION_QUERY:
        if (b->prometheus)
            prometheus_ask(b->prometheus, a->query.key, a->query.metric, a->query.text);
        break;
    case ACTION_PROVIDER:
        brain_provider_ask(b, a->provider);
        break;
    case ACTION_NOTE:
        registry_note(b->registry, a->note.kind, a->note.key, a->note.warning, a->note.reason,
                      a->note.message);
        break;
    case ACTION_LOG:
        if (a->log.warning)
            log_warn("%s", a->log.text);
        else
            log_info("%s", a->log.text);
        break;
    }
}

/* Carrying out may bring new events (a finalised function is told of at once): they are a turn of
 * their own. */
static void turn(struct brain *b)
{
    struct actions now;

    b->turn_due = false;
    core_wall(b->core, loop_now(b->loop), clock_wall_ms() * NS_PER_MS);
    core_turn(b->core, loop_now(b->loop), &b->actions);
    now = b->actions;
    b->actions = (struct actions){0};
    for (const struct action *a = now.first; a; a = a->next)
        if (a->kind == ACTION_SEND)
            a = send_row(b, a);
        else
            carry_out(b, a);
    actions_done(&now);
    if (!b->turn_due) {
        uint64_t due = core_due(b->core);

        if (due == UINT64_MAX)
            loop_timer_cancel(b->loop, &b->timer);
        else
            loop_timer_set(b->loop, &b->timer, due);
    }
}

static void on_turn(struct loop_deferred *d)
{
    turn(container_of(d, struct brain, turn));
}

static void on_timer(struct loop_timer *t)
{
    brain_touch(container_of(t, struct brain, timer));
}

/* What the core is told at the very moment of its start was there before it. */
static uint64_t now_of(const struct brain *b)
{
    return b->started ? b->started : loop_now(b->loop);
}

static void on_function(void *user, struct function *old, struct function *now)
{
    struct brain *b = user;

    core_function(b->core, now_of(b), old, now, &b->actions);
    brain_touch(b);
}

static void on_node(void *user, const char *name, const struct node_wanted *w)
{
    struct brain *b = user;

    core_node(b->core, now_of(b), name, w, &b->actions);
    brain_touch(b);
}

static int on_node_delete(void *user, const char *name, bool dry_run)
{
    struct brain *b = user;
    int r = core_node_delete(b->core, loop_now(b->loop), name, dry_run, &b->actions);

    brain_touch(b);
    return r;
}

static void on_external(void *user, const struct prometheus_answer *a)
{
    struct brain *b = user;

    core_external(
        b->core, loop_now(b->loop),
        &(struct core_external){
            .key = a->key, .text = a->query, .metric = a->metric, .value = a->value, .why = a->why},
        &b->actions);
    brain_touch(b);
}

static void on_history(void *user, const char *key, const char *text)
{
    struct brain *b = user;

    core_history(b->core, now_of(b), key, text, &b->actions);
    brain_touch(b);
}

static void on_pool(void *user, struct pool_spec *old, struct pool_spec *now)
{
    struct brain *b = user;

    core_pool(b->core, now_of(b), old, now, &b->actions);
    brain_touch(b);
}

int brain_new(const struct brain_config *c, struct registry *r, struct brain **ret)
{
    struct core_config config = core_defaults;
    struct brain *b = calloc(1, sizeof(*b));
    int e = b ? loop_new(&b->loop) : -ENOMEM;

    config.incarnation = random_u64();
    config.queue_deadline_ns = c->queue_deadline_ns ? c->queue_deadline_ns : config.queue_deadline_ns;
    config.queue_per_function =
        c->queue_per_function ? c->queue_per_function : config.queue_per_function;
    config.queue_total = c->queue_total ? c->queue_total : config.queue_total;
    config.held_per_function = c->held_per_function ? c->held_per_function : config.held_per_function;
    config.held_total = c->held_total ? c->held_total : config.held_total;
    config.body_limit = c->body_limit ? c->body_limit : config.body_limit;
    config.adopt_ns = c->adopt_ns ? c->adopt_ns : config.adopt_ns;
    config.autoscaler = autoscaler_defaults;
    if (c->stable_window_s)
        config.autoscaler.stable_seconds = c->stable_window_s;
    if (c->panic_window_s)
        config.autoscaler.panic_seconds = c->panic_window_s;
    config.peer_secret = c->peer_secret;
    config.activator_address = c->activator_address;
    if (e == 0) {
        b->started = loop_now(b->loop);
        e = core_new(&config, b->started, &b->core);
    }
    if (e == 0 && c->prometheus)
        e = prometheus_new(
            &(struct prometheus_config){
                .url = c->prometheus, .loop = b->loop, .on_answer = on_external, .user = b},
            &b->prometheus);
    if (e == 0)
        e = brain_provider_configure(b, c);
    if (e < 0) {
        brain_free(b);
        return e;
    }
    b->registry = r;
    b->turn.fn = on_turn;
    b->timer.fn = on_timer;
    registry_observe(r, &(struct registry_observer){.on_function = on_function,
                                                    .on_pool = on_pool,
                                                    .on_node = on_node,
                                                    .on_node_delete = on_node_delete,
                                                    .on_history = on_history,
                                                    .user = b});
    b->started = 0;
    *ret = b;
    return 0;
}

struct loop *brain_loop(struct brain *b)
{
    return b->loop;
}

void brain_set_control(struct brain *b, struct control_server *s)
{
    b->control = s;
}

int brain_run(struct brain *b)
{
    return loop_run(b->loop);
}

void brain_stop(struct brain *b)
{
    loop_stop(b->loop);
}

static void on_drained(struct mail *m)
{
    brain_stop(container_of(m, struct brain, drained));
}

/* What would have waited for its minute. The store commits it when it is freed. */
static void keep_histories(struct brain *b)
{
    struct actions last = {0};

    core_histories(b->core, loop_now(b->loop), &last);
    for (const struct action *a = last.first; a; a = a->next)
        carry_out(b, a);
    actions_done(&last);
}

void brain_drain(struct brain *b)
{
    b->control = NULL;
    keep_histories(b);
    prometheus_stop(b->prometheus);
    providers_stop(b->providers);
    b->drained.fn = on_drained;
    loop_post(b->loop, &b->drained);
    loop_run(b->loop);
}

struct brain *brain_free(struct brain *b)
{
    if (!b)
        return NULL;
    brain_logs_done(b);
    brain_tickets_done(b);
    brain_provider_done(b);
    actions_done(&b->actions);
    b->core = core_free(b->core);
    b->prometheus = prometheus_free(b->prometheus);
    b->loop = loop_free(b->loop);
    free(b);
    return NULL;
}

/* ---- the control channel */

void brain_on_agent_open(void *user, uint64_t peer, const char *address)
{
    (void)user;
    log_debug("agent channel %llu from %s", (unsigned long long)peer, address);
}

void brain_on_agent_message(void *user, uint64_t peer, const AgentMessage *m)
{
    struct brain *b = user;

    if (m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LOG_CHUNK) {
        brain_log_chunk(b, peer, m->log_chunk);
        return;
    }
    core_agent_message(b->core, loop_now(b->loop), peer, m, &b->actions);
    brain_touch(b);
}

void brain_on_agent_closed(void *user, uint64_t peer, const char *reason)
{
    struct brain *b = user;

    brain_log_peer_gone(b, peer);
    core_agent_closed(b->core, loop_now(b->loop), peer, reason, &b->actions);
    brain_touch(b);
}

void brain_metrics(struct brain *b, struct buffer *out)
{
    core_metrics(b->core, loop_now(b->loop), out);
    if (b->prometheus)
        prometheus_metrics(b->prometheus, out);
}
