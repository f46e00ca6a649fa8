/* core_pool.c - node pools and the rest of the core: what the nodes are, what found no room, and what the
 * pools wish done. */
#include "brain/core_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* What finds no room is given so long to find some before a node is made for it. */
#define PENDING_NS NS_PER_S

/* ---- the view */

struct view {
    struct core *core;
    struct pool_node *nodes;
    struct pool_need *pending, *needs, *starts;
    size_t pending_count, pending_capacity, needs_count, needs_capacity, starts_count,
        starts_capacity;
    bool starts_made;
};

static struct pool_need *more(struct pool_need **all, size_t *count, size_t *capacity)
{
    if (*count == *capacity) {
        size_t to = *capacity ? 2 * *capacity : 32;
        struct pool_need *n = realloc(*all, to * sizeof(*n));

        if (!n)
            abort();
        *all = n;
        *capacity = to;
    }
    return &(*all)[(*count)++];
}

static struct pool_need need_of(const struct revision *r, uint32_t count)
{
    return (struct pool_need){
        .memory = r->spec->memory, .cpu = r->spec->cpu_millis, .count = count, .who = r};
}

static struct placement_demand demand_of(const struct revision *r)
{
    const struct function_placement *p = &r->spec->placement;

    return (struct placement_demand){r->spec->runtime, p->selector, p->selector_count,
                                     p->tolerations, p->toleration_count};
}

/* A label that one node has alone is its name. `name` NULL: a node that has none yet. */
static bool is_named(const struct revision *r, const char *name)
{
    const struct function_placement *p = &r->spec->placement;

    for (size_t k = 0; k < p->selector_count; k++)
        if (trait_names_node(p->selector[k].key) && (!name || strcmp(p->selector[k].value, name) != 0))
            return false;
    return true;
}

static bool suits_node(void *user, const void *who, size_t node)
{
    const struct node *n = nodes_at(((struct view *)user)->core->nodes, node);
    struct placement_demand d = demand_of(who);

    return is_named(who, n->name) && traits_match(&n->traits, &d);
}

/* What a node of a pool has for runtimes nobody can tell before it has come: those that others have. */
static bool suits_template(void *user, const void *who, const struct pool_spec *pool)
{
    struct core *c = ((struct view *)user)->core;
    const struct revision *r = who;
    const struct node *like = nodes_count(c->nodes) ? nodes_at(c->nodes, 0) : NULL;
    const struct pool_template *t = &pool->template;
    struct placement_demand d = demand_of(r);
    struct node_traits traits = {
        .architecture = t->architecture[0] || !like ? t->architecture : like->traits.architecture,
        .labels = t->labels,
        .label_count = t->label_count,
        .taints = t->taints,
        .taint_count = t->taint_count,
        .runtimes = (char **)(uintptr_t)&r->spec->runtime,
        .runtime_count = 1};
    bool any = !like;

    for (size_t k = 0; k < nodes_count(c->nodes) && !any; k++)
        any = node_has_runtime(nodes_at(c->nodes, k), r->spec->runtime);
    return any && is_named(r, NULL) && traits_match(&traits, &d);
}

static const struct pool_need *needs_of(void *user, size_t node, size_t *ret_count)
{
    struct view *v = user;

    v->needs_count = 0;
    list_for_each(it, &nodes_at(v->core->nodes, node)->instances)
    {
        const struct instance *i = list_entry(it, struct instance, host_link);
        size_t k = 0;

        if (!instance_counts(i))
            continue;
        while (k < v->needs_count && v->needs[k].who != i->rev)
            k++;
        if (k == v->needs_count)
            *more(&v->needs, &v->needs_count, &v->needs_capacity) = need_of(i->rev, 0);
        v->needs[k].count++;
    }
    *ret_count = v->needs_count;
    return v->needs;
}

/* One of each kind: what can start one of them can start the others, too, one at a time. */
static const struct pool_need *starts(void *user, size_t *ret_count)
{
    struct view *v = user;
    struct map kinds = {0};

    if (!v->starts_made) {
        map_for_each(n, &v->core->functions)
        {
            const struct fn *f = map_entry(n, struct fn, node);

            /* One that runs has its room, here or where it is moved to. */
            if (fn_live(f) && !revision_tally(v->core, f->active).counted &&
                kind_is_new(&kinds, f->latest))
                *more(&v->starts, &v->starts_count, &v->starts_capacity) = need_of(f->latest, 1);
        }
        kinds_done(&kinds);
    }
    v->starts_made = true;
    *ret_count = v->starts_count;
    return v->starts;
}

