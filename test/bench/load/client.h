/* client.h - the connections of a load generator: one thread, one epoll, edge triggered.
 *
 * In a closed loop every connection keeps `depth` requests on the way until told to stop. In an open loop
 * a request has an intended time, whatever the server does, and its latency counts from there: what waits
 * for a free connection is late already (no coordinated omission). */
#pragma once
#include "bench/load/answer.h"
#include "bench/load/histogram.h"
#include <netinet/in.h>
#include <stdbool.h>

enum { DEPTH_MAX = 256, ERRORS_MAX = 100, BATCH_MAX = 1 << 20 };

struct plan {
    struct sockaddr_in address;
    unsigned connections;
    unsigned depth;
    size_t request_size;
    bool echo;
    double rate;       /* per second; 0: closed loop */
    unsigned each;     /* requests of each connection; 0: no limit */
    const char *batch; /* `depth` requests, one after the other */
};

struct client;

struct load {
    const struct plan *plan;
    struct client *clients;
    int epoll;
    unsigned open, busy; /* connected; requests on the way */
    bool stopping;       /* closed loop: no new requests */
    bool counting;       /* latencies are recorded */
    uint64_t now;        /* monotonic ns, after the last wait */

    struct client **idle; /* a ring of those without a request */
    unsigned idle_at, idle_n;
    uint64_t first_due, sent_due; /* open loop: the first intended time, and how many were sent */
    uint64_t count_from;          /* open loop: intended times before it are warm-up */
    uint64_t last_due;            /* open loop: none is due from then on; 0: no end */

    uint64_t requests, errors;
    const char *error; /* the first one */
    struct histogram latency;
    struct histogram late; /* open loop: sent after its time, connections being free: the load's own fault */
    uint64_t starved; /* when a request last waited for a free connection: what was due before is not the load's fault */
};

uint64_t now_ns(void);
/* All are connected, or -errno, in at most ten seconds. */
int load_connect(struct load *l, const struct plan *p);
void load_start(struct load *l); /* the first requests */
/* One turn: waits at most until `until` and handles what came. -EPROTO past ERRORS_MAX errors. */
int load_turn(struct load *l, uint64_t until);
void load_done(struct load *l);
