/* ports.h - where the platform's own processes listen, as this agent learns it: for the launcher, which keeps
 * instances from there.
 *
 * Told of at once at the start, then at most once a second and only when
 * something has changed: never on the way of a request. On the main loop. */
#pragma once
#include "base/map.h"
#include "control.pb-c.h"
#include "reactor/loop.h"

struct launcher;

enum { PORTS_NODES_MAX = 1900 }; /* launcher_ports() takes 4096 addresses */

struct ports {
    struct loop *loop;
    struct launcher *launcher;
    bool gateways;  /* instances may reach these */
    char *fixed[3]; /* the controller's: control channel, API, front */
    struct map nodes;
    bool full; /* it was said that there are too many */
    struct loop_timer timer;
};

/* `controller` is an address, `api` a URL; of names there is nothing to be told. -ENOMEM */
int ports_init(struct ports *p, struct loop *loop, struct launcher *l, const char *controller,
               const char *api, bool gateways);
void ports_done(struct ports *p);
void ports_front(struct ports *p, const char *address);
void ports_nodes(struct ports *p, const Rouse__Control__V1__Nodes *m);
