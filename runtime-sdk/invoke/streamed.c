/* streamed.c - an invocation of a function that takes HTTP over frames: its request goes out as it arrives,
 * its answer as it is made.
 *
 * The slot is held from the request's head to the answer's last byte, and the function's time counts from
 * the head. The client's connection is read while the runtime's window has room; what it does not take
 * itself is credited to the runtime when it has drained. An answer that cannot be finished honestly is cut.
 * On the agent's loop. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "invoke/invocation_internal.h"
#include "invoke/request_head.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Its answer is settled, as cut or as a failure; the runtime is still to end it. */
static void abandon(struct invocation *i)
{
    if (i->state != INVOCATION_RUNNING)
        return;
    invocation_set_state(i, INVOCATION_ABANDONED);
    runtime_link_cancel(i->s.link, &i->call);
    invocation_drop_body(i);
}

static void fail(struct invocation *i, int status, const char *reason, const char *message)
{
    invocation_tell_log(i, message);
    invocation_client_fail(
        i, &(struct failure){.status = status, .reason = reason, .message = message}, false);
    abandon(i);
}

/* ---------------------------------------------------------------- the request's body */

/* True: all of it was taken. */
static bool send_body(struct invocation *i, const uint8_t *data, size_t n, bool last, size_t *ret_sent)
{
    ssize_t sent = runtime_link_send(i->s.link, &i->call, data, n, last);

    if (sent < 0) {
        fail(i, 503, "NoMemory", "out of memory");
        return false;
    }
    *ret_sent = (size_t)sent;
    return (size_t)sent == n;
}

static void on_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    struct invocation *i = http_user(x);
    const char *why;
    size_t sent = 0;

    if (i->state != INVOCATION_RUNNING)
        return;
    i->body_whole = last;
    if (!buffer_size(&i->body) &&
        (send_body(i, data, n, last, &sent) || i->state != INVOCATION_RUNNING))
        return;
    http_pause_body(x);
    why = invocation_keep_body(i, data + sent, n - sent);
    if (why)
        fail(i, 503, "NoMemory", why);
}

void invocation_room(struct invocation *i)
{
    size_t sent = 0;

    if (i->state != INVOCATION_RUNNING || !i->x)
        return;
    if (!send_body(i, buffer_bytes(&i->body), buffer_size(&i->body), i->body_whole, &sent)) {
        invocation_take_body(i, sent);
        return;
    }
    invocation_drop_body(i);
    http_resume_body(i->x);
}

/* ---------------------------------------------------------------- the exchange */

static void on_drained(struct http_exchange *x)
{
    struct invocation *i = http_user(x);
    size_t n = i->unread;

    i->unread = 0;
    if (i->state == INVOCATION_RUNNING)
        runtime_link_consumed(i->s.link, &i->call, n);
}

static void on_gone(struct http_exchange *x, int error)
{
    struct invocation *i = http_user(x);

    (void)error;
    i->gone = true;
    abandon(i);
}

static const struct http_exchange_ops ops = {.on_body = on_body,
                                             .on_drained = on_drained,
                                             .on_gone = on_gone,
                                             .on_done = invocation_exchange_done};

/* ---------------------------------------------------------------- the answer */

static int put_own_headers(struct invocation *i, struct answer_head *h)
{
    struct buffer *b = &h->headers;
    int e = 0;

    if (i->params.shape == INVOKE_RAW) {
        e = buffer_puts(b, "X-Amz-Executed-Version: $LATEST\r\n");
        if (e == 0 && h->status >= 400)
            e = buffer_puts(b, "X-Amz-Function-Error: Unhandled\r\n");
        h->status = 200;
    }
    if (e == 0)
        e = buffer_printf(b, "Rouse-Request-Id: %s\r\n", i->params.request_id);
    return e ? e : buffer_append(b, "", 1);
}

void invocation_head(struct invocation *i, struct answer_head *h, const char *wrong)
{
    bool interim = !wrong && h->status < 200;
    int status = h->status;

    if (!i->x || i->gone)
        return;
    if (wrong) {
        fail(i, 502, "InvalidAnswer", wrong);
        return;
    }
    if (interim && i->params.shape == INVOKE_RAW)
        return;
    if ((interim ? buffer_append(&h->headers, "", 1) : put_own_headers(i, h)) < 0) {
        fail(i, 503, "NoMemory", "out of memory");
        return;
    }
    if (interim) {
        http_respond_interim(i->x, status, (const char *)buffer_bytes(&h->headers));
        return;
    }
    i->status = h->status;
    i->bare = h->status == 204 || h->status == 304 || str_eq(http_head(i->x)->method, "HEAD");
    i->declared = h->content_length < 0 && h->whole && !i->bare ? 0 : h->content_length;
    i->given = 0;
    http_respond_start(i->x, h->status, (const char *)buffer_bytes(&h->headers), i->declared);
}

/* A bare answer's body is dropped, what was declared notwithstanding. What was declared is what the client counts on (RFC 9112 6.3): anything else is told by a cut. */
static bool keeps_its_word(struct invocation *i, size_t n, bool last)
{
    char message[128];

    i->given += (int64_t)n;
    if (i->bare || i->declared < 0 || (last ? i->given == i->declared : i->given <= i->declared))
        return true;
    snprintf(message, sizeof(message),
             "the answer declared %" PRId64 " bytes of body and has %s%" PRId64, i->declared,
             i->given > i->declared ? "at least " : "", i->given);
    fail(i, 502, "InvalidAnswer", message);
    return false;
}

static void pass_on(struct invocation *i, const uint8_t *data, size_t n)
{
    http_respond_write(i->x, data, n);
    i->unread += n;
    if (!http_congested(i->x))
        on_drained(i->x);
}

void invocation_body(struct invocation *i, const uint8_t *data, size_t n, bool last)
{
    if (i->x && !i->gone && keeps_its_word(i, n, last) && n)
        pass_on(i, data, n);
    if (!last)
        return;
    if (i->x && !i->gone) {
        i->s.ops->on_answered(i->s.owner, i);
        http_respond_end(i->x, NULL);
        invocation_leave_exchange(i, i->status, false);
    }
    invocation_release(i);
}

/* ---------------------------------------------------------------- the start */

int streamed_begin(struct invocation *i)
{
    const struct event_request r = invocation_event(i, NULL, 0);
    struct buffer *head = invocation_scratch(i);
    bool whole = !http_has_body(i->x);
    int e = i->params.shape == INVOKE_RAW ? request_head_append_direct(head, &r)
                                          : request_head_append(head, &r);

    i->call.deadline_ms = clock_wall_ms() + i->params.timeout_ms;
    if (e == 0)
        e = runtime_link_start_http(i->s.link, &i->call, buffer_bytes(head), buffer_size(head),
                                    whole);
    if (e < 0)
        return e;
    http_set_owner(i->x, &ops, i);
    if (!whole)
        http_read_body(i->x, i->params.body_limit);
    invocation_started(i);
    return 0;
}
