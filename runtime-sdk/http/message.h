/* message.h - the head of an HTTP/1.1 message as values, shared by codec, server and client. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str { /* a view; never NUL-terminated */
    const char *at;
    size_t n;
};
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
struct str str_of(const char *s);
bool str_ieq_n(struct str a, struct str b); /* ASCII case folded */
/* Inline: the length of a literal is known where it is compared, and most comparisons end there. */
static inline bool str_eq(struct str a, const char *b)
{
    return a.n == strlen(b) && (!a.n || memcmp(a.at, b, a.n) == 0);
}
static inline bool str_ieq(struct str a, const char *b) /* ASCII case folded */
{
    return a.n == strlen(b) && str_ieq_n(a, (struct str){b, a.n});
}

struct http_header {
    struct str name, value; /* value: optional white space trimmed, obs-fold refused */
};

enum { HTTP_HEADERS_MAX = 100, HTTP_HEAD_MAX = 32768, HTTP_TARGET_MAX = 8192 };

struct http_head {
    /* request */
    struct str method, target; /* target as sent: origin-form, absolute-form is reduced to it */
    struct str path, query; /* the target split at '?'; query without it; both still percent-encoded */
    struct str host;        /* from the absolute-form or Host */
    /* response */
    int status;
    struct str reason;
    /* both */
    int minor;                                    /* HTTP/1.minor: 0 or 1 */
    struct http_header headers[HTTP_HEADERS_MAX]; /* the trailers follow the headers */
    size_t header_count, trailer_count;
    int64_t content_length; /* -1: none given */
    bool chunked;
    bool keep_alive;
    bool expect_continue;
    bool upgrade; /* Connection: upgrade and an Upgrade header */
};

/* The first header of that name, or NULL. Never a trailer: those are not merged (RFC 9110 6.5.1). */
const struct str *http_head_get(const struct http_head *h, const char *name);
const struct str *http_head_trailer(const struct http_head *h, const char *name);
const char *http_status_text(int status); /* "Not Found"; "Unknown" otherwise */
/* Percent-decodes into out (at most n bytes). Returns the length or -EINVAL. '+' stays '+'. */
int http_percent_decode(struct str in, char *out, size_t n);
