/* utf8.h - UTF-8 of RFC 3629: no surrogates, no overlong forms. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes of the character that `s` begins with, n > 0 of them at hand; 0: it is none, or is cut off. */
size_t utf8_length(const uint8_t *s, size_t n);
bool utf8_valid(const void *text, size_t n);
