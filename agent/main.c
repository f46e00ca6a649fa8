/* main.c - rouse-agent: parses flags, builds the parts, runs the loop, takes it all down. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "code/cache.h"
#include "pool/pool.h"
#include "pool/reclaim.h"
#include "router/capacity.h"
#include "router/metrics_server.h"
#include "router/options.h"
#include "router/session.h"
#include "router/state_dir.h"
#include "runtime/runtimes.h"
#include "launcher/launcher.h"
#include "shard/shard.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

enum { DRAIN_S = 5, EXIT_USAGE = 2 };

struct agent {
    struct options options;
    struct state_dir state;
    char *token;
    struct launcher *launcher;
    struct runtimes *runtimes;
    struct loop *loop;
    struct code_cache *code;
    struct reclaim *reclaim;
    struct shards *shards;
    struct metrics_server *metrics;
    struct session *session;
    char gateway_address[128], peer_address[128];
    char memory_cgroup[PATH_MAX]; /* "": none */
    struct loop_watch signals;
    bool stopping;
    int status;
};

/* ---------------------------------------------------------------- what the parts say to each other */
static void on_rejected(void *user, const char *reason)
{
    struct agent *a = user;

    if (a->stopping)
        return;
    log_error("the controller does not take this node: %s", reason);
    a->stopping = true;
    a->status = EXIT_FAILURE;
    loop_stop(a->loop);
}

static bool is_ready(void *user)
{
    struct agent *a = user;

    return session_ready(a->session) && !a->stopping;
}

static void collect_metrics(void *user)
{
    struct agent *a = user;

    shards_collect_metrics(a->shards);
}

/* ---------------------------------------------------------------- the end */
static void on_drained(void *user)
{
    struct agent *a = user;

    loop_stop(a->loop);
}

/* So that the controller places nothing here while what is here drains. */
static void send_leaving(struct agent *a)
{
    Rouse__Control__V1__AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    Rouse__Control__V1__Leaving leaving = ROUSE__CONTROL__V1__LEAVING__INIT;

    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LEAVING;
    m.leaving = &leaving;
    session_send(a->session, &m);
}

static void on_signal(struct loop_watch *w, uint32_t events)
{
    struct agent *a = list_entry(w, struct agent, signals);
    struct signalfd_siginfo info;
    uint64_t deadline = loop_now(a->loop) + DRAIN_S * NS_PER_S;

    (void)events;
    if (read(w->fd, &info, sizeof(info)) != sizeof(info))
        return;
    /* The launcher sees its agent end and kills what is left. */
    if (a->stopping)
        _exit(128 + (int)info.ssi_signo);
    log_info("%s: finishing running requests, %d s at most", strsignal((int)info.ssi_signo), DRAIN_S);
    a->stopping = true;
    send_leaving(a);
    shards_drain(a->shards, deadline, on_drained, a);
}

struct last_mail {
    struct mail mail;
    struct loop *loop;
};

static void on_last_mail(struct mail *m)
{
    loop_stop(container_of(m, struct last_mail, mail)->loop);
}

/* The other threads are joined: what they still had posted is delivered, to be freed. */
static void empty_mailbox(struct loop *loop)
{
    struct last_mail last = {.mail.fn = on_last_mail, .loop = loop};

    if (!loop)
        return;
    loop_post(loop, &last.mail);
    loop_run(loop);
}

static void take_down(struct agent *a)
{
    shards_end(a->shards);
    a->metrics = metrics_server_free(a->metrics);
    a->reclaim = reclaim_free(a->reclaim);
    a->code = code_cache_free(a->code);
    a->session = session_free(a->session);
    empty_mailbox(a->loop);
    a->launcher = launcher_free(a->launcher);
    a->shards = shards_free(a->shards);
    a->runtimes = runtimes_free(a->runtimes);
    a->loop = loop_free(a->loop);
    free(a->token);
}

