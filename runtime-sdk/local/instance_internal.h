/* instance_internal.h - an instance as its parts see it: life.c, from start to end; hooks.c, what of its
 * code is called around that; work.c, what its runtime says; requests.c, what becomes of its requests. */
#pragma once
#include "invoke/log_pipe.h"
#include "local/child.h"
#include "local/instance.h"

enum instance_state { INSTANCE_NONE, INSTANCE_STARTING, INSTANCE_READY, INSTANCE_ENDING };

struct instance {
    struct instance_config config;
    const struct local_function *function;
    enum instance_state state;
    struct child child;
    struct runtime_link *link;
    int frames_fd, api_fd; /* listening; a link has copies; -1: none */
    struct log_pipe out, err;
    struct log_budget budget;
    struct invocations *invocations;
    struct list running, waiting;
    unsigned taken, slots, waiting_count;
    uint64_t started_ns;
    struct loop_timer timer;   /* ready in time; then its end in time, its last words */
    struct loop_timer overdue; /* invocations that do not end though they were cancelled */
    int status;                /* as waitpid(), once it has exited */
    bool served;               /* it ran something */
    enum frame_hook_kind hook; /* the last one that was called before it is ready; 0: none */
    bool pre_stopping;         /* preStop is out */
    bool ready_once;
    bool cut;      /* we ended it, for a reason that was shown */
    bool killed;   /* we killed it: how it ended says nothing */
    char why[256]; /* it fails for that reason, which was shown; "" none was told */
    unsigned lives;
    bool stopping;
    void (*on_stopped)(void *user);
    void *stopped_user;
};

/* ---- life.c */
bool instance_debugged(const struct instance *i); /* a debugger decides when the program ends */
void instance_set_state(struct instance *i, enum instance_state to);
void instance_set_timer(struct instance *i, uint64_t in_ns, void (*fn)(struct loop_timer *t));
void instance_ready(struct instance *i, unsigned slots);
/* It ends: nothing new goes there. With `kill` at once, else it has two seconds to do so by itself. */
void instance_end(struct instance *i, bool kill);
/* Its link has nothing more to say. */
void instance_hung_up(struct instance *i);

/* The processes are asked to end, and made to. */
void instance_terminate(struct instance *i);

/* ---- hooks.c */
void hooks_loaded(struct instance *i, unsigned slots); /* ready follows, or its end */
bool hooks_pre_stop(struct instance *i);               /* true: instance_terminate() follows */
void hooks_answered(struct instance *i, enum frame_hook_kind hook, const struct function_error *e);

/* ---- work.c */
int work_open_outputs(struct instance *i, int out, int err); /* takes both */
int work_open_link(struct instance *i);
void work_close(struct instance *i); /* what it wrote is heard; what it ran is lost */
void work_hear(struct instance *i);  /* what was written before a result counts to that request */
uint32_t work_timeout_ms(const struct instance *i);

/* ---- requests.c */
void requests_pump(struct instance *i); /* as many as there is room for */
void requests_fail(struct instance *i, int status, const char *reason,
                   const char *message); /* those that wait */
