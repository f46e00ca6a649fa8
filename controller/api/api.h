/* api.h - the API server: Kubernetes' REST conventions on our own HTTP, in a thread of its own.
 *
 * Start-up: store_open_sqlite() -> packages_open() -> registry_new() ->
 * brain_new() -> registry_attach(registry, brain_loop()) -> api_new() ->
 * threads. Shut-down: api_stop() and join while the brain still runs, then the
 * brain, then the store. */
#pragma once
#include "base/error.h"
#include "http/server.h"
#include "http/timeouts.h"

struct api;
struct brain;
struct packages;
struct registry;
struct store;

/* A loop beside the brain's and the API's whose figures /metrics shows. It runs as long as the API
 * does and never blocks. */
struct api_figures {
    const char *name; /* the value of the label `loop` */
    struct loop *loop;
    void (*text)(void *user, struct buffer *out); /* on that loop's thread; NULL: nothing more */
    void *user;
};
enum { API_FIGURES_MAX = 4 };

struct api_config {
    const char *address;       /* "tcp://127.0.0.1:7080"; port 0: any */
    const char *local_address; /* loopback, beside `address`: no token there; NULL: none */
    const char *token;         /* NULL: no token, which only a loopback address may do */
    bool insecure;             /* plain HTTP on an address that is not loopback: said explicitly */
    struct http_timeouts clients;
    struct brain *brain;
    struct registry *registry;
    struct store *store;
    struct packages *packages;
    struct api_figures figures[API_FIGURES_MAX]; /* those with a loop */
    bool process_pools, hook_pools;              /* providers of nodes that there are */
    bool external;                               /* external metrics can be asked for */
    /* Paths the API does not know (the dashboard's). Returns false for 404. After the access check;
     * on the API's loop. */
    bool (*other)(struct http_exchange *x, void *user);
    void *other_user;
};

/* Binds the address; -errno with a message. */
int api_new(const struct api_config *c, struct api **ret, struct err *e);
void api_address(const struct api *a, char out[128]); /* port resolved */
struct loop *api_loop(struct api *a);                 /* for others who serve on the API's thread */
int api_run(struct api *a);          /* the calling thread becomes the API's, until api_stop() */
void api_stop(struct api *a);        /* any thread; requests get up to 2 s to end */
struct api *api_free(struct api *a); /* after api_run() has returned */

/* `rouse-controller crd`: the CustomResourceDefinitions of the kinds that are applied, as YAML. */
int api_crd_yaml(struct buffer *out);
