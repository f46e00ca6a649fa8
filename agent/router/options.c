/* options.c - parses and checks rouse-agent's flags. */
#include "router/options.h"
#include "base/clock.h"
#include "base/quantity.h"
#include "reactor/conn.h"
#include "router/capacity.h"
#include "router/siblings.h"
#include "invoke/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODE_NAME_MAX = 63,
    LABEL_MAX = 63,
    CPU_SHARE = 32,
    POOL_MAX = 256,
    POOL_DEFAULT = 4,
    TEMPLATES_DEFAULT = 64,
    TEMPLATES_LIMIT = 10000
};
#define MEMORY_MIN         (32ull << 20)
#define CODE_CACHE_MIN     (1ull << 20)
#define QUEUE_DEADLINE_MIN NS_PER_S
#define QUEUE_DEADLINE_MAX (600 * NS_PER_S)
#define FREEZE_AFTER_MIN   (10 * NS_PER_MS)
#define FREEZE_AFTER_MAX   (3600 * NS_PER_S)
#define RECLAIM_BELOW_MAX  50

const char options_help[] =
    "rouse-agent: runs functions on this node and takes requests for all of them.\n"
    "\n"
    "usage: rouse-agent --state DIR --node NAME --runtimes DIR [flags]\n"
    "\n"
    "The node\n"
    "  --state DIR                 everything this agent keeps; one agent a directory\n"
    "  --node NAME                 [a-z0-9-], 1 to 63 characters, unique in the platform\n"
    "  --runtimes DIR              the language runtimes, as hack/mkruntime builds them\n"
    "  --label NAME=VALUE          of the node; may be given up to 64 times\n"
    "  --allocatable-memory BYTES  for instances, as 8Gi; 32Mi at least\n"
    "                              (90 % of the machine's memory, or of this cgroup's limit)\n"
    "  --allocatable-cpu CPUS      for instances, as 4 or 500m\n"
    "                              (32 times the machine's: functions wait more than they compute,\n"
    "                              and each is held to its own limit)\n"
    "  --freeze-after DURATION     an instance that is idle for so long uses no CPU until it is called, 10ms to\n"
    "                              1h, or never (1s, or the environment's ROUSE_FREEZE_AFTER)\n"
    "  --reclaim-below PERCENT     when less than so much of the memory is available, frozen instances give theirs\n"
    "                              back, 1 to 50; 0: never (10, or the environment's ROUSE_RECLAIM_BELOW)\n"
    "  --code-cache BYTES          for unpacked code, as 4Gi; 1Mi at least. Beyond it what was used least\n"
    "                              recently goes, but for what is in use (10 % of the disk, 10Gi at most)\n"
    "  --templates N               so many templates of functions with start: fork are kept while their functions\n"
    "                              sleep, the longest unused go first; 0: no function is forked (64)\n"
    "\n"
    "The controller\n"
    "  --controller ADDRESS        control channel (tcp://127.0.0.1:7082); tls://HOST:PORT\n"
    "  --api URL                   where packages are fetched (http://127.0.0.1:7080)\n"
    "  --token-file FILE           the node's bearer token, for both\n"
    "\n"
    "Where it listens\n"
    "  --gateway-address ADDRESS   clients' requests (tcp://127.0.0.1:8080)\n"
    "  --peer-address ADDRESS      other nodes' requests; they dial it as given (tcp://127.0.0.1:8081)\n"
    "  --metrics-address ADDRESS   /metrics, /healthz, /readyz (tcp://127.0.0.1:8082); /metrics asks\n"
    "                              clients that are not on loopback for the token\n"
    "  --insecure-http             plain HTTP on gateway and metrics addresses that are not loopback\n"
    "\n"
    "What functions reach, which is all beyond this node but: other instances, loopback, link-local and multicast\n"
    "addresses, the clouds' metadata services, and the addresses that nodes and controller tell each other\n"
    "  --deny-egress CIDR,...      nor these, IPv4 or IPv6, as 10.0.0.0/8,fd00::/8; may be given again, 256 in all\n"
    "                              (port 53 of the servers in the node's resolv.conf always passes)\n"
    "  --allow-egress CIDR,...     but these: exceptions from --deny-egress and from the metadata services\n"
    "                              (with them, --deny-egress 0.0.0.0/0,::/0 is a list of what is allowed)\n"
    "  --allow-gateways            and the nodes' gateways, this one's too: for functions that call functions by a\n"
    "                              node's address\n"
    "  --instance-subnet CIDR      IPv4 addresses for the instances' links, 2 each, /8 to /30 (a free block of\n"
    "                              100.64.0.0/10)\n"
    "  The environment's ROUSE_DENY_EGRESS, ROUSE_ALLOW_EGRESS come first.\n"
    "\n"
    "Clients, at the gateway; time-outs from 100ms to 1h\n"
    "  --queue-deadline DURATION   how long a request may wait for a slot, 1s to 10m (30s)\n"
    "  --header-timeout DURATION   until a request's first line and headers have come (10s)\n"
    "  --body-timeout DURATION     without a KiB more of a body that is read (30s)\n"
    "  --write-timeout DURATION    without a KiB more of an answer taken (60s)\n"
    "  --idle-timeout DURATION     between a connection's requests (75s)\n"
    "\n"
    "Sandboxes\n"
    "  --pool N                    so many are made ahead for each Runtime, and for each other way that functions\n"
    "                              ask for one (`network: none`, a port), used once each: 0 to 256, 0 for none (4);\n"
    "                              0.6 MiB each, and an interpreter that a Runtime starts ahead\n"
    "\n"
    "Event loops\n"
    "  --loops N                   so many, each on a thread of its own, share all requests: 0 is one,\n"
    "                              negative is one per cpu, 64 at most (1, or the environment's ROUSE_LOOPS)\n"
    "  --reactor BACKEND           how the kernel is asked: auto, epoll, io_uring (auto: io_uring where it\n"
    "                              can; or the environment's ROUSE_REACTOR)\n"
    "\n"
    "  --version, --help\n"
    "\n"
    "example: rouse-agent --state /var/lib/rouse/agent --node n1 --runtimes /usr/local/lib/rouse/runtimes\n"
    "SIGTERM: finishes running requests (5 s at most), stops the instances, ends. A second one ends at once.\n";

