/* frame.h - the frames between an instance's runtime and its agent, on $ROUSE_RUNTIME_SOCKET.
 *
 * Header, 16 bytes, little-endian: u32 length, u8 type, u8 flags, u16 zero, u64 id.
 * `length` counts the payload after the header, at most FRAME_PAYLOAD_MAX. `id`
 * names the invocation (or 0: the connection). proto/frames.md is the contract
 * in words, proto/frames.golden its bytes. Pure: no sockets, no clock. */
#pragma once
#include "base/buffer.h"

enum {
    FRAME_HEADER = 16,
    FRAME_PAYLOAD_MAX = 1 << 20, /* longer bodies go on in BODY frames */
    FRAME_PROTOCOL = 1,
    FRAME_WINDOW = 256 << 10,        /* BODY bytes of an HTTP id that may come before any CREDIT */
    FRAME_HOOK_NAME_MAX = 256,       /* bytes */
    FRAME_ANSWER_HEAD_MAX = 64 << 10 /* payload of a RESPONSE with FRAME_HTTP */
};
enum frame_type {
    FRAME_HELLO = 1,    /* both ways, first: JSON object */
    FRAME_INVOKE = 2,   /* agent -> runtime: struct frame_invoke, then the event's first bytes */
    FRAME_BODY = 3,     /* both ways: more bytes of that id */
    FRAME_END = 4,      /* both ways: empty; the body of that id (or the hook) is complete */
    FRAME_RESPONSE = 5, /* runtime -> agent: the first bytes of the result */
    FRAME_ERROR = 6, /* runtime -> agent: JSON {errorType, errorMessage, stackTrace}; ends that id */
    FRAME_CREDIT = 7, /* id 0: u32 invocations the runtime takes; else: u32 body bytes of that id */
    FRAME_CANCEL = 8, /* agent -> runtime: nobody waits for that id any more; still answer it */
    FRAME_HOOK = 9,   /* agent -> runtime: struct frame_hook; answered by END or ERROR */
    FRAME_LOG = 10,   /* runtime -> agent: a line of that invocation's log */
    FRAME_FORK =
        11, /* agent -> runtime: fork a child for that id; to the child: JSON, and its outputs */
    FRAME_METRIC = 12, /* runtime -> agent, id 0: a gauge of the instance (wire/gauge.h) */
};
enum frame_flag {
    FRAME_FIN = 1,   /* INVOKE, RESPONSE, BODY: the body ends with this frame */
    FRAME_TEXT = 2,  /* RESPONSE: a string, text/plain */
    FRAME_BYTES = 4, /* RESPONSE: octets */
    FRAME_ANSWER =
        8, /* RESPONSE: a JSON object with statusCode (HTTP v2.0 answer); none of 2,4,8: any JSON */
    FRAME_FATAL = 16, /* ERROR: the instance ends with it; id 0: initialisation failed */
    FRAME_HTTP = 32,  /* INVOKE, RESPONSE: the head of an HTTP request or answer, JSON */
};
enum frame_hook_kind {
    HOOK_INITIALIZER = 1,
    HOOK_PRE_FREEZE = 2,
    HOOK_PRE_STOP = 3,
    HOOK_AFTER_FORK = 4,
};

struct frame {
    uint8_t type, flags;
    uint64_t id;
    const uint8_t *payload; /* a view into the reader's buffer */
    uint32_t length;
};
/* INVOKE's fixed part: u64 deadline_ms (epoch), u16 request_id_size, u16 trace_size, u32 zero; then both texts; then the event. */
struct frame_invoke {
    uint64_t deadline_ms;
    const char *request_id, *trace;
    uint16_t request_id_size, trace_size;
    const uint8_t *event;
    uint32_t event_size;
};
/* HOOK's payload: u64 deadline_ms (epoch), u8 hook, 7 zero bytes, the name of the spec. */
struct frame_hook {
    uint64_t deadline_ms;
    uint8_t hook; /* enum frame_hook_kind; a later version may have more */
    const char *name;
    uint16_t name_size; /* 1 to FRAME_HOOK_NAME_MAX */
};

/* 1: *ret is a frame of `*ret_size` bytes (header included) at the start of `in`; 0: more is needed;
 * -EBADMSG: the zero field is not zero, or the type is 0; -EMSGSIZE: length over the limit. Unknown types
 * from 13 to 255 are frames: the receiver skips them. */
int frame_parse(const uint8_t *in, size_t n, struct frame *ret, size_t *ret_size);
int frame_append(struct buffer *to, enum frame_type type, uint8_t flags, uint64_t id,
                 const void *payload, size_t n);
int frame_invoke_append(struct buffer *to, uint8_t flags, uint64_t id,
                        const struct frame_invoke *inv);
int frame_invoke_parse(const struct frame *f, struct frame_invoke *ret); /* -EBADMSG */
int frame_hook_append(struct buffer *to, uint64_t id, const struct frame_hook *hook);
int frame_hook_parse(const struct frame *f, struct frame_hook *ret); /* -EBADMSG */
const char *frame_type_name(uint8_t type);                           /* "INVOKE"; "?" */
