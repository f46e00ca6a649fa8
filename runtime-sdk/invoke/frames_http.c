/* frames_http.c - HTTP over frames: heads, bodies as they are made, and the windows that bound them.
 *
 * Of each direction of a call at most a window is on its way; a connection that the runtime does not read
 * blocks all of its calls, so that what is pending on it stays bounded, however many they are. On the
 * agent's loop. */
#include "invoke/frames_internal.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

enum { INTERIM_MAX = 16, CREDIT_STEP = FRAME_WINDOW / 4 };

int frames_start_http(struct frames *f, struct runtime_call *c, const void *head, size_t n, bool whole)
{
    struct frame_invoke inv;
    int r = frames_track(f, c, head, n, &inv);

    if (r < 0)
        return r;
    c->http.on = true;
    c->http.sending = !whole;
    c->http.cancelled = false;
    c->http.interim = c->http.owed = 0;
    c->http.send_left = c->http.receive_left = FRAME_WINDOW;
    r = frame_invoke_append(&f->out, FRAME_HTTP | (whole ? FRAME_FIN : 0), c->id, &inv);
    if (r < 0) {
        link_untrack(f->link, c);
        return r;
    }
    frames_send(f);
    return 0;
}

/* ---------------------------------------------------------------- the request's body */

static bool has_room(const struct frames *f, const struct runtime_call *c)
{
    return c->http.send_left && !conn_congested(f->conn);
}

ssize_t frames_send_body(struct frames *f, struct runtime_call *c, const uint8_t *data, size_t n,
                         bool last)
{
    size_t sent = 0;

    if (!f->conn)
        return (ssize_t)n;
    while (sent < n && has_room(f, c)) {
        size_t part = n - sent;
        int r;

        part = part < c->http.send_left ? part : c->http.send_left;
        part = part < FRAME_PAYLOAD_MAX ? part : FRAME_PAYLOAD_MAX;
        r = frame_append(&f->out, FRAME_BODY, last && sent + part == n ? FRAME_FIN : 0, c->id,
                         data + sent, part);
        if (r < 0)
            return r;
        frames_send(f);
        c->http.send_left -= (uint32_t)part;
        sent += part;
    }
    if (sent < n) {
        list_del(&c->link);
        list_push_back(&f->link->blocked, &c->link);
    } else if (last) {
        c->http.sending = false;
        if (!n) {
            int r = frame_append(&f->out, FRAME_END, 0, c->id, NULL, 0);

            if (r < 0)
                return r;
            frames_send(f);
        }
    }
    return (ssize_t)sent;
}

bool frames_http_credit(struct frames *f, struct runtime_call *c, uint32_t credit)
{
    if (credit > INT32_MAX - c->http.send_left)
        return frames_violate(f, "a CREDIT for %llu beyond a window of 2^31-1",
                              (unsigned long long)c->id);
    c->http.send_left += credit;
    if (!list_empty(&c->link) && has_room(f, c)) {
        list_del(&c->link);
        f->link->config.ops->on_room(f->link->config.user, c);
    }
    return true;
}

void frames_http_drained(struct frames *f)
{
    struct runtime_link *l = f->link;
    struct list ready, *it;

    /* Once round, since a call that finds no room again goes back to the end. */
    list_init(&ready);
    while ((it = list_pop_front(&l->blocked)))
        list_push_back(&ready, it);
    while ((it = list_pop_front(&ready))) {
        struct runtime_call *c = list_entry(it, struct runtime_call, link);

        if (!f->conn || !has_room(f, c))
            list_push_back(&l->blocked, it);
        else
            l->config.ops->on_room(l->config.user, c);
    }
}

/* ---------------------------------------------------------------- the answer */

static bool finish(struct frames *f, struct runtime_call *c, const uint8_t *data, size_t n)
{
    link_untrack(f->link, c);
    f->link->config.ops->on_body(f->link->config.user, c, data, n, true);
    return f->conn != NULL;
}

bool frames_http_head(struct frames *f, struct runtime_call *c, const struct frame *fr)
{
    struct answer_head *h = &f->link->head;
    char message[RESULT_MESSAGE_MAX] = "out of memory";
    uint64_t id = c->id;
    bool wrong;

    if (fr->length > FRAME_ANSWER_HEAD_MAX)
        return frames_violate(f, "a RESPONSE's head over %d bytes", FRAME_ANSWER_HEAD_MAX);
    h->whole = fr->flags & FRAME_FIN;
    wrong = answer_head_parse(fr->payload, fr->length, h, message) < 0;
    if (!wrong && h->status < 200) {
        if (fr->flags & FRAME_FIN)
            return frames_violate(f, "a RESPONSE of status %d with FIN", h->status);
        if (c->http.interim++ == INTERIM_MAX)
            return frames_violate(f, "more than %d RESPONSEs of statuses below 200", INTERIM_MAX);
    } else {
        c->state = CALL_ANSWERING;
    }
    f->link->config.ops->on_head(f->link->config.user, c, h, wrong ? message : NULL);
    if (!(fr->flags & FRAME_FIN) || link_find(f->link, id) != c)
        return f->conn != NULL;
    return finish(f, c, NULL, 0);
}

bool frames_http_body(struct frames *f, struct runtime_call *c, const struct frame *fr)
{
    bool last = fr->type == FRAME_END || fr->flags & FRAME_FIN;

    if (c->http.cancelled) /* it may not have known yet */
        return last ? finish(f, c, NULL, 0) : true;
    if (fr->length > c->http.receive_left)
        return frames_violate(f, "a BODY of %u bytes for %llu, whose window is %u", fr->length,
                              (unsigned long long)fr->id, c->http.receive_left);
    c->http.receive_left -= fr->length;
    if (last)
        return finish(f, c, fr->payload, fr->length);
    if (fr->length)
        f->link->config.ops->on_body(f->link->config.user, c, fr->payload, fr->length, false);
    return f->conn != NULL;
}

/* Not each byte for itself: a frame for every quarter of the window. */
void frames_consumed(struct frames *f, struct runtime_call *c, size_t n)
{
    uint32_t owed = c->http.owed += (uint32_t)n;
    uint8_t le[4] = {(uint8_t)owed, (uint8_t)(owed >> 8), (uint8_t)(owed >> 16),
                     (uint8_t)(owed >> 24)};

    if (owed < CREDIT_STEP || !f->conn ||
        frame_append(&f->out, FRAME_CREDIT, 0, c->id, le, sizeof(le)) < 0)
        return;
    frames_send(f);
    c->http.receive_left += owed;
    c->http.owed = 0;
}
