/* cmd_up.c - rouse up: what is not running of the platform is started; returns when all of it is
 * ready. */
#include "cli/cli.h"
#include "cli/daemons.h"
#include "cli/home.h"
#include "cli/network.h"
#include "cli/ports.h"
#include "cli/process.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/random.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    READY_SECONDS = 20,
    PORT_GATEWAY = 8080,
    PORT_PEER,
    PORT_METRICS,
    PORT_API = 7080,
    PORT_FRONT,
    PORT_CONTROL
};

struct up {
    struct settings s;
    char state[PATH_MAX]; /* absolute */
    const char *runtimes, *only;
    long nodes, offset; /* nodes -1: not said */
    bool bridge;        /* one node, too, has a network of its own */
    char prefix[16];    /* of the nodes' network */
    struct platform p;
};

/* ---- where things are */

static int find_bin(struct up *u)
{
    char self[PATH_MAX] = "", path[PATH_MAX + 32];

    (void)home_program_dir(self);
    snprintf(path, sizeof(path), "%s/rouse-controller", self);
    if (access(path, X_OK) == 0) {
        snprintf(u->p.bin, sizeof(u->p.bin), "%s", self);
        return EXIT_DONE;
    }
    if (home_program("rouse-controller", path) == 0) {
        snprintf(u->p.bin, sizeof(u->p.bin), "%.*s", (int)(strrchr(path, '/') - path), path);
        return EXIT_DONE;
    }
    return fail("rouse-controller is neither in %s nor in $PATH; `make` builds it", self);
}

static int find_runtimes(struct up *u)
{
    static const char *const beside[] = {"/../../runtimes", "/../lib/rouse/runtimes"};
    char path[PATH_MAX + 32];

    if (u->runtimes)
        return realpath(u->runtimes, u->p.runtimes)
                   ? EXIT_DONE
                   : fail("--runtimes %s: %s", u->runtimes, strerror(errno));
    for (size_t i = 0; i < ARRAY_LEN(beside); i++) {
        snprintf(path, sizeof(path), "%s%s", u->p.bin, beside[i]);
        if (realpath(path, u->p.runtimes))
            return EXIT_DONE;
    }
    return fail("there are no language runtimes beside %s; `make runtimes` builds them, --runtimes "
                "DIR names them",
                u->p.bin);
}

static void url(char out[URL_MAX], const char *host, int port, const struct up *u)
{
    snprintf(out, URL_MAX, "http://%s:%ld", host, port + u->offset);
}

static void place_node(struct up *u, unsigned i)
{
    struct platform_node *n = &u->p.nodes[i];
    char host[32] = "127.0.0.1";

    if (u->p.bridge[0])
        snprintf(host, sizeof(host), "%s%u", u->prefix, 11 + i);
    url(n->gateway, host, PORT_GATEWAY, u);
    url(n->peer, host, PORT_PEER, u);
    url(n->metrics, host, PORT_METRICS, u);
}

static bool apart(const struct up *u)
{
    return u->nodes > 1 || u->bridge;
}

static int plan(struct up *u)
{
    struct err e = {0};
    char host[32] = "127.0.0.1";
    int r = find_bin(u);

    if (r == EXIT_DONE)
        r = find_runtimes(u);
    if (r != EXIT_DONE)
        return r;
    platform_id(u->state, u->p.id);
    u->p.node_count = (unsigned)u->nodes;
    for (unsigned i = 0; i < u->p.node_count; i++)
        snprintf(u->p.nodes[i].name, sizeof(u->p.nodes[i].name), "node-%u", i + 1);
    if (apart(u)) {
        if (network_plan(&u->p, u->prefix, &e) < 0)
            return fail("%s", e.message);
        snprintf(host, sizeof(host), "%s1", u->prefix);
    }
    url(u->p.api, host, PORT_API, u);
    /* kubectl sends no token over http: beside the bridge's address there is one that asks for
     * none. */
    if (u->p.bridge[0])
        snprintf(u->p.local_api, URL_MAX, "http://127.0.0.1:%u", ports_pick());
    else
        memcpy(u->p.local_api, u->p.api, URL_MAX);
    url(u->p.front, host, PORT_FRONT, u);
    url(u->p.control, host, PORT_CONTROL, u);
    for (unsigned i = 0; i < u->p.node_count; i++)
        place_node(u, i);
    return EXIT_DONE;
}

/* ---- making it */

