/* parser.h - the HTTP/1.1 codec: bytes to heads and bodies. Pure: no socket, no clock, no memory.
 *
 * Strict on purpose (RFC 9112): whatever two parsers might read differently is
 * refused, because the next hop is another parser. Functions return 0 or the
 * status that a server answers with (400, 414, 417, 431, 501, 505) and set
 * *ret_why, a static text; a client treats any of them as -EPROTO. */
#pragma once
#include "http/message.h"

/* ---- where a head ends */
struct http_scan { /* zero-initialised at the start of each message */
    uint32_t seen; /* bytes looked at */
    uint32_t line; /* start of the line being read */
};
/* Looks for the empty line in the `n` bytes that came so far, the same bytes as in the last call
 * and more. *ret_size is the size of the head with its empty line, or 0 while it is incomplete. */
int http_scan_head(struct http_scan *s, const uint8_t *in, size_t n, size_t *ret_size,
                   const char **ret_why);

/* ---- heads. `in` is one whole head; the views in `h` point into it. */
int http_parse_request(struct http_head *h, const char *in, size_t n, const char **ret_why);
int http_parse_response(struct http_head *h, const char *in, size_t n, const char **ret_why);
/* Adds the fields of a trailer section ("" or lines with the empty line at the end) to `h`, behind its
 * headers. Fields that route or authenticate are left out (RFC 9110 6.5.1); those that frame are refused. */
int http_parse_trailers(struct http_head *h, const char *in, size_t n, const char **ret_why);
/* host [":" port] as RFC 3986 has it, without user information. */
bool http_authority_ok(struct str authority);
/* Takes h->target apart into host, path and query, as h->method has it. */
int http_take_target(struct http_head *h, const char **ret_why);
/* The next element of a comma-separated list, white space trimmed; false at its end. */
bool http_list_next(struct str *list, struct str *ret);
/* Is `token` in the comma-separated list? ASCII case folded. */
bool http_list_has(struct str list, const char *token);
/* The answer to `method` with `status` has no body, whatever its head says (RFC 9112 6.3). */
bool http_answer_is_bare(struct str method, int status);

/* ---- the chunked coding */
enum {
    HTTP_CHUNK_LINE_MAX = 256,         /* size and extensions of one chunk */
    HTTP_CHUNK_EXTENSIONS_MAX = 16384, /* extensions of one body */
    HTTP_TRAILERS_MAX = 8192,
};
struct http_chunked { /* zero-initialised is the start of a body */
    enum http_chunked_state {
        CHUNKED_SIZE,
        CHUNKED_EXTENSION, /* a name is due */
        CHUNKED_EXTENSION_NAME,
        CHUNKED_EXTENSION_EQUALS, /* a value is due */
        CHUNKED_EXTENSION_VALUE,
        CHUNKED_EXTENSION_QUOTED,
        CHUNKED_EXTENSION_QUOTED_END,
        CHUNKED_SIZE_LF,
        CHUNKED_DATA,
        CHUNKED_DATA_CR,
        CHUNKED_DATA_LF,
        CHUNKED_TRAILER,
        CHUNKED_END,
    } state;
    uint64_t left; /* of the current chunk */
    unsigned digits, line;
    unsigned extensions;
    struct http_scan trailer;
};
/* Takes up to `n` bytes; *ret_used says how many. *ret_data, *ret_size long, is a run of body bytes
 * within them, empty when there is none. The state is CHUNKED_END after the last one. In
 * CHUNKED_TRAILER nothing is used until the whole trailer section lies in `in`; it is then
 * *ret_data. -EPROTO. */
int http_chunked_next(struct http_chunked *c, const uint8_t *in, size_t n, size_t *ret_used,
                      const uint8_t **ret_data, size_t *ret_size);

/* The line before a chunk of `n` bytes; its size. */
enum { HTTP_CHUNK_SIZE_TEXT = 18 };
size_t http_chunk_size_text(size_t n, char out[HTTP_CHUNK_SIZE_TEXT]);

/* ---- octets */
enum { HTTP_TOKEN = 1, HTTP_TEXT = 2, HTTP_TARGET = 4, HTTP_HOSTCHAR = 8, HTTP_REGNAME = 16 };
extern const uint8_t http_octets[256];
static inline bool http_is(unsigned char c, int kind)
{
    return http_octets[c] & kind;
}
static inline unsigned char http_lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}
