/* down.c - the controller's messages, dealt out to the shards that they are for.
 *
 * Shard 0 is called, the others get the packed message by letter. What one of
 * them cannot make true ends the connection later (up_broken()); until the next
 * Hello, which then lacks the epoch, its siblings go on with what they have. */
#include "report/report.h"
#include "router/gateway.h"
#include "router/peer.h"
#include "router/routes.h"
#include "shard/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef Rouse__Control__V1__Desired Desired;

static const char other_epoch_desired[] = "desired state on an epoch that is not ours";
static const char other_epoch_routes[] = "routes on an epoch that is not ours";
static const char no_memory[] = "out of memory";

/* ---------------------------------------------------------------- on the shard's loop */
static int take_routes(struct shard *s, const Rouse__Control__V1__Routes *m, const char **ret_why)
{
    Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT;
    Rouse__Control__V1__Ack ack = ROUSE__CONTROL__V1__ACK__INIT;
    AgentMessage a = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    int r = routes_apply(s->routes, m);

    if (r == 0 && !routes_epoch(s->routes, &epoch.incarnation, &epoch.sequence))
        r = -EINVAL;
    if (r < 0) {
        *ret_why = r == -ESTALE ? other_epoch_routes : "routes could not be applied";
        return r;
    }
    ack.routes = &epoch;
    a.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK;
    a.ack = &ack;
    up_send(s, &a);
    return 0;
}

static int control(struct shard *s, const ControllerMessage *m, const char **ret_why)
{
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED:
        if (pool_desired(s->pool, m->desired) != -ESTALE)
            break;
        *ret_why = other_epoch_desired;
        return -ESTALE;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES:
        return take_routes(s, m->routes, ret_why);
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_WANTED:
        pool_slot_wanted(s->pool, m->slot_wanted);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_BACK:
        pool_slot_back(s->pool, m->slot_back->slot);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_GRANT:
        gateway_grant(s->gateway, m->grant);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_REFUSE:
        gateway_refuse(s->gateway, m->refuse);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_CORDON:
        pool_cordon(s->pool, m->cordon->cordoned);
        break;
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_LOG_REQUEST:
        pool_log_request(s->pool, m->log_request);
        break;
    default:
        break;
    }
    return 0;
}

static void welcome(struct shard *s, const char *peer_secret)
{
    s->up.welcome = true;
    peer_server_secret(s->peer, peer_secret);
    gateway_welcome(s->gateway, peer_secret);
}

static void away(struct shard *s)
{
    s->up.hello = s->up.welcome = false;
    gateway_away(s->gateway);
    pool_away(s->pool); /* after it: who waits takes what is free now */
}

/* ---------------------------------------------------------------- letters */
struct order {
    struct letter letter;
    struct shard *shard;
    size_t size;
    uint8_t bytes[]; /* a packed message, or a secret */
};

static void on_order(struct letter *l, bool late)
{
    struct order *o = (struct order *)l;
    ControllerMessage *m;
    const char *why = no_memory;

    if (late)
        return;
    m = rouse__control__v1__controller_message__unpack(NULL, o->size, o->bytes);
    if (!m || control(o->shard, m, &why) < 0)
        up_broken(o->shard, why);
    if (m)
        rouse__control__v1__controller_message__free_unpacked(m, NULL);
}

static void on_welcome(struct letter *l, bool late)
{
    struct order *o = (struct order *)l;

    if (!late)
        welcome(o->shard, (const char *)o->bytes);
}

static void on_away(struct letter *l, bool late)
{
    if (!late)
        away(((struct order *)l)->shard);
}

static struct order *order_new(struct shard *s, size_t size)
{
    struct order *o = letter_new(sizeof(*o) + size);

    if (o) {
        o->shard = s;
        o->size = size;
    }
    return o;
}

static int tell(struct shard *s, const ControllerMessage *m, const char **ret_why)
{
    struct order *o;

    if (is_main(s))
        return control(s, m, ret_why);
    o = order_new(s, rouse__control__v1__controller_message__get_packed_size(m));
    if (!o) {
        *ret_why = no_memory;
        return -ENOMEM;
    }
    rouse__control__v1__controller_message__pack(m, o->bytes);
    letter_post(&s->box, &o->letter, on_order);
    return 0;
}

/* Shard 0 first: what it refuses nobody else gets. */
static int tell_all(struct shards *all, const ControllerMessage *m, const char **ret_why)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < all->config.count; i++)
        r = tell(shard_at(all, i), m, ret_why);
    return r;
}

/* ---------------------------------------------------------------- a grant for nobody */
struct unused {
    struct letter letter;
    struct shard *shard;
    uint64_t slot;
};

static void on_unused(struct letter *l, bool late)
{
    struct unused *u = (struct unused *)l;

    if (!late)
        pool_slot_unused(u->shard->pool, u->slot);
}

/* What the activator wants may be told there before or after this: it is not for us to change. */
void down_slot_unused(void *user, uint64_t slot)
{
    struct shard *s = user;
    unsigned at = loop_of_id(slot);
    struct unused *u;

    if (at == s->index) {
        pool_slot_unused(s->pool, slot);
    } else if (at < s->all->config.count) {
        u = letter_make(sizeof(*u));
        u->shard = shard_at(s->all, at);
        u->slot = slot;
        letter_post(&u->shard->box, &u->letter, on_unused);
    }
}

