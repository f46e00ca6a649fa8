/* core_spread.c - which nodes are told of the routes in this turn.
 *
 * What changes is for everybody to know and for nobody to wait for: who does not know of an instance takes a ticket.
 * But each node that is told costs some tens of us, with its acknowledgement, and with many nodes that would be all
 * there is to do. So a round goes through them SLICE at a time, NODE_NS each; what changes meanwhile goes along, and a
 * round follows another as long as something does. With no more nodes than a slice all are told in the turn of the change.
 * Nodes that have just come are told everything, which is built once for all of them, and not again at once. */
#include "brain/core_internal.h"

enum { SLICE = 32 };
#define NODE_NS (100 * NS_PER_US) /* a node's part of a round: at most 10,000 are told a second */
#define ITEM_NS                                                                                    \
    (4 * NS_PER_US) /* of each route and endpoint of all: a quarter of the time goes into building them */
#define AT_ONCE NS_PER_MS /* less than that is not worth a wait */

/* What one node was sent may be what the next one lacks, too. */
struct told {
    bool made;
    uint64_t since; /* 0: everything */
    struct routes_part *parts;
    bool all; /* everything was built */
};

static void send_parts(struct core *c, struct node *const *to, size_t n, struct routes_part *parts)
{
    for (; parts; parts = parts->next)
        for (size_t k = 0; k < n; k++)
            actions_send_too(c->out, to[k]->peer, &parts->message);
    for (size_t k = 0; k < n; k++) {
        to[k]->routes_sent = c->routes_sequence;
        to[k]->routes_due = to[k]->routes_kept = false;
    }
}

static void number(struct core *c)
{
    if (!c->routes_changed)
        return;
    c->routes_sequence++;
    c->routes_changed = false;
    c->round_again = true;
}

static uint64_t cost_of_all(const struct core *c)
{
    return (c->functions.count + c->instances.count) * ITEM_NS;
}

/* ---- those that have just come */

/* An agent that still serves by another controller's routes keeps them while the instances are
 * being adopted. */
static bool held_back(const struct core *c, const struct node *n)
{
    return n->routes_kept && core_adopting(c);
}

void spread_fresh(struct core *c, struct node *n)
{
    if (list_empty(&n->fresh_link))
        list_push_back(&c->nodes_fresh, &n->fresh_link);
}

static void tell_fresh(struct core *c)
{
    struct node **to;
    size_t n = 0;

    if (c->now < c->fresh_due)
        return;
    to = actions_alloc(c->out, nodes_count(c->nodes) * sizeof(struct node *));
    list_for_each(it, &c->nodes_fresh)
    {
        struct node *node = list_entry(it, struct node, fresh_link);

        if (node->peer && node->routes_due && held_back(c, node))
            continue;
        list_del(it);
        if (node->peer && node->routes_due)
            to[n++] = node;
    }
    if (!n)
        return;
    number(c);
    send_parts(c, to, n, routes_full(c));
    if (cost_of_all(c) >= AT_ONCE)
        c->fresh_due = c->now + cost_of_all(c);
}

/* ---- rounds */

static struct routes_part *lacks(struct core *c, const struct node *n, struct told *t)
{
    uint64_t since = n->routes_sent < c->changes_from ? 0 : n->routes_sent;

    if (t->made && t->since == since)
        return t->parts;
    *t = (struct told){true, since, since ? routes_delta(c, since) : NULL, t->all};
    if (!t->parts) { /* too much for a delta */
        t->all = true;
        t->parts = routes_full(c);
    }
    return t->parts;
}

static uint64_t wait_after(const struct core *c, size_t nodes, const struct told *t)
{
    uint64_t wait = nodes_count(c->nodes) > SLICE ? nodes * NODE_NS : 0;
    uint64_t built = t->all ? cost_of_all(c) : 0;

    return built >= AT_ONCE && built > wait ? built : wait;
}

/* Goes on where it stopped; how long the next one has to wait. */
static uint64_t slice(struct core *c)
{
    struct node *to[SLICE];
    struct told told = {0};
    struct routes_part *parts = NULL;
    size_t n = 0, all = 0;

    for (; c->round_next < nodes_count(c->nodes) && all < SLICE; c->round_next++) {
        struct node *node = nodes_at(c->nodes, c->round_next);
        struct routes_part *p;

        if (!node->peer || node->routes_due || node->routes_sent == c->routes_sequence)
            continue;
        p = lacks(c, node, &told);
        if (n && p != parts) {
            send_parts(c, to, n, parts);
            n = 0;
        }
        parts = p;
        to[n++] = node;
        all++;
    }
    send_parts(c, to, n, parts);
    return wait_after(c, all, &told);
}

void sync_routes(struct core *c)
{
    if (!list_empty(&c->nodes_fresh))
        tell_fresh(c);
    if ((!c->rounding && !c->round_again && !c->routes_changed) || c->now < c->round_due)
        return;
    number(c);
    if (!c->rounding || c->round_next == 0) { /* all will be told of what there is now */
        c->rounding = true;
        c->round_again = false;
        c->round_next = 0;
    }
    c->round_due = c->now + slice(c);
    if (c->round_next >= nodes_count(c->nodes)) {
        c->rounding = c->round_again;
        c->round_next = 0;
    }
}

uint64_t spread_due(const struct core *c)
{
    uint64_t at = 0;

    if (c->rounding || c->round_again || c->routes_changed)
        at = c->round_due > c->now ? c->round_due : c->now;
    if (!list_empty(&c->nodes_fresh) && c->fresh_due > c->now && (!at || c->fresh_due < at))
        at = c->fresh_due;
    return at;
}
