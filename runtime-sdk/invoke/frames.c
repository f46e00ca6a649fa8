/* frames.c - the platform's end of proto/frames.md. What a runtime may not do ends the connection,
 * with a reason. */
#include "invoke/frames_internal.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "invoke/text.h"
#include "reactor/conn.h"
#include "wire/frame.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

enum { OUT_KEEP = 256 << 10, REASON_MAX = 128, HELLO_MAX = 4096, LOG_LINE_MAX = 64 << 10 };
enum { INPUT_MAX = FRAME_HEADER + FRAME_PAYLOAD_MAX + (64 << 10) };

void frames_send(struct frames *f)
{
    if (f->conn)
        conn_write(f->conn, buffer_bytes(&f->out), buffer_size(&f->out));
    if (f->out.capacity > OUT_KEEP)
        buffer_done(&f->out);
    else
        buffer_clear(&f->out);
}

static size_t drop_data(struct conn *c, const uint8_t *in, size_t n)
{
    (void)c, (void)in;
    return n;
}
static void ignore_closed(struct conn *c, int error)
{
    (void)c, (void)error;
}
/* For a connection that is over but tells so at the end of the turn, when `f` may be gone. */
static const struct conn_ops over = {.on_data = drop_data, .on_closed = ignore_closed};

static void frames_end(struct frames *f, const char *violation)
{
    struct conn *c = f->conn;

    f->conn = NULL;
    if (c) {
        conn_set_user(c, &over, NULL);
        conn_abort(c, -EPROTO);
    }
    link_closed(f->link, violation);
}

