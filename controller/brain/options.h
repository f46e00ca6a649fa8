/* options.h - rouse-controller's flags. Start-up only. */
#pragma once
#include "base/daemon_flags.h"
#include "http/timeouts.h"
#include <stdbool.h>
#include <stdint.h>

#define CONTROLLER_VERSION "0.1.0"

enum controller_mode { CONTROLLER_RUN, CONTROLLER_CRD, CONTROLLER_HELP, CONTROLLER_SHOW_VERSION };

enum { CONTROLLER_FLAGS = 24 };
struct controller_options { /* strings live as daemon_flag.take says, or are static */
    enum controller_mode mode;
    const char *state;
    const char *api_address, *local_api_address, *front_address, *control_address;
    const char *token_file;         /* NULL: none */
    const char *tls_cert, *tls_key; /* of the control channel; NULL: plain */
    const char *gateway_url;        /* NULL: the front's */
    const char *prometheus;         /* URL; NULL: no external metrics */
    const char *platform;           /* NULL: nodes of provider process cannot be made */
    const char *node_hooks;         /* NULL: nor those of hooks */
    bool insecure_http;
    uint64_t queue_deadline_ns;
    uint64_t body_limit; /* bytes, each way; 0: the default */
    uint32_t queue_per_function, queue_total;
    uint64_t stable_window_ns, panic_window_ns;
    struct http_timeouts clients; /* of API and front */
    int reactor; /* enum loop_backend; -1: neither a flag nor the environment says */
};

/* base/daemon_flags.h has the rule. -EINVAL with the flag or variable, its value and what it should be in *e. */
int controller_options_parse(int argc, char **argv, struct controller_options *ret, struct err *e);
extern const struct daemon_flag controller_flags[CONTROLLER_FLAGS];
extern const char controller_help[];
