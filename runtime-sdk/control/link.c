#include "control/channel.h"
#include "control/link.h"
#include "control/many.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNDELIVERED_MAX = 2 * CONTROL_MESSAGE_MAX,
    CLOSE_SECONDS = 2,
    BATCH_MESSAGES = 256,
    BATCH_SIZE = 256 << 10, /* a larger message goes alone */
    FIELD_BATCH = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_BATCH,
    FIELD_MESSAGES = 1,
};
_Static_assert((int)ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_BATCH ==
                   (int)ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_BATCH,
               "one way to write both");

struct packed { /* never changes but for LWS_PRE, which is libwebsockets' while it writes: on one thread */
    atomic_uint refs;
    size_t size;
    uint8_t bytes[]; /* LWS_PRE, then the message */
};
struct packet { /* in one link's queue */
    struct packet *next;
    struct packed *packed;
};

/* ---- messages */

static struct packed *packed_new(size_t n)
{
    struct packed *p = malloc(sizeof(*p) + LWS_PRE + n);

    if (p) {
        atomic_init(&p->refs, 1);
        p->size = n;
    }
    return p;
}

struct packed *packed_unref(struct packed *p)
{
    if (p && atomic_fetch_sub(&p->refs, 1) == 1)
        free(p);
    return NULL;
}

int packed_make(const ProtobufCMessage *m, struct packed **ret)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    struct packed *p;

    if (n > CONTROL_MESSAGE_MAX)
        return -EMSGSIZE;
    p = packed_new(n);
    if (!p)
        return -ENOMEM;
    protobuf_c_message_pack(m, p->bytes + LWS_PRE);
    *ret = p;
    return 0;
}

/* Takes over the reference, also when it returns NULL: no memory. */
static struct packet *packet_new(struct packed *of)
{
    struct packet *p = malloc(sizeof(*p));

    if (p)
        *p = (struct packet){NULL, of};
    else
        packed_unref(of);
    return p;
}

static struct packet *packet_free(struct packet *p)
{
    packed_unref(p->packed);
    free(p);
    return NULL;
}

/* ---- life */

struct link *link_new(struct hub *h, uint64_t id)
{
    struct link *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    atomic_init(&l->refs, 1);
    atomic_init(&l->undelivered, 0);
    atomic_init(&l->paused, false);
    l->hub = h;
    l->id = id;
    l->fd = -1;
    l->in.limit = CONTROL_MESSAGE_MAX;
    list_init(&l->dirty);
    return l;
}

struct link *link_ref(struct link *l)
{
    atomic_fetch_add(&l->refs, 1);
    return l;
}

static void drop_packets(struct link *l)
{
    while (l->head) {
        struct packet *p = l->head;

        l->head = p->next;
        packet_free(p);
    }
    l->tail = NULL;
    l->pending = 0;
}

struct link *link_unref(struct link *l)
{
    if (!l || atomic_fetch_sub(&l->refs, 1) != 1)
        return NULL;
    drop_packets(l);
    buffer_done(&l->in);
    free(l);
    return NULL;
}

/* ---- sending */

static void mark_dirty(struct link *l)
{
    if (list_empty(&l->dirty))
        list_push_back(&l->hub->dirty, &l->dirty);
}

int link_send(struct link *l, struct packed *of)
{
    struct packet *p;

    if (!l->open || l->closing)
        return -ENOTCONN;
    if (of->size > CONTROL_PENDING_MAX - l->pending) {
        link_close(l, LWS_CLOSE_STATUS_POLICY_VIOLATION, true,
                   "the peer does not keep up: 32 MiB are pending");
        return -ENOBUFS;
    }
    atomic_fetch_add(&of->refs, 1);
    p = packet_new(of);
    if (!p) {
        link_close(l, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, true, "out of memory");
        return -ENOMEM;
    }
    l->pending += of->size;
    if (l->tail)
        l->tail->next = p;
    else
        l->head = p;
    l->tail = p;
    mark_dirty(l);
    return 0;
}

void link_close(struct link *l, uint16_t status, bool drop, const char *reason)
{
    if (l->closing)
        return;
    l->closing = true;
    l->status = status;
    snprintf(l->reason, sizeof(l->reason), "%s", reason);
    if (drop)
        drop_packets(l);
    mark_dirty(l);
}

static int say_close(struct link *l)
{
    lws_close_reason(l->wsi, l->status, (unsigned char *)l->reason, strlen(l->reason));
    return -1;
}

static struct packet *take_packet(struct link *l)
{
    struct packet *p = l->head;

