/* link.c - the part of a link that does not care which interface it is. */
#include "invoke/link_internal.h"
#include "base/cleanup.h"
#include "invoke/http_link.h"
#include "invoke/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RESULT_KEEP = 64 << 10 }; /* a larger buffer is not kept for the next call */

void runtime_call_done(struct runtime_call *c)
{
    buffer_done(&c->event);
    buffer_done(&c->result);
}

static void trim(struct buffer *b)
{
    if (b->capacity > RESULT_KEEP)
        buffer_done(b);
    else
        buffer_clear(b);
}

bool link_decide(struct runtime_link *l, enum link_protocol p)
{
    if (l->protocol != LINK_UNDECIDED)
        return l->protocol == p;
    l->protocol = p;
    /* The Lambda server is left listening and answers 403: it may be what is just now calling us.
     */
    if (p == LINK_LAMBDA && l->frames)
        frames_stop_listening(l->frames);
    l->config.ops->on_hello(l->config.user);
    return true;
}

void link_closed(struct runtime_link *l, const char *violation)
{
    if (l->closed)
        return;
    l->closed = true;
    l->config.ops->on_closed(l->config.user, violation);
}

int link_track(struct runtime_link *l, struct runtime_call *c)
{
    int r;

    c->id = ++l->last_id;
    r = map_put(&l->calls, &c->node, (const char *)&c->id, sizeof(c->id));
    if (r < 0)
        return r;
    c->state = CALL_SENT;
    c->too_large = false;
    return 0;
}

void link_untrack(struct runtime_link *l, struct runtime_call *c)
{
    map_del(&l->calls, &c->node);
    link_let_go(l, &c->held);
    list_del(&c->link);
    c->state = CALL_IDLE;
}

bool link_hold(struct runtime_link *l, size_t *held, size_t n)
{
    if (n > LINK_HELD_MAX - l->held)
        return false;
    l->held += n;
    *held += n;
    return true;
}

void link_let_go(struct runtime_link *l, size_t *held)
{
    l->held -= *held;
    *held = 0;
}

struct runtime_call *link_find(struct runtime_link *l, uint64_t id)
{
    struct map_node *n = map_get(&l->calls, &id, sizeof(id));

    return n ? container_of(n, struct runtime_call, node) : NULL;
}

void link_keep(struct runtime_link *l, struct runtime_call *c, const uint8_t *data, size_t n)
{
    if (c->too_large || buffer_size(&c->result) + n > c->result_limit ||
        !link_hold(l, &c->held, n) || buffer_append(&c->result, data, n) < 0) {
        c->too_large = true;
        buffer_done(&c->result);
        link_let_go(l, &c->held);
    }
}

void link_result(struct runtime_link *l, struct runtime_call *c, const uint8_t *data, size_t n)
{
    struct buffer kept = c->result;
    struct result r = {.kind = c->kind, .data = data, .n = n};
    bool too_large = c->too_large || n > c->result_limit;

    if (buffer_size(&kept)) {
        r.data = buffer_bytes(&kept);
        r.n = buffer_size(&kept);
    }
    /* The call may be freed or used again by what it is handed to: its bytes are ours until then.
     */
    c->result = (struct buffer){0};
    link_untrack(l, c);
    if (too_large)
        l->config.ops->on_too_large(l->config.user, c);
    else
        l->config.ops->on_result(l->config.user, c, &r);
    buffer_done(&kept);
}

void link_error(struct runtime_link *l, struct runtime_call *c, const uint8_t *data, size_t n,
                const char *type, bool fatal)
{
    struct function_error e;
    static char nothing[] = "", none[] = "[]", unknown[] = "Function.Unknown";
    bool parsed = function_error_parse(data, n, type, &e) == 0;

    if (!parsed)
        e = (struct function_error){.type = unknown, .message = nothing, .trace = none};
    e.fatal = fatal;
    trim(&c->result);
    link_untrack(l, c);
    l->config.ops->on_error(l->config.user, c, &e);
    if (parsed)
        function_error_done(&e);
}

