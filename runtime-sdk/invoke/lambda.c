/* lambda.c - the Lambda Runtime API (version 2018-06-01), as existing bootstraps and SDKs call it.
 *
 * A GET next waits here until a call comes; a call waits here until a GET next
 * comes. Answers carry the status codes that clients insist on: 202 for what
 * they post. The server lies on a socket inside of the sandbox. */
#include "invoke/link_internal.h"
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/random.h"
#include "http/server.h"
#include "http/trace.h"
#include "invoke/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    RESPONSE_MAX = (6 << 20) + 100, /* Lambda's own */
    ERROR_MAX = 1 << 20,
    METRICS_MAX = 8 << 10, /* sixteen of them, generously spaced */
    POLLERS_SPARE = 8, /* waiting GETs beyond the concurrency, e.g. of a client that came again */
    CONNECTIONS_SPARE = 16, /* beside one that polls and one that answers for each call */
    LAST_ID_MAX = 129,
};

#define DRAIN_NS (3600 * NS_PER_S) /* connections end with the sandbox, not by time */

struct lambda {
    struct runtime_link *link;
    struct http_server *server;
    struct list pollers; /* GET next that wait */
    struct list queue;   /* calls that wait for one */
    unsigned polling, queued, running, credit;
    bool deaf;
    char last_done[LAST_ID_MAX]; /* the request that was answered last: a second answer is told
                                    apart */
};
struct poller {
    struct list link; /* in pollers; an extension's is in no list: it waits for ever */
    struct lambda *api;
    struct http_exchange *x;
};
enum post_kind { POST_RESPONSE, POST_ERROR, POST_INIT_ERROR, POST_REGISTER, POST_METRICS };
struct post {
    struct lambda *api;
    struct http_exchange *x;
    enum post_kind kind;
    size_t limit;
    bool too_large, answered;
    size_t held; /* of the link's */
    struct buffer body;
    char request_id[LAST_ID_MAX];
};

/* ---------------------------------------------------------------- answers */

static void respond_error(struct http_exchange *x, int status, const char *type, const char *message)
{
    char body[256];
    int n = snprintf(body, sizeof(body), "{\"errorMessage\":\"%s\",\"errorType\":\"%s\"}", message,
                     type);

    http_respond(x, status, "Content-Type: application/json\r\n", body, (size_t)n);
}

static void respond_accepted(struct http_exchange *x)
{
    static const char body[] = "{\"status\":\"OK\"}\n";

    http_respond(x, 202, "Content-Type: application/json\r\n", body, sizeof(body) - 1);
}

static void respond_call(struct lambda *a, struct http_exchange *x, const struct runtime_call *c,
                         const void *event, size_t n)
{
    const struct runtime_link_config *config = &a->link->config;
    struct buffer h = {0};
    char trace[HTTP_XRAY_SIZE];

    buffer_printf(
        &h,
        "Content-Type: application/json\r\n"
        "Lambda-Runtime-Aws-Request-Id: %s\r\n"
        "Lambda-Runtime-Deadline-Ms: %llu\r\n"
        "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:local:000000000000:function:%s\r\n",
        c->request_id, (unsigned long long)c->deadline_ms, config->function);
    http_trace_xray(c->trace ? c->trace : "", trace);
    if (*trace)
        buffer_printf(&h, "Lambda-Runtime-Trace-Id: %s\r\n", trace);
    buffer_append(&h, "", 1);
    http_respond(x, 200, (const char *)buffer_bytes(&h), event, n);
    buffer_done(&h);
}

/* ---------------------------------------------------------------- GET next */

static void on_poller_gone(struct http_exchange *x, int error)
{
    struct poller *p = http_user(x);

    (void)error;
    if (!list_empty(&p->link))
        p->api->polling--;
    list_del(&p->link);
}

static void on_poller_done(struct http_exchange *x)
{
    struct poller *p = http_user(x);

    on_poller_gone(x, 0);
    free(p);
}
static const struct http_exchange_ops poller_ops = {.on_gone = on_poller_gone,
                                                    .on_done = on_poller_done};

