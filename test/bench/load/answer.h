/* answer.h - counts whole HTTP answers in a stream of bytes. Pure.
 *
 * It knows what a load generator meets: answers with a Content-Length. Any other framing is -EPROTO. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { ANSWER_HEAD_MAX = 8192 };

struct answer_reader { /* zero-initialised is the start of a stream */
    uint64_t body_left;
    size_t head_n;
    char *head; /* the beginning of a head that ended with the input; usually NULL; answer_reader_done() frees it */
};

/* Adds to *ret_answers and *ret_failed (whose status is not 2xx) the answers that end within the input.
 * 0, -EPROTO, -ENOMEM. */
int answer_read(struct answer_reader *r, const char *in, size_t n, unsigned *ret_answers,
                unsigned *ret_failed);
void answer_reader_done(struct answer_reader *r);