void link_init_error(struct runtime_link *l, const uint8_t *data, size_t n, const char *type)
{
    struct function_error e;

    if (function_error_parse(data, n, type, &e) < 0)
        return;
    e.fatal = true;
    l->config.ops->on_init_error(l->config.user, &e);
    function_error_done(&e);
}

void link_hook_answer(struct runtime_link *l, const uint8_t *data, size_t n)
{
    struct function_error e;

    l->hook_id = 0;
    if (!data) {
        l->config.ops->on_hook(l->config.user, l->hook, NULL);
    } else if (function_error_parse(data, n, NULL, &e) == 0) {
        l->config.ops->on_hook(l->config.user, l->hook, &e);
        function_error_done(&e);
    } /* else as if none came: its time passes */
}

/* An object of strings, for HELLO's answer. */
static int keep_environment(struct runtime_link *l)
{
    const char *const *v = l->config.environment;
    struct buffer *b = &l->environment;
    size_t size = 0;
    int r = v ? buffer_puts(b, "{") : 0;

    for (size_t i = 0; v && v[i] && r == 0; i++) {
        const char *value = strchrnul(v[i], '=');
        size_t n = strlen(v[i]);

        size += n + 1;
        if (size > LINK_ENVIRONMENT_MAX)
            return -E2BIG;
        if (i)
            r = buffer_puts(b, ",");
        if (r == 0)
            r = json_string_append(b, v[i], (size_t)(value - v[i]));
        if (r == 0)
            r = buffer_puts(b, ":");
        value += *value == '=';
        if (r == 0)
            r = json_string_append(b, value, strlen(value));
    }
    l->config.environment = NULL;
    return v && r == 0 ? buffer_puts(b, "}") : r;
}

void link_no_fork(struct runtime_link *l, uint64_t id, const uint8_t *data, size_t n)
{
    struct function_error e;

    if (!l->config.ops->on_no_fork || function_error_parse(data, n, NULL, &e) < 0)
        return;
    l->config.ops->on_no_fork(l->config.user, id, &e);
    function_error_done(&e);
}

static int copy_texts(struct runtime_link_config *c)
{
    c->function = strdup(c->function);
    c->namespace = strdup(c->namespace);
    c->revision = strdup(c->revision);
    c->handler = strdup(c->handler);
    return c->function && c->namespace && c->revision && c->handler ? 0 : -ENOMEM;
}