static int make_dirs(struct up *u)
{
    /* What functions are made of, their environment with it, is nobody else's to read. */
    static const struct {
        const char *name;
        mode_t mode;
    } dirs[] = {{"run", 0755}, {"logs", 0755}, {"controller", 0700}, {"agents", 0700}};
    char path[PATH_MAX + 16];
    int r = file_mkdirs(u->s.state, 0755);

    if (r < 0)
        return fail("%s: %s", u->s.state, strerror(-r));
    if (!realpath(u->s.state, u->state))
        return fail("%s: %s", u->s.state, strerror(errno));
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(path, sizeof(path), "%s/%s", u->state, dirs[i].name);
        r = file_mkdirs(path, dirs[i].mode);
        if (r < 0)
            return fail("%s: %s", path, strerror(-r));
    }
    return EXIT_DONE;
}

/* Addresses that others reach want a token; it outlives a restart. */
static int make_token(struct up *u)
{
    char path[PATH_MAX + 16], token[66];
    int r;

    snprintf(path, sizeof(path), "%s/token", u->state);
    if (access(path, F_OK) == 0)
        return EXIT_DONE;
    random_hex(token, 32);
    strcat(token, "\n");
    r = file_write_atomic(path, token, strlen(token), 0600);
    return r < 0 ? fail("%s: %s", path, strerror(-r)) : EXIT_DONE;
}

static int make_network(struct up *u)
{
    struct err e = {0};
    int r;

    if (!apart(u))
        return EXIT_DONE;
    r = make_token(u);
    if (r != EXIT_DONE)
        return r;
    /* What a crash or a restart of the machine has left under these names goes first. */
    if (network_remove(&u->p, &e) < 0 || network_make(&u->p, u->prefix, &e) < 0) {
        network_remove(&u->p, NULL);
        return fail("%s", e.message);
    }
    return EXIT_DONE;
}

/* A daemon that finds its port taken ends, but who has it may look like that daemon: another
 * platform does. The addresses of several nodes are only made with their network. */
static int check_ports(const struct up *u)
{
    const char *all[] = {u->p.api,           u->p.front,
                         u->p.control,       u->p.nodes[0].gateway,
                         u->p.nodes[0].peer, u->p.nodes[0].metrics};

    for (size_t i = 0; i < ARRAY_LEN(all) && !u->p.bridge[0]; i++)
        if (ports_free(all[i]) == -EADDRINUSE)
            return fail("something listens at %s already. Stop it, or take other ports: rouse up "
                        "--port-offset %ld",
                        all[i], u->offset + 100);
    return EXIT_DONE;
}

static int start_missing(struct up *u, unsigned *ret_started)
{
    struct err e = {0};
    int r = 0;

    if (!process_running(u->state, CONTROLLER_NAME) && !u->only) {
        r = daemons_start_controller(u->state, &u->p, &e);
        ++*ret_started;
    }
    for (unsigned i = 0; i < u->p.node_count && r == 0; i++) {
        const struct platform_node *n = &u->p.nodes[i];
        char name[80];

        daemon_agent_name(n, name);
        if (n->leaving || process_running(u->state, name) ||
            (u->only && strcmp(u->only, n->name) != 0))
            continue;
        r = daemons_start_agent(u->state, &u->p, n, &e);
        ++*ret_started;
    }
    return r < 0 ? fail("%s", e.message) : EXIT_DONE;
}

static void print_addresses(const struct up *u)
{
    printf("  api       %s\n", u->p.api);
    if (u->p.bridge[0])
        printf("            %s (without a token)\n", u->p.local_api);
    for (unsigned i = 0; i < u->p.node_count; i++)
        printf("  gateway   %s %s(%s)%s\n", u->p.nodes[i].gateway, color_dim(), u->p.nodes[i].name,
               color_off());
    printf("  state     %s %s(logs in logs/)%s\n", u->state, color_dim(), color_off());
    daemons_print_warnings(u->state, &u->p);
}

static bool anything(const struct up *u, bool (*is)(const char *state, const char *name))
{
    if (is(u->state, CONTROLLER_NAME))
        return true;
    for (unsigned i = 0; i < u->p.node_count; i++) {
        char name[80];

        daemon_agent_name(&u->p.nodes[i], name);
        if (is(u->state, name))
            return true;
    }
    return false;
}

static int bring_up(struct up *u, bool fresh)
{
    unsigned started = 0;
    struct err e = {0};
    int r;

    r = fresh ? check_ports(u) : EXIT_DONE;
    if (r == EXIT_DONE && fresh)
        r = make_network(u);
    if (r != EXIT_DONE)
        return r;
    if (fresh && (r = platform_save(u->state, &u->p)) < 0)
        return fail("%s/platform.json: %s", u->state, strerror(-r));
    r = start_missing(u, &started);
    if (r == EXIT_DONE && !started) {
        printf("The platform is running already:\n");
        print_addresses(u);
        if (anything(u, process_outdated))
            printf("It runs programs of an earlier build: `rouse down`, then `rouse up`, takes the "
                   "new "
                   "ones.\n");
        return EXIT_DONE;
    }
    if (r == EXIT_DONE)
        r = daemons_wait_ready(u->state, &u->p, u->s.token, READY_SECONDS);
    if (r == EXIT_DONE) {
        printf("%sThe platform is ready:%s\n", color_good(), color_off());
        print_addresses(u);
    } else if (fresh && daemons_stop(u->state, &e) < 0) {
        fail("%s", e.message);
    }
    return r;
}

