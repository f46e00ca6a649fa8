#include "launcher/removal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "launcher/server.h"

#include <string.h>

#define FIRST_STEP_NS (2 * NS_PER_MS)
#define STEP_MAX_NS   (64 * NS_PER_MS)
#define USUAL_NS      (5 * NS_PER_S)  /* longer is told of once */
#define LATE_STEP_NS  (10 * NS_PER_S) /* and asked for more and more seldom */

struct removal {
    struct list link;
    struct server *server;
    char cgroup[CGROUP_NAME_MAX]; /* "": gone */
    int64_t slot;
    bool linked, late;
    struct network_link net;
    uint64_t step, until;
    struct loop_timer timer;
};

static void removal_free(struct removal *r)
{
    loop_timer_cancel(r->server->loop, &r->timer);
    list_del(&r->link);
    free(r);
}

/* True: it was the last. */
static bool is_over(struct removal *r)
{
    struct server *s = r->server;

    if (r->linked && network_unlinked(&s->network, &r->net))
        r->linked = false;
    if (*r->cgroup || r->linked)
        return false;
    if (r->slot >= 0)
        idpool_give(&s->slots, (uint32_t)r->slot);
    removal_free(r);
    return true;
}

static void on_step(struct loop_timer *t)
{
    struct removal *r = container_of(t, struct removal, timer);
    uint64_t now = clock_monotonic_ns(), max;

    if (is_over(r))
        return;
    if (now >= r->until && !r->late) {
        log_warn("of a sandbox that has ended the %s %s stays, so far",
                 *r->cgroup ? "cgroup" : "link", *r->cgroup ? r->cgroup : r->net.name);
        r->late = true;
    }
    /* Asked again and again: it may be busy still, or the nursery another one. */
    if (*r->cgroup)
        nursery_remove(&r->server->nursery, r->cgroup);
    max = r->late ? LATE_STEP_NS : STEP_MAX_NS;
    r->step = r->step * 2 < max ? r->step * 2 : max;
    loop_timer_set(r->server->loop, t, now + r->step);
}

void removal_begin(struct server *s, const char *cgroup, int64_t slot, const struct network_link *net)
{
    struct removal *r = calloc(1, sizeof(*r));
    uint64_t now = clock_monotonic_ns();

    if (!r)
        return;
    r->server = s;
    memcpy(r->cgroup, cgroup, strlen(cgroup) + 1);
    r->slot = slot;
    r->linked = net != NULL;
    if (net)
        r->net = *net;
    r->until = now + USUAL_NS;
    r->step = FIRST_STEP_NS;
    r->timer.fn = on_step;
    list_push_back(&s->removals, &r->link);
    if (*cgroup)
        nursery_remove(&s->nursery, cgroup);
    loop_timer_set(s->loop, &r->timer, now + r->step);
}

void removal_cgroup_gone(struct server *s, const char *cgroup)
{
    list_for_each(it, &s->removals)
    {
        struct removal *r = list_entry(it, struct removal, link);

        if (!strcmp(r->cgroup, cgroup)) {
            r->cgroup[0] = '\0';
            is_over(r);
            return;
        }
    }
}

void removals_done(struct server *s)
{
    list_for_each(it, &s->removals) removal_free(list_entry(it, struct removal, link));
}
