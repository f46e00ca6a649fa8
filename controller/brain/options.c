/* options.c - parses and checks rouse-controller's flags. */
#include "brain/options.h"
#include "base/clock.h"
#include "base/quantity.h"
#include "reactor/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { TICKETS_MAX = 10000000, STABLE_MIN_S = 6, STABLE_MAX_S = 3600 };

const char controller_help[] =
    "rouse-controller: the API, the queue of waiting requests, the autoscaler and the scheduler.\n"
    "\n"
    "usage: rouse-controller --state DIR [flags]\n"
    "       rouse-controller crd        the CustomResourceDefinition, as YAML\n"
    "\n"
    "The controller\n"
    "  --state DIR                  store, packages, secrets; one controller a directory\n"
    "  --gateway-url URL            begin of every function's status.url (the front's)\n"
    "\n"
    "Where it listens\n"
    "  --api-address ADDRESS        API and metrics (tcp://127.0.0.1:7080)\n"
    "  --local-api-address ADDRESS  the API on loopback, too, without a token (none)\n"
    "  --front-address ADDRESS      clients' requests without a node (tcp://127.0.0.1:7081)\n"
    "  --control-address ADDRESS    the agents' channel (tcp://127.0.0.1:7082)\n"
    "  --token-file FILE            bearer token of agents and API clients; needed for any address\n"
    "                               that is not loopback\n"
    "  --insecure-http              plain HTTP on addresses that are not loopback\n"
    "  --control-tls-cert FILE      TLS for the agents' channel, with ...\n"
    "  --control-tls-key FILE       ... its key\n"
    "\n"
    "Requests that wait, and the autoscaler\n"
    "  --queue-deadline DURATION    how long a request may wait for a slot, 1s to 10m (30s)\n"
    "  --queue-per-function N       requests that may wait for one function (10000)\n"
    "  --queue-total N              ... and for all of them (100000)\n"
    "  --body-limit BYTES           a request's or an answer's body, 1Ki to 32Mi (6Mi)\n"
    "  --stable-window DURATION     the autoscaler's, 6s to 1h (60s)\n"
    "  --panic-window DURATION      1s to the stable window (6s)\n"
    "\n"
    "Clients, of API and front; time-outs from 100ms to 1h\n"
    "  --header-timeout DURATION    until a request's first line and headers have come (10s)\n"
    "  --body-timeout DURATION      without a KiB more of a body that is read (30s)\n"
    "  --write-timeout DURATION     without a KiB more of an answer taken (60s)\n"
    "  --idle-timeout DURATION      between a connection's requests (75s)\n"
    "\n"
    "Event loops\n"
    "  --reactor BACKEND            how the kernel is asked: auto, epoll, io_uring (auto: io_uring where\n"
    "                               it can; or the environment's ROUSE_REACTOR)\n"
    "\n"
    "  --version, --help\n"
    "\n"
    "example: rouse-controller --state /var/lib/rouse/controller\n"
    "         rouse-controller --state DIR --api-address tcp://10.1.0.1:7080 --token-file TOKEN "
    "--insecure-http\n"
    "SIGTERM: finishes running requests (2 s at most) and ends. Nodes and warm functions go on "
    "serving.\n";

static int bad(struct err *e, const char *flag, const char *value, const char *want)
{
    return err_set(e, EINVAL, "%s \"%s\": %s", flag, value, want);
}

static int take_count(const char *flag, const char *value, uint32_t *to, struct err *e)
{
    char *end;
    unsigned long v = strtoul(value, &end, 10);

    if (*value < '0' || *value > '9' || *end || !v || v > TICKETS_MAX)
        return bad(e, flag, value, "is not a number from 1 to 10000000");
    *to = (uint32_t)v;
    return 0;
}

static int take_seconds(const char *flag, const char *value, uint64_t min, uint64_t max,
                        const char *want, uint64_t *to, struct err *e)
{
    uint64_t v;

    if (quantity_duration(value, &v) < 0 || v < min * NS_PER_S || v > max * NS_PER_S)
        return bad(e, flag, value, want);
    *to = v;
    return 0;
}

static int take_reactor(const char *flag, const char *value, struct controller_options *o,
                        struct err *e)
{
    enum loop_backend b;

    if (loop_backend_parse(value, &b) < 0)
        return bad(e, flag, value, "is none of auto, epoll, io_uring");
    o->reactor = (int)b;
    return 0;
}