static uint64_t number(void *user)
{
    return core_random(((struct view *)user)->core);
}

static void see_nodes(struct view *v)
{
    struct core *c = v->core;

    v->nodes = calloc(nodes_count(c->nodes) + 1, sizeof(*v->nodes));
    if (!v->nodes)
        abort();
    for (size_t k = 0; k < nodes_count(c->nodes); k++) {
        const struct node *n = nodes_at(c->nodes, k);

        v->nodes[k] = (struct pool_node){.name = n->name,
                                         .ready = n->state == NODE_READY,
                                         .open = node_open(n),
                                         .gone = n->leaving && n->state != NODE_READY,
                                         .allocatable_memory = n->allocatable_memory,
                                         .allocatable_cpu = n->allocatable_cpu,
                                         .reserved_memory = n->reserved_memory,
                                         .reserved_cpu = n->reserved_cpu,
                                         .instances = n->instance_count};
    }
}

static void see_pending(struct view *v)
{
    struct core *c = v->core;

    list_for_each(it, &c->roomless)
    {
        const struct revision *r = list_entry(it, struct revision, roomless_link);

        if (r->unplaced && !r->foreign && fn_live(r->fn) && c->now - r->unplaced_since >= PENDING_NS)
            *more(&v->pending, &v->pending_count, &v->pending_capacity) = need_of(r, r->unplaced);
    }
}

static struct pool_input input_of(struct view *v)
{
    return (struct pool_input){.nodes = v->nodes,
                               .node_count = nodes_count(v->core->nodes),
                               .pending = v->pending,
                               .pending_count = v->pending_count,
                               .needs_of = needs_of,
                               .starts = starts,
                               .suits_node = suits_node,
                               .suits_template = suits_template,
                               .random = number,
                               .user = v};
}

bool pools_help(struct core *c, const struct revision *r)
{
    struct view v = {.core = c};
    struct pool_input in = input_of(&v);
    struct pool_need need = need_of(r, 1);

    return pools_could(c->pools, &need, &in);
}

/* ---- wishes */

static void ask(struct core *c, enum provider_verb verb, const struct pool_wish *w)
{
    struct action *a = actions_add(c->out, ACTION_PROVIDER);

    a->provider = actions_alloc(c->out, sizeof(*a->provider));
    *a->provider = (struct provider_request){
        .verb = verb, .pool = pool_spec_ref(w->pool), .node = actions_strdup(c->out, w->node)};
}

static void open_or_drain(struct core *c, const struct pool_wish *w)
{
    struct node *n = nodes_find(c->nodes, w->node);

    if (n)
        node_drain(c, n, NODE_HELD_BY_POOL, w->verb == POOL_DRAIN);
}

static void carry_out(struct core *c, const struct pool_wish *w)
{
    static const char *const did[] = {
        [POOL_CREATE] = "is asked for", [POOL_DELETE] = "is deleted", [POOL_DRAIN] = "is emptied", [POOL_OPEN] = "stays"};
    static const char *const notes[] = {
        [POOL_CREATE] = "NodeCreating", [POOL_DELETE] = "NodeDeleting", [POOL_DRAIN] = "NodeDraining", [POOL_OPEN] = "NodeKept"};
    struct action *a;

    switch (w->verb) {
    case POOL_CREATE:
        ask(c, PROVIDER_CREATE, w);
        break;
    case POOL_DELETE:
        ask(c, PROVIDER_DELETE, w);
        break;
    case POOL_LIST:
        ask(c, PROVIDER_LIST, w);
        return;
    case POOL_DRAIN:
    case POOL_OPEN:
        open_or_drain(c, w);
        break;
    case POOL_GONE:
        a = actions_add(c->out, ACTION_FINALIZE);
        a->stored.kind = KIND_NODE_POOL;
        a->stored.key = actions_strdup(c->out, w->pool->name);
        if (w->why)
            core_log(c, true, "pool %s is given up: %s", w->pool->name, pool_why_text(w->why));
        return;
    }
    note_pool(c, w->pool->name, false, notes[w->verb], "node %s %s: %s", w->node, did[w->verb],
              pool_why_text(w->why));
    core_log(c, false, "pool %s: node %s %s: %s", w->pool->name, w->node, did[w->verb],
             pool_why_text(w->why));
    c->pool_steps[w->verb]++;
    c->pool_decisions[w->why]++;
}

