/* The API server whole, over sockets: access, bodies, conflicts, pages, watches, packages, logs,
 * the end. */
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

static void other_text(void *user, struct buffer *out)
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

static void on_function(void *user, struct function *old, struct function *now)
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

static void on_pool(void *user, struct pool_spec *old, struct pool_spec *now)
{
    (void)user;
    (void)old;
    if (now && now->deleting)
        registry_finalize(registry, KIND_NODE_POOL, now->name);
}

static void on_node(void *user, const char *name, const struct node_wanted *w)
{
    (void)user;
    (void)name;
    node_wanted = w->unschedulable + 2 * w->drain;
}

static int on_node_delete(void *user, const char *name, bool dry_run)
{
    (void)user;
    (void)name;
    (void)dry_run;
    return node_wanted ? 0 : -EBUSY;
}

static void *run_brain(void *arg)
{
    (void)arg;
    loop_run(brain_thread_loop);
    return NULL;
}

static void *run_other(void *arg)
{
    (void)arg;
    loop_run(other_loop);
    return NULL;
}

static void *run_api(void *arg)
{
    (void)arg;
    api_run(api);
    return NULL;
}

static struct http_timeouts clients; /* of the next API */
static bool no_hooks;

static void begin(const char *token)
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
    registry_observe(
        registry, &(struct registry_observer){on_function, NULL, on_pool, on_node, on_node_delete});
    c.registry = registry;
    c.store = store;
    c.packages = packages;
    ck_assert_msg(api_new(&c, &api, &e) == 0, "%s", e.message);
    api_address(api, address);
    ck_assert_int_eq(pthread_create(&brain_thread, NULL, run_brain, NULL), 0);
    ck_assert_int_eq(pthread_create(&other_thread, NULL, run_other, NULL), 0);
    ck_assert_int_eq(pthread_create(&api_thread, NULL, run_api, NULL), 0);
}

static void end(void)
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
static int dial(void)
{
    struct sockaddr_storage sa;
    socklen_t n;
    int fd;

    ck_assert_int_eq(address_parse(address, &sa, &n), 0);
    fd = socket(sa.ss_family, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, n), 0);
    return fd;
}

static void send_all(int fd, const char *text, size_t n)
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

static int call_raw(const char *head, const char *body, size_t n)
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

static int call(const char *method, const char *path, const char *headers, const char *body)
{
    char head[2048];

    snprintf(head, sizeof(head),
             "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n",
             method, path, address + strlen("tcp://"), body ? strlen(body) : 0, headers ?: "");
    return call_raw(head, body ?: "", body ? strlen(body) : 0);
}

static void answered(const char *text)
{
    ck_assert_msg(strstr(answer, text) != NULL, "%s is not in:\n%s", text, answer);
}

#define FUNCTIONS "/apis/rouse.dev/v1/namespaces/default/functions"
#define JSON      "Content-Type: application/json\r\n"
#define MERGE     "Content-Type: application/merge-patch+json\r\n"

static const char *manifest(const char *name, const char *more)
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

START_TEST(foreign_pages_are_refused)
{
    char head[512];

    begin(NULL);
    ck_assert_int_eq(
        call_raw("GET /version HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", NULL, 0),
        403);
    ck_assert_int_eq(
        call_raw("GET /version HTTP/1.1\r\nHost: 127.0.0.1:1\r\nConnection: close\r\n\r\n", NULL, 0),
        403);
    ck_assert_int_eq(call("GET", "/version", "Origin: http://evil.example\r\n", NULL), 403);
    ck_assert_int_eq(call("GET", "/version", "Origin: null\r\n", NULL), 403);
    snprintf(head, sizeof(head), "Origin: http://localhost%s\r\n", strrchr(address, ':'));
    ck_assert_int_eq(call("GET", "/version", head, NULL), 200);
    answered("v1.32.0-rouse.0.1");
    end();
}
END_TEST

/* By default it would be longer than a test may take. */
START_TEST(an_idle_client_is_cut_as_configured)
{
    char head[512];

    clients = (struct http_timeouts){.idle_ns = 20 * NS_PER_MS};
    begin(NULL);
    snprintf(head, sizeof(head), "GET /version HTTP/1.1\r\nHost: %s\r\n\r\n",
             address + strlen("tcp://"));
    ck_assert_int_eq(call_raw(head, NULL, 0), 200); /* reads to the end */
    end();
}
END_TEST

