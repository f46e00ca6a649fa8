/* random.h - bytes that nobody can guess, and ids made of them. */
#pragma once
#include <stddef.h>
#include <stdint.h>

void random_bytes(void *to, size_t n); /* getrandom(2); never fails for n <= 256 after boot */
uint64_t random_u64(void);
/* `n` random bytes as 2n lower-case hex digits and a NUL in `out[2n + 1]`. */
void random_hex(char *out, size_t n);
/* RFC 9562 version 4 UUID, 36 characters and a NUL. */
void random_uuid(char out[37]);
