/* Many nodes and many functions: who is told of the routes when, and that a decision's work does not grow with either. */
#include "unit.h"
#include "values.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NODES = 300, SLICE = 32 };

static struct core *core;
static uint64_t now;
static struct core_config config;
static uint64_t routes[NODES + 1]; /* the sequence that each node has */
static char to_start[64];          /* the last DesiredInstance, and at whom */
static uint64_t started_on;
static unsigned told, full, packed,
    all; /* since reset(): Routes, those without a since, different messages; actions */

static void reset(void)
{
    told = full = packed = all = 0;
}

static void take(const struct actions *out)
{
    const ControllerMessage *last = NULL;

    for (const struct action *a = out->first; a; a = a->next) {
        const ControllerMessage *m = a->kind == ACTION_SEND ? a->send.message : NULL;

        all++;
        if (!m)
            continue;
        if (m->body_case == ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED &&
            m->desired->n_instances) {
            snprintf(to_start, sizeof(to_start), "%s", m->desired->instances[0]->id);
            started_on = a->send.peer;
        }
        if (m->body_case != ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES)
            continue;
        told++;
        packed += m != last;
        last = m;
        full += !m->routes->since;
        if (m->routes->since)
            ck_assert_uint_eq(m->routes->since->sequence, routes[a->send.peer]);
        routes[a->send.peer] = m->routes->epoch->sequence;
    }
}

static void turn(void)
{
    struct actions out = {0};

    core_turn(core, now, &out);
    take(&out);
    actions_done(&out);
}

/* As the brain does: at once what is due at once, else when it is. */
static void until(uint64_t at)
{
    turn();
    while (core_due(core) <= at) {
        now = core_due(core) > now ? core_due(core) : now;
        turn();
    }
    now = at;
}

static void tell(uint64_t peer, const AgentMessage *m)
{
    struct actions out = {0};

    core_agent_message(core, now, peer, m, &out);
    take(&out);
    actions_done(&out);
}

static void join(unsigned k)
{
    static char architecture[] = "amd64";
    struct hello h;
    char name[32];

    snprintf(name, sizeof(name), "node-%u", k);
    hello_init(&h, name, k, 64ull << 30, 2048000);
    h.hello.architecture = architecture;
    tell(k, &h.message);
}

static void apply_as(unsigned k, uint64_t memory, uint32_t min)
{
    struct actions out = {0};
    struct function *f;
    char key[64], revision[REVISION_TEXT];

    snprintf(key, sizeof(key), "default/f%u", k);
    snprintf(revision, sizeof(revision), "%016x", k);
    f = make_function(key, revision);
    f->memory = memory;
    f->scaling.min = min;
    core_function(core, now, NULL, f, &out);
    take(&out);
    actions_done(&out);
    function_unref(f);
}

static void apply(unsigned k)
{
    apply_as(k, 128 << 20, 0);
}

static void world(unsigned nodes, unsigned functions)
{
    memset(routes, 0, sizeof(routes));
    reset();
    now = 1000 * NS_PER_S;
    config = core_defaults;
    config.incarnation = 4711;
    config.adopt_ns = 1;
    config.peer_secret = "secret";
    config.activator_address = "tcp://127.0.0.1:7081";
    ck_assert_int_eq(core_new(&config, now, &core), 0);
    now += NS_PER_MS;
    for (unsigned k = 0; k < functions; k++)
        apply(k);
    turn();
    for (unsigned k = 1; k <= nodes; k++)
        join(k);
    until(now + 5 * NS_PER_S);
    reset();
}

static void ticket(uint64_t peer, unsigned function)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Ticket t = ROUSE__CONTROL__V1__TICKET__INIT;
    char key[64];

    snprintf(key, sizeof(key), "default/f%u", function);
    t.id = function + 1;
    t.function_key = key;
    t.deadline_in_ms = 30000;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET;
    m.ticket = &t;
    tell(peer, &m);
}

static void status(Rouse__Control__V1__InstanceState state)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    InstanceStatus s = ROUSE__CONTROL__V1__INSTANCE_STATUS__INIT;

    s.id = to_start;
    s.state = state;
    s.slots = 1;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS;
    m.instance_status = &s;
    tell(started_on, &m);
}

static void slot(unsigned function)
{
    AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    SlotFree s = ROUSE__CONTROL__V1__SLOT_FREE__INIT;

    s.slot = function + 1;
    s.instance = to_start;
    s.lease_ms = 100;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_SLOT_FREE;
    m.slot_free = &s;
    tell(started_on, &m);
}

/* From a request that finds nothing to the instance that serves it. */
static void start(uint64_t peer, unsigned function)
{
    *to_start = 0;
    ticket(peer, function);
    turn();
    ck_assert_msg(*to_start, "a request for f%u woke nothing", function);
    for (int s = ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_FETCHING;
         s <= ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_READY; s++)
        status((Rouse__Control__V1__InstanceState)s);
    turn();
    slot(function);
    turn();
}

static uint64_t newest(void)
{
    uint64_t most = 0;

    for (unsigned k = 1; k <= NODES; k++)
        most = routes[k] > most ? routes[k] : most;
    return most;
}

