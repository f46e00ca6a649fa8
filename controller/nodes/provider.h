/* provider.h - who adds machines to the platform and takes them away.
 *
 * A provider is asked for a pool's nodes: create one by a name, delete one,
 * list them. Each question is a program's run: JSON on its stdin, JSON on its
 * stdout, a deadline, an output limit, no shell (controller/nodes/README.md has
 * the protocol). All three may be asked again: creating what is there and
 * deleting what is not succeed. The answer to a creation says that the machine
 * is on its way; that it is there is told by its agent's Hello under that name.
 *
 * Questions wait for one of a few threads; the brain waits for none of them. */
#pragma once
#include "nodes/pool_spec.h"
#include "reactor/loop.h"

enum provider_verb { PROVIDER_CREATE, PROVIDER_DELETE, PROVIDER_LIST };
enum {
    PROVIDER_THREADS = 8,
    PROVIDER_NODES_MAX = 2000,     /* of a LIST */
    PROVIDER_OUTPUT_MAX = 1 << 20, /* bytes on stdout */
    PROVIDER_MESSAGE_MAX = 256,
};

struct provider_request {
    enum provider_verb verb;
    struct pool_spec *pool;
    const char *node; /* CREATE, DELETE */
};
struct provider_answer {
    enum provider_verb verb;
    char pool[POOL_NAME_MAX + 1];
    char node[64];
    int error; /* 0; -ETIMEDOUT; -E2BIG: it said too much; -EPROTO: no such JSON; -EREMOTEIO: its own; -errno */
    char message[PROVIDER_MESSAGE_MAX]; /* why, for a person */
    char (*nodes)[64];                  /* LIST: names */
    size_t node_count;
};

struct providers;
struct providers_config {
    const char *process;  /* the program of provider process; NULL: this controller has none */
    const char *platform; /* ... and the platform's directory, its argument */
    const char *hooks;    /* the directory of the programs of provider hook; NULL: none */
    const char *control;  /* the agents' channel, told to the programs */
    struct loop *loop;    /* where answers come */
    void (*on_answer)(void *user, const struct provider_answer *a);
    void *user;
};
/* The texts are copied. */
int providers_new(const struct providers_config *c, struct providers **ret);
/* Never blocks; takes a reference of the pool. The answer always comes, unless providers_stop() does. */
void providers_ask(struct providers *p, const struct provider_request *q);
/* Ends the threads; programs that run get SIGTERM, and SIGKILL 2 s later. Answers that are on their way as
 * mail still need `p`. NULL is a no-op. */
void providers_stop(struct providers *p);
struct providers *providers_free(struct providers *p);
