/* answer.c - see answer.h. */
#include "bench/load/answer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char length_name[] = "\nContent-Length:";

/* The body's size; -EPROTO. `head` ends with its empty line. */
static int64_t body_size(const char *head, size_t n)
{
    const size_t name = sizeof(length_name) - 1;
    const char *at = head, *end = head + n;
    int64_t size = 0;

    while ((at = memchr(at, '\n', (size_t)(end - at))) && (size_t)(end - at) > name) {
        if (!strncasecmp(at, length_name, name)) {
            for (at += name; *at == ' ';)
                at++;
            while (*at >= '0' && *at <= '9' && size < (1LL << 40))
                size = size * 10 + (*at++ - '0');
            return *at == '\r' ? size : -EPROTO;
        }
        at++;
    }
    return -EPROTO;
}

/* One head of `n` bytes with its empty line. */
static int take_head(struct answer_reader *r, const char *head, size_t n, unsigned *ret_failed)
{
    int64_t size;

    if (n < 16 || memcmp(head, "HTTP/1.", 7) || head[8] != ' ')
        return -EPROTO;
    size = body_size(head, n);
    if (size < 0)
        return -EPROTO;
    r->body_left = (uint64_t)size;
    *ret_failed += head[9] != '2';
    return 0;
}

static int keep(struct answer_reader *r, const char *in, size_t n)
{
    if (r->head_n + n > ANSWER_HEAD_MAX)
        return -EPROTO;
    if (!r->head && !(r->head = malloc(ANSWER_HEAD_MAX)))
        return -ENOMEM;
    memcpy(r->head + r->head_n, in, n);
    r->head_n += n;
    return 0;
}

/* The head began in an earlier input. *ret_used of this one belong to it. */
static int continue_head(struct answer_reader *r, const char *in, size_t n, size_t *ret_used,
                         bool *ret_whole, unsigned *ret_failed)
{
    size_t before = r->head_n, room = ANSWER_HEAD_MAX - before, from, whole;
    const char *end;
    int e = keep(r, in, n < room ? n : room);

    if (e)
        return e;
    from = before > 3 ? before - 3 : 0;
    end = memmem(r->head + from, r->head_n - from, "\r\n\r\n", 4);
    *ret_whole = end;
    if (!end)
        return n < room ? (*ret_used = n, 0) : -EPROTO;
    whole = (size_t)(end - r->head) + 4;
    *ret_used = whole - before;
    r->head_n = 0;
    return take_head(r, r->head, whole, ret_failed);
}

int answer_read(struct answer_reader *r, const char *in, size_t n, unsigned *ret_answers,
                unsigned *ret_failed)
{
    size_t used;
    bool whole;
    const char *end;
    int e;

    while (n) {
        if (r->body_left) {
            used = n < r->body_left ? n : (size_t)r->body_left;
            r->body_left -= used;
            *ret_answers += !r->body_left;
        } else if (r->head_n) {
            e = continue_head(r, in, n, &used, &whole, ret_failed);
            if (e)
                return e;
            *ret_answers += whole && !r->body_left;
        } else {
            end = memmem(in, n, "\r\n\r\n", 4);
            if (!end)
                return keep(r, in, n);
            used = (size_t)(end - in) + 4;
            e = take_head(r, in, used, ret_failed);
            if (e)
                return e;
            *ret_answers += !r->body_left;
        }
        in += used;
        n -= used;
    }
    return 0;
}

void answer_reader_done(struct answer_reader *r)
{
    free(r->head);
    *r = (struct answer_reader){0};
}
