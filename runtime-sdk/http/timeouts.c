/* timeouts.c - see the header. */
#include "http/timeouts.h"

void http_timeouts_apply(const struct http_timeouts *t, struct http_server_options *o)
{
    o->header_timeout_ns = t->header_ns;
    o->body_timeout_ns = t->body_ns;
    o->write_timeout_ns = t->write_ns;
    o->idle_timeout_ns = t->idle_ns;
}
