/* api_world.h - the API server whole, beside a brain that is a loop and a core that says Ready and lets go of what is
 * deleted; and a client of it, over sockets. */
#pragma once
#include "api/api.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "brain/access.h"
#include "brain/brain.h"
#include "package/package.h"
#include "reactor/conn.h"
#include "store/packages.h"
#include "unit.h"

#include <errno.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- a brain that is a loop, and a core that says Ready and lets go of what is deleted */
static struct loop *brain_thread_loop, *other_loop;
static struct registry *registry;
static struct api *api;
static struct store *store;
static struct packages *packages;
static pthread_t brain_thread, other_thread, api_thread;
static char dir[64], address[128];

struct brain_log {
    void (*on_text)(void *user, const void *text, size_t n, bool last);
    void *user;
};
static struct brain_log log_stream;
static _Atomic bool log_cancelled;

struct loop *brain_loop(struct brain *b)
{
    (void)b;
    return brain_thread_loop;
}

void brain_metrics(struct brain *b, struct buffer *out)
{
    (void)b;
    buffer_puts(out, "# the brain's\n");
}

static inline void other_text(void *user, struct buffer *out)
{
    ck_assert_ptr_eq(user, &other_loop);
    ck_assert(pthread_equal(pthread_self(), other_thread));
    buffer_puts(out, "# the other's\n");
}

int brain_log_start(struct brain *b, const char *key, uint32_t tail_lines, bool follow,
                    void (*on_text)(void *user, const void *text, size_t n, bool last), void *user,
                    struct brain_log **ret)
{
    (void)b;
    if (strcmp(key, "default/f") != 0)
        return -2;
    log_stream = (struct brain_log){on_text, user};
    if (tail_lines == 1)
        on_text(user, "tail\n", 5, !follow);
    else
        on_text(user, "one\ntwo\n", 8, !follow);
    *ret = &log_stream;
    return 0;
}

void brain_log_cancel(struct brain_log *l)
{
    (void)l;
    log_cancelled = true;
}

static _Atomic int node_wanted; /* the last: 1 for unschedulable and 2 for drain */

static inline void on_function(void *user, struct function *old, struct function *now)
{
    struct function_status s = {0};

    (void)user;
    (void)old;
    if (!now)
        return;
    s.observed_generation = now->generation;
    s.conditions[0] = (struct condition){"Ready", CONDITION_TRUE, "Routed", ""};
    registry_set_status(registry, now->key, &s);
    if (now->deleting)
        registry_finalize(registry, KIND_FUNCTION, now->key);
}

static inline void on_pool(void *user, struct pool_spec *old, struct pool_spec *now)
{
    (void)user;
    (void)old;
    if (now && now->deleting)
        registry_finalize(registry, KIND_NODE_POOL, now->name);
}

static inline void on_node(void *user, const char *name, const struct node_wanted *w)
{
    (void)user;
    (void)name;
    node_wanted = w->unschedulable + 2 * w->drain;
}

static inline int on_node_delete(void *user, const char *name, bool dry_run)
{
    (void)user;
    (void)name;
    (void)dry_run;
    return node_wanted ? 0 : -EBUSY;
}

static inline void *run_brain(void *arg)
{
    (void)arg;
    loop_run(brain_thread_loop);
    return NULL;
}

static inline void *run_other(void *arg)
{
    (void)arg;
    loop_run(other_loop);
    return NULL;
}

static inline void *run_api(void *arg)
{
    (void)arg;
    api_run(api);
    return NULL;
}

static struct http_timeouts clients; /* of the next API */
static bool no_hooks;