bool frames_violate(struct frames *f, const char *fmt, ...)
{
    char reason[REASON_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    frames_end(f, reason);
    return false;
}

/* What a runtime says of itself. */
struct hello {
    bool http, parked;
};

/* False: it is there and no boolean. */
static bool flag_of(struct json_object *o, const char *name, bool *ret)
{
    struct json_object *v;

    if (!json_object_object_get_ex(o, name, &v))
        return true;
    *ret = json_object_get_boolean(v);
    return json_object_is_type(v, json_type_boolean);
}

static bool hello_parse(const struct frame *fr, struct hello *ret)
{
    struct json_tokener *t;
    struct json_object *o = NULL, *v;
    bool ok;

    *ret = (struct hello){0};
    if (fr->length > HELLO_MAX)
        return false;
    t = json_tokener_new_ex(8);
    if (t)
        o = json_tokener_parse_ex(t, (const char *)fr->payload, (int)fr->length);
    json_tokener_free(t);
    ok = o && json_object_is_type(o, json_type_object) &&
         json_object_object_get_ex(o, "protocol", &v) && json_object_is_type(v, json_type_int) &&
         json_object_get_int64(v) == FRAME_PROTOCOL && flag_of(o, "http", &ret->http) &&
         flag_of(o, "parked", &ret->parked);
    json_object_put(o);
    return ok;
}

static void put_field(struct buffer *b, const char *name, const char *value)
{
    buffer_printf(b, ",\"%s\":", name);
    json_string_append(b, value, strlen(value));
}

static void hello_answer(struct frames *f)
{
    const struct runtime_link_config *c = &f->link->config;
    struct buffer *environment = &f->link->environment, b = {0};

    buffer_printf(&b, "{\"protocol\":%d", FRAME_PROTOCOL);
    put_field(&b, "function", c->function);
    put_field(&b, "namespace", c->namespace);
    put_field(&b, "revision", c->revision);
    put_field(&b, "handler", c->handler);
    buffer_printf(&b, ",\"concurrency\":%u,\"timeout\":%u,\"memory\":%llu", c->concurrency,
                  c->timeout_ms, (unsigned long long)c->memory);
    if (buffer_size(environment)) {
        buffer_puts(&b, ",\"environment\":");
        buffer_append(&b, buffer_bytes(environment), buffer_size(environment));
        buffer_done(environment);
    }
    buffer_puts(&b, "}");
    frame_append(&f->out, FRAME_HELLO, 0, 0, buffer_bytes(&b), buffer_size(&b));
    buffer_done(&b);
    frames_send(f);
}

static bool on_hello(struct frames *f, const struct frame *fr)
{
    bool parked = buffer_size(&f->link->environment) > 0;
    struct hello hello;

    if (f->hello)
        return frames_violate(f, "a second HELLO");
    if (fr->id || !hello_parse(fr, &hello))
        return frames_violate(f, "a HELLO that is not of protocol %d", FRAME_PROTOCOL);
    if (hello.parked != parked)
        return frames_violate(f, parked ? "a HELLO that is not parked, but was started without a function"
                                        : "a parked HELLO, but it was started with its function");
    if (!link_decide(f->link, LINK_FRAMES))
        return frames_violate(f, "HELLO after the Lambda Runtime API was used");
    f->hello = true;
    f->link->takes_http = hello.http;
    frames_stop_listening(f);
    hello_answer(f);
    return true;
}

static bool on_credit(struct frames *f, const struct frame *fr)
{
    struct runtime_call *c;
    uint32_t credit;

    if (fr->length != 4)
        return frames_violate(f, "a CREDIT of %u bytes", fr->length);
    credit = (uint32_t)fr->payload[0] | (uint32_t)fr->payload[1] << 8 |
             (uint32_t)fr->payload[2] << 16 | (uint32_t)fr->payload[3] << 24;
    if (!credit)
        return frames_violate(f, "a CREDIT of 0");
    if (fr->id) { /* of one that is over, too */
        c = link_find(f->link, fr->id);
        return c && c->http.on ? frames_http_credit(f, c, credit) : true;
    }
    f->ready = true;
    f->link->config.ops->on_credit(f->link->config.user, credit < f->link->config.concurrency
                                                             ? credit
                                                             : f->link->config.concurrency);
    return true;
}

static bool result_kind(uint8_t flags, enum result_kind *ret)
{
    switch (flags & (FRAME_TEXT | FRAME_BYTES | FRAME_ANSWER)) {
    case 0:
        *ret = RESULT_JSON;
        return true;
    case FRAME_TEXT:
        *ret = RESULT_TEXT;
        return true;
    case FRAME_BYTES:
        *ret = RESULT_BYTES;
        return true;
    case FRAME_ANSWER:
        *ret = RESULT_ANSWER;
        return true;
    default:
        return false;
    }
}

static bool on_response(struct frames *f, const struct frame *fr)
{
    struct runtime_call *c = link_find(f->link, fr->id);

    if (!c || c->state != CALL_SENT)
        return frames_violate(f, "a RESPONSE to %llu, which awaits none", (unsigned long long)fr->id);
    if (c->http.on != !!(fr->flags & FRAME_HTTP))
        return frames_violate(f, "a RESPONSE to %llu, which is %sHTTP", (unsigned long long)fr->id,
                              c->http.on ? "" : "not ");
    if (c->http.on)
        return frames_http_head(f, c, fr);
    if (!result_kind(fr->flags, &c->kind))
        return frames_violate(f, "a RESPONSE of two kinds");
    if (fr->flags & FRAME_FIN) {
        link_result(f->link, c, fr->payload, fr->length);
    } else {
        c->state = CALL_ANSWERING;
        link_keep(f->link, c, fr->payload, fr->length);
    }
    return true;
}

static bool on_body(struct frames *f, const struct frame *fr)
{
    struct runtime_call *c = link_find(f->link, fr->id);

    if (!c || c->state != CALL_ANSWERING)
        return frames_violate(f, "a %s for %llu, which has no open body", frame_type_name(fr->type),
                              (unsigned long long)fr->id);
    if (c->http.on)
        return frames_http_body(f, c, fr);
    link_keep(f->link, c, fr->payload, fr->length);
    if (fr->type == FRAME_END || fr->flags & FRAME_FIN)
        link_result(f->link, c, NULL, 0);
    return true;
}

static bool is_hook(const struct frames *f, uint64_t id)
{
    return id && id == f->link->hook_id;
}

static bool on_error(struct frames *f, const struct frame *fr)
{
    struct runtime_call *c;

    if (!fr->id) {
        if (!(fr->flags & FRAME_FATAL))
            return frames_violate(f, "an ERROR of the connection that is not FATAL");
        link_init_error(f->link, fr->payload, fr->length, "Runtime.InitError");
        return true;
    }
    if (is_hook(f, fr->id)) {
        link_hook_answer(f->link, fr->payload, fr->length);
        return true;
    }
    c = link_find(f->link, fr->id);
    if (!c && f->link->fork_id && fr->id >= f->link->fork_id && fr->id <= f->link->fork_last) {
        link_no_fork(f->link, fr->id, fr->payload, fr->length);
        return true;
    }
    if (!c)
        return frames_violate(f, "an ERROR of %llu, which does not run", (unsigned long long)fr->id);
    link_error(f->link, c, fr->payload, fr->length, NULL, fr->flags & FRAME_FATAL);
    if (fr->flags & FRAME_FATAL) /* its last word */
        frames_end(f, NULL);
    return f->conn != NULL;
}

static bool on_log(struct frames *f, const struct frame *fr)
{
    struct runtime_call *c = link_find(f->link, fr->id);
    size_t n = fr->length < LOG_LINE_MAX ? fr->length : LOG_LINE_MAX;

    f->link->config.ops->on_log(f->link->config.user, c ? c->request_id : NULL,
                                (const char *)fr->payload, n);
    return true;
}

static bool on_metric(struct frames *f, const struct frame *fr)
{
    const char *name;
    size_t n;
    double value;

    if (fr->id || frame_metric_parse(fr, &name, &n, &value) < 0)
        return frames_violate(f, "a METRIC of %u bytes for %llu", fr->length,
                              (unsigned long long)fr->id);
    link_metric(f->link, name, n, value);
    return true;
}

static bool on_frame(struct frames *f, const struct frame *fr)
{
    if (!f->hello && fr->type != FRAME_HELLO)
        return frames_violate(f, "%s before HELLO", frame_type_name(fr->type));
    switch (fr->type) {
    case FRAME_HELLO:
        return on_hello(f, fr);
    case FRAME_CREDIT:
        return on_credit(f, fr);
    case FRAME_RESPONSE:
        return on_response(f, fr);
    case FRAME_END:
        if (is_hook(f, fr->id)) {
            link_hook_answer(f->link, NULL, 0);
            return true;
        }
        return on_body(f, fr);
    case FRAME_BODY:
        return on_body(f, fr);
    case FRAME_ERROR:
        return on_error(f, fr);
    case FRAME_LOG:
        return on_log(f, fr);
    case FRAME_METRIC:
        return on_metric(f, fr);
    case FRAME_INVOKE:
    case FRAME_CANCEL:
    case FRAME_HOOK:
        return frames_violate(f, "%s from a runtime", frame_type_name(fr->type));
    default:
        return true;
    }
}

static size_t on_data(struct conn *c, const uint8_t *in, size_t n)
{
    struct frames *f = conn_user(c);
    size_t used = 0;

    while (f->conn == c) {
        struct frame fr;
        size_t size;
        bool more;
        int r = frame_parse(in + used, n - used, &fr, &size);

        if (r == 0)
            return used;
        if (r < 0) {
            frames_violate(
                f, r == -EMSGSIZE ? "a frame over %d bytes" : "bytes that are no frame (limit %d)",
                FRAME_PAYLOAD_MAX);
            return n;
        }
        f->link->first_word = used == 0;
        used += size;
        more = on_frame(f, &fr);
        f->link->first_word = false;
        if (!more)
            return n;
    }
    return n;
}

static void on_closed(struct conn *c, int error)
{
    struct frames *f = conn_user(c);

    (void)error;
    if (f->conn != c)
        return;
    f->conn = NULL;
    if (f->hello)
        link_closed(f->link, NULL);
}

static void on_drained(struct conn *c)
{
    frames_http_drained(conn_user(c));
}

static const struct conn_ops ops = {
    .on_data = on_data, .on_drained = on_drained, .on_closed = on_closed};

static void on_accept(void *user, int fd)
{
    struct frames *f = user;
    struct conn_options o = {.input_limit = INPUT_MAX};

    if (f->conn || conn_open(f->link->loop, fd, &ops, &o, f, &f->conn) < 0)
        close(fd);
}

int frames_new(struct runtime_link *l, int listen_fd, struct frames **ret)
{
    struct conn_options o = {.input_limit = INPUT_MAX};
    struct frames *f = calloc(1, sizeof(*f));
    int r = -ENOMEM;

    if (f && l->config.connected)
        r = conn_open(l->loop, listen_fd, &ops, &o, f, &f->conn);
    else if (f)
        r = listener_open_fd(l->loop, listen_fd, on_accept, f, &f->listener);
    if (r < 0) {
        close(listen_fd);
        free(f);
        return r;
    }
    f->link = l;
    *ret = f;
    return 0;
}

void frames_stop_listening(struct frames *f)
{
    f->listener = listener_close(f->listener);
}

struct frames *frames_free(struct frames *f)
{
    if (!f)
        return NULL;
    frames_end(f, NULL);
    frames_stop_listening(f);
    buffer_done(&f->out);
    free(f);
    return NULL;
}

int frames_track(struct frames *f, struct runtime_call *c, const void *event, size_t n,
                 struct frame_invoke *ret)
{
    const char *trace = c->trace ? c->trace : "";
    size_t id_size = strlen(c->request_id), trace_size = strlen(trace);
    size_t room = FRAME_PAYLOAD_MAX - 16 - id_size - trace_size;
    int r;

    if (!f->conn)
        return -ENOTCONN;
    if (conn_pending(f->conn) + n > LINK_HELD_MAX)
        return -ENOBUFS;
    r = link_track(f->link, c);
    if (r < 0)
        return r;
    *ret = (struct frame_invoke){
        .deadline_ms = c->deadline_ms,
        .request_id = c->request_id,
        .request_id_size = (uint16_t)id_size,
        .trace = trace,
        .trace_size = (uint16_t)trace_size,
        .event = event,
        .event_size = (uint32_t)(n < room ? n : room),
    };
    return 0;
}

/* What does not fit into one frame goes on in BODY frames. */
int frames_start(struct frames *f, struct runtime_call *c, const void *event, size_t n)
{
    const uint8_t *at = event;
    struct frame_invoke inv;
    int r = frames_track(f, c, event, n, &inv);

    if (r < 0)
        return r;
    at += inv.event_size;
    n -= inv.event_size;
    r = frame_invoke_append(&f->out, n ? 0 : FRAME_FIN, c->id, &inv);
    while (r == 0 && n) {
        size_t part = n < FRAME_PAYLOAD_MAX ? n : FRAME_PAYLOAD_MAX;

        r = frame_append(&f->out, FRAME_BODY, part == n ? FRAME_FIN : 0, c->id, at, part);
        at += part;
        n -= part;
    }
    if (r < 0) {
        buffer_clear(&f->out);
        link_untrack(f->link, c);
        return r;
    }
    frames_send(f);
    return 0;
}

void frames_cancel(struct frames *f, struct runtime_call *c)
{
    if (c->http.on && c->http.cancelled)
        return;
    c->http.cancelled = true;
    c->http.sending = false;
    list_del(&c->link);
    if (f->conn && frame_append(&f->out, FRAME_CANCEL, 0, c->id, NULL, 0) == 0)
        frames_send(f);
}

int frames_hook(struct frames *f, const struct frame_hook *hook)
{
    int r;

    if (!f->conn)
        return -ENOTCONN;
    f->link->hook_id = ++f->link->last_id;
    r = frame_hook_append(&f->out, f->link->hook_id, hook);
    if (r < 0)
        f->link->hook_id = 0;
    else
        frames_send(f);
    return r;
}

int frames_fork(struct frames *f, uint64_t *ret_id)
{
    uint64_t id = f->link->last_id + 1;
    int r = f->conn ? frame_append(&f->out, FRAME_FORK, 0, id, NULL, 0) : -ENOTCONN;

    if (r < 0)
        return r;
    f->link->last_id = f->link->fork_last = id;
    if (!f->link->fork_id)
        f->link->fork_id = id;
    *ret_id = id;
    frames_send(f);
    return 0;
}
