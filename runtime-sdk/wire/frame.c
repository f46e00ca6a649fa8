/* frame.c - encoding and decoding of frames. Pure; any thread. */
#include "wire/frame.h"

#include <errno.h>
#include <string.h>

enum { INVOKE_FIXED = 16, HOOK_FIXED = 16 };

/* Byte by byte: no alignment is promised for a view, and the wire is little-endian everywhere. */
static uint64_t load_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = n; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static uint8_t *store_le(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++, v >>= 8)
        p[i] = (uint8_t)v;
    return p + n;
}

static uint8_t *store_bytes(uint8_t *p, const void *from, size_t n)
{
    if (n)
        memcpy(p, from, n);
    return p + n;
}

static uint8_t *store_header(uint8_t *p, size_t length, uint8_t type, uint8_t flags, uint64_t id)
{
    p = store_le(p, length, 4);
    *p++ = type;
    *p++ = flags;
    p = store_le(p, 0, 2);
    return store_le(p, id, 8);
}

/* Room for a whole frame at once, so that a refused append leaves no half of one behind. */
static int frame_reserve(struct buffer *to, size_t length, uint8_t **ret)
{
    uint8_t *p;

    if (length > FRAME_PAYLOAD_MAX)
        return -EMSGSIZE;
    p = buffer_reserve(to, FRAME_HEADER + length);
    if (!p)
        return to->limit ? -ENOBUFS : -ENOMEM;
    *ret = p;
    return 0;
}

int frame_parse(const uint8_t *in, size_t n, struct frame *ret, size_t *ret_size)
{
    uint32_t length;

    if (n < FRAME_HEADER)
        return 0;
    length = (uint32_t)load_le(in, 4);
    if (!in[4] || load_le(in + 6, 2))
        return -EBADMSG;
    if (length > FRAME_PAYLOAD_MAX)
        return -EMSGSIZE;
    if (n - FRAME_HEADER < length)
        return 0;
    *ret = (struct frame){
        .type = in[4],
        .flags = in[5],
        .id = load_le(in + 8, 8),
        .payload = in + FRAME_HEADER,
        .length = length,
    };
    *ret_size = FRAME_HEADER + (size_t)length;
    return 1;
}

int frame_append(struct buffer *to, enum frame_type type, uint8_t flags, uint64_t id,
                 const void *payload, size_t n)
{
    uint8_t *p;
    int r;

    r = frame_reserve(to, n, &p);
    if (r < 0)
        return r;
    p = store_header(p, n, (uint8_t)type, flags, id);
    store_bytes(p, payload, n);
    buffer_commit(to, FRAME_HEADER + n);
    return 0;
}

int frame_invoke_append(struct buffer *to, uint8_t flags, uint64_t id, const struct frame_invoke *inv)
{
    size_t n = (size_t)INVOKE_FIXED + inv->request_id_size + inv->trace_size + inv->event_size;
    uint8_t *p;
    int r;

    r = frame_reserve(to, n, &p);
    if (r < 0)
        return r;
    p = store_header(p, n, FRAME_INVOKE, flags, id);
    p = store_le(p, inv->deadline_ms, 8);
    p = store_le(p, inv->request_id_size, 2);
    p = store_le(p, inv->trace_size, 2);
    p = store_le(p, 0, 4);
    p = store_bytes(p, inv->request_id, inv->request_id_size);
    p = store_bytes(p, inv->trace, inv->trace_size);
    store_bytes(p, inv->event, inv->event_size);
    buffer_commit(to, FRAME_HEADER + n);
    return 0;
}

int frame_invoke_parse(const struct frame *f, struct frame_invoke *ret)
{
    const uint8_t *p = f->payload;
    uint16_t request_id_size, trace_size;
    uint32_t texts;

    if (f->type != FRAME_INVOKE || f->length < INVOKE_FIXED || load_le(p + 12, 4))
        return -EBADMSG;
    request_id_size = (uint16_t)load_le(p + 8, 2);
    trace_size = (uint16_t)load_le(p + 10, 2);
    texts = (uint32_t)request_id_size + trace_size;
    if (f->length - INVOKE_FIXED < texts)
        return -EBADMSG;
    *ret = (struct frame_invoke){
        .deadline_ms = load_le(p, 8),
        .request_id = (const char *)p + INVOKE_FIXED,
        .request_id_size = request_id_size,
        .trace = (const char *)p + INVOKE_FIXED + request_id_size,
        .trace_size = trace_size,
        .event = p + INVOKE_FIXED + texts,
        .event_size = f->length - INVOKE_FIXED - texts,
    };
    return 0;
}

int frame_hook_append(struct buffer *to, uint64_t id, const struct frame_hook *hook)
{
    size_t n = (size_t)HOOK_FIXED + hook->name_size;
    uint8_t *p;
    int r;

    r = frame_reserve(to, n, &p);
    if (r < 0)
        return r;
    p = store_header(p, n, FRAME_HOOK, 0, id);
    p = store_le(p, hook->deadline_ms, 8);
    p = store_le(p, hook->hook, 8);
    store_bytes(p, hook->name, hook->name_size);
    buffer_commit(to, FRAME_HEADER + n);
    return 0;
}

int frame_hook_parse(const struct frame *f, struct frame_hook *ret)
{
    const uint8_t *p = f->payload;

    if (f->type != FRAME_HOOK || f->length <= HOOK_FIXED ||
        f->length > HOOK_FIXED + FRAME_HOOK_NAME_MAX || load_le(p + 9, 7))
        return -EBADMSG;
    *ret = (struct frame_hook){
        .deadline_ms = load_le(p, 8),
        .hook = p[8],
        .name = (const char *)p + HOOK_FIXED,
        .name_size = (uint16_t)(f->length - HOOK_FIXED),
    };
    return 0;
}

const char *frame_type_name(uint8_t type)
{
    static const char *const names[] = {
        [FRAME_HELLO] = "HELLO",       [FRAME_INVOKE] = "INVOKE", [FRAME_BODY] = "BODY",
        [FRAME_END] = "END",           [FRAME_ERROR] = "ERROR",   [FRAME_CREDIT] = "CREDIT",
        [FRAME_RESPONSE] = "RESPONSE", [FRAME_CANCEL] = "CANCEL", [FRAME_HOOK] = "HOOK",
        [FRAME_LOG] = "LOG",           [FRAME_FORK] = "FORK",     [FRAME_METRIC] = "METRIC",
    };

    return type && type < sizeof(names) / sizeof(names[0]) ? names[type] : "?";
}
