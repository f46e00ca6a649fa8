/* control_core.c - the controller's decisions without its sockets: `control_core FUNCTIONS NODES DECISIONS`.
 *
 * FUNCTIONS sleep; requests for DECISIONS of them come in, each at another node, and none finds an instance. Prints
 * the times from the ticket to the Desired that goes to a node (ns: median, 99th percentile, most), then what applying
 * the functions took (ns each). Under callgrind, collect in decide(). */
/* module: controller/brain */
#include "../unit/controller/brain/values.h"
#include "base/clock.h"
#include "brain/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct core *core;
static uint64_t now;

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "control_core: %s\n", what);
        exit(1);
    }
}

static void turn(void)
{
    struct actions out = {0};

    core_turn(core, now, &out);
    actions_done(&out);
}

static void join(unsigned k)
{
    static char architecture[] = "amd64";
    struct actions out = {0};
    struct hello h;
    char name[32];

    snprintf(name, sizeof(name), "node-%u", k);
    hello_init(&h, name, k + 1, 64ull << 30, 2048000);
    h.hello.architecture = architecture;
    core_agent_message(core, now, k + 1, &h.message, &out);
    actions_done(&out);
}

static void key_of(unsigned k, char out[64])
{
    snprintf(out, 64, "default/f%u", k);
}

static void apply(unsigned k)
{
    struct actions out = {0};
    struct function *f;
    char key[64], revision[REVISION_TEXT];

    key_of(k, key);
    snprintf(revision, sizeof(revision), "%016x", k);
    f = make_function(key, revision);
    core_function(core, now, NULL, f, &out);
    actions_done(&out);
    function_unref(f);
}

/* One request that finds nothing. */
static __attribute__((noinline)) void decide(uint64_t peer, const AgentMessage *m, struct actions *out)
{
    core_agent_message(core, now, peer, m, out);
    core_turn(core, now, out);
}

static bool placed(const struct actions *out)
{
    for (const struct action *a = out->first; a; a = a->next)
        if (a->kind == ACTION_SEND &&
            a->send.message->body_case == ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED &&
            a->send.message->desired->n_instances == 1)
            return true;
    return false;
}

static uint64_t one(unsigned k, uint64_t peer)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Ticket t = ROUSE__CONTROL__V1__TICKET__INIT;
    struct actions out = {0};
    uint64_t began, took;
    char key[64];

    key_of(k, key);
    t.id = k + 1;
    t.function_key = key;
    t.deadline_in_ms = 30000;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET;
    m.ticket = &t;
    began = clock_monotonic_ns();
    decide(peer, &m, &out);
    took = clock_monotonic_ns() - began;
    must(placed(&out), "a request woke nothing");
    actions_done(&out);
    return took;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

int main(int argc, char **argv)
{
    unsigned functions = argc > 1 ? (unsigned)atoi(argv[1]) : 0,
             nodes = argc > 2 ? (unsigned)atoi(argv[2]) : 0,
             decisions = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
    struct core_config c = core_defaults;
    uint64_t *took, began;

    must(functions && nodes && decisions && decisions <= functions,
         "usage: control_core FUNCTIONS NODES DECISIONS, no more of them than functions");
    took = calloc(decisions, sizeof(*took));
    now = 1000 * NS_PER_S;
    c.incarnation = 4711;
    c.adopt_ns = 1;
    c.peer_secret = "secret";
    c.activator_address = "tcp://127.0.0.1:7081";
    must(took && core_new(&c, now, &core) == 0, "out of memory");
    began = clock_monotonic_ns();
    for (unsigned k = 0; k < functions; k++)
        apply(k);
    turn();
    began = clock_monotonic_ns() - began;
    for (unsigned k = 0; k < nodes; k++)
        join(k);
    for (int k = 0; k < 20; k++) { /* statuses, routes */
        now += NS_PER_S / 2;
        turn();
    }
    for (unsigned k = 0; k < decisions; k++) {
        now += NS_PER_S / 1000;
        took[k] = one((unsigned)((uint64_t)k * functions / decisions), 1 + k % nodes);
    }
    qsort(took, decisions, sizeof(*took), by_value);
    printf("%llu %llu %llu %llu\n", (unsigned long long)took[decisions / 2],
           (unsigned long long)took[decisions * 99ull / 100],
           (unsigned long long)took[decisions - 1], (unsigned long long)(began / functions));
    core_free(core);
    free(took);
    return 0;
}
