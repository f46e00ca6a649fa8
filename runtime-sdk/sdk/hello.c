/* hello.c - see hello.h. */
#include "sdk/hello.h"

#include "sdk/reader.h"

#include <errno.h>
#include <string.h>

static int read_concurrency(struct reader *r, unsigned *ret)
{
    uint64_t n;
    int e = reader_number(r, &n);

    if (e < 0)
        return e;
    if (!n || n > HELLO_CONCURRENCY_MAX)
        return -EMSGSIZE;
    *ret = (unsigned)n;
    return 0;
}

static int read_field(struct reader *r, const char *name, struct hello *h)
{
    if (!strcmp(name, "function"))
        return reader_string(r, h->function, HELLO_TEXT_MAX);
    if (!strcmp(name, "namespace"))
        return reader_string(r, h->name_space, HELLO_TEXT_MAX);
    if (!strcmp(name, "revision"))
        return reader_string(r, h->revision, HELLO_TEXT_MAX);
    if (!strcmp(name, "protocol"))
        return reader_number(r, &h->protocol);
    if (!strcmp(name, "memory"))
        return reader_number(r, &h->memory);
    if (!strcmp(name, "concurrency"))
        return read_concurrency(r, &h->concurrency);
    return reader_skip(r);
}

int hello_parse(const char *json, size_t n, struct hello *ret)
{
    struct reader r = {.p = json, .end = json + n};
    struct hello h = {.concurrency = 1};
    char name[HELLO_TEXT_MAX];
    int e;

    if (!reader_take(&r, '{'))
        return -EBADMSG;
    if (!reader_take(&r, '}')) {
        do {
            e = reader_string(&r, name, sizeof(name));
            if (e < 0)
                return e;
            if (!reader_take(&r, ':'))
                return -EBADMSG;
            e = read_field(&r, name, &h);
            if (e < 0)
                return e;
        } while (reader_take(&r, ','));
        if (!reader_take(&r, '}'))
            return -EBADMSG;
    }
    if (!reader_end(&r))
        return -EBADMSG;
    *ret = h;
    return 0;
}