static int bad(struct err *e, const char *flag, const char *value, const char *want)
{
    return err_set(e, EINVAL, "%s \"%s\": %s", flag, value, want);
}

static int take_node(const char *value, struct options *o, struct err *e)
{
    for (const char *p = value; *p; p++)
        if (*p == '.')
            return bad(e, "--node", value, "is not a name of [a-z0-9-], 1 to 63 characters");
    if (!target_name_ok(str_of(value), NODE_NAME_MAX))
        return bad(e, "--node", value, "is not a name of [a-z0-9-], 1 to 63 characters");
    o->node = value;
    return 0;
}

static int take_memory(const char *value, struct options *o, struct err *e)
{
    uint64_t v;

    if (quantity_memory(value, &v) < 0 || v < MEMORY_MIN)
        return bad(e, "--allocatable-memory", value,
                   "is not a memory size of 32Mi or more, such as 8Gi");
    o->memory = v;
    return 0;
}

static int take_cpu(const char *value, struct options *o, struct err *e)
{
    uint32_t v;

    if (quantity_cpu(value, &v) < 0 || !v)
        return bad(e, "--allocatable-cpu", value,
                   "is not a number of cpus above 0, such as 4 or 500m");
    o->cpu_millis = v;
    return 0;
}

static int take_code_cache(const char *value, struct options *o, struct err *e)
{
    uint64_t v;

    if (quantity_memory(value, &v) < 0 || v < CODE_CACHE_MIN)
        return bad(e, "--code-cache", value, "is not a size of 1Mi or more, such as 4Gi");
    o->code_cache = v;
    return 0;
}

static int take_deadline(const char *value, struct options *o, struct err *e)
{
    uint64_t v;

    if (quantity_duration(value, &v) < 0 || v < QUEUE_DEADLINE_MIN || v > QUEUE_DEADLINE_MAX)
        return bad(e, "--queue-deadline", value, "is not a duration between 1s and 10m");
    o->queue_deadline_ns = v;
    return 0;
}

