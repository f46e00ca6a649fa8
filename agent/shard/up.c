/* up.c - what shards say to the controller: through the session where it is open, and Hello before all.
 *
 * A shard knows of the session what letters told it; what it sent to a
 * connection that is over is dropped here, as it would have been by the session.
 * Two things may not be dropped in silence: the end of an instance, which the
 * shard is told to say again, and what follows a shard's part of a Hello that is
 * not complete yet, which waits for it. */
#include "base/list.h"
#include "instance_state.h"
#include "shard/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct said { /* a packed message on its way, then in the backlog */
    struct letter letter;
    struct list link;
    struct shards *all;
    unsigned from;
    uint64_t connection;
    size_t size;
    uint8_t bytes[];
};

static struct said *said_new(struct shards *all, unsigned from, uint64_t connection,
                             const AgentMessage *m)
{
    size_t size = rouse__control__v1__agent_message__get_packed_size(m);
    struct said *p = letter_new(sizeof(*p) + size);

    if (!p)
        return NULL;
    list_init(&p->link);
    p->all = all;
    p->from = from;
    p->connection = connection;
    p->size = rouse__control__v1__agent_message__pack(m, p->bytes);
    return p;
}

static AgentMessage *said_unpack(const struct said *p)
{
    return rouse__control__v1__agent_message__unpack(NULL, p->size, p->bytes);
}

/* ---------------------------------------------------------------- what is said again */
struct untold {
    struct letter letter;
    struct shard *shard;
    char id[64];
};

static void on_untold(struct letter *l, bool late)
{
    struct untold *u = (struct untold *)l;

    if (!late)
        pool_untold(u->shard->pool, u->id);
}

/* Shard 0 sees it by what its own call returned, unless that was long ago. */
static void untold(struct shards *all, unsigned from, const AgentMessage *m)
{
    const Rouse__Control__V1__InstanceStatus *s = m->instance_status;
    struct shard *shard = shard_at(all, from);
    struct untold *u;

    if (m->body_case != ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS ||
        !instance_state_final((enum instance_state)s->state) || strlen(s->id) >= sizeof(u->id))
        return;
    u = letter_make(sizeof(*u));
    u->shard = shard;
    memcpy(u->id, s->id, strlen(s->id) + 1);
    letter_post(&shard->box, &u->letter, on_untold);
}

/* ---------------------------------------------------------------- what is counted on the way */
/* The oldest that the shards have told, if they are all of one controller's life. */
static const Epoch *oldest(const struct shards *all, size_t has, size_t member)
{
    const Epoch *least = NULL;

    for (unsigned i = 0; i < all->config.count; i++) {
        const char *at = (const char *)&all->up.acks[i];
        const Epoch *e = (const Epoch *)(at + member);

        if (!*(const bool *)(at + has) || (least && least->incarnation != e->incarnation))
            return NULL;
        if (!least || e->sequence < least->sequence)
            least = e;
    }
    return least;
}

static int send_ack(struct shards *all, const Epoch *desired, const Epoch *routes)
{
    Rouse__Control__V1__Ack ack = ROUSE__CONTROL__V1__ACK__INIT;
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    ack.desired = (Epoch *)desired;
    ack.routes = (Epoch *)routes;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK;
    m.ack = &ack;
    return session_send(all->session, &m);
}

static void note(Epoch *to, bool *has, const Epoch *e)
{
    if (!e)
        return;
    rouse__control__v1__epoch__init(to);
    to->incarnation = e->incarnation;
    to->sequence = e->sequence;
    *has = true;
}

static int acknowledge(struct shards *all, unsigned from, const Rouse__Control__V1__Ack *m)
{
    struct acks *a = &all->up.acks[from], *told = &all->up.told;
    const Epoch *e;

    note(&a->desired, &a->has_desired, m->desired);
    note(&a->routes, &a->has_routes, m->routes);
    e = oldest(all, offsetof(struct acks, has_desired), offsetof(struct acks, desired));
    if (e && !(told->has_desired && same_epoch(&told->desired, e))) {
        note(&told->desired, &told->has_desired, e);
        send_ack(all, &told->desired, NULL);
    }
    e = oldest(all, offsetof(struct acks, has_routes), offsetof(struct acks, routes));
    if (e && !(told->has_routes && same_epoch(&told->routes, e))) {
        note(&told->routes, &told->has_routes, e);
        send_ack(all, NULL, &told->routes);
    }
    return 0;
}

