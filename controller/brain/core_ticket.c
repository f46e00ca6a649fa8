/* core_ticket.c - the activator's desk: tickets come in, grants and refusals go out. */
#include "brain/core_internal.h"

#include <stdio.h>

static const struct {
    int status;
    const char *reason;
    uint32_t retry_after_s;
} refusals[REFUSED_COUNT] = {
    [REFUSED_NOT_FOUND] = {404, "NotFound", 0},
    [REFUSED_METHOD] = {405, "MethodNotAllowed", 0},
    [REFUSED_QUEUE_FULL] = {503, "QueueFull", 1},
    [REFUSED_NO_CAPACITY] = {503, "NoCapacity", 10},
    [REFUSED_DEADLINE] = {503, "DeadlineExceeded", 1},
    [REFUSED_CRASH_LOOP] = {503, "CrashLoop", 10},
    [REFUSED_INIT_FAILED] = {502, "InitFailed", 0},
};

static ControllerMessage *send_to(struct core *c, uint64_t peer)
{
    return actions_send(c->out, peer);
}

static struct grant *answer_to(struct core *c, uint64_t ticket)
{
    struct action *a = actions_add(c->out, ACTION_ANSWER);

    a->answer.ticket = ticket;
    a->answer.grant = actions_alloc(c->out, sizeof(*a->answer.grant));
    return a->answer.grant;
}

struct refusal_text {
    int status;             /* 0: the reason's usual one */
    uint32_t retry_after_s; /* 0: the reason's usual one */
    const char *message, *allow;
};

static void refuse(struct core *c, struct ticket_key key, enum refusal why,
                   const struct refusal_text *t)
{
    int status = t->status ? t->status : refusals[why].status;
    uint32_t retry = t->retry_after_s ? t->retry_after_s : refusals[why].retry_after_s;
    const char *allow = t->allow ? t->allow : "";

    c->refused[why]++;
    if (key.peer) {
        ControllerMessage *m = send_to(c, key.peer);
        Refuse *r = actions_alloc(c->out, sizeof(*r));

        rouse__control__v1__refuse__init(r);
        r->ticket = key.id;
        r->status = (uint32_t)status;
        r->reason = actions_strdup(c->out, refusals[why].reason);
        r->message = actions_strdup(c->out, t->message);
        r->allow = actions_strdup(c->out, allow);
        r->retry_after_s = retry;
        m->body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_REFUSE;
        m->refuse = r;
    } else {
        struct grant *g = answer_to(c, key.id);

        g->status = status;
        snprintf(g->reason, sizeof(g->reason), "%s", refusals[why].reason);
        snprintf(g->message, sizeof(g->message), "%s", t->message);
        snprintf(g->allow, sizeof(g->allow), "%s", allow);
        g->retry_after_s = retry;
    }
}

static void refuse_waiting(struct core *c, struct ticket *t, enum refusal why,
                           const struct refusal_text *text)
{
    refuse(c, t->key, why, text);
    activator_remove(c->activator, t, c->now);
}

void tickets_refuse_all(struct core *c, struct fn *f, enum refusal why, const char *message)
{
    struct refusal_text text = {.message = message};
    struct ticket *t;

    if (why == REFUSED_CRASH_LOOP && f->active->retry_at > c->now) /* whole seconds, rounded up */
        text.retry_after_s = (uint32_t)((f->active->retry_at - c->now + NS_PER_S - 1) / NS_PER_S);
    while ((t = activator_oldest(&f->queue)))
        refuse_waiting(c, t, why, &text);
    fn_wanted(c, f);
}

