/* timeouts.c - see the header. */
#include "http/timeouts.h"
#include "base/clock.h"
#include "base/quantity.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_MIN (100 * NS_PER_MS)
#define TIMEOUT_MAX (3600 * NS_PER_S)

void http_timeouts_apply(const struct http_timeouts *t, struct http_server_options *o)
{
    o->header_timeout_ns = t->header_ns;
    o->body_timeout_ns = t->body_ns;
    o->write_timeout_ns = t->write_ns;
    o->idle_timeout_ns = t->idle_ns;
}

uint64_t *http_timeouts_flag(struct http_timeouts *t, const char *flag)
{
    if (!strcmp(flag, "--header-timeout"))
        return &t->header_ns;
    if (!strcmp(flag, "--body-timeout"))
        return &t->body_ns;
    if (!strcmp(flag, "--write-timeout"))
        return &t->write_ns;
    return strcmp(flag, "--idle-timeout") ? NULL : &t->idle_ns;
}

int http_timeout_parse(const char *text, uint64_t *ret_ns)
{
    uint64_t v;

    if (quantity_duration(text, &v) < 0 || v < TIMEOUT_MIN || v > TIMEOUT_MAX)
        return -EINVAL;
    *ret_ns = v;
    return 0;
}
