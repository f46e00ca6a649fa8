/* utf8.h - RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool utf8_valid(const void *data, size_t n);