/* But for those of pools. */
static unsigned own_nodes(const struct platform *p)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->node_count; i++)
        n += !p->nodes[i].pool[0];
    return n;
}

static int up(struct up *u)
{
    cleanup_fd int lock = -1;
    int r = make_dirs(u);

    if (r != EXIT_DONE)
        return r;
    lock = daemons_lock(u->state, LOCK_SECONDS);
    if (lock == -EWOULDBLOCK)
        return fail("another rouse up or down is at work in %s", u->state);
    if (lock < 0)
        return fail("%s/lock: %s", u->state, strerror(-lock));
    if (platform_load(u->state, &u->p) == 0 && anything(u, process_running)) {
        if (u->only && platform_node_index(&u->p, u->only) < 0)
            return fail("there is no node %s", u->only);
        if (u->nodes > 0 && own_nodes(&u->p) != (unsigned)u->nodes)
            return fail("what runs in %s has %u node%s: `rouse down` first, then `rouse up --nodes "
                        "%ld`",
                        u->state, own_nodes(&u->p), own_nodes(&u->p) == 1 ? "" : "s", u->nodes);
        r = settings_resolve(&u->s);
        return r >= 0 ? r : bring_up(u, false);
    }
    if (u->only)
        return fail("--node starts a node of a platform that runs, and none runs in %s", u->state);
    u->p = (struct platform){0};
    u->nodes = u->nodes > 0 ? u->nodes : 1;
    r = plan(u);
    if (r == EXIT_DONE && apart(u))
        r = make_token(u);
    if (r == EXIT_DONE)
        r = settings_resolve(&u->s);
    return r > EXIT_DONE ? r : bring_up(u, true);
}

static int run_up(const struct command *c, int argc, char **argv)
{
    static struct up u = {.nodes = -1};
    const struct flag flags[] = {{"nodes", 0, FLAG_NUMBER, &u.nodes},
                                 {"bridge", 0, FLAG_BOOL, &u.bridge},
                                 {"port-offset", 0, FLAG_NUMBER, &u.offset},
                                 {"runtimes", 0, FLAG_TEXT, &u.runtimes},
                                 {"node", 0, FLAG_TEXT, &u.only}};
    struct arguments args;
    static char fallback[PATH_MAX];
    int r = flags_parse(c, flags, ARRAY_LEN(flags), argc, argv, &u.s, &args);

    if (r >= 0)
        return r;
    if (args.count)
        return usage(c, "unexpected \"%s\"", args.positional[0]);
    if (u.nodes == 0 || u.nodes > NODES_MAX)
        return usage(c, "--nodes is 1 to %d, not %ld", NODES_MAX, u.nodes);
    if (u.offset > 65535 - PORT_METRICS)
        return usage(c, "--port-offset is at most %d", 65535 - PORT_METRICS);
    if (apart(&u) && geteuid() != 0)
        return fail("several nodes are network namespaces, and those need root");
    if (!u.s.state)
        u.s.state = getenv("ROUSE_STATE");
    if (!u.s.state || !*u.s.state) {
        if (platform_default_state(fallback, sizeof(fallback)) < 0)
            return fail("no $HOME: say --state DIR");
        u.s.state = fallback;
    }
    return up(&u);
}

const struct command command_up = {
    "up", "start the platform on this machine",
    "Usage: rouse up [--state DIR] [--nodes N] [--port-offset N]\n"
    "\n"
    "Starts a controller and an agent in the background and returns when both are ready. What runs "
    "already stays.\n"
    "\n"
    "      --nodes N         N agents, each in a network namespace of its own (root)\n"
    "      --bridge          with one node, too: its NodePools may add some (root)\n"
    "      --port-offset N   added to every port: a second platform beside the first\n"
    "      --runtimes DIR    the language runtimes (found beside the program)\n"
    "      --node NAME       start this node of a running platform again, and nothing else\n"
    "\n"
    "What is not said here is said by the environment, which they get: of each flag of `rouse-agent --help` and\n"
    "`rouse-controller --help`, ROUSE_ and its name, as ROUSE_LOOPS for --loops, ROUSE_DENY_EGRESS for\n"
    "--deny-egress. State, nodes, runtimes, addresses and tokens are told by this command.\n"
    "\n"
    "Examples:\n"
    "  rouse up\n"
    "  ROUSE_LOOPS=-1 rouse up\n"
    "  rouse up --state /tmp/second --port-offset 100\n"
    "  rouse up --state /tmp/cluster --nodes 3\n",
    run_up};
