/* The API server whole, over sockets: access, bodies, conflicts, pages, watches, packages, logs,
 * the end. */
#include "api_world.h"

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
static void watch_events(const char *more)
{
    char path[128];

    snprintf(path, sizeof(path), EVENTS "?watch=true&timeoutSeconds=1%s", more);
    ck_assert_int_eq(call("GET", path, NULL, NULL), 200);
}

/* How often the last answer has the text. */
static unsigned times(const char *text)
{
    unsigned n = 0;

    for (const char *at = answer; (at = strstr(at, text)); at++)
        n++;
    return n;
}

#define TABLE "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n"

START_TEST(events)
{
    static struct mail mail = {.fn = on_note};
    char path[512] = EVENTS "/", after[64];
    const char *at;

    begin(NULL);
    ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest("f", "")), 201);
    loop_post(brain_thread_loop, &mail);
    ck_assert_int_eq(call("GET", EVENTS, NULL, NULL), 200);
    ck_assert_ptr_nonnull(at = strstr(answer, "\"resourceVersion\":\""));
    snprintf(after, sizeof(after), "&resourceVersion=%llu", strtoull(at + 19, NULL, 10));
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
    watch_events("");
    ck_assert_uint_eq(times("{\"type\":\"ADDED\",\"object\":{\"kind\":\"Event\""), 2);
    ck_assert_uint_eq(times("\"type\":\"MODIFIED\""), 0);
    loop_post(brain_thread_loop, &mail);
    watch_events(after);
    ck_assert_uint_eq(times("\"type\":\"ADDED\""), 0);
    ck_assert_uint_eq(times("\"type\":\"MODIFIED\""), 2);
    ck_assert_int_eq(call("GET", EVENTS "?watch=true&resourceVersion=x", NULL, NULL), 400);
    end();
}
END_TEST

enum { MANY = 128 }; /* more than a watch asks for at once */

static void on_many(struct mail *m)
{
    char key[32], message[24];

    (void)m;
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "default/m%d", i % 4);
        snprintf(message, sizeof(message), "it is %d.", i);
        registry_note(registry, KIND_FUNCTION, key, false, "Counted", message);
    }
}

START_TEST(a_watch_of_many_events)
{
    static struct mail mail = {.fn = on_many};
    char text[24];

    begin(NULL);
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "m%d", i);
        ck_assert_int_eq(call("POST", FUNCTIONS, JSON, manifest(text, "")), 201);
    }
    loop_post(brain_thread_loop, &mail);
    watch_events("");
    ck_assert_uint_eq(times("{\"type\":\"ADDED\""), MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof(text), "it is %d.", i);
        ck_assert_uint_eq(times(text), 1);
    }
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

UNIT_MAIN("api", an_idle_client_is_cut_as_configured, foreign_pages_are_refused, tokens,
          other_addresses_need_a_token, errors_are_statuses, create_change_delete, lists, events,
          a_watch_of_many_events, watches, packages_over_http, metrics_and_logs,
          a_slow_watch_is_cut, the_end_comes_though_clients_wait)
