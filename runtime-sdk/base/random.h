/* random.h - bytes that nobody can guess, and ids made of them. */
#pragma once
#include <stddef.h>
#include <stdint.h>

void random_bytes(void *to, size_t n); /* getrandom(2); never fails for n <= 256 after boot */
uint64_t random_u64(void);
/* The next of a stream that random_u64() seeded: spread well, no secret, no system call (splitmix64). */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
/* `n` random bytes as 2n lower-case hex digits and a NUL in `out[2n + 1]`. */
void random_hex(char *out, size_t n);
/* RFC 9562 version 4 UUID, 36 characters and a NUL. */
void random_uuid(char out[37]);
