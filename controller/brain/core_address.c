/* core_address.c - where nodes listen, told to the other nodes: they keep their functions from it.
 *
 * All of it after a Welcome, then what changes; a channel keeps the order. */
#include "brain/core_internal.h"

static ControllerMessage *nodes_message(struct core *c, const struct node *to, size_t room)
{
    ControllerMessage *cm = actions_send(c->out, to->peer);
    Nodes *m = actions_alloc(c->out, sizeof(*m));

    rouse__control__v1__nodes__init(m);
    m->nodes = actions_alloc(c->out, room * sizeof(*m->nodes));
    cm->body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_NODES;
    cm->nodes = m;
    return cm;
}

static void add_addresses(struct core *c, Nodes *m, const struct node *n)
{
    Rouse__Control__V1__NodeAddresses *a = actions_alloc(c->out, sizeof(*a));

    rouse__control__v1__node_addresses__init(a);
    a->node = actions_strdup(c->out, n->name);
    a->gateway_address = actions_strdup(c->out, n->gateway_address);
    a->peer_address = actions_strdup(c->out, n->peer_address);
    m->nodes[m->n_nodes++] = a;
}

void addresses_tell(struct core *c, const struct node *to)
{
    Nodes *m = nodes_message(c, to, nodes_count(c->nodes))->nodes;

    m->all = true;
    for (size_t k = 0; k < nodes_count(c->nodes); k++)
        if (nodes_at(c->nodes, k) != to)
            add_addresses(c, m, nodes_at(c->nodes, k));
}

static ControllerMessage *change_message(struct core *c, const struct node *to,
                                         const struct node *n, bool gone)
{
    ControllerMessage *cm = nodes_message(c, to, 1);

    if (!gone) {
        add_addresses(c, cm->nodes, n);
        return cm;
    }
    cm->nodes->removed = actions_alloc(c->out, sizeof(*cm->nodes->removed));
    cm->nodes->removed[cm->nodes->n_removed++] = actions_strdup(c->out, n->name);
    return cm;
}

void addresses_changed(struct core *c, const struct node *n, bool gone)
{
    ControllerMessage *cm = NULL;

    for (size_t k = 0; k < nodes_count(c->nodes); k++) {
        const struct node *to = nodes_at(c->nodes, k);

        if (to == n || !to->peer)
            continue;
        if (cm)
            actions_send_too(c->out, to->peer, cm);
        else
            cm = change_message(c, to, n, gone);
    }
}
