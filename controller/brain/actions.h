/* actions.h - what the decision core wants done, in order: messages, objects, answers.
 *
 * Everything an action points to lies in the list's own arena (functions are
 * referenced), so the core may go on while the actions are carried out. */
#pragma once
#include "activator/grant.h"
#include "brain/messages.h"
#include "brain/registry.h"
#include "nodes/provider.h"

enum action_kind {
    ACTION_SEND,    /* a message to an agent */
    ACTION_CLOSE,   /* its channel, with a reason */
    ACTION_ANSWER,  /* a grant or refusal to the controller's own front */
    ACTION_STATUS,  /* a function's status */
    ACTION_PUBLISH, /* a read-only object */
    ACTION_UNPUBLISH,
    ACTION_FINALIZE,      /* what hung on a deleted object is gone */
    ACTION_OBJECT_STATUS, /* the status of an object of another kind, as JSON */
    ACTION_PROVIDER,      /* a question to a pool's provider of nodes */
    ACTION_LOG,           /* a line for the controller's log */
    ACTION_NOTE,          /* what happened to an object, for people */
    ACTION_HISTORY,       /* of a function, to be found again by core_history() */
    ACTION_QUERY,         /* what an external metric says; core_external() is the answer */
};
struct action {
    struct action *next;
    enum action_kind kind;
    union {
        struct {
            uint64_t peer;
            ControllerMessage *message;
        } send;
        struct {
            uint64_t peer;
            const char *reason;
        } close;
        struct {
            uint64_t ticket;
            struct grant *grant;
        } answer;
        struct {
            const char *key;
            struct function_status *status;
        } status;
        struct { /* UNPUBLISH: kind, ns and name only */
            enum object_kind kind;
            const char *ns, *name, *labels, *spec, *status;
            struct function *owner;
        } object;
        struct {
            enum object_kind kind;
            const char *key, *status; /* FINALIZE: without status */
        } stored;
        struct provider_request *provider; /* its reference is the list's */
        struct {
            bool warning;
            const char *text;
        } log;
        struct {
            enum object_kind kind;
            const char *key, *reason, *message; /* reason: static */
            bool warning;
        } note;
        struct {
            const char *key, *text; /* NULL: none any more */
        } history;
        struct {
            const char *key, *text; /* of the function; PromQL */
            uint32_t metric;        /* of its scaling.metrics */
        } query;
    };
};

struct actions { /* zero-initialised is empty */
    struct action *first, **last;
    struct arena_block *arena;
};
void actions_done(struct actions *a); /* frees all, usable again */

/* Memory that lives until actions_done(); aborts when there is none (small, fixed sizes). */
void *actions_alloc(struct actions *a, size_t n); /* zeroed */
char *actions_strdup(struct actions *a, const char *s);
char *actions_printf(struct actions *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct action *actions_add(struct actions *a, enum action_kind kind);
/* An ACTION_SEND whose message has been initialised. */
ControllerMessage *actions_send(struct actions *a, uint64_t peer);
/* The same message to one more: in a row it is packed once. */
void actions_send_too(struct actions *a, uint64_t peer, ControllerMessage *m);