void ticket_grant(struct core *c, struct ticket *t, const struct instance *i, uint64_t slot)
{
    const struct fn *f = i->rev->fn;

    if (t->key.peer) {
        ControllerMessage *m = send_to(c, t->key.peer);
        Grant *g = actions_alloc(c->out, sizeof(*g));

        rouse__control__v1__grant__init(g);
        g->ticket = t->key.id;
        g->function_key = actions_strdup(c->out, f->spec->key);
        g->revision = actions_strdup(c->out, i->rev->id);
        g->instance = actions_strdup(c->out, i->id);
        g->node = actions_strdup(c->out, i->host->name);
        g->peer_address = actions_strdup(c->out, i->host->peer_address);
        g->slot = slot;
        g->timeout_ms = i->rev->spec->timeout_ms;
        g->body_limit = core_body_limit(c, i->rev->spec);
        g->route = actions_strdup(c->out, t->route);
        m->body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_GRANT;
        m->grant = g;
    } else {
        struct grant *g = answer_to(c, t->key.id);

        g->granted = true;
        snprintf(g->function_key, sizeof(g->function_key), "%s", f->spec->key);
        snprintf(g->revision, sizeof(g->revision), "%s", i->rev->id);
        snprintf(g->instance, sizeof(g->instance), "%s", i->id);
        snprintf(g->peer_address, sizeof(g->peer_address), "%.127s", i->host->peer_address);
        g->slot = slot;
        g->timeout_ms = i->rev->spec->timeout_ms;
        g->body_limit = core_body_limit(c, i->rev->spec);
        g->route = actions_strdup(c->out, t->route);
    }
    histogram_observe(&c->wait, (double)(c->now - t->since_ns) / (double)NS_PER_S);
    activator_remove(c->activator, t, c->now);
}

/* ---- tickets */

struct ticket_in {
    struct ticket_key key;
    const char *function_key, *method, *host, *path;
    uint64_t waited_ns, deadline_in_ns; /* the latter 0: as long as may be */
    uint32_t held, attempt;
};

static int resolve(struct core *c, const struct ticket_in *in, struct fn **ret_fn,
                   struct resolved_route *ret)
{
    if (!in->function_key || !*in->function_key)
        return route_resolve(c, in->method ? in->method : "", in->host ? in->host : "",
                             in->path ? in->path : "", ret_fn, ret);
    *ret_fn = fn_find(c, in->function_key);
    return *ret_fn ? 0 : -ENOENT;
}

/* What the log says of it is for the function's owner, in its status; callers may be anybody. */
#define FAILS "the function's instances fail (%s); its Degraded condition says more"

static bool crash_looping(struct core *c, const struct fn *f)
{
    return revision_backing_off(c, f->active) && !revision_tally(c, f->active).counted;
}

static void refuse_crash_loop(struct core *c, const struct fn *f, struct ticket_key key)
{
    const struct revision *r = f->active;
    char message[128];
    struct refusal_text text = {.message = message,
                                .retry_after_s =
                                    (uint32_t)((r->retry_at - c->now + NS_PER_S - 1) / NS_PER_S)};

    snprintf(message, sizeof(message), FAILS, r->reason);
    refuse(c, key, REFUSED_CRASH_LOOP, &text);
}

static void refuse_full(struct core *c, const struct fn *f, struct ticket_key key)
{
    bool at_max = revision_tally(c, f->active).counted >= f->spec->scaling.max;
    struct refusal_text text = {.status = at_max ? 429 : 503,
                                .message = at_max ? "scaling.max is reached and the queue is full"
                                                  : "the queue is full"};

    refuse(c, key, REFUSED_QUEUE_FULL, &text);
}