START_TEST(tokens)
{
    begin("secret");
    ck_assert_int_eq(call("GET", "/version", NULL, NULL), 401);
    answered("\"reason\":\"Unauthorized\"");
    answered("WWW-Authenticate: Bearer");
    ck_assert_int_eq(call("GET", "/version", "Authorization: Bearer secre\r\n", NULL), 401);
    ck_assert_int_eq(call("GET", "/version", "Authorization: Basic secret\r\n", NULL), 401);
    ck_assert_int_eq(call("GET", "/version", "Authorization: Bearer secret\r\n", NULL), 200);
    ck_assert_int_eq(call("GET", "/readyz", NULL, NULL), 200);
    end();
}
END_TEST

START_TEST(other_addresses_need_a_token)
{
    struct err e = {0};
    struct api *a;

    ck_assert_int_eq(api_new(&(struct api_config){.address = "tcp://0.0.0.0:0"}, &a, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.message, "needs a token"));
    ck_assert_int_eq(
        api_new(&(struct api_config){.address = "tcp://0.0.0.0:0", .token = "x"}, &a, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.message, "--insecure"));
    ck_assert_int_eq(api_new(&(struct api_config){.address = "tcp://0.0.0.0:0",
                                                  .local_address = "tcp://0.0.0.0:0",
                                                  .token = "x",
                                                  .insecure = true},
                             &a, &e),
                     -EINVAL);
    ck_assert_int_eq(api_new(&(struct api_config){.address = "tcp://127.0.0.1:0",
                                                  .local_address = "tcp://127.0.0.1:0"},
                             &a, &e),
                     -EINVAL);
}
END_TEST

START_TEST(errors_are_statuses)
{
    cleanup_free char *big = malloc((3 << 20) + 2);

    begin(NULL);
    ck_assert_int_eq(call("GET", FUNCTIONS "/x", NULL, NULL), 404);
    answered("\"message\":\"functions.rouse.dev \\\"x\\\" not "
             "found\",\"reason\":\"NotFound\",\"details\":{\"name\":\"x\","
             "\"group\":\"rouse.dev\",\"kind\":\"functions\"},\"code\":404");
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, "{"), 400);
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, "[]"), 400);
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, ""), 400);
    ck_assert_int_eq(
        call("POST", FUNCTIONS, "Content-Type: application/vnd.kubernetes.protobuf\r\n", "k8s"), 415);
    ck_assert_int_eq(call("PATCH", FUNCTIONS "/x",
                          "Content-Type: application/strategic-merge-patch+json\r\n", "{}"),
                     415);
    ck_assert_int_eq(call("PATCH", FUNCTIONS "/x", MERGE, "{}"), 404);
    ck_assert_int_eq(call("DELETE", FUNCTIONS "/x", NULL, NULL), 404);
    ck_assert_int_eq(call("PUT", FUNCTIONS, JSON, "{}"), 405);
    ck_assert_int_eq(call("DELETE", "/apis/rouse.dev/v1/namespaces/default/revisions/n", NULL, NULL),
                     405);
    answered("\"reason\":\"MethodNotAllowed\"");
    ck_assert_int_eq(call("POST", "/apis/rouse.dev/v1/namespaces/default/instances", JSON, "{}"),
                     405);
    ck_assert_int_eq(call("GET", "/apis/rouse.dev/v1/bogus", NULL, NULL), 404);
    ck_assert_int_eq(call("GET", FUNCTIONS "?labelSelector=%3D", NULL, NULL), 400);
    ck_assert_int_eq(call("GET", FUNCTIONS "?fieldSelector=spec.x%3Dy", NULL, NULL), 400);
    ck_assert_int_eq(call("GET", FUNCTIONS "?continue=bogus", NULL, NULL), 400);
    ck_assert_int_eq(call("GET", FUNCTIONS "?limit=x", NULL, NULL), 400);
    ck_assert_int_eq(call("GET", "/apis/rouse.dev/v1/namespaces/Bad_/functions", NULL, NULL), 404);
    ck_assert_int_eq(call("GET", "/%00", NULL, NULL), 400);
    memset(big, ' ', (3 << 20) + 1);
    big[(3 << 20) + 1] = '\0';
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, big), 413);
    answered("RequestEntityTooLarge");
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest("x", ",\"memory\":\"1Mi\"")), 422);
    answered("\"message\":\"Function.rouse.dev \\\"x\\\" is invalid: spec.memory: Invalid value");
    answered("\"details\":{\"name\":\"x\",\"group\":\"rouse.dev\",\"kind\":\"Function\",\"causes\":"
             "[{\"reason\":"
             "\"FieldValueInvalid\"");
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON,
                          "{\"apiVersion\":\"rouse.dev/"
                          "v1\",\"kind\":\"Function\",\"metadata\":{\"name\":\"x\"},\"spec\":{"
                          "\"runtime\":\"r\",\"handler\":\"a\",\"code\":{\"package\":\"sha256:"
                          "0000000000000000000000000000000000000000000000000000000000000000\"}}}"),
                     422);
    answered("spec.code.package: Invalid value");
    ck_assert_int_eq(call("GET", FUNCTIONS "/x", NULL, NULL), 404);
    end();
}
END_TEST

