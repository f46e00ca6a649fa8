#include "invoke/invocation_internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "invoke/event.h"
#include "invoke/link_internal.h"
#include "invoke/text.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    FREE_MAX = 256,
    SCRATCH_KEEP = 1 << 20,
    BODY_KEEP = 16 << 10,
    STATUS_CLIENT_GONE = 499,
    JSON_DEPTH = 256
};
#define BODY_TIMEOUT_NS (30 * NS_PER_S)
#define BODIES_MAX      (256u << 20) /* of all requests whose bodies are still arriving */

static const char *const state_names[] = {"Reading", "Running", "Abandoned"};

struct invocations {
    struct loop *loop;
    struct buffer event; /* the one being built */
    struct event_clock clock;
    struct answer answer;
    struct list free;
    unsigned free_count;
    size_t bodies; /* bytes */
};

void invocation_set_state(struct invocation *i, enum invocation_state to)
{
    assert(to > i->state);
    log_debug("invocation %s: %s -> %s", i->params.request_id, state_names[i->state],
              state_names[to]);
    i->state = to;
}

int invocations_new(struct loop *loop, struct invocations **ret)
{
    struct invocations *all = calloc(1, sizeof(*all));

    if (!all)
        return -ENOMEM;
    all->loop = loop;
    list_init(&all->free);
    *ret = all;
    return 0;
}

static void invocation_destroy(struct invocation *i)
{
    runtime_call_done(&i->call);
    buffer_done(&i->texts);
    buffer_done(&i->body);
    free(i);
}

struct invocations *invocations_free(struct invocations *all)
{
    struct list *l;

    if (!all)
        return NULL;
    while ((l = list_pop_front(&all->free)))
        invocation_destroy(list_entry(l, struct invocation, link));
    buffer_done(&all->event);
    answer_done(&all->answer);
    free(all);
    return NULL;
}

static struct invocation *invocation_get(struct invocations *all)
{
    struct list *l = list_pop_front(&all->free);
    struct invocation *i;

    if (l) {
        all->free_count--;
        return list_entry(l, struct invocation, link);
    }
    i = calloc(1, sizeof(*i));
    if (i)
        list_init(&i->link);
    return i;
}

void invocation_drop_body(struct invocation *i)
{
    i->all->bodies -= buffer_size(&i->body);
    if (i->body.capacity > BODY_KEEP)
        buffer_done(&i->body);
    else
        buffer_clear(&i->body);
}

/* Back to the free list with its small buffers. */
static void invocation_put(struct invocation *i)
{
    struct invocations *all = i->all;
    struct invocation fresh;

    invocation_drop_body(i);
    fresh = (struct invocation){.texts = i->texts, .body = i->body};

    if (all->free_count >= FREE_MAX) {
        invocation_destroy(i);
        return;
    }
    buffer_clear(&fresh.texts);
    fresh.call.event = i->call.event;
    fresh.call.result = i->call.result;
    *i = fresh;
    list_init(&i->link);
    list_push_front(&all->free, &i->link);
    all->free_count++;
}

/* ---------------------------------------------------------------- the client's side */

static const struct http_exchange_ops nobody;

/* The exchange is answered: it is the server's alone from here on, and the entry is told. */
void invocation_client_done(struct invocation *i, int status, bool lost)
{
    struct invoke_outcome o = {
        .status = status,
        .client_gone = i->gone,
        .lost = lost,
        .cold = i->s.cold,
        .run_ns = i->started_ns ? loop_now(i->all->loop) - i->started_ns : 0,
    };

    i->x = NULL;
    i->s.on_done(i->s.user, &o);
}

void invocation_leave_exchange(struct invocation *i, int status, bool lost)
{
    http_set_owner(i->x, &nobody, NULL);
    invocation_client_done(i, status, lost);
}