/* What waits and what runs is how many the runtime takes at once. */
static void count_credit(struct lambda *a)
{
    unsigned seen = a->polling + a->running;

    if (seen > a->link->config.concurrency)
        seen = a->link->config.concurrency;
    if (seen <= a->credit)
        return;
    a->credit = seen;
    a->link->config.ops->on_credit(a->link->config.user, seen);
}

static int hand_over(struct lambda *a, struct poller *p, struct runtime_call *c, const void *event,
                     size_t n)
{
    int r = link_track(a->link, c);

    if (r < 0)
        return r;
    c->kind = RESULT_UNTYPED;
    list_del(&p->link);
    a->polling--;
    a->running++;
    respond_call(a, p->x, c, event, n);
    return 0;
}

static struct poller *poller_new(struct lambda *a, struct http_exchange *x)
{
    struct poller *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    *p = (struct poller){.api = a, .x = x};
    list_init(&p->link);
    http_set_owner(x, &poller_ops, p);
    return p;
}

static void on_next(struct lambda *a, struct http_exchange *x)
{
    unsigned concurrency = a->link->config.concurrency;
    struct poller *p;
    struct list *first;

    if (a->running && concurrency == 1) {
        respond_error(x, 403, "InvalidStateTransition",
                      "the previous invocation has not been answered");
        return;
    }
    if (a->polling >= concurrency + POLLERS_SPARE) {
        respond_error(x, 403, "InvalidStateTransition", "too many wait for the next invocation");
        return;
    }
    p = poller_new(a, x);
    if (!p) {
        respond_error(x, 500, "Runtime.OutOfMemory", "out of memory");
        return;
    }
    list_push_back(&a->pollers, &p->link);
    a->polling++;
    first = a->queue.next;
    if (first != &a->queue) {
        struct runtime_call *c = list_entry(first, struct runtime_call, link);
        struct buffer event = c->event;

        list_del(&c->link);
        a->queued--;
        c->event = (struct buffer){0};
        link_let_go(a->link, &c->held);
        hand_over(a, p, c, buffer_bytes(&event), buffer_size(&event));
        buffer_done(&event);
    }
    count_credit(a);
}

int lambda_start(struct lambda *a, struct runtime_call *c, const void *event, size_t n)
{
    int r;

    if (!list_empty(&a->pollers))
        return hand_over(a, list_entry(a->pollers.next, struct poller, link), c, event, n);
    if (!link_hold(a->link, &c->held, n))
        return -ENOBUFS;
    r = buffer_append(&c->event, event, n);
    if (r < 0) {
        link_let_go(a->link, &c->held);
        return r;
    }
    c->state = CALL_QUEUED;
    list_push_back(&a->queue, &c->link);
    a->queued++;
    return 0;
}

void lambda_drop(struct lambda *a, struct runtime_call *c)
{
    link_let_go(a->link, &c->held);
    list_del(&c->link);
    a->queued--;
}

/* ---------------------------------------------------------------- POST */

static struct runtime_call *call_of(struct lambda *a, const char *request_id)
{
    map_for_each(it, &a->link->calls)
    {
        struct runtime_call *c = container_of(it, struct runtime_call, node);

        if (!strcmp(c->request_id, request_id))
            return c;
    }
    return NULL;
}

static bool type_matches(struct str s)
{
    size_t skip = s.n > 8 && !memcmp(s.at, "Runtime.", 8)    ? 8
                  : s.n > 9 && !memcmp(s.at, "Function.", 9) ? 9
                                                             : 0;

    if (!skip || s.n - skip < 2 || !isupper((unsigned char)s.at[skip]))
        return false;
    for (size_t i = skip + 1; i < s.n; i++)
        if (!isalpha((unsigned char)s.at[i]))
            return false;
    return s.n < 120;
}

/* Of the headers or, when the body was streamed, of the trailers. */
static const struct str *field(const struct http_head *h, const char *name)
{
    const struct str *s = http_head_get(h, name);

    return s ? s : http_head_trailer(h, name);
}

