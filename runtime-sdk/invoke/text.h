/* text.h - the encodings an event and an answer are made of. Pure. */
#pragma once
#include "base/buffer.h"

/* A JSON string with its quotes. Bytes that are no UTF-8 are read as ISO 8859-1, so that the JSON
 * is valid. */
int json_string_append(struct buffer *to, const void *s, size_t n);
int base64_append(struct buffer *to, const uint8_t *s, size_t n);
struct json_facts {
    size_t values;    /* all in it: what a tree of it would cost */
    bool status_code; /* an object with a member of that name, written without escapes */
};
/* One JSON value (RFC 8259) and nothing else, nested at most `depth` (up to 512). No recursion, no
 * memory. -EINVAL: it is not; -E2BIG: too deep. */
int json_check(const uint8_t *s, size_t n, unsigned depth, struct json_facts *ret);
/* -EINVAL: not RFC 4648 base64 (padding may be missing). */
int base64_decode(struct buffer *to, const char *s, size_t n);