/* Unix sockets are as private as loopback. */
static bool is_loopback(const struct sockaddr_storage *sa)
{
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

    if (sa->ss_family == AF_INET)
        return ntohl(in4->sin_addr.s_addr) >> 24 == 127;
    return sa->ss_family == AF_UNIX || IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static int check_bind(const char *flag, const char *value, bool tls,
                      const struct controller_options *o, struct err *e)
{
    struct sockaddr_storage sa;
    socklen_t size;

    if (address_parse(value, &sa, &size) < 0)
        return bad(e, flag, value, "is not an address such as tcp://127.0.0.1:7080");
    if (is_loopback(&sa))
        return 0;
    if (!o->token_file)
        return bad(e, flag, value, "is not loopback: it needs a token, --token-file FILE");
    if (!tls && !o->insecure_http)
        return bad(e, flag, value, "is not loopback: plain HTTP there needs --insecure-http");
    return 0;
}

static int check(const struct controller_options *o, struct err *e)
{
    int r;

    if (o->mode != CONTROLLER_RUN)
        return 0;
    if (!o->tls_cert != !o->tls_key)
        return err_set(e, EINVAL, "--control-tls-cert and --control-tls-key go together");
    if (o->panic_window_s > o->stable_window_s)
        return err_set(e, EINVAL, "--panic-window is longer than --stable-window");
    r = check_bind("--api-address", o->api_address, false, o, e);
    if (r == 0)
        r = check_bind("--front-address", o->front_address, false, o, e);
    if (r == 0)
        r = check_bind("--control-address", o->control_address, o->tls_cert, o, e);
    if (r == 0 && !o->state)
        r = err_set(e, EINVAL, "--state is missing; see --help");
    return r;
}

/* Where a flag's text goes as it is; NULL for flags with a parser of their own. */
static const char **text_flag(const char *name, struct controller_options *o)
{
    const struct {
        const char *name;
        const char **to;
    } flags[] = {
        {"--state", &o->state},
        {"--api-address", &o->api_address},
        {"--local-api-address", &o->local_api_address},
        {"--front-address", &o->front_address},
        {"--control-address", &o->control_address},
        {"--token-file", &o->token_file},
        {"--control-tls-cert", &o->tls_cert},
        {"--control-tls-key", &o->tls_key},
        {"--gateway-url", &o->gateway_url},
    };

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (!strcmp(flags[i].name, name))
            return flags[i].to;
    return NULL;
}

static int take(const char *name, const char *value, struct controller_options *o, struct err *e)
{
    const char **text = text_flag(name, o);
    uint64_t *timeout = http_timeouts_flag(&o->clients, name);
    uint64_t ns = 0;
    int r;

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
    if (!strcmp(name, "--queue-deadline"))
        return take_seconds(name, value, 1, 600, "is not a duration from 1s to 10m",
                            &o->queue_deadline_ns, e);
    if (!strcmp(name, "--queue-per-function"))
        return take_count(name, value, &o->queue_per_function, e);
    if (!strcmp(name, "--reactor"))
        return take_reactor(name, value, o, e);
    if (!strcmp(name, "--queue-total"))
        return take_count(name, value, &o->queue_total, e);
    if (!strcmp(name, "--body-limit")) {
        if (quantity_memory(value, &o->body_limit) < 0 || o->body_limit < 1 << 10 ||
            o->body_limit > 32 << 20)
            return bad(e, name, value, "is not a size from 1Ki to 32Mi");
        return 0;
    }
    if (!strcmp(name, "--stable-window")) {
        r = take_seconds(name, value, STABLE_MIN_S, STABLE_MAX_S, "is not a duration from 6s to 1h",
                         &ns, e);
        o->stable_window_s = (uint32_t)(ns / NS_PER_S);
        return r;
    }
    if (!strcmp(name, "--panic-window")) {
        r = take_seconds(name, value, 1, STABLE_MAX_S, "is not a duration from 1s to 1h", &ns, e);
        o->panic_window_s = (uint32_t)(ns / NS_PER_S);
        return r;
    }
    return err_set(e, EINVAL, "%s: there is no such flag; see --help", name);
}

static bool is_switch(const char *arg, struct controller_options *o)
{
    if (!strcmp(arg, "--help") || !strcmp(arg, "-h"))
        o->mode = CONTROLLER_HELP;
    else if (!strcmp(arg, "--version"))
        o->mode = CONTROLLER_SHOW_VERSION;
    else if (!strcmp(arg, "crd"))
        o->mode = CONTROLLER_CRD;
    else if (!strcmp(arg, "--insecure-http"))
        o->insecure_http = true;
    else
        return false;
    return true;
}

/* "--flag value" and "--flag=value". */
int controller_options_parse(int argc, char **argv, struct controller_options *ret, struct err *e)
{
    struct controller_options o = {
        .api_address = "tcp://127.0.0.1:7080",
        .front_address = "tcp://127.0.0.1:7081",
        .control_address = "tcp://127.0.0.1:7082",
        .queue_deadline_ns = 30 * NS_PER_S,
        .queue_per_function = 10000,
        .queue_total = 100000,
        .stable_window_s = 60,
        .panic_window_s = 6,
        .reactor = -1,
    };
    const char *reactor = getenv("ROUSE_REACTOR");
    int r;

    for (int i = 1; i < argc; i++) {
        char *equals = strncmp(argv[i], "--", 2) ? NULL : strchr(argv[i], '=');
        const char *value = equals ? equals + 1 : NULL;

        if (is_switch(argv[i], &o))
            continue;
        if (strncmp(argv[i], "--", 2))
            return err_set(e, EINVAL, "\"%s\" is neither a flag nor a command; see --help", argv[i]);
        if (equals)
            *equals = 0;
        else if (i + 1 < argc)
            value = argv[i + 1];
        r = take(argv[i], value ? value : "", &o, e);
        if (r < 0)
            return r;
        i += equals ? 0 : 1;
    }
    r = check(&o, e);
    if (r == 0 && o.mode == CONTROLLER_RUN && o.reactor < 0 && reactor && *reactor)
        r = take_reactor("ROUSE_REACTOR", reactor, &o, e);
    if (r == 0)
        *ret = o;
    return r;
}