/* `(Runtime|Function)\.[A-Z][a-zA-Z]+` is taken over, anything else is one of the two Unknowns. */
static void error_type(const struct http_head *h, char out[128])
{
    const struct str *s = field(h, "lambda-runtime-function-error-type");

    if (s && type_matches(*s))
        snprintf(out, 128, "%.*s", (int)s->n, s->at);
    else
        snprintf(out, 128, "%s",
                 s && s->n > 9 && !memcmp(s->at, "Function.", 9) ? "Function.Unknown"
                                                                 : "Runtime.Unknown");
}

static void note_done(struct lambda *a, const struct post *p)
{
    a->running--;
    snprintf(a->last_done, sizeof(a->last_done), "%s", p->request_id);
}

/* A streamed response that failed on its way says so in its trailers. */
static bool failed_midway(const struct post *p)
{
    return field(http_head(p->x), "lambda-runtime-function-error-type") != NULL;
}

static void finish_midway(struct post *p, struct runtime_call *c)
{
    const struct str *text = field(http_head(p->x), "lambda-runtime-function-error-body");
    struct buffer b = {0};
    char type[128];

    error_type(http_head(p->x), type);
    if (text)
        base64_decode(&b, text->at, text->n);
    respond_accepted(p->x);
    link_error(p->api->link, c, buffer_bytes(&b), buffer_size(&b), type, false);
    buffer_done(&b);
}

static void finish_response(struct post *p, struct runtime_call *c)
{
    const struct str *type = http_head_get(http_head(p->x), "content-type");
    struct lambda *a = p->api;
    struct buffer body = p->body;

    if (failed_midway(p)) {
        finish_midway(p, c);
        return;
    }
    if (type && str_ieq(*type, "application/vnd.awslambda.http-integration-response"))
        c->kind = RESULT_PRELUDE;
    /* Answering may end the exchange and the post with it: the body is ours for the rest. */
    p->body = (struct buffer){0};
    respond_accepted(p->x);
    link_result(a->link, c, buffer_bytes(&body), buffer_size(&body));
    buffer_done(&body);
}

static void finish_error(struct post *p, struct runtime_call *c)
{
    struct lambda *a = p->api;
    struct buffer body = p->body;
    char type[128];

    error_type(http_head(p->x), type);
    p->body = (struct buffer){0};
    respond_accepted(p->x);
    link_error(a->link, c, buffer_bytes(&body), buffer_size(&body), type, false);
    buffer_done(&body);
}

static void finish_init_error(struct post *p)
{
    struct lambda *a = p->api;
    struct buffer body = p->body;
    char type[128];

    if (a->credit) {
        respond_error(p->x, 403, "InvalidStateTransition", "initialisation is over");
        return;
    }
    error_type(http_head(p->x), type);
    p->body = (struct buffer){0};
    respond_accepted(p->x);
    link_init_error(a->link, buffer_bytes(&body), buffer_size(&body), type);
    buffer_done(&body);
}

static void finish_register(struct post *p)
{
    const struct runtime_link_config *c = &p->api->link->config;
    struct buffer b = {0};
    char id[37], headers[128];

    random_uuid(id);
    snprintf(headers, sizeof(headers),
             "Content-Type: application/json\r\nLambda-Extension-Identifier: %s\r\n", id);
    buffer_puts(&b, "{\"functionName\":");
    json_string_append(&b, c->function, strlen(c->function));
    buffer_puts(&b, ",\"functionVersion\":\"$LATEST\",\"handler\":");
    json_string_append(&b, c->handler, strlen(c->handler));
    buffer_puts(&b, "}");
    http_respond(p->x, 200, headers, buffer_bytes(&b), buffer_size(&b));
    buffer_done(&b);
}

