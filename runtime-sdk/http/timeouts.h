/* timeouts.h - how long an HTTP server's clients are waited for, as the daemons' flags say it. Pure. */
#pragma once
#include "http/server.h"

struct http_timeouts { /* ns, as http_server_options has them; 0: its default */
    uint64_t header_ns, body_ns, write_ns, idle_ns;
};
void http_timeouts_apply(const struct http_timeouts *t, struct http_server_options *o);

/* --header-timeout, --body-timeout, --write-timeout, --idle-timeout: where its value goes; NULL: none of them. */
uint64_t *http_timeouts_flag(struct http_timeouts *t, const char *flag);
int http_timeout_parse(const char *text, uint64_t *ret_ns); /* -EINVAL: it is not ... */
#define HTTP_TIMEOUT_WANT "a duration between 100ms and 1h"
