#include "shard/ports.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "launcher/launcher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTROL, API, FRONT, ADDRESS_MAX = 128 };

struct node_ports {
    struct map_node node;
    char gateway[ADDRESS_MAX + 1], peer[ADDRESS_MAX + 1];
    char name[];
};

static void on_timer(struct loop_timer *t)
{
    struct ports *p = container_of(t, struct ports, timer);
    size_t room = 2 * p->nodes.count + 4, n = 0;
    const char **all = calloc(room, sizeof(*all));
    int r = all ? 0 : -ENOMEM;

    if (r == 0) {
        for (int i = p->gateways ? API : FRONT; i >= CONTROL; i--)
            if (p->fixed[i])
                all[n++] = p->fixed[i];
        map_for_each(it, &p->nodes)
        {
            struct node_ports *o = map_entry(it, struct node_ports, node);

            all[n++] = o->peer;
            if (!p->gateways)
                all[n++] = o->gateway;
        }
        r = launcher_ports(p->launcher, all);
    }
    if (r < 0)
        log_warn("instances may reach the platform's ports: %s", strerror(-r));
    free(all);
}

static void changed(struct ports *p)
{
    if (!loop_timer_armed(&p->timer))
        loop_timer_set(p->loop, &p->timer, loop_now(p->loop) + NS_PER_S);
}

/* "tcp://HOST:PORT" of "https://HOST[:PORT][/...]". */
static char *address_of(const char *url)
{
    bool tls = !strncmp(url, "https://", 8);
    const char *host = url + (tls ? 8 : 7);
    int n = (int)strcspn(host, "/");
    const char *colon = memchr(host, ':', (size_t)n), *bracket = memchr(host, ']', (size_t)n);
    char *to;

    if (bracket)
        colon = bracket[1] == ':' ? bracket + 1 : NULL;
    if (asprintf(&to, "tcp://%.*s%s", n, host, colon ? "" : tls ? ":443" : ":80") < 0)
        return NULL;
    return to;
}

/* A TLS channel's address may be one, too, rather than a name. */
static char *channel_of(const char *controller)
{
    char *to;

    if (strncmp(controller, "tls://", 6) != 0)
        return strdup(controller);
    return asprintf(&to, "tcp://%s", controller + 6) < 0 ? NULL : to;
}

int ports_init(struct ports *p, struct loop *loop, struct launcher *l, const char *controller,
               const char *api, bool gateways)
{
    *p = (struct ports){.loop = loop, .launcher = l, .gateways = gateways, .timer.fn = on_timer};
    p->fixed[CONTROL] = channel_of(controller);
    p->fixed[API] = address_of(api);
    if (!p->fixed[CONTROL] || !p->fixed[API])
        return -ENOMEM;
    on_timer(&p->timer);
    return 0;
}

void ports_front(struct ports *p, const char *address)
{
    if (p->fixed[FRONT] && !strcmp(p->fixed[FRONT], address))
        return;
    free(p->fixed[FRONT]);
    p->fixed[FRONT] = strdup(address);
    changed(p);
}

static void drop(struct ports *p, struct node_ports *o)
{
    map_del(&p->nodes, &o->node);
    free(o);
}

static void drop_all(struct ports *p)
{
    map_for_each(it, &p->nodes) drop(p, map_entry(it, struct node_ports, node));
}

static struct node_ports *find(struct ports *p, const char *name)
{
    struct map_node *m = map_get_str(&p->nodes, name);

    return m ? map_entry(m, struct node_ports, node) : NULL;
}

static void add(struct ports *p, const Rouse__Control__V1__NodeAddresses *a)
{
    struct node_ports *o = find(p, a->node);
    size_t size = strlen(a->node) + 1;

    if (!o && p->nodes.count == PORTS_NODES_MAX) {
        if (!p->full)
            log_warn("instances may reach the ports of nodes past the first %d", PORTS_NODES_MAX);
        p->full = true;
        return;
    }
    if (!o) {
        o = calloc(1, sizeof(*o) + size);
        if (!o)
            return;
        memcpy(o->name, a->node, size);
        if (map_put(&p->nodes, &o->node, o->name, size - 1) < 0) {
            free(o);
            return;
        }
    }
    snprintf(o->gateway, sizeof(o->gateway), "%s", a->gateway_address);
    snprintf(o->peer, sizeof(o->peer), "%s", a->peer_address);
}

void ports_nodes(struct ports *p, const Rouse__Control__V1__Nodes *m)
{
    if (m->all)
        drop_all(p);
    for (size_t i = 0; i < m->n_nodes; i++)
        add(p, m->nodes[i]);
    for (size_t i = 0; i < m->n_removed; i++) {
        struct node_ports *o = find(p, m->removed[i]);

        if (o)
            drop(p, o);
    }
    changed(p);
}

void ports_done(struct ports *p)
{
    if (p->loop)
        loop_timer_cancel(p->loop, &p->timer);
    drop_all(p);
    map_done(&p->nodes);
    for (size_t i = 0; i < sizeof(p->fixed) / sizeof(p->fixed[0]); i++)
        free(p->fixed[i]);
}