static int take_freeze_after(const char *flag, const char *value, struct options *o, struct err *e)
{
    bool never = !strcmp(value, "never");
    uint64_t v = 0;

    if (!never && (quantity_duration(value, &v) < 0 || v < FREEZE_AFTER_MIN || v > FREEZE_AFTER_MAX))
        return bad(e, flag, value, "is neither a duration between 10ms and 1h nor never");
    o->freeze_after_ns = v;
    return 0;
}

static int take_templates(const char *value, struct options *o, struct err *e)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || errno || n > TEMPLATES_LIMIT)
        return bad(e, "--templates", value, "is not a number of templates, 0 to 10000");
    o->templates = (unsigned)n;
    return 0;
}

static int take_reclaim_below(const char *flag, const char *value, struct options *o, struct err *e)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || errno || n > RECLAIM_BELOW_MAX)
        return bad(e, flag, value, "is not a percentage up to 50, or 0 for never");
    o->reclaim_below = (unsigned)n;
    return 0;
}

static int take_loops(const char *flag, const char *value, struct options *o, struct err *e)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(value, &end, 10);
    if (!*value || *end || errno || n > LOOPS_MAX)
        return bad(e, flag, value,
                   "is not a number of loops up to 64: 0 is one, negative is one per cpu");
    if (n < 0)
        n = capacity_cpus() < LOOPS_MAX ? (long)capacity_cpus() : LOOPS_MAX;
    o->loops = n ? (unsigned)n : 1;
    return 0;
}

static int take_pool(const char *value, struct options *o, struct err *e)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(value, &end, 10);
    if (!*value || *end || errno || n < 0 || n > POOL_MAX)
        return bad(e, "--pool", value, "is not a number of sandboxes from 0 to 256");
    o->pool = (unsigned)n;
    return 0;
}

static int take_reactor(const char *flag, const char *value, struct options *o, struct err *e)
{
    enum loop_backend b;

    if (loop_backend_parse(value, &b) < 0)
        return bad(e, flag, value, "is none of auto, epoll, io_uring");
    o->reactor = (int)b;
    return 0;
}

/* Appends a list of blocks. */
static int take_blocks(const char *flag, const char *value, struct cidr *to, size_t *count,
                       struct err *e)
{
    const char *bad_entry;
    size_t n;
    int r = cidr_list_parse(value, to + *count, OPTION_BLOCKS_MAX - *count, &bad_entry, &n);

    if (r >= 0) {
        *count += (size_t)r;
        return 0;
    }
    return err_set(e, EINVAL, "%s \"%.*s\": %s", flag, n < 64 ? (int)n : 64, bad_entry,
                   r == -E2BIG    ? "is one too many; 256 blocks at most"
                   : r == -ERANGE ? "has a prefix of more than 32 bits, or 128 of IPv6"
                   : r == -EDOM   ? "has bits set beyond its prefix"
                                  : "is not a block such as 10.0.0.0/8 or fd00::/8");
}

static int take_environment_blocks(struct options *o, struct err *e)
{
    const char *deny = getenv("ROUSE_DENY_EGRESS"), *allow = getenv("ROUSE_ALLOW_EGRESS");
    int r = deny && *deny ? take_blocks("ROUSE_DENY_EGRESS", deny, o->deny, &o->deny_count, e) : 0;

    if (r == 0 && allow && *allow)
        r = take_blocks("ROUSE_ALLOW_EGRESS", allow, o->allow, &o->allow_count, e);
    return r;
}

static int take_subnet(const char *value, struct options *o, struct err *e)
{
    struct cidr c;

    if (!strchr(value, '/') || cidr_parse(value, strlen(value), &c) < 0 || c.six || c.bits < 8 ||
        c.bits > 30)
        return bad(e, "--instance-subnet", value,
                   "is not a block of IPv4 addresses, /8 to /30, such as 100.64.0.0/18");
    o->instance_subnet = value;
    return 0;
}