struct unwanted {
    struct letter letter;
    struct shard *shard;
    uint64_t slot;
};

static void on_unwanted(struct letter *l, bool late)
{
    struct unwanted *u = (struct unwanted *)l;

    if (!late)
        pool_slot_back(u->shard->pool, u->slot);
}

static int offer(struct shards *all, unsigned from, const AgentMessage *m)
{
    const Rouse__Control__V1__SlotFree *s = m->slot_free;
    struct unwanted *u;

    if (wanted_take(&all->wanted, s->function_key, s->revision))
        return session_send(all->session, m);
    if (!from) /* its pool hears it from the return */
        return -ENOBUFS;
    u = letter_make(sizeof(*u));
    u->shard = shard_at(all, from);
    u->slot = s->slot;
    letter_post(&u->shard->box, &u->letter, on_unwanted);
    return 0;
}

static int forward(struct shards *all, unsigned from, const AgentMessage *m)
{
    switch (m->body_case) {
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_ACK:
        return acknowledge(all, from, m->ack);
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE:
        return offer(all, from, m);
    case ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LOG_CHUNK:
        return logs_take(all, from, m->log_chunk) ? 0 : session_send(all->session, m);
    default:
        return session_send(all->session, m);
    }
}

/* ---------------------------------------------------------------- from a shard */
static void take(struct said *p, bool keep)
{
    struct shards *all = p->all;
    AgentMessage *m = said_unpack(p);

    if (!m)
        return;
    if (p->connection != all->up.connection || all->up.state == UP_AWAY) {
        untold(all, p->from, m);
    } else if (all->up.state == UP_GATHERING && keep) {
        struct said *copy = said_new(all, p->from, p->connection, m);

        if (copy)
            list_push_back(&all->up.backlog, &copy->link);
    } else if (forward(all, p->from, m) < 0) {
        untold(all, p->from, m);
    }
    rouse__control__v1__agent_message__free_unpacked(m, NULL);
}

static void on_said(struct letter *l, bool late)
{
    (void)late;
    take((struct said *)l, true);
}

int up_send(void *user, const AgentMessage *m)
{
    struct shard *s = user;
    struct shards *all = s->all;
    struct said *p;

    if (all->config.count == 1)
        return session_send(all->session, m);
    if (!s->up.hello ||
        (m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET && !s->up.welcome) ||
        (m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE && !s->up.welcome))
        return -ENOTCONN;
    if (is_main(s) && all->up.state == UP_OPEN)
        return forward(all, 0, m);
    p = said_new(all, s->index, s->up.connection, m);
    if (!p)
        return -ENOMEM;
    if (is_main(s))
        list_push_back(&all->up.backlog, &p->link);
    else
        letter_post(&all->box, &p->letter, on_said);
    return 0;
}

struct broken {
    struct letter letter;
    struct shards *all;
    uint64_t connection;
    const char *why;
};

static void on_broken(struct letter *l, bool late)
{
    struct broken *b = (struct broken *)l;

    (void)late;
    if (b->connection == b->all->up.connection)
        session_break(b->all->session, b->why);
}

void up_broken(struct shard *s, const char *why)
{
    struct broken *b = letter_make(sizeof(*b));

    b->all = s->all;
    b->connection = s->up.connection;
    b->why = why;
    letter_post(&s->all->box, &b->letter, on_broken);
}

/* Hello is said: what followed its parts goes now. */
void up_send_backlog(struct shards *all)
{
    struct list *l;

    while (all->up.state == UP_OPEN && (l = list_pop_front(&all->up.backlog))) {
        struct said *p = list_entry(l, struct said, link);

        take(p, false);
        free(p);
    }
}

/* ---------------------------------------------------------------- the end of a connection */
void up_away(struct shards *all)
{
    struct list *l;

    all->up.state = UP_AWAY;
    hello_forget(all);
    while ((l = list_pop_front(&all->up.backlog))) {
        struct said *p = list_entry(l, struct said, link);

        take(p, false);
        free(p);
    }
}

void up_done(struct shards *all)
{
    struct list *l;

    hello_forget(all);
    while ((l = list_pop_front(&all->up.backlog)))
        free(list_entry(l, struct said, link));
}
