/* api_internal.h - the API's thread: what its files share. Everything here belongs to that thread.
 */
#pragma once
#include "api/admission.h"
#include "api/api.h"
#include "api/failure.h"
#include "api/selector.h"
#include "api/stats.h"
#include "api/table.h"
#include "base/list.h"
#include "brain/access.h"
#include "http/server.h"
#include "reactor/loop.h"
#include "store/packages.h"

#include <pthread.h>

enum {
    BODY_MAX = 3 << 20,
    SEGMENTS_MAX = 10,
    PARAMS_MAX = 32,
    SNAPSHOTS_MAX = 16,
    WATCHES_MAX = 2000,
    LOGS_MAX = 200,
    CONNECTIONS_MAX = 4000,
};
#define BODIES_MAX         (96ull << 20) /* of all requests that are being read or worked on */
#define WATCH_BEHIND_MAX   (8ull << 20)  /* of one watch */
#define WATCHES_BEHIND_MAX (64ull << 20) /* of all */

struct snapshot;
struct api {
    struct api_config c;
    char *token;
    struct loop *loop, *disk; /* disk: a thread that may wait for fsync */
    pthread_t disk_thread;
    struct http_server *server;
    char host[128];       /* "127.0.0.1:7080", the bound one */
    char local_host[128]; /* the same of local_address; "" if there is none */
    struct schema_set *schema;
    struct api_stats stats;
    struct list requests;  /* struct request.link */
    struct list snapshots; /* of paged lists, oldest first */
    size_t snapshot_count, watch_count, log_count;
    size_t bodies, behind; /* bytes held for all requests; for all slow watches */
    bool draining;
    struct mail stop;
    struct buffer openapi; /* made once */
    char openapi_hash[65];
};

enum subresource { SUB_NONE, SUB_STATUS, SUB_SCALE, SUB_LOG };
struct param {
    char *name, *value;
};

/* One request, from its head to the end of its answer and of all that was asked for on its behalf.
 */
struct request {
    struct api *api;
    struct http_exchange *x; /* NULL after on_done() */
    struct list link;
    unsigned holds; /* the exchange, and each question under way */
    bool gone, answered;
    uint64_t began;
    const char *verb, *resource;  /* for the metrics; static */
    char *segments[SEGMENTS_MAX]; /* decoded */
    size_t segment_count;
    struct param params[PARAMS_MAX];
    size_t param_count;
    /* /apis/rouse.dev/v1[/namespaces/NS]/KIND[/NAME[/SUB]] */
    const struct schema_kind *kind;
    const char *ns, *name; /* NULL: all, the collection */
    enum subresource sub;
    bool table;
    enum table_include include;
    struct selector *selector;
    struct buffer body;
    size_t body_counted;                /* its part of api.bodies */
    void (*on_body)(struct request *r); /* whole */
    void (*on_body_part)(struct request *r, const uint8_t *data, size_t n, bool last);
    void (*on_drained)(struct request *r);
    void (*on_gone)(struct request *r);
    struct access_request access;
    unsigned attempts; /* at a write that others were quicker at: request_retry() */
    void *work;        /* the verb's own; freed by work_free */
    void (*work_free)(void *work);
};

/* ---- request.c */
int request_new(struct api *a, struct http_exchange *x, struct request **ret, struct failure *f);
struct request *request_hold(struct request *r);
void request_release(struct request *r);
const char *request_param(const struct request *r, const char *name); /* NULL: absent */
bool request_flag(const struct request *r, const char *name);         /* "true" or "1" */
const char *request_header(const struct request *r, const char *name, char *out,
                           size_t n); /* NULL: absent */
bool request_method(const struct request *r, const char *method);
bool request_live(const struct request *r); /* somebody still waits for the answer */
/* on_body() with the whole body in r->body; 413 past BODY_MAX. */
void request_read_body(struct request *r, void (*on_body)(struct request *r));
/* r->access.key: of the object that the URL names. */
void request_key(struct request *r);
/* Asks the registry; on_reply() holds the request until it returns. */
void request_ask(struct request *r, void (*on_reply)(struct access_request *q));
/* For on_reply() of a write, as the last that it does: begins it once more. false: it was tried often enough, and the
 * reply stands. */
bool request_retry(struct request *r, void (*begin)(struct request *r));
static inline struct request *request_of(struct access_request *q)
{
    return (struct request *)((char *)q - offsetof(struct request, access));
}
void respond(struct request *r, int status, const char *headers, const void *body, size_t n);
void respond_json(struct request *r, int status, const struct buffer *body);
/* Why what was asked of `name` was not written: conflict, not found, or what the registry said. */
int failure_of_write(struct failure *f, const struct request *r, const char *name,
                     const struct access_request *q);
void respond_failure(struct request *r, const struct failure *f);
/* What became of the write of the object that the URL names; the last that its on_reply() does. */
void respond_written(struct request *r);
void respond_object(struct request *r, int status, const struct object *o,
                    const char *headers); /* or its Table */
void respond_text(struct request *r, int status, const char *text);

/* ---- the verbs */
void route_request(struct request *r); /* route.c */
void read_get(struct request *r);      /* read.c */
void read_list(struct request *r);
void snapshots_drop(struct api *a);
void watch_begin(struct request *r);                        /* watch.c */
void write_begin(struct request *r);                        /* write.c: POST, PUT, PATCH */
void node_write_begin(struct request *r);                   /* node_write.c: PATCH of a node */
void delete_begin(struct request *r);                       /* delete.c: one or the collection */
int scale_json(const struct object *o, struct buffer *out); /* scale.c: autoscaling/v1 Scale */
/* The function with the Scale's replicas; `scale` is what a client sent. */
int scale_merge(struct json_object *function, struct json_object *scale, struct failure *f);
void respond_scale(struct request *r, const struct object *o);
void discovery_answer(struct request *r); /* discovery.c: /version, /api, /apis */
void core_answer(struct request *r);      /* core.c: /api/v1 */
void notes_answer(struct request *r);     /* notes.c: Events */
void openapi_answer(struct request *r);   /* openapi.c */
int openapi_make(struct api *a);
void package_answer(struct request *r); /* package.c */
void metrics_answer(struct request *r); /* monitor.c */
void logs_answer(struct request *r);    /* logs.c */

/* Writes a package on the disk thread, then on_stored(). `archive` is taken over. */
void package_store(struct request *r, const char *digest, struct buffer *archive,
                   void (*on_stored)(struct request *r, int error, const char *message));
