/* up.c - what shards say to the controller: through the session where it is open, and Hello before all.
 *
 * A shard knows of the session what letters told it; what it sent to a
 * connection that is over is dropped here, as it would have been by the session.
 * Two things may not be dropped in silence: the end of an instance, which the
 * shard is told to say again, and what follows a shard's part of a Hello that is
 * not complete yet, which waits for it. */
#include "base/list.h"
#include "instance_state.h"
#include "report/report.h"
#include "router/gateway.h"
#include "router/routes.h"
#include "shard/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef Rouse__Control__V1__Hello Hello;

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
static bool same_epoch(const Epoch *a, const Epoch *b)
{
    return a->incarnation == b->incarnation && a->sequence == b->sequence;
}

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

/* ---------------------------------------------------------------- Hello */
static void fill(struct shard *s, Hello *h, Epoch *routes)
{
    rouse__control__v1__hello__init(h);
    rouse__control__v1__epoch__init(routes);
    pool_hello(s->pool, h);
    if (routes_epoch(s->routes, &routes->incarnation, &routes->sequence))
        h->routes = routes;
}

/* On the shard's loop. NULL: no memory. */
static uint8_t *part_of(struct shard *s, uint64_t connection, size_t *ret_size)
{
    uint8_t *bytes;
    Epoch routes;
    Hello h;

    s->up.connection = connection;
    s->up.hello = true;
    s->up.welcome = false;
    fill(s, &h, &routes);
    bytes = malloc(rouse__control__v1__hello__get_packed_size(&h) + 1);
    if (bytes)
        *ret_size = rouse__control__v1__hello__pack(&h, bytes);
    pool_hello_done(s->pool, &h);
    return bytes;
}

static const Epoch *agreed(Hello *const *parts, unsigned count, size_t member)
{
    const Epoch *first = NULL;

    for (unsigned i = 0; i < count; i++) {
        const Epoch *e = *(Epoch *const *)((const char *)parts[i] + member);

        if (!e || (first && !same_epoch(first, e)))
            return NULL;
        first = e;
    }
    return first;
}

/* One Hello of all parts; it borrows what they hold. */
static int say_hello(struct shards *all, Hello *const *parts)
{
    unsigned count = all->config.count;
    Hello h = ROUSE__CONTROL__V1__HELLO__INIT;
    const Epoch *desired = agreed(parts, count, offsetof(Hello, desired));
    size_t n = 0;
    int r;

    for (unsigned i = 0; i < count; i++)
        n += parts[i]->n_instances;
    h.instances = calloc(n + 1, sizeof(*h.instances));
    if (!h.instances)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++)
        for (size_t k = 0; k < parts[i]->n_instances; k++)
            h.instances[h.n_instances++] = parts[i]->instances[k];
    h.desired = (Epoch *)desired;
    h.routes = (Epoch *)agreed(parts, count, offsetof(Hello, routes));
    all->has_desired = desired != NULL;
    if (desired)
        all->desired = *desired;
    all->up.state = UP_OPEN;
    r = session_hello(all->session, &h);
    free(h.instances);
    return r;
}

static void send_backlog(struct shards *all)
{
    struct list *l;

    while (all->up.state == UP_OPEN && (l = list_pop_front(&all->up.backlog))) {
        struct said *p = list_entry(l, struct said, link);

        take(p, false);
        free(p);
    }
}

static void all_parts_are_here(struct shards *all)
{
    unsigned count = all->config.count, n = 0;
    Hello *parts[LOOPS_MAX];
    int r = -ENOMEM;

    for (; n < count; n++) {
        struct hello_part *p = &all->up.hello[n];

        parts[n] = p->bytes ? rouse__control__v1__hello__unpack(NULL, p->size, p->bytes) : NULL;
        if (!parts[n])
            break;
    }
    if (n == count)
        r = say_hello(all, parts);
    while (n-- > 0)
        rouse__control__v1__hello__free_unpacked(parts[n], NULL);
    if (r == 0)
        send_backlog(all);
    else
        session_break(all->session, "out of memory for Hello");
}

struct part {
    struct letter letter;
    struct shard *shard;
    uint64_t connection;
    uint8_t *bytes;
    size_t size;
};

static void put_part(struct shards *all, unsigned from, uint8_t *bytes, size_t size)
{
    all->up.hello[from] = (struct hello_part){bytes, size};
    if (!--all->up.missing)
        all_parts_are_here(all);
}

static void on_part(struct letter *l, bool late)
{
    struct part *p = (struct part *)l;
    struct shards *all = p->shard->all;

    (void)late;
    if (p->connection == all->up.connection && all->up.state == UP_GATHERING)
        put_part(all, p->shard->index, p->bytes, p->size);
    else
        free(p->bytes);
}

static void on_part_wanted(struct letter *l, bool late)
{
    struct part *q = (struct part *)l, *p;

    if (late)
        return;
    p = letter_make(sizeof(*p));
    p->shard = q->shard;
    p->connection = q->connection;
    p->bytes = part_of(q->shard, q->connection, &p->size);
    letter_post(&q->shard->all->box, &p->letter, on_part);
}

static void forget_parts(struct shards *all)
{
    for (unsigned i = 0; i < all->config.count; i++) {
        free(all->up.hello[i].bytes);
        all->up.hello[i] = (struct hello_part){0};
    }
}

static void alone(struct shards *all)
{
    struct shard *s = shard_at(all, 0);
    Epoch routes;
    Hello h;

    fill(s, &h, &routes);
    session_hello(all->session, &h);
    pool_hello_done(s->pool, &h);
}

void up_open(void *user)
{
    struct shards *all = user;
    struct shard *first = shard_at(all, 0);
    struct up *u = &all->up;
    size_t size = 0;
    uint8_t *bytes;

    if (first->ended)
        return;
    if (all->config.count == 1) {
        alone(all);
        return;
    }
    u->connection++;
    u->state = UP_GATHERING;
    u->missing = all->config.count;
    u->told = (struct acks){0};
    memset(u->acks, 0, sizeof(u->acks));
    forget_parts(all);
    for (unsigned i = 1; i < all->config.count; i++) {
        struct part *p = letter_make(sizeof(*p));

        p->shard = shard_at(all, i);
        p->connection = u->connection;
        letter_post(&p->shard->box, &p->letter, on_part_wanted);
    }
    bytes = part_of(first, u->connection, &size);
    put_part(all, 0, bytes, size);
}

void up_away(struct shards *all)
{
    struct list *l;

    all->up.state = UP_AWAY;
    forget_parts(all);
    while ((l = list_pop_front(&all->up.backlog))) {
        struct said *p = list_entry(l, struct said, link);

        take(p, false);
        free(p);
    }
}

void up_done(struct shards *all)
{
    struct list *l;

    forget_parts(all);
    while ((l = list_pop_front(&all->up.backlog)))
        free(list_entry(l, struct said, link));
}
