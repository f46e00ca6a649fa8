/* crowd.h - many agents made of values on real control channels, and the requests that come in at them.
 *
 * What they tell and when is what a real agent tells: Hello, an acknowledgement of each Desired and Routes, the four
 * states of a start, a slot where one is wanted, Frozen after an idle second, a Report each second. A start takes no
 * time, nor does a request. Functions are called default/f0, f1, ... One loop's thread. */
#pragma once
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "bench/agents/fleet.h"

struct crowd_agent {
    struct list instances;
    char name[24];
    uint64_t desired_incarnation, desired;
    bool routed; /* has been sent the routes */
};
struct crowd_instance {
    struct map_node node; /* crowd.instances by id */
    struct list link;     /* crowd_agent.instances */
    unsigned agent, function;
    uint64_t idle_since_ms;
    bool frozen, told_busy;
    bool routed; /* agent 0 has been told where it is */
    char id[64], revision[40];
};
struct call {                                  /* of a function, when it is cold */
    uint64_t sent_ns, desired_ns, answered_ns; /* 0: not yet */
    unsigned agent;
    bool refused;
};
struct crowd {
    struct loop *loop;
    struct fleet *fleet;
    unsigned agent_count, function_count, busy; /* functions below `busy` are called each second */
    struct crowd_agent *agents;
    struct call *calls; /* by function */
    struct map instances;
    unsigned routed; /* agents */
    unsigned ready;  /* instances, told of */
    unsigned reachable; /* of them those that agent 0 has been told of: the controller knows that they are ready */
    uint64_t started;         /* instances, ever */
    uint64_t answered;        /* calls, ever */
    unsigned report_next;     /* the agent whose turn it is */
    struct loop_timer report; /* one agent after the other, all of them within a second */
    struct loop_deferred flush;
    bool flushing;
    uint64_t last_slot;
    void (*on_change)(struct crowd *c); /* one of routed, ready or a call has changed */
};

int crowd_new(struct loop *loop, const char *address, unsigned agents, unsigned functions,
              void (*on_change)(struct crowd *c), struct crowd **ret);
struct crowd *crowd_free(struct crowd *c);

/* A request for the function comes in at agent function % agents. */
void crowd_call(struct crowd *c, unsigned function);

/* ---- the crowd's own */
void crowd_answered(struct crowd *c, struct call *call, bool refused);
void crowd_send(struct crowd *c, unsigned agent, const AgentMessage *m);
struct crowd_instance *crowd_instance(const struct crowd *c, const char *id); /* NULL */
int crowd_function(const struct crowd *c, const char *key);                   /* -1: none of ours */
void crowd_key(unsigned function, char out[32]);
/* crowd_instance.c */
void crowd_desired(struct crowd *c, unsigned agent, const Rouse__Control__V1__Desired *d);
void crowd_slot_wanted(struct crowd *c, unsigned agent, const Rouse__Control__V1__SlotWanted *w);
void crowd_report(struct crowd *c, unsigned agent);
