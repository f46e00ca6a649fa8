/* core_tally.c - how many instances of a revision are in which state: counted after a change, not by each who asks. */
#include "brain/core_internal.h"

bool instance_suspect(const struct core *c, const struct instance *i)
{
    return !i->host->peer && c->now - i->host->since_ns >= SUSPECT_NS;
}

/* *ret_until: when time alone makes another one of it. */
static struct tally walk(const struct core *c, const struct revision *r, uint64_t *ret_until)
{
    struct tally t = {0};

    *ret_until = UINT64_MAX;

    list_for_each(it, &r->instances)
    {
        const struct instance *i = list_entry(it, struct instance, rev_link);

        t.all += !i->dead;
        t.running += i->dead ? 0 : i->in_flight;
        if (!instance_counts(i))
            continue;
        t.counted++;
        t.ready += instance_serves(i);
        t.serving += instance_serves(i) && i->host->peer;
        if (instance_suspect(c, i)) {
            t.suspect++;
            continue;
        }
        if (!i->host->peer && i->host->since_ns + SUSPECT_NS < *ret_until)
            *ret_until = i->host->since_ns + SUSPECT_NS;
        t.starting += !instance_serves(i);
        if (instance_moves(i))
            t.moving++;
        else
            t.settled += instance_serves(i);
    }
    return t;
}

struct tally revision_tally(const struct core *c, struct revision *r)
{
    if (!r->tally_known || c->now >= r->tally_until)
        r->tally = walk(c, r, &r->tally_until);
    r->tally_known = true;
    return r->tally;
}

bool tally_right(const struct core *c, const struct revision *r)
{
    uint64_t until;
    struct tally now = walk(c, r, &until);

    return !r->tally_known || c->now >= r->tally_until ||
           (until == r->tally_until && memcmp(&now, &r->tally, sizeof(now)) == 0);
}

void node_tallies_changed(struct node *n)
{
    list_for_each(it, &n->instances) tally_changed(list_entry(it, struct instance, host_link));
}