void invocation_client_fail(struct invocation *i, struct failure *f, bool lost)
{
    struct http_exchange *x = i->x;

    if (!x || i->gone)
        return;
    if (http_respond_started(x)) {
        invocation_leave_exchange(i, f->status, lost);
        http_abort(x);
        return;
    }
    f->request_id = i->params.request_id;
    f->shape = i->params.shape;
    f->trusted = i->params.trusted;
    http_set_owner(x, &nobody, NULL);
    invocation_client_done(i, failure_respond(x, f), lost);
}

static void client_answer(struct invocation *i, int status, struct buffer *headers,
                          const void *body, size_t n)
{
    struct http_exchange *x = i->x;

    if (!x || i->gone)
        return;
    if (buffer_append(headers, "Rouse-Request-Id: ", 18) < 0 ||
        buffer_puts(headers, i->params.request_id) < 0 || buffer_append(headers, "\r\n", 3) < 0) {
        invocation_client_fail(
            i,
            &(struct failure){.status = 502, .reason = "InternalError", .message = "out of memory"},
            false);
        return;
    }
    http_set_owner(x, &nobody, NULL);
    http_respond(x, status, (const char *)buffer_bytes(headers), body, n);
    invocation_client_done(i, status, false);
}

/* ---------------------------------------------------------------- the end of it */

void invocation_release(struct invocation *i)
{
    struct invocations *all = i->all;
    uint64_t run = i->started_ns ? loop_now(all->loop) - i->started_ns : 0;

    loop_timer_cancel(all->loop, &i->timer);
    runtime_link_drop(i->s.link, &i->call);
    list_del(&i->link);
    list_del(&i->of_server);
    proxied_done(i);
    /* A client that left is told of by on_done() of its exchange, which finds the invocation gone
     * otherwise. */
    if (i->x && i->gone) {
        http_set_owner(i->x, &nobody, NULL);
        invocation_client_done(i, STATUS_CLIENT_GONE, false);
    }
    i->s.ops->on_released(i->s.owner, i, i->started_ns != 0, run);
    invocation_put(i);
}

static void answer_raw(struct invocation *i, const struct result *r)
{
    struct buffer *h = &i->all->answer.headers;

    buffer_clear(h);
    buffer_printf(h, "Content-Type: %s\r\nX-Amz-Executed-Version: $LATEST\r\n", result_raw_type(r));
    client_answer(i, 200, h, r->data, r->n);
}

void invocation_result(struct invocation *i, const struct result *r)
{
    struct answer *a = &i->all->answer;
    char message[RESULT_MESSAGE_MAX] = "out of memory";

    if (!i->x || i->gone) {
        invocation_release(i);
        return;
    }
    if (i->params.shape == INVOKE_RAW)
        answer_raw(i, r);
    else if (result_answer(r, a, message) == 0)
        client_answer(i, a->status, &a->headers, a->body, a->body_size);
    else
        invocation_client_fail(
            i, &(struct failure){.status = 502, .reason = "InvalidAnswer", .message = message},
            false);
    if (a->owned.capacity > SCRATCH_KEEP)
        buffer_done(&a->owned);
    invocation_release(i);
}

void invocation_too_large(struct invocation *i)
{
    char message[96];

    snprintf(message, sizeof(message), "the response is over the limit of %llu bytes",
             (unsigned long long)i->params.body_limit);
    invocation_client_fail(i,
                           &(struct failure){.status = 502,
                                             .reason = "ResponseTooLarge",
                                             .message = message,
                                             .error_type = "Function.ResponseSizeTooLarge"},
                           false);
    invocation_release(i);
}

void invocation_error(struct invocation *i, const struct function_error *e)
{
    invocation_client_fail(i,
                           &(struct failure){.status = 502,
                                             .reason = "FunctionError",
                                             .message = "the function failed",
                                             .error_type = "Unhandled",
                                             .error = e},
                           false);
    invocation_release(i);
}