static void finish_metrics(struct post *p)
{
    char why[LINK_WHY_MAX];
    int r = link_metrics(p->api->link, buffer_bytes(&p->body), buffer_size(&p->body), why);

    if (r == 0)
        respond_accepted(p->x);
    else if (r == -EINVAL)
        respond_error(p->x, 400, "InvalidMetric", why);
    else
        respond_error(p->x, 500, "Runtime.OutOfMemory", "out of memory");
}

static void finish_too_large(struct post *p, struct runtime_call *c)
{
    struct lambda *a = p->api;

    c->too_large = true;
    respond_error(p->x, 413, "RequestEntityTooLarge", "the response is over the limit");
    link_result(a->link, c, NULL, 0);
}

static void finish_post(struct post *p)
{
    struct lambda *a = p->api;
    struct runtime_call *c;

    p->answered = true;
    if (p->kind != POST_RESPONSE && p->kind != POST_ERROR) {
        if (p->too_large)
            respond_error(p->x, 413, "RequestEntityTooLarge", "the body is over the limit");
        else if (p->kind == POST_REGISTER)
            finish_register(p);
        else if (p->kind == POST_METRICS)
            finish_metrics(p);
        else
            finish_init_error(p);
        return;
    }
    c = call_of(a, p->request_id);
    if (!c) {
        if (!strcmp(a->last_done, p->request_id))
            respond_error(p->x, 403, "InvalidStateTransition",
                          "that invocation has been answered already");
        else
            respond_error(p->x, 400, "InvalidRequestID", "no such invocation runs");
        return;
    }
    note_done(a, p);
    if (p->too_large || (p->kind == POST_RESPONSE && buffer_size(&p->body) > c->result_limit))
        finish_too_large(p, c);
    else if (p->kind == POST_RESPONSE)
        finish_response(p, c);
    else
        finish_error(p, c);
}

static void on_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    struct post *p = http_user(x);

    if (p->answered)
        return;
    if (!p->too_large &&
        (buffer_size(&p->body) + n > p->limit || !link_hold(p->api->link, &p->held, n) ||
         buffer_append(&p->body, data, n) < 0)) {
        p->too_large = true;
        buffer_done(&p->body);
        link_let_go(p->api->link, &p->held);
    }
    if (last || p->too_large)
        finish_post(p);
}

static void on_post_done(struct http_exchange *x)
{
    struct post *p = http_user(x);

    buffer_done(&p->body);
    link_let_go(p->api->link, &p->held);
    free(p);
}
static const struct http_exchange_ops post_ops = {.on_body = on_body, .on_done = on_post_done};

static void on_post(struct lambda *a, struct http_exchange *x, enum post_kind kind,
                    struct str request_id)
{
    const struct str *mode = http_head_get(http_head(x), "lambda-runtime-function-response-mode");
    struct post *p;

    if (kind == POST_RESPONSE && mode && !str_ieq(*mode, "streaming") && !str_ieq(*mode, "buffered")) {
        respond_error(x, 400, "InvalidFunctionResponseMode",
                      "the response mode is not streaming or buffered");
        return;
    }
    p = request_id.n < LAST_ID_MAX ? calloc(1, sizeof(*p)) : NULL;
    if (!p) {
        respond_error(x, 400, "InvalidRequestID", "no such invocation runs");
        return;
    }
    *p = (struct post){.api = a,
                       .x = x,
                       .kind = kind,
                       .limit = kind == POST_RESPONSE  ? RESPONSE_MAX
                                : kind == POST_METRICS ? METRICS_MAX
                                                       : ERROR_MAX};
    memcpy(p->request_id, request_id.at, request_id.n);
    http_set_owner(x, &post_ops, p);
    /* What names no invocation is refused before its body takes memory. */
    if (http_has_body(x) && (!request_id.n || call_of(a, p->request_id)))
        http_read_body(x, 0);
    else
        finish_post(p);
}

/* ---------------------------------------------------------------- routes */

static bool take(struct str *s, const char *prefix)
{
    size_t n = strlen(prefix);

    if (s->n < n || memcmp(s->at, prefix, n) != 0)
        return false;
    s->at += n;
    s->n -= n;
    return true;
}