static void condition(struct buffer *b, const char *type, bool holds, const char *reason,
                      const char *message)
{
    buffer_printf(b, "{\"type\":\"%s\",\"status\":\"%s\",\"reason\":\"%s\",\"message\":\"", type,
                  holds ? "True" : "False", reason);
    buffer_json_string(b, message, strlen(message));
    buffer_puts(b, "\"}");
}

static void tell(void *user, const struct pool_spec *spec, const struct pool_status *s)
{
    struct core *c = user;
    struct action *a = actions_add(c->out, ACTION_OBJECT_STATUS);
    cleanup_buffer struct buffer b = {0};

    buffer_printf(&b,
                  "{\"observedGeneration\":%lld,\"nodes\":%u,\"ready\":%u,\"desired\":%u,"
                  "\"conditions\":[",
                  (long long)spec->generation, s->nodes, s->ready, s->desired);
    condition(&b, "Ready", s->ok, s->reason, s->message);
    buffer_puts(&b, ",");
    condition(&b, "Limited", s->limited, s->limited_reason, s->limited_message);
    buffer_puts(&b, "]}");
    buffer_append(&b, "", 1);
    a->stored.kind = KIND_NODE_POOL;
    a->stored.key = actions_strdup(c->out, spec->name);
    a->stored.status = actions_strdup(c->out, (const char *)buffer_bytes(&b));
}

void pools_turn(struct core *c)
{
    struct view v = {.core = c};
    struct pool_wishes out = {0};
    struct pool_input in;

    if (!pools_any(c->pools) || core_adopting(c) || c->now < pools_due(c->pools))
        return;
    see_nodes(&v);
    see_pending(&v);
    in = input_of(&v);
    pools_decide(c->pools, &in, c->now, &out);
    for (size_t i = 0; i < out.count; i++)
        carry_out(c, &out.items[i]);
    pools_each(c->pools, tell, c);
    free(out.items);
    free(v.nodes);
    free(v.pending);
    free(v.needs);
    free(v.starts);
}

/* ---- events */

void core_pool(struct core *c, uint64_t now, struct pool_spec *old, struct pool_spec *spec,
               struct actions *out)
{
    c->now = now;
    c->out = out;
    if (pools_set(c->pools, old, spec, now) < 0)
        core_log(c, true, "pool %s: out of memory, it is not looked after", spec->name);
}

/* Its agent will not come back, and no lease is waited for. */
static void removed(struct core *c, const char *name)
{
    struct node *n = nodes_find(c->nodes, name);

    if (!n)
        return;
    node_drain(c, n, NODE_HELD_BY_POOL, false);
    n->leaving = n->machine_gone = true;
    node_moved(n);
    if (n->state == NODE_NOT_READY)
        node_lost(c, n, "its pool has removed its node");
}

void core_provider(struct core *c, uint64_t now, const struct provider_answer *a, struct actions *out)
{
    static const enum pool_verb verbs[] = {
        [PROVIDER_CREATE] = POOL_CREATE, [PROVIDER_DELETE] = POOL_DELETE, [PROVIDER_LIST] = POOL_LIST};
    static const char *const names[] = {"create", "delete", "list"};
    struct pool_answer to = {.verb = verbs[a->verb],
                             .pool = a->pool,
                             .node = a->node,
                             .error = a->error,
                             .message = a->message,
                             .nodes = (const char(*)[POOL_NODE_NAME + 1]) a->nodes,
                             .node_count = a->node_count};

    c->now = now;
    c->out = out;
    if (a->error) {
        const char *space = a->node[0] ? " " : "";

        c->pool_failures++;
        core_log(c, true, "pool %s: %s%s%s failed: %s", a->pool, names[a->verb], space, a->node,
                 a->message);
        note_pool(c, a->pool, true, "ProviderFailed", "%s%s%s: %.400s", names[a->verb], space,
                  a->node, a->message);
    }
    if (a->verb == PROVIDER_DELETE && !a->error)
        removed(c, a->node);
    pools_answer(c->pools, &to, now);
}