static void version_of(char out[24])
{
    const char *at = strstr(answer, "\"resourceVersion\":\"");

    ck_assert_ptr_nonnull(at);
    sscanf(at + strlen("\"resourceVersion\":\""), "%23[0-9]", out);
}

START_TEST(create_change_delete)
{
    char first[24], second[24], body[256];

    begin(NULL);
    ck_assert_int_eq(call("POST", FUNCTIONS "?dryRun=All", JSON, manifest("f", "")), 201);
    ck_assert_int_eq(call("GET", FUNCTIONS "/f", NULL, NULL), 404);
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest("f", "")), 201);
    answered("\"status\":\"True\""); /* the core has spoken before the answer */
    version_of(first);
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest("f", "")), 409);
    answered("AlreadyExists");
    ck_assert_int_eq(call("PATCH", FUNCTIONS "/f", MERGE, "{\"spec\":{\"handler\":\"a.b\"}}"), 200);
    version_of(second);
    ck_assert_str_eq(first, second); /* a no-op keeps the version */
    ck_assert_int_eq(
        call("PATCH", FUNCTIONS "/f", MERGE, "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}"), 200);
    answered("\"generation\":1");
    ck_assert_int_eq(call("PATCH", FUNCTIONS "/f", MERGE, "{\"spec\":{\"handler\":\"a.c\"}}"), 200);
    answered("\"generation\":2");
    snprintf(body, sizeof(body),
             "{\"metadata\":{\"resourceVersion\":\"%s\"},\"spec\":{\"handler\":\"a.d\"}}", first);
    ck_assert_int_eq(call("PATCH", FUNCTIONS "/f", MERGE, body), 409);
    answered("the object has been modified; please apply your changes to the latest version and "
             "try again");
    ck_assert_int_eq(call("PUT", FUNCTIONS "/f", JSON, manifest("f", "")), 422);
    answered("must be specified for an update");
    ck_assert_int_eq(call("PATCH", FUNCTIONS "/f", MERGE, "{\"metadata\":{\"name\":\"g\"}}"), 400);
    answered("does not match the name on the URL");
    ck_assert_int_eq(
        call("PATCH", FUNCTIONS "/f?fieldValidation=Strict", MERGE, "{\"spec\":{\"bogus\":1}}"), 400);
    ck_assert_int_eq(call("PATCH", FUNCTIONS "/f", MERGE, "{\"spec\":{\"bogus\":1}}"), 200);
    answered("Warning: 299 - \"unknown field \\\"spec.bogus\\\"\"");
    ck_assert_int_eq(
        call("PATCH", FUNCTIONS "/f?fieldValidation=Ignore", MERGE, "{\"spec\":{\"bogus\":1}}"), 200);
    ck_assert_ptr_null(strstr(answer, "Warning"));
    ck_assert_int_eq(call("GET", FUNCTIONS "/f/scale", NULL, NULL), 200);
    answered("\"spec\":{\"replicas\":0},\"status\":{\"replicas\":0");
    ck_assert_int_eq(call("PATCH", FUNCTIONS "/f/scale", MERGE, "{\"spec\":{\"replicas\":4}}"), 200);
    answered("\"replicas\":4");
    ck_assert_int_eq(call("PATCH", FUNCTIONS "/f/scale", MERGE, "{\"spec\":{\"replicas\":101}}"),
                     422);
    ck_assert_int_eq(call("PATCH", FUNCTIONS "/f/status", MERGE,
                          "{\"status\":{\"url\":\"u\"},\"spec\":{\"handler\":\"no\"}}"),
                     200);
    answered("\"url\":\"u\"");
    answered("\"handler\":\"a.c\"");
    ck_assert_int_eq(call("DELETE", FUNCTIONS "/f", JSON, "{\"preconditions\":{\"uid\":\"other\"}}"),
                     409);
    ck_assert_int_eq(call("DELETE", FUNCTIONS "/f?dryRun=All", NULL, NULL), 200);
    ck_assert_int_eq(call("DELETE", FUNCTIONS "/f", JSON, "{\"propagationPolicy\":\"Background\"}"),
                     200);
    answered("deletionTimestamp");
    while (call("GET", FUNCTIONS "/f", NULL, NULL) == 200)
        ;
    end();
}
END_TEST