static void submit(struct core *c, const struct ticket_in *in)
{
    uint64_t limit = c->config.queue_deadline_ns;
    struct resolved_route route = {0};
    struct ticket_request q = {.key = in->key,
                               .waited_ns = in->waited_ns,
                               .held = in->held,
                               .attempt = in->attempt,
                               .route = route.name};
    struct fn *f = NULL;
    struct ticket *t;
    int r = resolve(c, in, &f, &route);

    if (r == -EPERM) {
        refuse(c, in->key, REFUSED_METHOD,
               &(struct refusal_text){.message = "method not allowed", .allow = route.allow});
        return;
    }
    if (r < 0 || !fn_live(f)) {
        refuse(c, in->key, REFUSED_NOT_FOUND,
               &(struct refusal_text){.message = "no function is here"});
        return;
    }
    if (crash_looping(c, f)) {
        refuse_crash_loop(c, f, in->key);
        return;
    }
    limit = in->waited_ns < limit ? limit - in->waited_ns : 0;
    if (in->deadline_in_ns && in->deadline_in_ns < limit)
        limit = in->deadline_in_ns;
    q.deadline_ns = c->now + limit;
    r = activator_submit(c->activator, &f->queue, &q, c->now, &t);
    if (r == -EEXIST)
        return;
    if (r < 0) {
        refuse_full(c, f, in->key);
        return;
    }
    if (f->queue.count == 1)
        f->waited_from = c->now;
    scale_called(c, f);
    fn_sampled(c, f);
    fn_dirty(c, f);
    slots_match(c, f);
}

void ticket_of_agent(struct core *c, struct node *n, const Ticket *t)
{
    const struct ticket_in in = {
        .key = {n->peer, t->id},
        .function_key = t->function_key,
        .method = t->method,
        .host = t->host,
        .path = t->path,
        .waited_ns = t->waited_ms < UINT32_MAX ? t->waited_ms * NS_PER_MS : UINT32_MAX * NS_PER_MS,
        .deadline_in_ns = t->deadline_in_ms < UINT32_MAX ? t->deadline_in_ms * NS_PER_MS : 0,
        .held = t->held_bytes,
        .attempt = t->attempt};

    submit(c, &in);
}

void core_ticket(struct core *c, uint64_t now, const struct core_ticket *t, struct actions *out)
{
    const struct ticket_in in = {.key = {0, t->id},
                                 .function_key = t->function_key,
                                 .method = t->method,
                                 .host = t->host,
                                 .path = t->path,
                                 .waited_ns = t->waited_ns,
                                 .held = t->held,
                                 .attempt = t->attempt};

    c->now = now;
    c->out = out;
    submit(c, &in);
}

static void gone(struct core *c, struct ticket *t)
{
    struct fn *f = container_of(t->queue, struct fn, queue);

    activator_remove(c->activator, t, c->now);
    fn_wanted(c, f);
}

void core_ticket_gone(struct core *c, uint64_t now, uint64_t id)
{
    struct ticket *t = activator_find(c->activator, (struct ticket_key){0, id});

    c->now = now;
    if (t)
        gone(c, t);
}

void tickets_gone(struct core *c, const struct node *n, const TicketGone *m)
{
    for (size_t k = 0; k < m->n_ids; k++) {
        struct ticket *t = activator_find(c->activator, (struct ticket_key){n->peer, m->ids[k]});

        if (t)
            gone(c, t);
    }
}

void tickets_of_peer_gone(struct core *c, uint64_t peer)
{
    struct ticket *t;

    while ((t = activator_of_peer(c->activator, peer)))
        gone(c, t);
}

static void refuse_late(struct core *c, struct ticket *t)
{
    struct fn *f = container_of(t->queue, struct fn, queue);
    bool room = !f->active->unplaced;

    refuse_waiting(
        c, t, room ? REFUSED_DEADLINE : REFUSED_NO_CAPACITY,
        &(struct refusal_text){.message = room ? "no slot became free within the queue's deadline"
                                               : "no node has room for an instance"});
    fn_dirty(c, f);
}

void tickets_due(struct core *c)
{
    struct ticket *t;

    while ((t = activator_expired(c->activator, c->now)))
        refuse_late(c, t);
    while ((t = activator_pushed_out(c->activator))) {
        fn_wanted(c, container_of(t->queue, struct fn, queue));
        refuse_waiting(c, t, REFUSED_QUEUE_FULL,
                       &(struct refusal_text){
                           .message = "all queues are full and this function has most of it"});
    }
}
