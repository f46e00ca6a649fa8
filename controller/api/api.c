/* api.c - the API server's start, its access check, its end. */
#include "api/api_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"
#include "brain/brain.h"
#include "package/package.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { DRAIN_S = 2 };

/* ---------------------------------------------------------------- access */
static bool loopback(const char *address)
{
    return strncmp(address, "tcp://127.", 10) == 0 || strncmp(address, "tcp://[::1]:", 12) == 0 ||
           strncmp(address, "unix://", 7) == 0;
}

/* "HOST:PORT" names this server itself: no page of another site can make a browser say that. */
static bool own_host(const char *host, const char *text, size_t n)
{
    static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};
    const char *port = strrchr(host, ':');
    char own[160];

    if (n == strlen(host) && strncasecmp(text, host, n) == 0)
        return true;
    for (size_t i = 0; port && i < ARRAY_LEN(names); i++) {
        snprintf(own, sizeof(own), "%s%s", names[i], port);
        if (n == strlen(own) && strncasecmp(text, own, n) == 0)
            return true;
    }
    return false;
}

static int check_origin(const char *host, const struct http_head *h, struct failure *f)
{
    const struct str *origin = http_head_get(h, "Origin");

    if (!*host) /* a Unix socket */
        return 0;
    if (!own_host(host, h->host.at, h->host.n))
        return failure_set(f, 403, "Forbidden", "the Host \"%.*s\" is not this server's",
                           (int)(h->host.n < 200 ? h->host.n : 200), h->host.n ? h->host.at : "");
    if (origin && !(origin->n > 7 && strncasecmp(origin->at, "http://", 7) == 0 &&
                    own_host(host, origin->at + 7, origin->n - 7)))
        return failure_set(f, 403, "Forbidden", "requests of other sites' pages are refused");
    return 0;
}

/* Digests are compared, so that neither content nor length of the token shows in the time it takes.
 */
static int check_token(const struct api *a, const struct http_head *h, struct failure *f)
{
    const struct str *given = http_head_get(h, "Authorization");
    char mine[PACKAGE_DIGEST_TEXT], theirs[PACKAGE_DIGEST_TEXT];

    package_digest(a->token, strlen(a->token), mine);
    if (given && given->n > 7 && strncasecmp(given->at, "Bearer ", 7) == 0) {
        package_digest(given->at + 7, given->n - 7, theirs);
        if (CRYPTO_memcmp(mine, theirs, sizeof(mine)) == 0)
            return 0;
    }
    return failure_set(f, 401, "Unauthorized", "Unauthorized");
}

static bool is_health(const struct http_head *h)
{
    return str_eq(h->path, "/healthz") || str_eq(h->path, "/livez") || str_eq(h->path, "/readyz");
}

static int check_access(const struct api *a, const struct http_exchange *x, struct failure *f)
{
    const struct http_head *h = http_head(x);

    if (!a->token)
        return check_origin(a->host, h, f);
    /* Only the listener on loopback has clients there: another address is reached from another one. */
    if (*a->local_host && http_client_on_loopback(x))
        return check_origin(a->local_host, h, f);
    return is_health(h) ? 0 : check_token(a, h, f);
}

/* ---------------------------------------------------------------- serving */
static void on_request(struct http_exchange *x, void *user)
{
    struct api *a = user;
    cleanup_failure struct failure f = {0};
    struct request *r = NULL;

    if (request_new(a, x, &r, &f) < 0 && !r) {
        http_abort(x);
        return;
    }
    request_hold(r);
    if (check_access(a, x, &f) == 0 && !f.code)
        route_request(r);
    if (f.code)
        respond_failure(r, &f);
    request_release(r);
}

static void *disk_thread(void *arg)
{
    struct api *a = arg;

    loop_run(a->disk);
    return NULL;
}

