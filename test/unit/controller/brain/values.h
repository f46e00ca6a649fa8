/* values.h - functions and nodes made of values, for tests and benchmarks of the decision core. */
#pragma once
#include "base/clock.h"
#include "brain/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "namespace/name". Python, 128 MiB, one at a time; without triggers. */
static inline struct function *make_function(const char *key, const char *revision)
{
    char ns[64];
    struct function *f;

    snprintf(ns, sizeof(ns), "%.*s", (int)strcspn(key, "/"), key);
    f = function_new(ns, strchr(key, '/') + 1);
    if (!f)
        abort();
    f->generation = 1;
    f->created_ms = 1000;
    snprintf(f->revision, sizeof(f->revision), "%s", revision);
    f->runtime = strdup("python3");
    f->handler = strdup("index.handler");
    f->package = strdup("sha256:00");
    f->memory = 128 << 20;
    f->cpu_millis = 500;
    f->timeout_ms = 3000;
    f->concurrency = 1;
    f->scaling = (struct autoscaler_spec){.max = 100, .idle_timeout_ns = 60 * NS_PER_S};
    return f;
}

/* The Hello of a node that has nothing yet. */
struct hello {
    AgentMessage message;
    Hello hello; /* for what else it is to say */
    Rouse__Control__V1__Resources allocatable;
    Rouse__Control__V1__RuntimeInfo runtime, *runtimes[1];
};

/* `name` and `h` must stay where they are until it is sent. `cpu` in thousandths. */
static inline void hello_init(struct hello *h, const char *name, uint64_t incarnation,
                              uint64_t memory, uint32_t cpu)
{
    static char address[] = "tcp://127.0.0.1:8081", python[] = "python3";

    rouse__control__v1__agent_message__init(&h->message);
    rouse__control__v1__hello__init(&h->hello);
    rouse__control__v1__resources__init(&h->allocatable);
    rouse__control__v1__runtime_info__init(&h->runtime);
    h->runtime.name = python;
    h->runtimes[0] = &h->runtime;
    h->allocatable.memory = memory;
    h->allocatable.cpu = cpu;
    h->hello.protocol = 1;
    h->hello.node = (char *)name;
    h->hello.incarnation = incarnation;
    h->hello.peer_address = address;
    h->hello.allocatable = &h->allocatable;
    h->hello.runtimes = h->runtimes;
    h->hello.n_runtimes = 1;
    h->message.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO;
    h->message.hello = &h->hello;
}