/* ---------------------------------------------------------------- the start */
/* After the launcher was forked, which keeps its own signals, and before any thread. */
static int watch_signals(struct agent *a)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    a->signals =
        (struct loop_watch){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = on_signal};
    return a->signals.fd < 0 ? -errno : loop_watch_set(a->loop, &a->signals, LOOP_READ);
}

static void raise_descriptor_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

/* Beside this program: an installation is one directory. */
static int find_unpack(char path[PATH_MAX], struct err *e)
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof(UNPACK_PROGRAM) - 1);
    char *name = NULL;

    if (n > 0) {
        path[n] = '\0';
        name = strrchr(path, '/');
    }
    if (!name)
        return err_errno(e, errno, "where this program is");
    memcpy(name + 1, UNPACK_PROGRAM, sizeof(UNPACK_PROGRAM));
    return access(path, X_OK) < 0 ? err_errno(e, errno, "%s, which unpacks code", path) : 0;
}

static int build_code(struct agent *a, struct err *e)
{
    char unpack[PATH_MAX];
    struct code_cache_config code = {
        .loop = a->loop,
        .state_dir = a->state.path,
        .api_url = a->options.api,
        .token = a->token,
        .unpack_program = unpack,
        .size_limit = a->options.code_cache,
    };
    int r = find_unpack(unpack, e);

    return r < 0 ? r : code_cache_new(&code, &a->code, e);
}

static const char *memory_cgroup(const struct agent *a)
{
    return *a->memory_cgroup ? a->memory_cgroup : NULL;
}

static int build_reclaim(struct agent *a, struct err *e)
{
    struct reclaim_config c = {
        .launcher = a->launcher,
        .below_percent = a->options.reclaim_below,
        .cgroup = memory_cgroup(a),
    };
    int r = c.below_percent && a->options.freeze_after_ns ? reclaim_new(&c, &a->reclaim) : 0;

    return r < 0 ? err_errno(e, -r, "--reclaim-below") : 0;
}

static int build_shards(struct agent *a, struct err *e)
{
    const struct options *o = &a->options;
    struct shards_config c = {
        .count = o->loops,
        .loop = a->loop,
        .launcher = a->launcher,
        .runtimes = a->runtimes,
        .code = a->code,
        .state_dir = a->state.path,
        .node = o->node,
        .gateway_address = o->gateway_address,
        .peer_address = o->peer_address,
        .controller = o->controller,
        .api = o->api,
        .allow_gateways = o->allow_gateways,
        .queue_deadline_ns = o->queue_deadline_ns,
        .freeze_after_ns = o->freeze_after_ns,
        .memory_cgroup = memory_cgroup(a),
        .reclaim = a->reclaim,
        .templates = o->templates,
        .clients = o->clients,
        .on_rejected = on_rejected,
        .user = a,
    };

    return shards_new(&c, &a->shards, e);
}

static int build_metrics(struct agent *a, struct err *e)
{
    struct metrics_server_config c = {
        .loop = a->loop, .token = a->token, .collect = collect_metrics, .ready = is_ready, .user = a};
    int r = metrics_server_new(&c, &a->metrics);

    if (r == 0)
        r = metrics_server_listen(a->metrics, a->options.metrics_address);
    if (r < 0)
        return err_errno(e, -r, "--metrics-address %s", a->options.metrics_address);
    shards_set_metrics(a->shards, a->metrics);
    return 0;
}

static int build_session(struct agent *a, struct err *e)
{
    const struct options *o = &a->options;
    struct session_config session = {
        .loop = a->loop,
        .address = o->controller,
        .token = a->token,
        .node = o->node,
        .version = AGENT_VERSION,
        .gateway_address = a->gateway_address,
        .peer_address = a->peer_address,
        .labels = o->labels,
        .label_count = o->label_count,
        .taints = o->taints,
        .taint_count = o->taint_count,
        .memory = o->memory,
        .cpu_millis = o->cpu_millis,
        .runtimes = a->runtimes,
        .ops = &shards_session_ops,
        .user = a->shards,
    };
    int r;

    shards_gateway_address(a->shards, a->gateway_address);
    shards_peer_address(a->shards, a->peer_address);
    r = session_new(&session, &a->session);
    shards_set_session(a->shards, a->session);
    return r < 0 ? err_errno(e, -r, "--controller %s", o->controller) : 0;
}