void invocation_lost(struct invocation *i, const char *reason, const char *message)
{
    if (i->proxy)
        proxied_cut(i, 502);
    invocation_client_fail(
        i,
        &(struct failure){
            .status = 502, .reason = reason, .message = message, .error_type = "Runtime.ExitError"},
        true);
    invocation_release(i);
}

/* ---------------------------------------------------------------- start */

static void on_refusal_due(struct loop_timer *t)
{
    struct invocation *i = container_of(t, struct invocation, timer);
    char message[80];

    if (i->refusal.status == 413) {
        snprintf(message, sizeof(message), "the request body is over the limit of %llu bytes",
                 (unsigned long long)i->params.body_limit);
        i->refusal.message = message;
    }
    invocation_client_fail(i, &i->refusal, false);
    invocation_release(i);
}

/* Not under the caller: the timer tells it. */
void invocation_refuse(struct invocation *i, int status, const char *reason, const char *message)
{
    i->refusal =
        (struct failure){.status = status, .reason = reason, .message = message, .refused = true};
    i->timer.fn = on_refusal_due;
    loop_timer_set(i->all->loop, &i->timer, loop_now(i->all->loop));
}

static void refuse_body(struct invocation *i)
{
    invocation_refuse(i, 413, "RequestTooLarge", "");
}

void invocation_on_timeout(struct loop_timer *t)
{
    struct invocation *i = container_of(t, struct invocation, timer);
    char message[64];

    i->overdue_ns = loop_now(i->all->loop);
    snprintf(message, sizeof(message), "Task timed out after %.2f seconds",
             i->params.timeout_ms / 1e3);
    if (i->s.link->http)
        proxied_overdue(i);
    invocation_client_fail(
        i,
        &(struct failure){
            .status = 504, .reason = "Timeout", .message = message, .error_type = "Sandbox.Timedout"},
        false);
    if (i->state == INVOCATION_RUNNING) {
        invocation_set_state(i, INVOCATION_ABANDONED);
        runtime_link_cancel(i->s.link, &i->call);
    }
    i->s.ops->on_overdue(i->s.owner, i);
}

static bool is_json(const uint8_t *data, size_t n)
{
    struct json_facts facts;

    return json_check(data, n, JSON_DEPTH, &facts) == 0;
}

struct event_request invocation_event(struct invocation *i, const uint8_t *body, size_t n)
{
    return (struct event_request){
        .head = http_head(i->x),
        .raw_path = i->params.raw_path,
        .route = i->params.route,
        .route_any = i->params.route_any,
        .function = i->s.function,
        .request_id = i->params.request_id,
        .trace = i->params.trace,
        .client_ip = i->params.client_ip,
        .body = body,
        .body_size = n,
        .now_ms = clock_wall_ms(),
        .clock = &i->all->clock,
    };
}

struct buffer *invocation_scratch(struct invocation *i)
{
    buffer_clear(&i->all->event);
    return &i->all->event;
}

void invocation_started(struct invocation *i)
{
    struct loop *loop = i->all->loop;

    invocation_set_state(i, INVOCATION_RUNNING);
    i->started_ns = loop_now(loop);
    i->timer.fn = invocation_on_timeout;
    loop_timer_set(loop, &i->timer, i->started_ns + i->params.timeout_ms * NS_PER_MS);
    i->s.ops->on_started(i->s.owner, i);
}

