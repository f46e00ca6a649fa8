/* core_leave.c - how instances go: unrouted, acknowledged, out of their node's Desired; or at once. */
#include "brain/core_internal.h"

void instance_leaving_counts(struct instance *i, bool on)
{
    struct node *n = i->host;

    n->leaving_memory += on ? i->memory : -i->memory;
    n->leaving_cpu += on ? i->cpu : -i->cpu;
}

/* Takes it off everything but its revision's list and the map, before it is dead or freed. */
static void detach(struct core *c, struct instance *i)
{
    struct presence *p = fn_presence(i->rev->fn, i->host, false);

    instance_set_endpoint(c, i, false);
    slots_of_instance_gone(c, i);
    if (i->leaving != LEAVING_NOT)
        instance_leaving_counts(i, false);
    i->leaving = LEAVING_NOT;
    tally_changed(i);
    list_del(&i->leaving_link);
    list_del(&i->added_link);
    list_del(&i->host_link);
    node_release(i->host, i->memory, i->cpu);
    node_instances(c, i->host, -1);
    if (p)
        p->instances--;
    i->in_flight = 0;
    c->capacity_changed = true;
    fn_dirty(c, i->rev->fn);
    fn_status_dirty(c, i->rev->fn, false);
}

void instance_free(struct core *c, struct instance *i)
{
    if (!i)
        return;
    if (!i->dead)
        detach(c, i);
    list_del(&i->dead_link);
    list_del(&i->rev_link);
    map_del(&c->instances, &i->node);
    instance_uses_nothing(i);
    free(i);
}

void instance_end(struct core *c, struct instance *i)
{
    unpublish_instance(c, i);
    instance_free(c, i);
}

void instance_lost(struct core *c, struct instance *i, const char *why)
{
    core_log(c, true, "instance %s on %s is lost: %s", i->id, i->host->name, why);
    note_fn(c, i->rev->fn, true, "InstanceLost", "an instance on %s: %s", i->host->name, why);
    instance_end(c, i);
}

/* Failed ones are shown for a while, so that a person can read why. */
void instance_keep_dead(struct core *c, struct instance *i)
{
    detach(c, i);
    i->dead = true;
    i->dead_until = c->now + DEAD_NS;
    list_push_back(&c->dead, &i->dead_link);
    publish_instance(c, i);
}

void instances_dead(struct core *c)
{
    list_for_each(it, &c->dead)
    {
        struct instance *i = list_entry(it, struct instance, dead_link);

        if (i->dead_until > c->now)
            break;
        fn_dirty(c, i->rev->fn);
        instance_end(c, i);
    }
}

void instances_forget(struct core *c, const struct node *n)
{
    list_for_each(it, &c->dead)
    {
        struct instance *i = list_entry(it, struct instance, dead_link);

        if (i->host != n)
            continue;
        fn_dirty(c, i->rev->fn);
        instance_end(c, i);
    }
}

void instance_leave(struct core *c, struct instance *i)
{
    if (i->dead || i->leaving != LEAVING_NOT)
        return;
    instance_leaving_counts(i, true);
    slots_of_instance_back(c, i);
    i->leaving = LEAVING_UNROUTED;
    tally_changed(i);
    i->leaving_sequence = 0; /* was never routed: nothing to wait for */
    if (i->endpoint) {
        instance_set_endpoint(c, i, false);
        i->leaving_sequence = sync_next_sequence(c);
    }
    i->leaving_until = c->now + c->config.unroute_ns;
    list_push_back(&c->leaving, &i->leaving_link);
    fn_status_dirty(c, i->rev->fn, false);
}

bool instance_return(struct core *c, struct instance *i)
{
    if (i->dead || i->taken || i->leaving != LEAVING_UNROUTED || instance_moves(i))
        return false;
    instance_leaving_counts(i, false);
    i->leaving = LEAVING_NOT;
    tally_changed(i);
    list_del(&i->leaving_link);
    if (instance_serves(i))
        instance_set_endpoint(c, i, true);
    slots_of_instance_match(c, i);
    return true;
}

void instances_leaving(struct core *c)
{
    list_for_each(it, &c->leaving)
    {
        struct instance *i = list_entry(it, struct instance, leaving_link);

        if (c->now < i->leaving_until && !sync_acked(c, i->leaving_sequence))
            continue;
        list_del(&i->leaving_link);
        i->leaving = LEAVING_REMOVED;
        if (!list_empty(&i->added_link)) { /* its node never heard of it */
            instance_end(c, i);
            continue;
        }
        if (node_removed(i->host, i->id) < 0)
            i->host->desired_full = true;
        node_dirty(c, i->host);
    }
}
