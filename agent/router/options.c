/* options.c - rouse-agent's flags: the table of them, their defaults, and what they must be together. */
#include "base/address.h"
#include "base/clock.h"
#include "reactor/loop.h"
#include "router/capacity.h"
#include "router/options_internal.h"

#include <errno.h>
#include <string.h>

enum {
    CPU_SHARE = 32,
    POOL_MAX = 256,
    POOL_DEFAULT = 4,
    TEMPLATES_DEFAULT = 64,
    TEMPLATES_LIMIT = 10000,
    RECLAIM_BELOW_DEFAULT = 10,
    RECLAIM_BELOW_MAX = 50
};
#define MEMORY_MIN         (32ull << 20)
#define CODE_CACHE_MIN     (1ull << 20)
#define QUEUE_DEADLINE_MIN NS_PER_S
#define QUEUE_DEADLINE_MAX (600 * NS_PER_S)

#define TEXT(flag, member)                                                                         \
    {                                                                                              \
        .name = (flag), .take = daemon_flag_text, .offset = offsetof(struct options, member)       \
    }
#define SWITCH(flag, member)                                                                       \
    {                                                                                              \
        .name = (flag), .take = daemon_flag_switch, .offset = offsetof(struct options, member),    \
        .kind = DAEMON_FLAG_SWITCH                                                                 \
    }
#define LIMITED(type, flag, member, least, most, wanted)                                           \
    {                                                                                              \
        .name = (flag), .take = daemon_flag_##type, .offset = offsetof(struct options, member),    \
        .min = (least), .max = (most), .want = (wanted)                                            \
    }
#define OWN(flag, taker, how)                                                                      \
    {                                                                                              \
        .name = (flag), .take = option_take_##taker, .kind = DAEMON_FLAG_##how                     \
    }

const struct daemon_flag options_flags[OPTION_FLAGS] = {
    /* ROUSE_STATE is, to `rouse`, the platform's directory: an agent's is a part of that. */
    {.name = "--state",
     .take = daemon_flag_text,
     .offset = offsetof(struct options, state),
     .kind = DAEMON_FLAG_HERE},
    OWN("--node", node, ONCE),
    TEXT("--runtimes", runtimes),
    OWN("--label", label, AGAIN),
    OWN("--taint", taint, AGAIN),
    LIMITED(memory, "--allocatable-memory", memory, MEMORY_MIN, UINT64_MAX,
            "is not a memory size of 32Mi or more, such as 8Gi"),
    OWN("--allocatable-cpu", cpu, ONCE),
    OWN("--freeze-after", freeze_after, ONCE),
    LIMITED(number, "--reclaim-below", reclaim_below, 0, RECLAIM_BELOW_MAX,
            "is not a percentage up to 50, or 0 for never"),
    LIMITED(memory, "--code-cache", code_cache, CODE_CACHE_MIN, UINT64_MAX,
            "is not a size of 1Mi or more, such as 4Gi"),
    LIMITED(number, "--templates", templates, 0, TEMPLATES_LIMIT,
            "is not a number of templates, 0 to 10000"),
    TEXT("--controller", controller),
    TEXT("--api", api),
    TEXT("--token-file", token_file),
    TEXT("--gateway-address", gateway_address),
    TEXT("--peer-address", peer_address),
    TEXT("--metrics-address", metrics_address),
    SWITCH("--insecure-http", insecure_http),
    OWN("--deny-egress", deny, AGAIN),
    OWN("--allow-egress", allow, AGAIN),
    SWITCH("--allow-gateways", allow_gateways),
    OWN("--instance-subnet", subnet, ONCE),
    LIMITED(duration, "--queue-deadline", queue_deadline_ns, QUEUE_DEADLINE_MIN, QUEUE_DEADLINE_MAX,
            "is not a duration between 1s and 10m"),
    HTTP_TIMEOUT_FLAGS(struct options, clients),
    LIMITED(number, "--pool", pool, 0, POOL_MAX, "is not a number of sandboxes from 0 to 256"),
    OWN("--loops", loops, ONCE),
    {.name = "--reactor", .take = loop_backend_flag, .offset = offsetof(struct options, reactor)},
};

enum bind_rule { BIND_PUBLIC, BIND_PEER };

static int check_bind(const char *flag, const char *value, enum bind_rule rule,
                      const struct options *o, struct err *e)
{
    struct sockaddr_storage sa;
    socklen_t size;

    if (address_parse(value, &sa, &size) < 0)
        return daemon_flag_bad(e, flag, value,
                               "is not an address such as tcp://127.0.0.1:8080 or unix:///path");
    if (rule == BIND_PUBLIC && !address_is_local(&sa) && !o->insecure_http)
        return daemon_flag_bad(e, flag, value,
                               "is not loopback: plain HTTP there needs --insecure-http");
    if (rule == BIND_PEER && address_is_any(&sa))
        return daemon_flag_bad(e, flag, value,
                               "is told to other nodes: name the address that they dial");
    return 0;
}

static int check(const struct options *o, struct err *e)
{
    struct sockaddr_storage sa;
    socklen_t size;
    int r;

    if (!o->state || !o->node || !o->runtimes)
        return err_set(e, EINVAL, "%s is missing; see --help",
                       !o->state  ? "--state"
                       : !o->node ? "--node"
                                  : "--runtimes");
    if (strncmp(o->controller, "tls://", 6) != 0 && address_parse(o->controller, &sa, &size) < 0)
        return daemon_flag_bad(e, "--controller", o->controller,
                               "is not tcp://IP:PORT or tls://HOST:PORT");
    if (strncmp(o->api, "http://", 7) != 0 && strncmp(o->api, "https://", 8) != 0)
        return daemon_flag_bad(e, "--api", o->api, "is not an http:// or https:// URL");
    r = check_bind("--gateway-address", o->gateway_address, BIND_PUBLIC, o, e);
    if (r == 0)
        r = check_bind("--peer-address", o->peer_address, BIND_PEER, o, e);
    if (r == 0)
        r = check_bind("--metrics-address", o->metrics_address, BIND_PUBLIC, o, e);
    return r;
}

int options_parse(int argc, char **argv, struct options *ret, enum options_mode *ret_mode,
                  struct err *e)
{
    const char *question = daemon_flags_question(argc, argv);
    struct options o = {
        .controller = "tcp://127.0.0.1:7082",
        .api = "http://127.0.0.1:7080",
        .gateway_address = "tcp://127.0.0.1:8080",
        .peer_address = "tcp://127.0.0.1:8081",
        .metrics_address = "tcp://127.0.0.1:8082",
        .memory = capacity_memory() / 10 * 9,
        .cpu_millis = capacity_cpus() * CPU_SHARE * 1000,
        .queue_deadline_ns = 30 * NS_PER_S,
        .freeze_after_ns = NS_PER_S,
        .reclaim_below = RECLAIM_BELOW_DEFAULT,
        .templates = TEMPLATES_DEFAULT,
        .loops = 1,
        .pool = POOL_DEFAULT,
        .reactor = -1,
    };
    int r;

    *ret_mode = !question                     ? OPTIONS_RUN
                : !strcmp(question, "--help") ? OPTIONS_HELP
                                              : OPTIONS_VERSION;
    if (question)
        return 0;
    r = daemon_flags_parse(options_flags, OPTION_FLAGS, argc, argv, &o, e);
    if (r == 0)
        r = check(&o, e);
    if (r == 0)
        *ret = o;
    return r;
}