static void submit(struct invocation *i, const uint8_t *body, size_t n)
{
    struct invocations *all = i->all;
    const void *event = n ? (const void *)body : "{}";
    size_t size = n ? n : 2;
    int r = 0;

    if (i->params.shape == INVOKE_RAW && n && !is_json(body, n)) {
        invocation_refuse(i, 400, "InvalidRequestContent", "the event is not valid JSON");
        return;
    }
    if (i->params.shape == INVOKE_HTTP) {
        struct event_request request = invocation_event(i, body, n);

        r = event_append(invocation_scratch(i), &request);
        event = buffer_bytes(&all->event);
        size = buffer_size(&all->event);
    }
    i->call.deadline_ms = clock_wall_ms() + i->params.timeout_ms;
    i->call.result_limit = i->params.body_limit;
    if (r == 0)
        r = runtime_link_start(i->s.link, &i->call, event, size);
    if (all->event.capacity > SCRATCH_KEEP)
        buffer_done(&all->event);
    if (r == -ENOTCONN) {
        invocation_refuse(i, 502, "InstanceLost", "the instance ended before the function began");
        return;
    }
    if (r < 0) {
        invocation_refuse(i, 503, "NoMemory", "out of memory");
        return;
    }
    invocation_started(i);
}

/* ---------------------------------------------------------------- the exchange */

const char *invocation_keep_body(struct invocation *i, const uint8_t *data, size_t n)
{
    if (i->all->bodies + n > BODIES_MAX)
        return "the bodies of all requests are over the node's limit";
    if (buffer_append(&i->body, data, n) < 0)
        return "out of memory";
    i->all->bodies += n;
    return NULL;
}

void invocation_take_body(struct invocation *i, size_t n)
{
    buffer_consume(&i->body, n);
    i->all->bodies -= n;
}

static void on_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    struct invocation *i = http_user(x);
    const char *why;

    if (i->state != INVOCATION_READING || i->refusal.status)
        return;
    if (buffer_size(&i->body) + n > i->params.body_limit) {
        refuse_body(i);
        return;
    }
    why = invocation_keep_body(i, data, n);
    if (why)
        invocation_refuse(i, 503, "NoMemory", why);
    if (why || !last)
        return;
    loop_timer_cancel(i->all->loop, &i->timer);
    submit(i, buffer_bytes(&i->body), buffer_size(&i->body));
    invocation_drop_body(i);
}

static void on_gone(struct http_exchange *x, int error)
{
    struct invocation *i = http_user(x);

    (void)error;
    i->gone = true;
    if (i->state == INVOCATION_RUNNING) {
        invocation_set_state(i, INVOCATION_ABANDONED);
        runtime_link_cancel(i->s.link, &i->call);
    }
}

void invocation_exchange_done(struct http_exchange *x)
{
    struct invocation *i = http_user(x);

    invocation_client_done(i, STATUS_CLIENT_GONE, false);
    if (i->state == INVOCATION_READING)
        invocation_release(i);
}