#define POOLS "/apis/rouse.dev/v1/nodepools"
static const char *pool_manifest(const char *name, const char *spec)
{
    static char text[1024];

    snprintf(text, sizeof(text),
             "{\"apiVersion\":\"rouse.dev/v1\",\"kind\":\"NodePool\",\"metadata\":{\"name\":\"%s\"},"
             "\"spec\":{%s}}",
             name, spec);
    return text;
}

START_TEST(node_pools)
{
    static const char plain[] =
        "\"provider\":\"process\",\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\"}";
    static const char hook[] = "\"provider\":\"hook\",\"hook\":{\"command\":\"cloud\"},"
                               "\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\"}";
    static const struct {
        const char *spec, *answer;
    } wrong[] = {
        {"\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\"}", "spec.provider"},
        {"\"provider\":\"process\"", "spec.template"},
        {"\"provider\":\"process\",\"template\":{\"memory\":\"1Gi\"}", "spec.template.cpu"},
        {"\"provider\":\"hook\",\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\"}", "spec.hook"},
        {"\"provider\":\"hook\",\"hook\":{\"command\":\"../x\"},\"template\":{\"memory\":\"1Gi\","
         "\"cpu\":\"2\"}",
         "spec.hook.command"},
        {"\"provider\":\"process\",\"hook\":{\"command\":\"x\"},\"template\":{\"memory\":\"1Gi\","
         "\"cpu\":\"2\"}",
         "spec.hook"},
        {"\"provider\":\"process\",\"min\":3,\"max\":2,\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\"}",
         "spec.max"},
        {"\"provider\":\"process\",\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\",\"labels\":{\"no "
         "blanks\":\"1\"}}",
         "spec.template.labels"},
        {"\"provider\":\"process\",\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\",\"taints\":[{\"key\":\"a\","
         "\"effect\":\"NoExecute\"}]}",
         "spec.template.taints[0].effect"},
        {"\"provider\":\"process\",\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\",\"taints\":[{\"key\":\"/\"}]}",
         "spec.template.taints"},
    };

    begin(NULL);
    ck_assert_int_eq(call("POST", POOLS, JSON, pool_manifest("big", plain)), 201);
    answered("\"delayAfterAdd\":\"10m\"");
    answered("\"status\":{\"nodes\":0,\"ready\":0,\"desired\":0}");
    ck_assert_ptr_null(strstr(answer, "namespace"));
    ck_assert_int_eq(call("POST", POOLS, JSON, pool_manifest("big", plain)), 409);
    ck_assert_int_eq(call("PATCH", POOLS "/big", MERGE, "{\"spec\":{\"max\":7}}"), 200);
    answered("\"max\":7");
    answered("\"generation\":2");
    ck_assert_int_eq(call("GET", POOLS, NULL, NULL), 200);
    answered("NodePoolList");
    ck_assert_int_eq(call("PATCH", POOLS "/big", MERGE,
                          "{\"spec\":{\"provider\":\"hook\",\"hook\":{\"command\":\"x\"}}}"),
                     422);
    answered("cannot be changed");
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        ck_assert_msg(call("POST", POOLS, JSON, pool_manifest("wrong", wrong[i].spec)) == 422,
                      "%s: %s", wrong[i].spec, answer);
        answered(wrong[i].answer);
    }
    ck_assert_int_eq(call("POST", POOLS, JSON, pool_manifest("hooked", hook)), 201);
    ck_assert_int_eq(call("DELETE", POOLS "/hooked", NULL, NULL), 200);
    answered("rouse.dev/nodes");
    ck_assert_int_eq(
        call("POST", POOLS, JSON,
             pool_manifest("a-name-of-more-than-fifty-bytes-is-too-long-for-a-pool", plain)),
        422);
    answered("names of its nodes");
    ck_assert_int_eq(call("GET", "/apis/rouse.dev/v1", NULL, NULL), 200);
    answered("{\"name\":\"nodepools/status\",\"singularName\":\"\",\"namespaced\":false");
    end();
    no_hooks = true;
    begin(NULL);
    ck_assert_int_eq(call("POST", POOLS, JSON, pool_manifest("hooked", hook)), 422);
    answered("--node-hooks");
    end();
}
END_TEST