static bool is_post(struct http_exchange *x)
{
    if (str_eq(http_head(x)->method, "POST"))
        return true;
    respond_error(x, 405, "MethodNotAllowed", "only POST is allowed here");
    return false;
}

static bool is_get(struct http_exchange *x)
{
    if (str_eq(http_head(x)->method, "GET"))
        return true;
    respond_error(x, 405, "MethodNotAllowed", "only GET is allowed here");
    return false;
}

static void on_invocation(struct lambda *a, struct http_exchange *x, struct str rest)
{
    const char *slash = memchr(rest.at, '/', rest.n);
    struct str id = {rest.at, slash ? (size_t)(slash - rest.at) : rest.n};
    struct str verb = {slash ? slash + 1 : "", slash ? rest.n - id.n - 1 : 0};
    enum post_kind kind = str_eq(verb, "response") ? POST_RESPONSE : POST_ERROR;

    if (!slash || !id.n || (kind == POST_ERROR && !str_eq(verb, "error")))
        respond_error(x, 404, "NotFound", "no such resource");
    else if (is_post(x))
        on_post(a, x, kind, id);
}

static void on_extension_next(struct lambda *a, struct http_exchange *x)
{
    if (a->polling >= a->link->config.concurrency + POLLERS_SPARE || !poller_new(a, x))
        respond_error(x, 403, "InvalidStateTransition", "too many wait for the next event");
}

static void on_request(struct http_exchange *x, void *user)
{
    struct lambda *a = user;
    struct str path = http_head(x)->path;

    if (a->link->closed || !link_decide(a->link, LINK_LAMBDA)) {
        respond_error(x, 403, "InvalidStateTransition", "this instance is served by frames");
        return;
    }
    if (str_eq(path, "/2018-06-01/runtime/invocation/next")) {
        if (is_get(x))
            on_next(a, x);
    } else if (take(&path, "/2018-06-01/runtime/invocation/")) {
        on_invocation(a, x, path);
    } else if (str_eq(path, "/2018-06-01/runtime/init/error")) {
        if (is_post(x))
            on_post(a, x, POST_INIT_ERROR, STR(""));
    } else if (str_eq(path, "/2020-01-01/extension/register")) {
        if (is_post(x))
            on_post(a, x, POST_REGISTER, STR(""));
    } else if (str_eq(path, "/2020-01-01/extension/event/next")) {
        if (is_get(x))
            on_extension_next(a, x);
    } else if (str_eq(path, "/rouse/v1/metrics")) {
        if (is_post(x))
            on_post(a, x, POST_METRICS, STR(""));
    } else {
        respond_error(x, 404, "NotFound", "no such resource");
    }
}

int lambda_new(struct runtime_link *l, int listen_fd, struct lambda **ret)
{
    struct lambda *a = calloc(1, sizeof(*a));
    struct http_server_options o = {
        .max_connections = 2 * l->config.concurrency + CONNECTIONS_SPARE,
        .idle_timeout_ns = 3600 * NS_PER_S,
        .on_request = on_request,
        .user = a,
    };
    int r = a ? http_server_new(l->loop, &o, &a->server) : -ENOMEM;

    if (r < 0) {
        close(listen_fd);
        free(a);
        return r;
    }
    a->link = l;
    list_init(&a->pollers);
    list_init(&a->queue);
    r = http_server_listen_fd(a->server, listen_fd);
    if (r < 0) {
        close(listen_fd);
        lambda_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

void lambda_stop_listening(struct lambda *a)
{
    if (a->deaf)
        return;
    a->deaf = true;
    http_server_drain(a->server, loop_now(a->link->loop) + DRAIN_NS, NULL, NULL);
}

struct lambda *lambda_free(struct lambda *a)
{
    if (!a)
        return NULL;
    list_for_each(it, &a->queue)
    {
        struct runtime_call *c = list_entry(it, struct runtime_call, link);

        link_let_go(a->link, &c->held);
        c->state = CALL_IDLE;
    }
    a->server = http_server_free(a->server);
    free(a);
    return NULL;
}
