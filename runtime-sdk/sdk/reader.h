/* reader.h - pulls values out of one JSON text, front to back: a function links libc and nothing else.
 *
 * Pure; any thread. Errors: -EBADMSG, the text is not what was asked for; -EMSGSIZE, longer than there is
 * room for. After an error the place is undefined. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
    const char *p, *end;
    bool lenient; /* a NUL inside a string becomes U+FFFD instead of an error */
};

void reader_skip_space(struct reader *r);
bool reader_take(struct reader *r, char c); /* c is next, after white space, and was taken */
bool reader_end(struct reader *r);          /* nothing but white space is left */
/* A string, unescaped and with a NUL behind it. */
int reader_string(struct reader *r, char *out, size_t size);
/* The same in place: the text is overwritten, which it is never shorter than. */
int reader_string_here(struct reader *r, char **ret);
int reader_number(struct reader *r, uint64_t *ret); /* an integer from 0 */
int reader_skip(struct reader *r); /* a value of any kind: strings and nesting alone are looked at */