#define NODE "/apis/rouse.dev/v1/nodes/node-1"

START_TEST(nodes_are_cordoned_by_a_patch)
{
    static const char *const wrong[] = {
        "{\"spec\":{\"unschedulable\":1}}",
        "{\"spec\":{\"other\":true}}",
        "{\"status\":{\"state\":\"Lost\"}}",
        "{\"metadata\":{\"labels\":{\"zone\":\"b\"}}}",
        "{\"spec\":null}",
        "[1]",
    };

    begin(NULL);
    ck_assert_int_eq(call("PATCH", NODE, MERGE, "{\"spec\":{\"unschedulable\":true}}"), 200);
    answered("\"spec\":{\"unschedulable\":true,\"drain\":false}");
    answered("\"zone\":\"a\"");
    ck_assert_int_eq(node_wanted, 1);
    ck_assert_int_eq(call("PATCH", NODE, "Content-Type: application/json-patch+json\r\n",
                          "[{\"op\":\"replace\",\"path\":\"/spec/drain\",\"value\":true}]"),
                     200);
    ck_assert_int_eq(node_wanted, 3);
    ck_assert_int_eq(call("PATCH", NODE "?dryRun=All", MERGE, "{\"spec\":{\"drain\":null}}"), 200);
    answered("\"spec\":{\"unschedulable\":true,\"drain\":false}");
    ck_assert_int_eq(call("GET", NODE, NULL, NULL), 200);
    answered("\"spec\":{\"unschedulable\":true,\"drain\":true}");
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        ck_assert_msg(call("PATCH", NODE, MERGE, wrong[i]) == 422, "%s: %s", wrong[i], answer);
    ck_assert_int_eq(call("PATCH", NODE, MERGE, "{\"metadata\":{\"resourceVersion\":\"1\"}}"), 409);
    ck_assert_int_eq(call("PATCH", NODE, JSON, "{}"), 415);
    ck_assert_int_eq(call("PATCH", NODE, MERGE, "{"), 400);
    ck_assert_int_eq(call("PATCH", NODE "x", MERGE, "{\"spec\":{\"drain\":true}}"), 404);
    ck_assert_int_eq(call("PUT", NODE, JSON, "{}"), 405);
    ck_assert_int_eq(node_wanted, 3);
    end();
}
END_TEST

