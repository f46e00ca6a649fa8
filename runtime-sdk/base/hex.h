/* hex.h - lower-case hexadecimal. */
#pragma once
#include <stddef.h>
#include <stdint.h>

int hex_digit(char c);                                   /* 0 to 15, or -1 */
void hex_encode(char *out, const uint8_t *in, size_t n); /* 2n digits and a NUL */
/* 0, or -EINVAL if `in` is not exactly 2n hex digits (upper case is taken too). */
int hex_decode(uint8_t *out, const char *in, size_t n);