START_TEST(those_that_come_together_are_told_together)
{
    world(0, 100);
    for (unsigned k = 1; k <= NODES; k++)
        join(k);
    reset();
    turn();
    ck_assert_uint_eq(told, NODES);
    ck_assert_uint_eq(full, NODES);
    ck_assert_uint_eq(packed, 1);
    core_free(core);
}
END_TEST

START_TEST(who_comes_after_another_waits_where_much_is_told)
{
    world(0, 2000);
    join(1);
    turn();
    ck_assert_uint_eq(full, 1);
    for (unsigned k = 2; k <= 50; k++) { /* in turns of their own */
        join(k);
        turn();
    }
    ck_assert_uint_eq(full, 1);
    ck_assert_uint_le(core_due(core), now + 100 * NS_PER_MS);
    until(now + 100 * NS_PER_MS);
    ck_assert_uint_eq(full, 50);
    core_free(core);
}
END_TEST

START_TEST(a_change_goes_round_in_slices)
{
    uint64_t began;
    unsigned turns = 0;

    world(NODES, 100);
    began = now;
    apply(100);
    while (told < NODES) {
        unsigned before = told;

        turn();
        ck_assert_uint_le(told - before, SLICE);
        if (turns++ == 3)
            apply(101); /* goes along with the rest of the round, and the first get it in the next one */
        ck_assert_uint_lt(core_due(core), now + 10 * NS_PER_MS);
        now = core_due(core) > now ? core_due(core) : now;
    }
    until(began + NS_PER_S);
    for (unsigned k = 1; k <= NODES; k++)
        ck_assert_uint_eq(routes[k], newest());
    ck_assert_uint_le(told, NODES + 4 * SLICE);
    ck_assert_uint_eq(full, 0);
    core_free(core);
}
END_TEST

START_TEST(few_nodes_are_told_at_once)
{
    world(SLICE, 100);
    for (unsigned k = 0; k < 3; k++) {
        apply(100 + k);
        turn();
        ck_assert_uint_eq(told, SLICE * (k + 1));
    }
    core_free(core);
}
END_TEST

START_TEST(a_node_that_is_forgotten_leaves_nobody_behind)
{
    struct actions out = {0};
    uint64_t closed;

    world(100, 10);
    core_agent_closed(core, now, 1, "gone", &out);
    actions_done(&out);
    closed = now;
    until(closed + 610 * NS_PER_S - NS_PER_MS);
    apply(10);
    turn();
    ck_assert_uint_eq(told, SLICE);
    until(closed + 611 * NS_PER_S); /* the first of all nodes is forgotten in between */
    for (unsigned k = 2; k <= 100; k++)
        ck_assert_uint_eq(routes[k], newest());
    core_free(core);
}
END_TEST

/* What is done for one cold request, in all: messages and actions without those of the routes. */
static unsigned work(unsigned nodes, unsigned functions, unsigned instances)
{
    unsigned n;

    world(nodes, functions);
    for (unsigned k = 0; k < instances; k++) {
        start(1 + k % nodes, k);
        until(now + 20 * NS_PER_MS);
    }
    until(now + 3 * NS_PER_S);
    reset();
    start(1, functions - 1);
    n = all - told;
    core_free(core);
    return n;
}

START_TEST(a_decisions_work_does_not_grow)
{
    unsigned least = work(40, 100, 10);

    ck_assert_uint_gt(least, 5);
    ck_assert_uint_eq(work(40, 10000, 10), least);
    ck_assert_uint_eq(work(NODES, 100, 10), least);
    ck_assert_uint_eq(work(40, 2000, 1000), least);
}
END_TEST

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
static const bool slowed = true; /* a step is some 40 us, and there are ten times as many */
#else
static const bool slowed;
#endif

/* Instructions of a turn in a fork, step by step; 0: this machine does not let it be traced. */
static uint64_t instructions(void)
{
    uint64_t n = 0;
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (!pid) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(0);
        raise(SIGSTOP);
        turn();
        _exit(0);
    }
    for (;;) {
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        if (!WIFSTOPPED(status))
            break;
        n++;
        ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
    }
    ck_assert_int_eq(status, 0);
    return n;
}

/* Room has become free where so many functions are awake, and one more has found none. */
static uint64_t room_is_free(unsigned awake)
{
    uint64_t n;

    world(3, awake);
    for (unsigned k = 0; k < awake; k++) {
        start(1 + k % 3, k);
        until(now + 20 * NS_PER_MS);
    }
    apply_as(awake, 64ull << 30, 1);
    until(now + 10 * NS_PER_MS);
    status(ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_STOPPED);
    n = instructions();
    core_free(core);
    return n;
}

START_TEST(what_is_awake_is_not_looked_through_for_room)
{
    uint64_t few = slowed ? 0 : room_is_free(20), many = slowed ? 0 : room_is_free(1000);

    if (!few)
        puts(slowed ? "skipped: a sanitizer's instructions are too many to be counted"
                    : "skipped: a child cannot be traced here");
    ck_assert_msg(many <= few + few / 10, "%llu and %llu instructions", (unsigned long long)few,
                  (unsigned long long)many);
}
END_TEST

UNIT_MAIN("core_spread", those_that_come_together_are_told_together,
          who_comes_after_another_waits_where_much_is_told, a_change_goes_round_in_slices,
          few_nodes_are_told_at_once, a_node_that_is_forgotten_leaves_nobody_behind,
          a_decisions_work_does_not_grow, what_is_awake_is_not_looked_through_for_room)