/* "node-1" is the one whose agent is gone once it is cordoned (on_node_delete()). */
START_TEST(a_node_is_deleted_when_its_agent_is_gone)
{
    begin(NULL);
    ck_assert_int_eq(call("DELETE", NODE, NULL, NULL), 409);
    answered("rouse drain node-1");
    ck_assert_int_eq(call("DELETE", NODE "?dryRun=All", NULL, NULL), 409);
    ck_assert_int_eq(call("DELETE", NODE "x", NULL, NULL), 404);
    ck_assert_int_eq(call("DELETE", "/apis/rouse.dev/v1/nodes", NULL, NULL), 405);
    ck_assert_int_eq(call("PATCH", NODE, MERGE, "{\"spec\":{\"unschedulable\":true}}"), 200);
    ck_assert_int_eq(call("DELETE", NODE "?dryRun=All", NULL, NULL), 200);
    ck_assert_int_eq(call("DELETE", NODE, JSON, "{\"preconditions\":{\"resourceVersion\":\"1\"}}"),
                     409);
    ck_assert_int_eq(call("GET", NODE, NULL, NULL), 200);
    ck_assert_int_eq(node_wanted, 1);
    ck_assert_int_eq(call("DELETE", NODE, NULL, NULL), 200);
    answered("\"name\":\"node-1\"");
    ck_assert_int_eq(call("GET", NODE, NULL, NULL), 404);
    ck_assert_int_eq(node_wanted, 0); /* the next of that name is not cordoned */
    ck_assert_int_eq(call("DELETE", NODE, NULL, NULL), 404);
    end();
}
END_TEST

START_TEST(lists)
{
    char name[16], path[512], token[256];
    const char *at;

    begin(NULL);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest(name, "")), 201);
    }
    ck_assert_int_eq(call("GET", FUNCTIONS "?labelSelector=n+in+%28f1,f3%29", NULL, NULL), 200);
    ck_assert(strstr(answer, "\"name\":\"f1\"") && strstr(answer, "\"name\":\"f3\"") &&
              !strstr(answer, "\"name\":\"f2\""));
    ck_assert_int_eq(call("GET", FUNCTIONS "?limit=2", NULL, NULL), 200);
    answered("\"remainingItemCount\":3");
    ck_assert(strstr(answer, "\"name\":\"f1\"") && !strstr(answer, "\"name\":\"f2\""));
    at = strstr(answer, "\"continue\":\"");
    ck_assert_ptr_nonnull(at);
    sscanf(at + strlen("\"continue\":\""), "%255[^\"]", token);
    /* The later pages are of the moment of the first. */
    ck_assert_int_eq(call("PATCH", FUNCTIONS "/f2", MERGE, "{\"spec\":{\"handler\":\"changed\"}}"),
                     200);
    snprintf(path, sizeof(path), FUNCTIONS "?limit=2&continue=%s", token);
    ck_assert_int_eq(call("GET", path, NULL, NULL), 200);
    ck_assert(strstr(answer, "\"name\":\"f2\"") && !strstr(answer, "changed") &&
              !strstr(answer, "\"name\":\"f4\""));
    ck_assert_int_eq(call("GET", FUNCTIONS "?continue=1.default/f1", NULL, NULL), 410);
    ck_assert_int_eq(call("DELETE", FUNCTIONS "?labelSelector=n!%3Df0", NULL, NULL), 200);
    do
        ck_assert_int_eq(call("GET", "/apis/rouse.dev/v1/functions", NULL, NULL), 200);
    while (strstr(answer, "\"name\":\"f4\""));
    answered("\"name\":\"f0\"");
    end();
}
END_TEST

static void on_note(struct mail *m)
{
    (void)m;
    for (int i = 0; i < 2; i++)
        registry_note(registry, KIND_FUNCTION, "default/f", true, "Failed", "it \"broke\"");
    registry_note(registry, KIND_FUNCTION, "default/none", true, "Failed", "nobody is told");
    registry_note(registry, KIND_NODE, "node-1", false, "NodeReady", "its agent is connected");
}

#define EVENTS "/api/v1/namespaces/default/events"
#define TABLE  "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n"