static inline void begin(const char *token)
{
    struct api_config c = {.address = "tcp://127.0.0.1:0",
                           .token = token,
                           .clients = clients,
                           .process_pools = true,
                           .hook_pools = !no_hooks};
    struct err e = {0};

    strcpy(dir, "/tmp/rouse-api-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(store_open_sqlite(dir, &store, &e), 0);
    ck_assert_int_eq(packages_open(dir, &packages, &e), 0);
    ck_assert_int_eq(registry_new(store, &registry, &e), 0);
    ck_assert_int_eq(loop_new(&brain_thread_loop), 0);
    ck_assert_int_eq(loop_new(&other_loop), 0);
    c.figures[0] = (struct api_figures){"other", other_loop, other_text, &other_loop};
    registry_attach(registry, brain_thread_loop);
    registry_publish(registry, KIND_NODE, NULL, "node-1", "{\"zone\":\"a\"}",
                     "{\"unschedulable\":false,\"drain\":false}", "{\"state\":\"Ready\"}", NULL);
    registry_observe(registry, &(struct registry_observer){.on_function = on_function,
                                                           .on_pool = on_pool,
                                                           .on_node = on_node,
                                                           .on_node_delete = on_node_delete});
    c.registry = registry;
    c.store = store;
    c.packages = packages;
    ck_assert_msg(api_new(&c, &api, &e) == 0, "%s", e.message);
    api_address(api, address);
    ck_assert_int_eq(pthread_create(&brain_thread, NULL, run_brain, NULL), 0);
    ck_assert_int_eq(pthread_create(&other_thread, NULL, run_other, NULL), 0);
    ck_assert_int_eq(pthread_create(&api_thread, NULL, run_api, NULL), 0);
}

static inline void end(void)
{
    api_stop(api);
    pthread_join(api_thread, NULL);
    loop_stop(other_loop);
    pthread_join(other_thread, NULL);
    loop_stop(brain_thread_loop);
    pthread_join(brain_thread, NULL);
    api = api_free(api);
    store = store_free(store);
    registry = registry_free(registry);
    packages = packages_free(packages);
    brain_thread_loop = loop_free(brain_thread_loop);
    other_loop = loop_free(other_loop);
    file_remove_tree(dir);
}

/* ---- a client */
static inline int dial(void)
{
    struct sockaddr_storage sa;
    socklen_t n;
    int fd;

    ck_assert_int_eq(address_parse(address, &sa, &n), 0);
    fd = socket(sa.ss_family, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, n), 0);
    return fd;
}

static inline void send_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t w = send(fd, text, n, MSG_NOSIGNAL);

        if (w <= 0)
            return; /* an answer may come before the body is through */
        text += w;
        n -= (size_t)w;
    }
}

static char answer[1 << 20];

static inline int call_raw(const char *head, const char *body, size_t n)
{
    int fd = dial(), status = 0;
    size_t at = 0;
    ssize_t got;

    send_all(fd, head, strlen(head));
    if (n)
        send_all(fd, body, n);
    while (at + 1 < sizeof(answer) && (got = recv(fd, answer + at, sizeof(answer) - 1 - at, 0)) > 0)
        at += (size_t)got;
    answer[at] = '\0';
    close(fd);
    sscanf(answer, "HTTP/1.1 %d", &status);
    return status;
}

static inline int call(const char *method, const char *path, const char *headers, const char *body)
{
    char head[2048];

    snprintf(head, sizeof(head),
             "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n",
             method, path, address + strlen("tcp://"), body ? strlen(body) : 0, headers ?: "");
    return call_raw(head, body ?: "", body ? strlen(body) : 0);
}

static inline void answered(const char *text)
{
    ck_assert_msg(strstr(answer, text) != NULL, "%s is not in:\n%s", text, answer);
}

#define FUNCTIONS "/apis/rouse.dev/v1/namespaces/default/functions"
#define JSON      "Content-Type: application/json\r\n"
#define MERGE     "Content-Type: application/merge-patch+json\r\n"

static inline const char *manifest(const char *name, const char *more)
{
    static char text[1024];

    snprintf(text, sizeof(text),
             "{\"apiVersion\":\"rouse.dev/"
             "v1\",\"kind\":\"Function\",\"metadata\":{\"name\":\"%s\",\"labels\":{\"n\":\"%s\"}},"
             "\"spec\":{\"runtime\":\"python3\",\"handler\":\"a.b\",\"code\":{\"inline\":{\"a.py\":"
             "\"x\"}}%s}}",
             name, name, more);
    return text;
}