    l->head = p->next;
    if (!l->head)
        l->tail = NULL;
    l->pending -= p->packed->size;
    return p;
}

/* Takes what is written next off the queue, as one list. */
static struct packet *take_batch(struct link *l)
{
    struct packet *first = l->head ? take_packet(l) : NULL, *last = first;
    size_t size = first ? first->packed->size : 0;

    for (unsigned n = 1;
         l->head && n < BATCH_MESSAGES && size + l->head->packed->size <= BATCH_SIZE; n++) {
        size += l->head->packed->size;
        last = last->next = take_packet(l);
    }
    if (last)
        last->next = NULL;
    return first;
}

static size_t varint_size(size_t v)
{
    size_t n = 1;

    while (v >>= 7)
        n++;
    return n;
}

static uint8_t *put_field(uint8_t *to, unsigned field, size_t size)
{
    *to++ = (uint8_t)(field << 3 | 2); /* length-delimited */
    for (; size >= 0x80; size >>= 7)
        *to++ = (uint8_t)(size | 0x80);
    *to++ = (uint8_t)size;
    return to;
}

/* Several packed messages as one AgentMessage or ControllerMessage with a batch of them: the fields have
 * the same numbers on both sides. Frees the list; the first alone is the message itself. NULL: no memory, it is there
 * still. */
static struct packed *join(struct packet *first)
{
    size_t inner = 0;
    struct packed *all;
    uint8_t *to;

    if (!first->next) {
        all = first->packed;
        free(first);
        return all;
    }
    for (struct packet *p = first; p; p = p->next)
        inner += 1 + varint_size(p->packed->size) + p->packed->size;
    all = packed_new(1 + varint_size(inner) + inner);
    if (!all)
        return NULL;
    to = put_field(all->bytes + LWS_PRE, FIELD_BATCH, inner);
    while (first) {
        struct packet *p = first;
        size_t n = p->packed->size;

        first = p->next;
        to = put_field(to, FIELD_MESSAGES, n);
        memcpy(to, p->packed->bytes + LWS_PRE, n);
        to += n;
        packet_free(p);
    }
    return all;
}

static void go_on_writing(struct link *l)
{
    lws_callback_on_writable(l->wsi);
    if (!l->hub->many || lws_partial_buffered(l->wsi))
        return;
    pthread_mutex_lock(&l->hub->lock);
    mark_dirty(l);
    pthread_mutex_unlock(&l->hub->lock);
}

int link_writable(struct link *l)
{
    struct packet *batch;
    struct packed *p;
    bool closing, more;
    int r = 0;

    pthread_mutex_lock(&l->hub->lock);
    batch = take_batch(l);
    more = l->head != NULL;
    closing = l->closing;
    pthread_mutex_unlock(&l->hub->lock);
    p = batch ? join(batch) : NULL;
    if (batch && !p) { /* no memory: a stream with a hole is of no use */
        while (batch) {
            struct packet *next = batch->next;

            packet_free(batch);
            batch = next;
        }
        return -1;
    }
    if (p) {
        if (lws_write(l->wsi, p->bytes + LWS_PRE, p->size, LWS_WRITE_BINARY) < 0)
            r = -1;
        packed_unref(p);
    }
    if (r == 0 && !more && closing)
        return say_close(l);
    if (r == 0 && more)
        go_on_writing(l);
    return r;
}

void link_opened(struct link *l, struct lws *wsi)
{
    l->wsi = wsi;
    many_add(l);
}

void link_service_dirty(struct hub *h)
{
    struct list turn, *it;

    list_init(&turn);
    pthread_mutex_lock(&h->lock);
    h->woken = false;
    while ((it = list_pop_front(&h->dirty)))
        list_push_back(&turn, it);
    pthread_mutex_unlock(&h->lock);
    for (;;) {
        struct link *l;
        bool closing, resume;

        pthread_mutex_lock(&h->lock);
        it = list_pop_front(&turn);
        l = it ? list_entry(it, struct link, dirty) : NULL;
        closing = l && l->closing && !l->timed;
        if (closing)
            l->timed = true;
        pthread_mutex_unlock(&h->lock);
        if (!l)
            return;
        if (!l->wsi)
            continue;
        resume = atomic_load(&l->paused) && atomic_load(&l->undelivered) <= UNDELIVERED_MAX / 2;
        if (resume) {
            atomic_store(&l->paused, false);
            lws_rx_flow_control(l->wsi, 1);
            many_listen(l, true);
        }
        /* A peer that does not read is never writable: the time-out closes it all the same. */
        if (closing)
            lws_set_timeout(l->wsi, PENDING_TIMEOUT_USER_REASON_BASE, CLOSE_SECONDS);
        lws_callback_on_writable(l->wsi);
        many_write(l);
    }
}