static int check_config(const struct api_config *c, struct err *e)
{
    if (c->local_address && (!loopback(c->local_address) || loopback(c->address)))
        return err_set(e, EINVAL,
                       "%s: the local address is a loopback one beside another that is not",
                       c->local_address);
    if (loopback(c->address))
        return 0;
    if (!c->token)
        return err_set(e, EPERM, "the API on %s needs a token: only loopback addresses do without",
                       c->address);
    if (!c->insecure)
        return err_set(
            e, EPERM,
            "the API on %s would send its token in the clear: say --insecure if that is meant",
            c->address);
    return 0;
}

static void host_of(const char *address, char out[128])
{
    snprintf(out, 128, "%s", strncmp(address, "tcp://", 6) == 0 ? address + 6 : "");
}

static int start(struct api *a, struct err *e)
{
    char address[128];
    struct http_server_options o = {
        .max_connections = CONNECTIONS_MAX, .on_request = on_request, .user = a};
    int r = schema_load(&a->schema, e);

    http_timeouts_apply(&a->c.clients, &o);
    if (r == 0 && (r = openapi_make(a)) < 0)
        err_errno(e, -r, "OpenAPI");
    if (r == 0 && ((r = loop_new(&a->loop)) < 0 || (r = loop_new(&a->disk)) < 0))
        err_errno(e, -r, "loop");
    if (r == 0 && (r = http_server_new(a->loop, &o, &a->server)) < 0)
        err_errno(e, -r, "HTTP server");
    if (r == 0 && (r = http_server_listen(a->server, a->c.address, NULL)) < 0)
        err_errno(e, -r, "the API cannot listen on %s", a->c.address);
    if (r == 0 && a->c.local_address &&
        (r = http_server_listen(a->server, a->c.local_address, NULL)) < 0)
        err_errno(e, -r, "the API cannot listen on %s", a->c.local_address);
    if (r < 0)
        return r;
    http_server_address(a->server, address);
    host_of(address, a->host);
    if (a->c.local_address)
        host_of(a->c.local_address, a->local_host);
    return 0;
}

int api_new(const struct api_config *c, struct api **ret, struct err *e)
{
    struct api *a;
    int r = check_config(c, e);

    if (r < 0)
        return r;
    a = calloc(1, sizeof(*a));
    if (!a)
        return err_errno(e, ENOMEM, "API");
    a->c = *c;
    list_init(&a->requests);
    list_init(&a->snapshots);
    a->token = c->token ? strdup(c->token) : NULL;
    a->c.address = strdup(c->address);
    r = !a->c.address || (c->token && !a->token) ? err_errno(e, ENOMEM, "API") : start(a, e);
    if (r < 0) {
        api_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

void api_address(const struct api *a, char out[128])
{
    http_server_address(a->server, out);
}

struct loop *api_loop(struct api *a)
{
    return a->loop;
}

int api_run(struct api *a)
{
    int r = thread_start(&a->disk_thread, disk_thread, a);

    if (r < 0)
        return r;
    r = loop_run(a->loop);
    loop_stop(a->disk);
    pthread_join(a->disk_thread, NULL);
    return r;
}

/* ---------------------------------------------------------------- the end */
static void on_drained(void *user)
{
    struct api *a = user;

    /* Connections are gone; what is left are questions under way, whose last one stops the loop. */
    a->draining = true;
    if (list_empty(&a->requests))
        loop_stop(a->loop);
}

static void on_stop(struct mail *m)
{
    struct api *a = container_of(m, struct api, stop);

    http_server_drain(a->server, loop_now(a->loop) + DRAIN_S * NS_PER_S, on_drained, a);
}

void api_stop(struct api *a)
{
    a->stop.fn = on_stop;
    loop_post(a->loop, &a->stop);
}

struct api *api_free(struct api *a)
{
    if (!a)
        return NULL;
    http_server_free(a->server);
    snapshots_drop(a);
    schema_free(a->schema);
    buffer_done(&a->openapi);
    loop_free(a->loop);
    loop_free(a->disk);
    free((char *)a->c.address);
    free(a->token);
    free(a);
    return NULL;
}