void invocation_tell_log(struct invocation *i, const char *message)
{
    const struct runtime_link_config *c = &i->s.link->config;
    char line[256];
    int n = snprintf(line, sizeof(line), "[ERROR] %s", message);

    c->ops->on_log(c->user, i->params.request_id, line,
                   (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static const struct http_exchange_ops exchange_ops = {
    .on_body = on_body, .on_gone = on_gone, .on_done = invocation_exchange_done};

void invocation_own_exchange(struct invocation *i)
{
    http_set_owner(i->x, &exchange_ops, i);
}

static void on_body_late(struct loop_timer *t)
{
    struct invocation *i = container_of(t, struct invocation, timer);

    invocation_client_fail(i,
                           &(struct failure){.status = 408,
                                             .reason = "RequestTimeout",
                                             .message = "the request body did not come in time",
                                             .refused = true},
                           false);
    invocation_release(i);
}

static char *put_text(char *at, const char *s, size_t n, const char **ret)
{
    memcpy(at, s, n);
    at[n] = '\0';
    *ret = at;
    return at + n + 1;
}

static int copy_params(struct invocation *i, const struct invoke_params *p)
{
    const char *ip = p->client_ip ? p->client_ip : "", *trace = p->trace ? p->trace : "";
    size_t id_size = strlen(p->request_id), trace_size = strlen(trace), ip_size = strlen(ip);
    size_t size = id_size + trace_size + ip_size + p->raw_path.n + p->route.n + 5;
    char *at = (char *)buffer_reserve(&i->texts, size);

    if (!at)
        return -ENOMEM;
    i->params = *p;
    at = put_text(at, p->request_id, id_size, &i->params.request_id);
    at = put_text(at, trace, trace_size, &i->params.trace);
    at = put_text(at, ip, ip_size, &i->params.client_ip);
    at = put_text(at, p->raw_path.n ? p->raw_path.at : "", p->raw_path.n, &i->params.raw_path.at);
    put_text(at, p->route.n ? p->route.at : "", p->route.n, &i->params.route.at);
    buffer_commit(&i->texts, size);
    i->params.function_key = i->params.revision = NULL;
    i->call.request_id = i->params.request_id;
    i->call.trace = i->params.trace;
    return 0;
}

/* The body is wanted by the entry's deadline, and in any case in bounded time: it holds a slot. */
static uint64_t body_deadline(const struct invocation *i)
{
    uint64_t now = loop_now(i->all->loop), wall = clock_wall_ms(), at = now + BODY_TIMEOUT_NS;

    if (i->params.deadline_ms) {
        uint64_t left = i->params.deadline_ms > wall ? (i->params.deadline_ms - wall) * NS_PER_MS : 0;

        if (now + left < at)
            at = now + left;
    }
    return at;
}

int invocation_begin(struct invocations *all, struct http_exchange *x,
                     const struct invocation_start *s, struct invocation **ret)
{
    struct invocation *i = invocation_get(all);
    const struct http_head *h = http_head(x);

    if (!i)
        return -ENOMEM;
    i->all = all;
    i->s = *s;
    i->x = x;
    if (copy_params(i, s->params) < 0) {
        invocation_put(i);
        return -ENOMEM;
    }
    i->s.params = &i->params;
    list_init(&i->of_server);
    if (s->link->http && i->params.shape == INVOKE_HTTP) {
        int r = proxied_begin(i);

        if (r < 0)
            invocation_put(i);
        else
            *ret = i;
        return r;
    }
    if (runtime_link_takes_http(s->link) &&
        (h->content_length <= 0 || (uint64_t)h->content_length <= i->params.body_limit)) {
        int r = streamed_begin(i);

        if (r < 0)
            invocation_put(i);
        else
            *ret = i;
        return r;
    }
    invocation_own_exchange(i);
    *ret = i;
    if (s->link->http) {
        invocation_refuse(i, 400, "NoEvents",
                          "the function is an HTTP server: it takes requests, at its paths and at "
                          "/function/NAMESPACE/NAME/, and no events");
    } else if (http_has_body(x) && h->content_length > 0 &&
               (uint64_t)h->content_length > i->params.body_limit) {
        refuse_body(i);
    } else if (!http_has_body(x)) {
        submit(i, NULL, 0);
    } else if (http_held_all(x)) {
        if (buffer_size(http_held(x)) > i->params.body_limit)
            refuse_body(i);
        else
            submit(i, buffer_bytes(http_held(x)), buffer_size(http_held(x)));
    } else {
        i->timer.fn = on_body_late;
        loop_timer_set(all->loop, &i->timer, body_deadline(i));
        http_read_body(x, 0);
    }
    return 0;
}

/* ---------------------------------------------------------------- the owner's view */

struct invocation *invocation_of(struct runtime_call *c)
{
    return container_of(c, struct invocation, call);
}
struct list *invocation_list(struct invocation *i)
{
    return &i->link;
}
struct invocation *invocation_from_list(struct list *l)
{
    return list_entry(l, struct invocation, link);
}
const char *invocation_request_id(const struct invocation *i)
{
    return i->params.request_id;
}
uint64_t invocation_overdue_ns(const struct invocation *i)
{
    return i->overdue_ns ? loop_now(i->all->loop) - i->overdue_ns : 0;
}
uint32_t invocation_timeout_ms(const struct invocation *i)
{
    return i->params.timeout_ms;
}