int runtime_link_new(const struct runtime_link_config *config, struct runtime_link **ret)
{
    struct runtime_link *l = calloc(1, sizeof(*l));
    int frames_fd = config->frames_fd, api_fd = config->api_fd;
    int r = -ENOMEM;

    if (l) {
        l->loop = config->loop;
        list_init(&l->blocked);
        l->config = *config;
        r = copy_texts(&l->config);
        if (r == 0)
            r = keep_environment(l);
    }
    if (r == 0 && config->port) {
        r = http_link_new(l, frames_fd, &l->http);
        frames_fd = -1;
    }
    if (r == 0 && frames_fd >= 0) {
        r = frames_new(l, frames_fd, &l->frames);
        frames_fd = -1;
    }
    if (r == 0 && api_fd >= 0) {
        r = lambda_new(l, api_fd, &l->lambda);
        api_fd = -1;
    }
    if (frames_fd >= 0)
        close(frames_fd);
    if (api_fd >= 0)
        close(api_fd);
    if (r < 0) {
        runtime_link_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

struct runtime_link *runtime_link_free(struct runtime_link *l)
{
    if (!l)
        return NULL;
    l->closed = true;
    l->http = http_link_free(l->http);
    l->lambda = lambda_free(l->lambda);
    l->frames = frames_free(l->frames);
    map_for_each(it, &l->calls) link_untrack(l, container_of(it, struct runtime_call, node));
    map_done(&l->calls);
    free(l->gauges);
    buffer_done(&l->head.headers);
    buffer_done(&l->environment);
    free((char *)l->config.function);
    free((char *)l->config.namespace);
    free((char *)l->config.revision);
    free((char *)l->config.handler);
    free(l);
    return NULL;
}

void runtime_link_deafen(struct runtime_link *l)
{
    if (l->frames)
        frames_stop_listening(l->frames);
    if (l->lambda)
        lambda_stop_listening(l->lambda);
    if (l->http)
        http_link_deafen(l->http);
}

static void reset(struct runtime_call *c)
{
    list_init(&c->link);
    trim(&c->event);
    trim(&c->result);
    c->http.on = false;
}

int runtime_link_start(struct runtime_link *l, struct runtime_call *c, const void *event, size_t n)
{
    if (l->closed || l->protocol == LINK_UNDECIDED)
        return -ENOTCONN;
    reset(c);
    return l->protocol == LINK_FRAMES ? frames_start(l->frames, c, event, n)
                                      : lambda_start(l->lambda, c, event, n);
}

bool runtime_link_takes_http(const struct runtime_link *l)
{
    return l->takes_http;
}

int runtime_link_start_http(struct runtime_link *l, struct runtime_call *c, const void *head,
                            size_t n, bool whole)
{
    if (l->closed || !l->takes_http)
        return -ENOTCONN;
    reset(c);
    return frames_start_http(l->frames, c, head, n, whole);
}

ssize_t runtime_link_send(struct runtime_link *l, struct runtime_call *c, const uint8_t *data,
                          size_t n, bool last)
{
    bool wanted = !l->closed && c->state != CALL_IDLE && c->http.sending;

    return wanted ? frames_send_body(l->frames, c, data, n, last) : (ssize_t)n;
}

void runtime_link_consumed(struct runtime_link *l, struct runtime_call *c, size_t n)
{
    if (!l->closed && c->state != CALL_IDLE && !c->http.cancelled)
        frames_consumed(l->frames, c, n);
}

void runtime_link_cancel(struct runtime_link *l, struct runtime_call *c)
{
    if (l->protocol == LINK_FRAMES && !l->closed &&
        (c->state == CALL_SENT || c->state == CALL_ANSWERING))
        frames_cancel(l->frames, c);
}

void runtime_link_drop(struct runtime_link *l, struct runtime_call *c)
{
    if (c->state == CALL_QUEUED)
        lambda_drop(l->lambda, c);
    else if (c->state != CALL_IDLE)
        link_untrack(l, c);
    c->state = CALL_IDLE;
}

int runtime_link_hook(struct runtime_link *l, enum frame_hook_kind hook, const char *name,
                      uint64_t deadline_ms)
{
    const struct frame_hook h = {.deadline_ms = deadline_ms,
                                 .hook = (uint8_t)hook,
                                 .name = name,
                                 .name_size = (uint16_t)strlen(name)};

    if (l->protocol != LINK_FRAMES && l->protocol != LINK_UNDECIDED)
        return -ENOTSUP;
    if (l->closed || l->protocol == LINK_UNDECIDED)
        return -ENOTCONN;
    l->hook = hook;
    return frames_hook(l->frames, &h);
}

int runtime_link_fork(struct runtime_link *l, uint64_t *ret_id)
{
    if (l->protocol != LINK_FRAMES && l->protocol != LINK_UNDECIDED)
        return -ENOTSUP;
    if (l->closed || l->protocol == LINK_UNDECIDED)
        return -ENOTCONN;
    return frames_fork(l->frames, ret_id);
}

void runtime_link_hand_over(struct runtime_link *l, const struct runtime_link_ops *ops, void *user)
{
    l->config.ops = ops;
    l->config.user = user;
}

bool runtime_link_stuck(const struct runtime_link *l)
{
    return l->http && l->http->overdue >= l->config.concurrency;
}

bool runtime_link_first_word(const struct runtime_link *l)
{
    return l->first_word;
}

bool runtime_link_open(const struct runtime_link *l)
{
    return !l->closed;
}

const char *runtime_link_protocol(const struct runtime_link *l)
{
    static const char *const names[] = {"", "frames", "lambda", "http"};

    return names[l->protocol];
}