START_TEST(events)
{
    static struct mail mail = {.fn = on_note};
    char path[512] = EVENTS "/";
    const char *at;

    begin(NULL);
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest("f", "")), 201);
    loop_post(brain_thread_loop, &mail);
    ck_assert_int_eq(call("GET", EVENTS, NULL, NULL), 200);
    answered("\"message\":\"it \\\"broke\\\"\"");
    answered("\"count\":2,\"type\":\"Warning\"");
    answered("\"involvedObject\":{\"kind\":\"Node\",\"name\":\"node-1\"");
    ck_assert_ptr_null(strstr(answer, "nobody"));
    ck_assert_ptr_nonnull(at = strstr(answer, "\"name\":\"f."));
    strncat(path, at + 8, strcspn(at + 8, "\""));
    ck_assert_int_eq(call("GET", path, NULL, NULL), 200);
    answered("\"kind\":\"Event\",");
    ck_assert_int_eq(call("GET", EVENTS "/f.none", NULL, NULL), 404);
    ck_assert_int_eq(
        call("GET", "/api/v1/events?fieldSelector=involvedObject.kind%3DNode", TABLE, NULL), 200);
    answered("\"Normal\",\"NodeReady\",\"node/node-1\"");
    ck_assert_ptr_null(strstr(answer, "function/f"));
    ck_assert_int_eq(call("GET", "/api/v1/namespaces/other/events", NULL, NULL), 200);
    answered("\"items\":[]");
    ck_assert_int_eq(call("GET", EVENTS "?fieldSelector=message%3Dx", NULL, NULL), 400);
    ck_assert_int_eq(call("POST", EVENTS, JSON, "{}"), 405);
    ck_assert_int_eq(call("GET", EVENTS "?watch=true&timeoutSeconds=1", NULL, NULL), 200);
    answered("{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Event\"");
    ck_assert_ptr_nonnull(at = strstr(answer, "{\"type\":\"ADDED\","));
    ck_assert_ptr_null(strstr(at + 1, "{\"type\":\"ADDED\",")); /* each once */
    ck_assert_int_eq(call("GET", EVENTS "?watch=true&resourceVersion=x", NULL, NULL), 400);
    end();
}
END_TEST

START_TEST(watches)
{
    begin(NULL);
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest("f", "")), 201);
    ck_assert_int_eq(call("GET", FUNCTIONS "?watch=true&timeoutSeconds=1", NULL, NULL), 200);
    answered("Transfer-Encoding: chunked");
    answered("{\"type\":\"ADDED\",\"object\":{\"apiVersion\":\"rouse.dev/v1\"");
    ck_assert_int_eq(
        call("GET",
             FUNCTIONS "?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true",
             "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n", NULL),
        200);
    answered("\"kind\":\"Table\"");
    answered("\"type\":\"BOOKMARK\"");
    ck_assert_int_eq(
        call("GET", FUNCTIONS "?watch=true&timeoutSeconds=1&labelSelector=n%3Dother", NULL, NULL),
        200);
    ck_assert_ptr_null(strstr(answer, "ADDED"));
    ck_assert_int_eq(call("GET", FUNCTIONS "?watch=true&resourceVersion=x", NULL, NULL), 400);
    end();
}
END_TEST

#define ZIP "PK\3\4hello"
START_TEST(packages_over_http)
{
    char digest[PACKAGE_DIGEST_TEXT], path[128];

    begin(NULL);
    package_digest(ZIP, strlen(ZIP), digest);
    snprintf(path, sizeof(path), "/packages/%s", digest);
    ck_assert_int_eq(call("GET", path, NULL, NULL), 404);
    ck_assert_int_eq(call("PUT", path, NULL, ZIP "!"), 400);
    answered("the bytes have the digest");
    ck_assert_int_eq(call("PUT", path, NULL, "hello"), 400);
    answered("a package is a zip, or a tar");
    ck_assert_int_eq(call("PUT", path, NULL, ZIP), 201);
    ck_assert_int_eq(call("PUT", path, NULL, ZIP), 200);
    ck_assert_int_eq(call("GET", path, NULL, NULL), 200);
    answered("\r\n\r\n" ZIP);
    ck_assert_int_eq(call("HEAD", path, NULL, NULL), 200);
    ck_assert_int_eq(call("DELETE", path, NULL, NULL), 405);
    ck_assert_int_eq(call("PUT", "/packages/sha256:..", NULL, "x"), 400);
    end();
}
END_TEST

