/* core_drain.c - nodes that get nothing new, and nodes whose instances move elsewhere. */
#include "brain/core_internal.h"

struct wish { /* there while something is wanted */
    struct map_node node;
    struct node_wanted wanted;
    char name[NODE_NAME_MAX + 1];
};

static void tell_cordon(struct core *c, const struct node *n)
{
    ControllerMessage *m;
    Rouse__Control__V1__Cordon *to;

    if (!n->peer)
        return;
    m = actions_send(c->out, n->peer);
    to = actions_alloc(c->out, sizeof(*to));
    rouse__control__v1__cordon__init(to);
    to->cordoned = n->cordoned || n->draining;
    m->body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_CORDON;
    m->cordon = to;
}

static void hold(struct core *c, struct node *n, unsigned cordoned, unsigned draining)
{
    bool held = n->cordoned || n->draining, drained = n->draining;

    if (n->cordoned == cordoned && n->draining == draining)
        return;
    n->cordoned = cordoned;
    n->draining = draining;
    node_tallies_changed(n);
    node_moved(n);
    node_changed(c, n);
    if (held != (cordoned || draining)) {
        tell_cordon(c, n);
        core_log(c, false, "node %s is %s", n->name, held ? "open again" : "cordoned");
        note_node(c, n, false, held ? "Uncordoned" : "Cordoned", "it takes %s instances",
                  held ? "new" : "no new");
        c->capacity_changed = c->capacity_changed || held;
    }
    if (drained == (draining != 0))
        return;
    core_log(c, false, "node %s: %s its %zu instances", n->name,
             draining ? "draining" : "no longer draining", n->instance_count);
    note_node(c, n, false, draining ? "Draining" : "DrainEnded", "its %zu instances %s",
              n->instance_count, draining ? "move elsewhere" : "stay");
    list_for_each(it, &n->instances) fn_dirty(c, list_entry(it, struct instance, host_link)->rev->fn);
}

void node_cordon(struct core *c, struct node *n, enum node_holder by, bool on)
{
    hold(c, n, on ? n->cordoned | by : n->cordoned & ~(unsigned)by, n->draining);
}

void node_drain(struct core *c, struct node *n, enum node_holder by, bool on)
{
    hold(c, n, n->cordoned, on ? n->draining | by : n->draining & ~(unsigned)by);
}

/* ---- what users want */

static struct wish *find(struct core *c, const char *name)
{
    struct map_node *m = map_get_str(&c->wishes, name);

    return m ? map_entry(m, struct wish, node) : NULL;
}

static void forget(struct core *c, struct wish *w)
{
    map_del(&c->wishes, &w->node);
    free(w);
}

static int remember(struct core *c, const char *name, const struct node_wanted *wanted)
{
    struct wish *w = find(c, name);

    if (!w) {
        w = calloc(1, sizeof(*w));
        if (!w)
            return -ENOMEM;
        strncpy(w->name, name, NODE_NAME_MAX);
        if (map_put(&c->wishes, &w->node, w->name, strlen(w->name)) < 0) {
            free(w);
            return -ENOMEM;
        }
    }
    w->wanted = *wanted;
    return 0;
}

void core_node(struct core *c, uint64_t now, const char *name, const struct node_wanted *w,
               struct actions *out)
{
    struct node *n = nodes_find(c->nodes, name);
    struct wish *had = find(c, name);

    c->now = now;
    c->out = out;
    if (!w->unschedulable && !w->drain) {
        if (had)
            forget(c, had);
    } else if (remember(c, name, w) < 0) {
        core_log(c, true, "node %s: out of memory, that it is cordoned is forgotten when it goes",
                 name);
    }
    if (!n)
        return;
    node_cordon(c, n, NODE_HELD_BY_USER, w->unschedulable);
    node_drain(c, n, NODE_HELD_BY_USER, w->drain);
}

void node_wishes(struct core *c, struct node *n)
{
    const struct wish *w = find(c, n->name);

    if (w) {
        node_cordon(c, n, NODE_HELD_BY_USER, w->wanted.unschedulable);
        node_drain(c, n, NODE_HELD_BY_USER, w->wanted.drain);
    }
    tell_cordon(c, n); /* its agent may remember another time */
}

void wishes_done(struct core *c)
{
    map_for_each(m, &c->wishes) free(map_entry(m, struct wish, node));
    map_done(&c->wishes);
}

/* ---- moving */

/* Those that do not serve yet first, then the idle ones: the others finish what they have, too,
 * but may have got less to do by the time that the next replacement is ready. */
static struct instance *next_to_move(const struct core *c, const struct revision *r)
{
    struct instance *best = NULL;

    list_for_each(it, &r->instances)
    {
        struct instance *i = list_entry(it, struct instance, rev_link);

        if (!instance_moves(i) || !instance_counts(i) || instance_suspect(c, i))
            continue;
        if (!instance_serves(i))
            return i;
        if (!best || i->in_flight < best->in_flight)
            best = i;
    }
    return best;
}

void revision_move(struct core *c, struct revision *r)
{
    struct tally t = revision_tally(c, r);
    uint32_t stay = r->wanted > t.settled ? r->wanted - t.settled : 0;
    struct instance *i;

    while (t.moving > stay && (i = next_to_move(c, r))) {
        instance_leave(c, i);
        t.moving--;
    }
}