static int take_label(char *value, struct options *o, struct err *e)
{
    char *equals = strchr(value, '=');

    if (o->label_count == OPTION_LABELS_MAX)
        return bad(e, "--label", value, "is one too many; 64 labels at most");
    if (!equals || equals == value || equals - value > LABEL_MAX || strlen(equals + 1) > LABEL_MAX)
        return bad(e, "--label", value, "is not NAME=VALUE with at most 63 characters each");
    *equals = '\0';
    o->labels[o->label_count++] = (struct session_label){value, equals + 1};
    return 0;
}

/* A loopback address, a wildcard one, or neither. Unix sockets are as private as loopback. */
static void classify(const struct sockaddr_storage *sa, bool *ret_loopback, bool *ret_any)
{
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

    *ret_loopback = sa->ss_family == AF_UNIX;
    *ret_any = false;
    if (sa->ss_family == AF_INET) {
        *ret_loopback = ntohl(in4->sin_addr.s_addr) >> 24 == 127;
        *ret_any = in4->sin_addr.s_addr == htonl(INADDR_ANY);
    } else if (sa->ss_family == AF_INET6) {
        *ret_loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
        *ret_any = IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
    }
}

enum bind_rule { BIND_PUBLIC, BIND_PEER };

static int check_bind(const char *flag, const char *value, enum bind_rule rule,
                      const struct options *o, struct err *e)
{
    struct sockaddr_storage sa;
    bool loopback, any;
    socklen_t size;

    if (address_parse(value, &sa, &size) < 0)
        return bad(e, flag, value, "is not an address such as tcp://127.0.0.1:8080 or unix:///path");
    classify(&sa, &loopback, &any);
    if (rule == BIND_PUBLIC && !loopback && !o->insecure_http)
        return bad(e, flag, value, "is not loopback: plain HTTP there needs --insecure-http");
    if (rule == BIND_PEER && any)
        return bad(e, flag, value, "is told to other nodes: name the address that they dial");
    return 0;
}

static int check(struct options *o, struct err *e)
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
        return bad(e, "--controller", o->controller, "is not tcp://IP:PORT or tls://HOST:PORT");
    if (strncmp(o->api, "http://", 7) != 0 && strncmp(o->api, "https://", 8) != 0)
        return bad(e, "--api", o->api, "is not an http:// or https:// URL");
    r = check_bind("--gateway-address", o->gateway_address, BIND_PUBLIC, o, e);
    if (r == 0)
        r = check_bind("--peer-address", o->peer_address, BIND_PEER, o, e);
    if (r == 0)
        r = check_bind("--metrics-address", o->metrics_address, BIND_PUBLIC, o, e);
    return r;
}

/* Where a flag's text goes as it is; NULL for flags with a parser of their own. */
static const char **text_flag(const char *name, struct options *o)
{
    const struct {
        const char *name;
        const char **to;
    } flags[] = {
        {"--state", &o->state},
        {"--runtimes", &o->runtimes},
        {"--controller", &o->controller},
        {"--api", &o->api},
        {"--gateway-address", &o->gateway_address},
        {"--peer-address", &o->peer_address},
        {"--metrics-address", &o->metrics_address},
        {"--token-file", &o->token_file},
    };

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (!strcmp(flags[i].name, name))
            return flags[i].to;
    return NULL;
}

