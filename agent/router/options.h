/* options.h - rouse-agent's flags. Start-up only. */
#pragma once
#include "base/cidr.h"
#include "base/daemon_flags.h"
#include "router/gateway.h"
#include "router/session.h"

#define AGENT_VERSION "0.1.0"

enum { OPTION_LABELS_MAX = 64, OPTION_BLOCKS_MAX = 256, OPTION_FLAGS = 30 };
enum options_mode { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION };

struct options { /* strings live as daemon_flag.take says */
    const char *state, *node, *runtimes;
    const char *controller, *api;
    const char *gateway_address, *peer_address, *metrics_address;
    const char *token_file; /* NULL: none */
    bool insecure_http;
    uint64_t memory; /* bytes */
    uint32_t cpu_millis;
    uint64_t code_cache; /* bytes; 0: a tenth of the disk, 10 GiB at most */
    uint64_t queue_deadline_ns;
    uint64_t freeze_after_ns; /* 0: never */
    uint32_t reclaim_below;   /* percent of the memory; 0: never */
    uint32_t templates;       /* 0: none */
    struct http_timeouts clients;
    const char *instance_subnet; /* NULL: the agent's choice */
    struct cidr deny[OPTION_BLOCKS_MAX], allow[OPTION_BLOCKS_MAX];
    size_t deny_count, allow_count;
    bool allow_gateways;
    unsigned loops;
    uint32_t pool; /* sandboxes kept ready of each kind */
    int reactor;   /* enum loop_backend; -1: neither a flag nor the environment says */
    struct session_label labels[OPTION_LABELS_MAX];
    size_t label_count;
    struct session_label taints[OPTION_LABELS_MAX];
    size_t taint_count;
};

/* base/daemon_flags.h has the rule. -EINVAL with the flag or variable, its value and its limit in *e. */
int options_parse(int argc, char **argv, struct options *ret, enum options_mode *ret_mode,
                  struct err *e);
extern const struct daemon_flag options_flags[OPTION_FLAGS];
extern const char options_help[];