/* ---------------------------------------------------------------- Desired */
/* Where each instance goes: as many bytes as there are, which the caller frees. */
static uint8_t *place(struct shards *all, const Desired *d)
{
    uint8_t *at = malloc(d->n_instances + 1);
    size_t k = 0;
    int r = 0;

    if (!at)
        return NULL;
    if (!d->since)
        placement_keep_begin(&all->placement);
    for (size_t i = 0; i < d->n_removed; i++)
        placement_remove(&all->placement, d->removed[i]);
    for (; r >= 0 && k < d->n_instances; k++) {
        const Rouse__Control__V1__DesiredInstance *i = d->instances[k];

        r = placement_put(&all->placement, i->function_key, i->revision, i->id);
        at[k] = (uint8_t)(r < 0 ? 0 : r);
    }
    if (r < 0) {
        free(at);
        return NULL;
    }
    if (!d->since)
        placement_keep_end(&all->placement);
    return at;
}

static int deal_out(struct shards *all, const Desired *d, const char **ret_why)
{
    Rouse__Control__V1__DesiredInstance **part = malloc((d->n_instances + 1) * sizeof(void *));
    uint8_t *at = part ? place(all, d) : NULL;
    ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;
    Desired mine = *d;
    int r = 0;

    *ret_why = no_memory;
    if (!at) {
        free(part);
        return -ENOMEM;
    }
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED;
    m.desired = &mine;
    mine.instances = part;
    for (unsigned i = 0; r == 0 && i < all->config.count; i++) {
        mine.n_instances = 0;
        for (size_t k = 0; k < d->n_instances; k++)
            if (at[k] == i)
                part[mine.n_instances++] = d->instances[k];
        r = tell(shard_at(all, i), &m, ret_why);
    }
    free(at);
    free(part);
    return r;
}

static int desired(struct shards *all, const Desired *d, const char **ret_why)
{
    int r;

    if (!d->epoch)
        return 0;
    if (d->since && (!all->has_desired || all->desired.incarnation != d->since->incarnation ||
                     all->desired.sequence != d->since->sequence)) {
        *ret_why = other_epoch_desired;
        return -ESTALE;
    }
    r = deal_out(all, d, ret_why);
    if (r == 0) {
        rouse__control__v1__epoch__init(&all->desired);
        all->desired.incarnation = d->epoch->incarnation;
        all->desired.sequence = d->epoch->sequence;
        all->has_desired = true;
    }
    return r;
}

/* ---------------------------------------------------------------- from the session */
static int for_one(struct shards *all, uint64_t id, const ControllerMessage *m, const char **ret_why)
{
    unsigned at = loop_of_id(id);

    return at < all->config.count ? tell(shard_at(all, at), m, ret_why) : 0;
}

int down_message(void *user, const ControllerMessage *m, const char **ret_why)
{
    struct shards *all = user;
    const Rouse__Control__V1__SlotWanted *w = m->slot_wanted;

    if (shard_at(all, 0)->ended)
        return 0;
    if (m->body_case == ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_NODES) {
        ports_nodes(&all->ports, m->nodes);
        return 0;
    }
    if (all->config.count == 1)
        return control(shard_at(all, 0), m, ret_why);
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED:
        return desired(all, m->desired, ret_why);
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_WANTED:
        if (wanted_set(&all->wanted, w->function_key, w->revision, w->count) < 0)
            return 0;
        return tell_all(all, m, ret_why);
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_BACK:
        return for_one(all, m->slot_back->slot, m, ret_why);
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_GRANT:
        return for_one(all, m->grant->ticket, m, ret_why);
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_REFUSE:
        return for_one(all, m->refuse->ticket, m, ret_why);
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_CORDON: /* it is only logged: once */
        return tell(shard_at(all, 0), m, ret_why);
    case ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_LOG_REQUEST:
        logs_ask(all, m->log_request);
        return 0;
    default:
        return tell_all(all, m, ret_why);
    }
}

void down_welcome(void *user, const Rouse__Control__V1__Welcome *m)
{
    struct shards *all = user;
    size_t size = strlen(m->peer_secret) + 1;

    for (unsigned i = 1; i < all->config.count; i++) {
        struct order *o = order_new(shard_at(all, i), size);

        if (!o) {
            session_break(all->session, no_memory);
            return;
        }
        memcpy(o->bytes, m->peer_secret, size);
        letter_post(&o->shard->box, &o->letter, on_welcome);
    }
    ports_front(&all->ports, m->activator_address);
    if (!shard_at(all, 0)->ended)
        welcome(shard_at(all, 0), m->peer_secret);
}

void down_away(void *user)
{
    struct shards *all = user;

    for (unsigned i = 1; i < all->config.count; i++) {
        struct order *o = letter_make(sizeof(*o));

        o->shard = shard_at(all, i);
        letter_post(&o->shard->box, &o->letter, on_away);
    }
    if (!shard_at(all, 0)->ended)
        away(shard_at(all, 0));
    up_away(all);
    wanted_clear(&all->wanted);
    logs_done(all);
}
