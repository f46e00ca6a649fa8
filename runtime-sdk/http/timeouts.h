/* timeouts.h - how long an HTTP server's clients are waited for, as the daemons' flags say it. Pure. */
#pragma once
#include "base/clock.h"
#include "base/daemon_flags.h"
#include "http/server.h"

struct http_timeouts { /* ns, as http_server_options has them; 0: its default */
    uint64_t header_ns, body_ns, write_ns, idle_ns;
};
void http_timeouts_apply(const struct http_timeouts *t, struct http_server_options *o);

/* Rows of a daemon's table: --header-timeout, --body-timeout, --write-timeout, --idle-timeout, of the http_timeouts
 * that is `member` of its options. */
#define HTTP_TIMEOUT_FLAGS(options, member)                                                        \
    HTTP_TIMEOUT_FLAG("--header-timeout", options, member.header_ns),                              \
        HTTP_TIMEOUT_FLAG("--body-timeout", options, member.body_ns),                              \
        HTTP_TIMEOUT_FLAG("--write-timeout", options, member.write_ns),                            \
        HTTP_TIMEOUT_FLAG("--idle-timeout", options, member.idle_ns)
#define HTTP_TIMEOUT_FLAG(flag, options, member)                                                   \
    {                                                                                              \
        .name = (flag), .take = daemon_flag_duration, .offset = offsetof(options, member),         \
        .min = 100 * NS_PER_MS, .max = 3600 * NS_PER_S,                                            \
        .want = "is not a duration between 100ms and 1h"                                           \
    }
