/* template.h - spec.start: fork, as the pool's parts see it. All on the pool's loop.
 *
 * The first instance of such a revision on this node starts as any other does. When it is initialised it is
 * asked to fork; when its first child has a cgroup of its own (the launcher *adopts* it), its runtime stands
 * alone from there on: the *template*. The child is the instance; so are those that are forked later. The template
 * takes no invocation, counts as no instance, and sleeps in the freezer while its function sleeps; one child
 * more than is wanted is kept parked, so that no start waits for a fork or an attach.
 *
 * What is in the sandbox is foreign: a template may lie, and so may any of its processes. It is listened to only
 * while a child is awaited, for a limited time and number of connections; a child is who says an id that was asked
 * for, once, and the launcher sees that the process is of that sandbox. Whoever it is has the limits of one instance.
 *
 * template.c        its life: made of an instance, ended
 * template_link.c   what is heard of it
 * template_keep.c   how it sleeps, and how long it is kept
 * template_queue.c  children for those who wait
 * template_door.c   who connects while a child is awaited
 * forked.c          its children, from FORK until one is an instance */
#pragma once
#include "pool/internal.h"

enum {
    FORKS_AT_ONCE = 8, /* children that are awaited */
    DOORS_MAX = FORKS_AT_ONCE,
    STRANGERS_MAX = 64,        /* connections that came to nothing, since the last child */
    TEMPLATE_FAILURES_MAX = 3, /* of a revision: then its instances start as others do */
};
#define FORK_TIME_NS                                                                               \
    (5 * NS_PER_S) /* from FORK to a child with a cgroup; a small cpu quota makes it slow */
#define FORK_REFILL_NS                                                                             \
    (20 * NS_PER_MS) /* the parked one's successor leaves its request the processor */

/* Somebody who has connected and not said who it is. */
struct door {
    struct loop_watch watch;
    struct template *template;
};

struct template
{
    struct list link;     /* in pool.templates: the one that was used last is the last */
    struct map_node node; /* in pool.template_boxes */
    struct pool *pool;
    struct revision *revision;
    struct instance *host; /* whose runtime it still is, until the first child is there; then NULL */
    char *id;              /* the launcher's name of the sandbox: the first instance's id */
    char cgroup[CGROUP_NAME_MAX];
    bool stands;            /* its runtime is its own: it has forked */
    bool ending;            /* it forks no more */
    bool asleep;            /* frozen by us */
    bool stopped;           /* the launcher was told to end it: after its last fork has ended */
    struct loop_timer reap; /* one that never stood */
    struct runtime_link *link_to; /* NULL while it is the host's */
    struct log_pipe out, err;
    struct log_budget log_budget;
    struct function_log *log;
    struct loop_watch init;   /* pidfd of the sandbox's first process */
    struct loop_watch listen; /* set while a child is awaited */
    struct door doors[DOORS_MAX];
    unsigned strangers;
    struct list children; /* that are no instance yet */
    struct list taken;    /* that are */
    bool code_held;
};

struct forked {
    struct list link;     /* in template.children or .taken */
    struct map_node node; /* in pool.forks */
    struct pool *pool;
    struct template *template; /* NULL: that is gone */
    struct instance *instance; /* which it is; NULL: it waits */
    enum forked_state {
        FORKED_ASKED,
        FORKED_ATTACHING,
        FORKED_PARKED,
        FORKED_TAKEN,
        FORKED_ENDING
    } state;
    char id[32]; /* the launcher's name of it */
    uint64_t token;
    int fd; /* its connection, until it is an instance's */
    pid_t pid;
    char cgroup[CGROUP_NAME_MAX];
    struct loop_timer late;
};

/* ---- template.c */
/* As template_end(), for what it did: after some of these its revision has no templates any more. */
void template_failed(struct template *t, const char *why);
/* It forks no more; its sandbox goes. Who waits for a child starts as others do. */
void template_end(struct template *t, const char *why);
/* Its first child has its cgroup: from here on it stands alone, and its host waits for a child as others do. */
void template_stand(struct template *t);
void template_used(struct template *t);     /* a child became an instance */
void template_returned(struct template *t); /* one that was an instance is gone */

/* ---- template_link.c */
void template_say(struct template *t, const char *what, const char *why); /* in the function's log */
/* What is its host's becomes its own. */
void template_take_link(struct template *t, struct instance *i);

/* ---- template_keep.c */
/* What is foreign code and nobody's instance uses no processor: frozen, unless there is an instance or who waits. */
void template_sleep(struct template *t);
void template_wake(struct template *t);
void templates_watch(struct pool *p); /* there is one more: what is too much goes, now and later */

/* ---- template_queue.c */
void template_step(struct revision *r); /* level triggered: children for those who wait, and one more */
/* Those who wait go on: in a turn to come, not under whoever calls. */
void template_step_soon(struct revision *r, uint64_t in_ns);

/* ---- template_door.c */
int template_listen(struct template *t, int listen_fd);
void template_door_open(struct template *t); /* somebody is awaited */
void template_door_shut(struct template *t); /* nobody is: who has not said who it is is sent away */
void template_door_close(struct template *t); /* for good */

/* ---- forked.c */
int forked_ask(struct template *t);
unsigned forked_awaited(const struct template *t); /* asked for, not parked yet */
struct forked *forked_parked(struct template *t);  /* or NULL */
/* A process of the template's sandbox has said that id; `fd` is taken over if it is awaited. False: it is not. */
bool forked_arrived(struct template *t, uint64_t token, int fd, const struct ucred *who);
/* It becomes that instance: its outputs and its connection are told. False: it has hung up, and ends. */
bool forked_give(struct forked *f, struct instance *i);
void forked_free(struct forked *f);