static int take(const char *name, char *value, struct options *o, struct err *e)
{
    const char **text = text_flag(name, o);
    uint64_t *timeout = http_timeouts_flag(&o->clients, name);

    if (text) {
        if (!*value)
            return bad(e, name, value, "is empty");
        *text = value;
        return 0;
    }
    if (timeout)
        return http_timeout_parse(value, timeout) < 0
                   ? bad(e, name, value, "is not " HTTP_TIMEOUT_WANT)
                   : 0;
    if (!strcmp(name, "--node"))
        return take_node(value, o, e);
    if (!strcmp(name, "--allocatable-memory"))
        return take_memory(value, o, e);
    if (!strcmp(name, "--allocatable-cpu"))
        return take_cpu(value, o, e);
    if (!strcmp(name, "--deny-egress"))
        return take_blocks(name, value, o->deny, &o->deny_count, e);
    if (!strcmp(name, "--allow-egress"))
        return take_blocks(name, value, o->allow, &o->allow_count, e);
    if (!strcmp(name, "--instance-subnet"))
        return take_subnet(value, o, e);
    if (!strcmp(name, "--code-cache"))
        return take_code_cache(value, o, e);
    if (!strcmp(name, "--queue-deadline"))
        return take_deadline(value, o, e);
    if (!strcmp(name, "--templates"))
        return take_templates(value, o, e);
    if (!strcmp(name, "--freeze-after"))
        return take_freeze_after(name, value, o, e);
    if (!strcmp(name, "--pool"))
        return take_pool(value, o, e);
    if (!strcmp(name, "--reclaim-below"))
        return take_reclaim_below(name, value, o, e);
    if (!strcmp(name, "--loops"))
        return take_loops(name, value, o, e);
    if (!strcmp(name, "--reactor"))
        return take_reactor(name, value, o, e);
    return take_label(value, o, e);
}

static bool takes_value(const char *name)
{
    static const char *const parsed[] = {"--node",
                                         "--allocatable-memory",
                                         "--allocatable-cpu",
                                         "--code-cache",
                                         "--queue-deadline",
                                         "--freeze-after",
                                         "--reclaim-below",
                                         "--templates",
                                         "--deny-egress",
                                         "--allow-egress",
                                         "--instance-subnet",
                                         "--loops",
                                         "--reactor",
                                         "--label",
                                         "--pool"};
    struct options scratch;

    for (size_t i = 0; i < sizeof(parsed) / sizeof(parsed[0]); i++)
        if (!strcmp(parsed[i], name))
            return true;
    return text_flag(name, &scratch) || http_timeouts_flag(&scratch.clients, name);
}

int options_parse(int argc, char **argv, struct options *ret, enum options_mode *ret_mode,
                  struct err *e)
{
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
        .reclaim_below = 10,
        .templates = TEMPLATES_DEFAULT,
        .loops = 1,
        .pool = POOL_DEFAULT,
        .reactor = -1,
    };
    const char *loops = getenv("ROUSE_LOOPS"), *reactor = getenv("ROUSE_REACTOR");
    const char *freeze = getenv("ROUSE_FREEZE_AFTER"), *reclaim = getenv("ROUSE_RECLAIM_BELOW");
    int r;

    *ret_mode = OPTIONS_RUN;
    r = take_environment_blocks(&o, e);
    if (r < 0)
        return r;
    if (loops) {
        r = take_loops("ROUSE_LOOPS", loops, &o, e);
        if (r < 0)
            return r;
    }
    if (freeze && *freeze) {
        r = take_freeze_after("ROUSE_FREEZE_AFTER", freeze, &o, e);
        if (r < 0)
            return r;
    }
    if (reclaim && *reclaim) {
        r = take_reclaim_below("ROUSE_RECLAIM_BELOW", reclaim, &o, e);
        if (r < 0)
            return r;
    }
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');

        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "--version")) {
            *ret_mode = argv[i][2] == 'h' ? OPTIONS_HELP : OPTIONS_VERSION;
            return 0;
        }
        if (!strcmp(argv[i], "--allow-gateways")) {
            o.allow_gateways = true;
            continue;
        }
        if (!strcmp(argv[i], "--insecure-http")) {
            o.insecure_http = true;
            continue;
        }
        if (value)
            *value++ = '\0';
        if (!takes_value(argv[i]))
            return err_set(e, EINVAL, "%s is not a flag of rouse-agent; see --help", argv[i]);
        if (!value && i + 1 == argc)
            return err_set(e, EINVAL, "%s needs a value; see --help", argv[i]);
        r = take(argv[i], value ? value : argv[i + 1], &o, e);
        if (r < 0)
            return r;
        i += !value;
    }
    r = check(&o, e);
    if (r == 0 && o.reactor < 0 && reactor && *reactor)
        r = take_reactor("ROUSE_REACTOR", reactor, &o, e);
    if (r == 0)
        *ret = o;
    return r;
}