/* A link that is served here could end while libwebsockets goes through its table: many_turn() does it. */
void link_woken(struct hub *h)
{
    if (!h->many)
        link_service_dirty(h);
}

/* ---- receiving */

/* The close goes out from link_writable(): libwebsockets 4.1 that is told to close from within a
 * client's receive callback goes on filling its receive buffer, past its end. */
static bool refuse(struct link *l, uint16_t status, const char *reason)
{
    pthread_mutex_lock(&l->hub->lock);
    link_close(l, status, true, reason);
    pthread_mutex_unlock(&l->hub->lock);
    buffer_done(&l->in);
    hub_wake(l->hub);
    return false;
}

void link_refuse(struct link *l, int error)
{
    if (error == -EBADMSG)
        refuse(l, LWS_CLOSE_STATUS_INVALID_PAYLOAD, "a message does not parse");
    else
        refuse(l, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "out of memory");
}

bool link_receive(struct link *l, const void *in, size_t n)
{
    size_t rest = lws_remaining_packet_payload(l->wsi);
    bool closing;

    pthread_mutex_lock(&l->hub->lock);
    closing = l->closing;
    pthread_mutex_unlock(&l->hub->lock);
    if (closing)
        return false;
    if (!lws_frame_is_binary(l->wsi))
        return refuse(l, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE,
                      "a text frame came: messages are binary");
    if (n + rest > CONTROL_MESSAGE_MAX - buffer_size(&l->in))
        return refuse(l, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, "a message is larger than 4 MiB");
    if (buffer_append(&l->in, in, n) < 0)
        return refuse(l, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION, "out of memory");
    return !rest && lws_is_final_fragment(l->wsi);
}

void link_peer_said(struct link *l, const void *in, size_t n)
{
    const char *text = in;

    if (n <= 2)
        return;
    n = n - 2 < sizeof(l->told) - 1 ? n - 2 : sizeof(l->told) - 1;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i + 2];

        l->told[i] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
    }
    l->told[n] = '\0';
}

void link_gone(struct link *l, char ret[LINK_REASON])
{
    pthread_mutex_lock(&l->hub->lock);
    l->open = false;
    list_del(&l->dirty);
    drop_packets(l);
    if (l->reason[0])
        snprintf(ret, LINK_REASON, "%s", l->reason);
    else if (l->told[0])
        snprintf(ret, LINK_REASON, "the peer closed: %.100s", l->told);
    else
        snprintf(ret, LINK_REASON, "the connection was lost");
    pthread_mutex_unlock(&l->hub->lock);
    many_del(l);
    l->wsi = NULL;
}

/* A two-byte empty submessage unpacks into a hundred bytes: the memory is bounded, not the wire
 * size alone. */
enum { UNPACKED_MAX = 16 * CONTROL_MESSAGE_MAX };

static void *bounded_alloc(void *left, size_t n)
{
    size_t *l = left;

    if (n > *l)
        return NULL;
    *l -= n;
    return malloc(n);
}

static void bounded_free(void *left, void *p)
{
    (void)left;
    free(p);
}

ProtobufCMessage *link_unpack(const ProtobufCMessageDescriptor *d, const struct buffer *in)
{
    size_t left = UNPACKED_MAX;
    ProtobufCAllocator bounded = {bounded_alloc, bounded_free, &left};

    return protobuf_c_message_unpack(d, &bounded, buffer_size(in), buffer_bytes(in));
}

void link_delivering(struct link *l, size_t n)
{
    if (atomic_fetch_add(&l->undelivered, n) + n > UNDELIVERED_MAX &&
        !atomic_exchange(&l->paused, true)) {
        lws_rx_flow_control(l->wsi, 0);
        many_listen(l, false);
    }
}

void link_delivered(struct link *l, size_t n)
{
    size_t before = atomic_fetch_sub(&l->undelivered, n);

    if (before - n > UNDELIVERED_MAX / 2 || before <= UNDELIVERED_MAX / 2)
        return;
    pthread_mutex_lock(&l->hub->lock);
    if (l->open)
        mark_dirty(l);
    pthread_mutex_unlock(&l->hub->lock);
    hub_wake(l->hub);
}
