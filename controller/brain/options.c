/* options.c - rouse-controller's flags: the table of them, their defaults, and what they must be together. */
#include "brain/options.h"
#include "base/address.h"
#include "base/clock.h"
#include "reactor/loop.h"

#include <errno.h>
#include <string.h>

enum { TICKETS_MAX = 10000000, BODY_MIN = 1 << 10, BODY_MAX = 32 << 20 };
#define DEADLINE_MAX (600 * NS_PER_S)
#define STABLE_MIN   (6 * NS_PER_S)
#define WINDOW_MAX   (3600 * NS_PER_S)

const char controller_help[] =
    "rouse-controller: the API, the queue of waiting requests, the autoscaler and the scheduler.\n"
    "\n"
    "usage: rouse-controller --state DIR [flags]\n"
    "       rouse-controller crd        the CustomResourceDefinitions, as YAML\n"
    "       rouse-controller simulate   its decisions on virtual time; simulate --help\n"
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
    "  --prometheus URL             what is asked for scaling.metrics of type External (none)\n"
    "\n"
    "Pools of nodes\n"
    "  --platform DIR               the directory of `rouse up`, which says this itself: agents of provider\n"
    "                               process are started there (none)\n"
    "  --node-hooks DIR             programs of provider hook: whoever may apply a NodePool may have one of\n"
    "                               them run, as this program's user (none)\n"
    "\n"
    "Clients, of API and front; time-outs from 100ms to 1h\n"
    "  --header-timeout DURATION    until a request's first line and headers have come (10s)\n"
    "  --body-timeout DURATION      without a KiB more of a body that is read (30s)\n"
    "  --write-timeout DURATION     without a KiB more of an answer taken (60s)\n"
    "  --idle-timeout DURATION      between a connection's requests (75s)\n"
    "\n"
    "Event loops\n"
    "  --reactor BACKEND            how the kernel is asked: auto, epoll, io_uring (auto: io_uring where\n"
    "                               it can)\n"
    "\n"
    "  --version, --help\n"
    "\n"
    "What the command line does not say the environment may, but for --state: ROUSE_STABLE_WINDOW=30s for\n"
    "--stable-window 30s, ROUSE_INSECURE_HTTP=1 for --insecure-http. `rouse up` hands its environment on.\n"
    "\n"
    "example: rouse-controller --state /var/lib/rouse/controller\n"
    "         rouse-controller --state DIR --api-address tcp://10.1.0.1:7080 --token-file TOKEN "
    "--insecure-http\n"
    "SIGTERM: finishes running requests (2 s at most) and ends. Nodes and warm functions go on "
    "serving.\n";

#define TEXT(flag, member)                                                                         \
    {                                                                                              \
        .name = (flag), .take = daemon_flag_text,                                                  \
        .offset = offsetof(struct controller_options, member)                                      \
    }
#define LIMITED(type, flag, member, least, most, wanted)                                           \
    {                                                                                              \
        .name = (flag), .take = daemon_flag_##type,                                                \
        .offset = offsetof(struct controller_options, member), .min = (least), .max = (most),      \
        .want = (wanted)                                                                           \
    }
#define COUNT_WANT "is not a number from 1 to 10000000"

const struct daemon_flag controller_flags[CONTROLLER_FLAGS] = {
    /* ROUSE_STATE is, to `rouse`, the platform's directory: the controller's is a part of that. */
    {.name = "--state",
     .take = daemon_flag_text,
     .offset = offsetof(struct controller_options, state),
     .kind = DAEMON_FLAG_HERE},
    TEXT("--gateway-url", gateway_url),
    TEXT("--api-address", api_address),
    TEXT("--local-api-address", local_api_address),
    TEXT("--front-address", front_address),
    TEXT("--control-address", control_address),
    TEXT("--token-file", token_file),
    {.name = "--insecure-http",
     .take = daemon_flag_switch,
     .offset = offsetof(struct controller_options, insecure_http),
     .kind = DAEMON_FLAG_SWITCH},
    TEXT("--control-tls-cert", tls_cert),
    TEXT("--control-tls-key", tls_key),
    LIMITED(duration, "--queue-deadline", queue_deadline_ns, NS_PER_S, DEADLINE_MAX,
            "is not a duration from 1s to 10m"),
    LIMITED(number, "--queue-per-function", queue_per_function, 1, TICKETS_MAX, COUNT_WANT),
    LIMITED(number, "--queue-total", queue_total, 1, TICKETS_MAX, COUNT_WANT),
    LIMITED(memory, "--body-limit", body_limit, BODY_MIN, BODY_MAX, "is not a size from 1Ki to 32Mi"),
    LIMITED(duration, "--stable-window", stable_window_ns, STABLE_MIN, WINDOW_MAX,
            "is not a duration from 6s to 1h"),
    LIMITED(duration, "--panic-window", panic_window_ns, NS_PER_S, WINDOW_MAX,
            "is not a duration from 1s to 1h"),
    TEXT("--platform", platform),
    TEXT("--node-hooks", node_hooks),
    HTTP_TIMEOUT_FLAGS(struct controller_options, clients),
    TEXT("--prometheus", prometheus),
    {.name = "--reactor",
     .take = loop_backend_flag,
     .offset = offsetof(struct controller_options, reactor)},
};

static int check_bind(const char *flag, const char *value, bool tls,
                      const struct controller_options *o, struct err *e)
{
    struct sockaddr_storage sa;
    socklen_t size;

    if (address_parse(value, &sa, &size) < 0)
        return daemon_flag_bad(e, flag, value, "is not an address such as tcp://127.0.0.1:7080");
    if (address_is_local(&sa))
        return 0;
    if (!o->token_file)
        return daemon_flag_bad(e, flag, value,
                               "is not loopback: it needs a token, --token-file FILE");
    if (!tls && !o->insecure_http)
        return daemon_flag_bad(e, flag, value,
                               "is not loopback: plain HTTP there needs --insecure-http");
    return 0;
}

static int check(const struct controller_options *o, struct err *e)
{
    int r;

    if (!o->tls_cert != !o->tls_key)
        return err_set(e, EINVAL, "--control-tls-cert and --control-tls-key go together");
    if (o->prometheus && strncmp(o->prometheus, "http://", 7) && strncmp(o->prometheus, "https://", 8))
        return daemon_flag_bad(e, "--prometheus", o->prometheus,
                               "is not a URL such as http://127.0.0.1:9090");
    if (o->panic_window_ns > o->stable_window_ns)
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

int controller_options_parse(int argc, char **argv, struct controller_options *ret, struct err *e)
{
    const char *question = daemon_flags_question(argc, argv);
    struct controller_options o = {
        .api_address = "tcp://127.0.0.1:7080",
        .front_address = "tcp://127.0.0.1:7081",
        .control_address = "tcp://127.0.0.1:7082",
        .queue_deadline_ns = 30 * NS_PER_S,
        .queue_per_function = 10000,
        .queue_total = 100000,
        .stable_window_ns = 60 * NS_PER_S,
        .panic_window_ns = 6 * NS_PER_S,
        .reactor = -1,
    };
    int r = 0;

    if (question)
        o.mode = !strcmp(question, "--help") ? CONTROLLER_HELP : CONTROLLER_SHOW_VERSION;
    else if (argc > 1 && !strcmp(argv[1], "crd"))
        o.mode = CONTROLLER_CRD;
    else
        r = daemon_flags_parse(controller_flags, CONTROLLER_FLAGS, argc, argv, &o, e);
    if (r == 0 && o.mode == CONTROLLER_RUN)
        r = check(&o, e);
    if (r == 0)
        *ret = o;
    return r;
}
