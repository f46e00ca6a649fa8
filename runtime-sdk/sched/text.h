/* text.h - lines for a report, written straight to a descriptor: no lock, no allocation, safe in a signal
 * handler. What cannot be written is lost. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct text {
    int fd;
    size_t size;
    char buffer[512];
};

void text_put(struct text *t, const char *s);
void text_number(struct text *t, uint64_t n); /* 1,000,000 */
void text_plain(struct text *t, uint64_t n);  /* 1000000 */
void text_hex(struct text *t, uint64_t n);    /* 0x1f */
void text_flush(struct text *t);