static int build(struct agent *a, struct err *e)
{
    struct launcher_config launcher = {0};
    int r = state_dir_open(a->options.state, &a->state, e);

    if (r == 0 && a->options.token_file)
        r = state_token_read(a->options.token_file, &a->token, e);
    launcher.state_dir = a->state.path;
    launcher.network = (struct network_config){
        .subnet = a->options.instance_subnet,
        .deny = a->options.deny,
        .allow = a->options.allow,
        .deny_count = a->options.deny_count,
        .allow_count = a->options.allow_count,
        .gateway = a->options.allow_gateways ? a->options.gateway_address : NULL};
    launcher.park_asked = a->options.pool;
    if (r == 0)
        r = launcher_start(&launcher, &a->launcher, e);
    if (r == 0)
        r = runtimes_load(a->options.runtimes, &a->runtimes, e);
    if (r < 0)
        return r;
    raise_descriptor_limit();
    if (a->options.reactor >= 0)
        loop_backend_default((enum loop_backend)a->options.reactor);
    r = loop_new(&a->loop);
    if (r < 0)
        return err_errno(e, -r, "event loop: %s", loop_backend_reason());
    r = watch_signals(a);
    if (r < 0)
        return err_errno(e, -r, "start");
    if (!capacity_memory_cgroup(a->memory_cgroup, sizeof(a->memory_cgroup)))
        a->memory_cgroup[0] = '\0';
    r = build_code(a, e);
    if (r == 0)
        r = build_reclaim(a, e);
    if (r == 0)
        r = build_shards(a, e);
    if (r == 0)
        r = build_metrics(a, e);
    if (r == 0)
        r = shards_start(a->shards, e);
    if (r == 0 && a->options.pool)
        pool_park(a->launcher, a->runtimes, a->options.pool);
    return r < 0 ? r : build_session(a, e);
}

static void say_hello(const struct agent *a)
{
    char metrics[128];
    const char *warning = launcher_warning(a->launcher);
    const char *fallen_back = loop_backend_reason();

    metrics_server_address(a->metrics, metrics);
    log_info("node %s: gateway %s peer %s metrics %s controller %s cgroup %s", a->options.node,
             a->gateway_address, a->peer_address, metrics, a->options.controller,
             launcher_cgroup_layout(a->launcher));
    log_info("reactor: %s loops=%u%s%s", loop_backend_name(a->loop), a->options.loops,
             *fallen_back ? "; io_uring: " : "", fallen_back);
    if (warning)
        log_warn("sandbox: %s", warning);
    if (!runtimes_count(a->runtimes))
        log_warn("--runtimes %s holds no runtime: nothing can run here", a->options.runtimes);
}

int main(int argc, char **argv)
{
    struct agent a = {.state.lock_fd = -1};
    struct err e = {0};
    enum options_mode mode = OPTIONS_RUN;

    log_init("agent");
    if (options_parse(argc, argv, &a.options, &mode, &e) < 0) {
        fprintf(stderr, "rouse-agent: %s\n", e.message);
        return EXIT_USAGE;
    }
    if (mode != OPTIONS_RUN) {
        fputs(mode == OPTIONS_HELP ? options_help : "rouse-agent " AGENT_VERSION "\n", stdout);
        return EXIT_SUCCESS;
    }
    if (build(&a, &e) < 0) {
        log_error("%s", e.message);
        take_down(&a);
        return EXIT_FAILURE;
    }
    say_hello(&a);
    loop_run(a.loop);
    if (!a.stopping) /* its launcher was lost */
        a.status = EXIT_FAILURE;
    take_down(&a);
    log_info("stopped");
    return a.status;
}