START_TEST(metrics_and_logs)
{
    begin(NULL);
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest("f", "")), 201);
    ck_assert_int_eq(call("GET", "/metrics", NULL, NULL), 200);
    answered("# the brain's");
    answered("rouse_api_requests_total{verb=\"create\",resource=\"functions\",code=\"201\"} 1");
    answered("rouse_store_commits_total 2");
    answered("rouse_store_commit_seconds_count");
    answered("process_resident_memory_bytes");
    answered("rouse_api_timeouts_total 0\n");
    answered("# the other's\n");
    for (size_t i = 0; i < 3; i++) {
        static const char *const loops[] = {"brain", "other", "api"};
        char line[96];

        snprintf(line, sizeof(line), "rouse_loop_info{loop=\"%s\",backend=\"", loops[i]);
        answered(line);
        snprintf(line, sizeof(line), "rouse_loop_mails_total{loop=\"%s\"} ", loops[i]);
        answered(line);
    }
    answered("rouse_loop_accepted_total{loop=\"other\"} 0\n");
    answered("rouse_loop_accepted_total{loop=\"api\"} 2\n");
    ck_assert_int_eq(call("GET", FUNCTIONS "/f/log", NULL, NULL), 200);
    answered("one\ntwo\n");
    ck_assert_int_eq(call("GET", FUNCTIONS "/f/log?tailLines=1", NULL, NULL), 200);
    answered("tail\n");
    ck_assert_int_eq(call("GET", FUNCTIONS "/f/log?tailLines=x", NULL, NULL), 400);
    ck_assert_int_eq(call("GET", FUNCTIONS "/g/log", NULL, NULL), 404);
    end();
}
END_TEST

/* Who does not read gets so much and no more. */
START_TEST(a_slow_watch_is_cut)
{
    enum { VALUE = 200 << 10 };
    cleanup_free char *patch = malloc(VALUE + 256);
    char head[256];
    int fd, small = 4096;

    begin(NULL);
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest("f", "")), 201);
    fd = dial();
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    snprintf(head, sizeof(head), "GET " FUNCTIONS "?watch=true HTTP/1.1\r\nHost: %s\r\n\r\n",
             address + 6);
    send_all(fd, head, strlen(head));
    ck_assert_int_gt(recv(fd, answer, 100, 0), 0);
    do {
        static unsigned n;
        int at = sprintf(patch, "{\"metadata\":{\"annotations\":{\"a\":\"%08u", n++);

        ck_assert_uint_lt(n, 400);
        memset(patch + at, 'x', VALUE);
        strcpy(patch + at + VALUE, "\"}}}");
        ck_assert_int_eq(call("PATCH", FUNCTIONS "/f", MERGE, patch), 200);
        ck_assert_int_eq(call("GET", "/metrics", NULL, NULL), 200);
    } while (!strstr(answer, "rouse_api_slow_watches_total 1"));
    close(fd);
    end();
}
END_TEST

/* Whoever follows a log or watches keeps nothing from ending. */
START_TEST(the_end_comes_though_clients_wait)
{
    char head[256];
    int watch, follow;

    begin(NULL);
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest("f", "")), 201);
    watch = dial();
    follow = dial();
    snprintf(head, sizeof(head), "GET " FUNCTIONS "?watch=true HTTP/1.1\r\nHost: %s\r\n\r\n",
             address + 6);
    send_all(watch, head, strlen(head));
    ck_assert_int_gt(recv(watch, answer, 100, 0), 0);
    snprintf(head, sizeof(head), "GET " FUNCTIONS "/f/log?follow=true HTTP/1.1\r\nHost: %s\r\n\r\n",
             address + 6);
    send_all(follow, head, strlen(head));
    ck_assert_int_gt(recv(follow, answer, 100, 0), 0);
    end();
    ck_assert(log_cancelled);
    close(watch);
    close(follow);
}
END_TEST

UNIT_MAIN("api", a_node_is_deleted_when_its_agent_is_gone, node_pools,
          nodes_are_cordoned_by_a_patch, an_idle_client_is_cut_as_configured,
          foreign_pages_are_refused, tokens, other_addresses_need_a_token, errors_are_statuses,
          create_change_delete, lists, events, watches, packages_over_http, metrics_and_logs,
          a_slow_watch_is_cut, the_end_comes_though_clients_wait)
