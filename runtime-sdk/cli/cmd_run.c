/* cmd_run.c - rouse run: a function on this machine, without platform and without root. */
#include "cli/build.h"
#include "cli/cli.h"
#include "cli/launch.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "local/run.h"
#include "local/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { EVENT_MAX = 6 << 20, PORT_DEFAULT = 8000 };

struct run {
    struct project p;
    const char *event;
    long port; /* -1: not said */
    bool debug;
    struct flag_list env;
    char directory[PATH_MAX]; /* private; "" none was made */
    struct launch launch;
    struct buffer event_data;
};

/* ---------------------------------------------------------------- what it is given */

static void explain_debug(const struct run *r)
{
    const char *runtime = r->p.function.runtime;

    if (!strcmp(runtime, "provided"))
        printf("rouse: gdb has the function, no time-out holds. `break handle` and `run` begin; `quit` "
               "ends.\n");
    else if (!strcmp(runtime, "python3"))
        printf(
            "rouse: the function has this terminal, no time-out holds: breakpoint() stops in it.\n");
    else
        printf("rouse: no time-out holds; attach a debugger to the address below.\n");
    fflush(stdout);
}

static int make_directory(struct run *r)
{
    const char *tmp = getenv("TMPDIR");

    if (snprintf(r->directory, sizeof(r->directory), "%s/rouse-run-XXXXXX",
                 tmp && *tmp == '/' ? tmp : "/tmp") >= (int)sizeof(r->directory) ||
        !mkdtemp(r->directory)) {
        int error = errno;
        char path[PATH_MAX];

        memcpy(path, r->directory, sizeof(path));
        r->directory[0] = '\0';
        return fail("%s: %s", path, strerror(error));
    }
    return EXIT_DONE;
}

/* A file, stdin, or the event itself, which no file's name looks like. */
static int read_event(struct run *r)
{
    bool in = strcmp(r->event, "-") == 0;
    int e;

    if (r->event[0] == '{' || r->event[0] == '[')
        return buffer_puts(&r->event_data, r->event) < 0 ? fail("out of memory") : EXIT_DONE;
    e = file_read(AT_FDCWD, in ? "/dev/stdin" : r->event, EVENT_MAX, &r->event_data);
    if (e == -EFBIG)
        return fail("--event %s: more than 6 MiB, the limit of a request", r->event);
    return e < 0 ? fail("--event %s: %s", r->event, strerror(-e)) : EXIT_DONE;
}

/* What it leaves there goes with it, as on the platform. */
static int make_tmp(struct run *r)
{
    char assignment[PATH_MAX + 16];
    struct err e = {0};
    const char *path = assignment + strlen("TMPDIR=");

    snprintf(assignment, sizeof(assignment), "TMPDIR=%s/tmp", r->directory);
    if (mkdir(path, 0700) < 0)
        return fail("%s: %s", path, strerror(errno));
    return project_set_env(&r->p, assignment, &e) < 0 ? fail("%s", e.message) : EXIT_DONE;
}

static int set_environment(struct run *r)
{
    static const char *const ours[] = {"PATH", "HOME", "TERM", NULL};
    struct project *p = &r->p;
    struct err e = {0};
    char **own = p->env;

    for (size_t i = 0; i < r->env.count; i++)
        if (project_set_env(p, r->env.at[i], &e) < 0)
            return fail("--env: %s", e.message);
    /* This machine's, unless the function has its own: what is looked for here is not in a sandbox. */
    for (const char *const *name = ours; *name; name++) {
        size_t n = strlen(*name);
        bool set = false;

        for (size_t i = 0; own[i]; i++)
            set = set || (!strncmp(own[i], *name, n) && own[i][n] == '=');
        if (!set && getenv(*name) && project_set_env(p, *name, &e) < 0)
            return fail("%s", e.message);
    }
    return make_tmp(r);
}

/* The port of a server is on this machine's own network: nobody else may have it. */
static int choose_ports(struct run *r)
{
    uint16_t own = r->p.function.port;
    int e = own ? sockets_port_free(own) : 0;

    if (e < 0)
        return fail("port %u, which spec.port says the function listens on: %s on this machine",
                    own, e == -EADDRINUSE ? "it is in use" : strerror(-e));
    if (r->port > 65535)
        return fail("--port %ld: a port from 0 to 65535", r->port);
    if (r->port >= 0 && r->port == own && own)
        return fail("--port %u is where the function itself listens (spec.port)", own);
    if (r->port < 0)
        r->port = own == PORT_DEFAULT ? PORT_DEFAULT + 1 : PORT_DEFAULT;
    return EXIT_DONE;
}

/* ---------------------------------------------------------------- all of it */

/* From here on a Ctrl-C is told to local_run(), so that what was made is removed again; a compiler that
 * runs meanwhile has it as always. */
static void block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static int prepare(struct run *r)
{
    struct build_options o = {.quiet = true};
    struct project *p = &r->p;
    struct err e = {0};
    int code;

    block_signals();
    code = make_directory(r);

    if (r->event) /* stdout is the result's alone */
        o.to = stderr;
    if (r->debug)
        o.debug = r->directory;
    if (code == EXIT_DONE && r->event)
        code = read_event(r);
    if (code == EXIT_DONE)
        code = build_project(p, &o);
    if (code == EXIT_DONE && !*p->code_dir) {
        char code_dir[PATH_MAX + 8];

        snprintf(code_dir, sizeof(code_dir), "%s/code", r->directory);
        if (file_mkdirs(code_dir, 0700) < 0 || project_unpack(p, code_dir, &e) < 0)
            code = fail("%s", e.message);
    }
    if (code != EXIT_DONE)
        return code;
    p->function.code_dir = p->code_dir;
    p->function.runtime_dir = r->directory;
    code = set_environment(r);
    if (code == EXIT_DONE)
        code = choose_ports(r);
    if (code == EXIT_DONE)
        code = launch_prepare(&r->launch, p, r->debug, r->directory);
    p->function.argv = words_all(&r->launch.argv);
    return code;
}

static int run_prepared(struct run *r)
{
    struct local_run config = {
        .function = &r->p.function,
        .directory = r->directory,
        .port = (uint16_t)r->port,
        .event = r->event ? (buffer_size(&r->event_data) ? buffer_bytes(&r->event_data)
                                                         : (const uint8_t *)"{}")
                          : NULL,
        .event_size = buffer_size(&r->event_data),
        .debug = r->debug,
    };
    struct err e = {0};
    int code;

    if (r->debug)
        explain_debug(r);
    code = local_run(&config, &e);
    return code < 0 ? fail("%s", e.message) : code;
}

static int run_run(const struct command *c, int argc, char **argv)
{
    struct run r = {.port = -1};
    const struct flag flags[] = {{"port", 'p', FLAG_NUMBER, &r.port},
                                 {"event", 'e', FLAG_TEXT, &r.event},
                                 {"env", 0, FLAG_LIST, &r.env},
                                 {"debug", 0, FLAG_BOOL, &r.debug}};
    struct settings s = {0};
    struct arguments args;
    struct err e = {0};
    int code = flags_parse(c, flags, ARRAY_LEN(flags), argc, argv, &s, &args);

    if (code >= 0)
        return code;
    if (args.count > 1)
        return usage(c, "one function at a time");
    if (r.event && r.port >= 0)
        return usage(c, "--event calls the function once and serves no port");
    if (project_load(args.count ? args.positional[0] : NULL, s.ns ? s.ns : "default", &r.p, &e) < 0)
        code = fail("%s", e.message);
    else if (r.event && r.p.function.port)
        code = usage(c, "--event: with spec.port a function takes requests and no events");
    else
        code = prepare(&r);
    if (code < 0 || code == EXIT_DONE)
        code = run_prepared(&r);
    if (r.directory[0])
        (void)file_remove_tree(r.directory);
    launch_done(&r.launch);
    buffer_done(&r.event_data);
    project_done(&r.p);
    return code;
}

const struct command command_run = {
    "run", "run a function on this machine, without a platform",
    "Usage: rouse run [DIR|FILE] [--port N] [--event FILE|-] [--env NAME=VALUE] [--debug]\n"
    "\n"
    "Builds the function in DIR (here, if none is given; FILE is a manifest), starts it as a plain "
    "process of\n"
    "yours, and serves its HTTP triggers on 127.0.0.1 until Ctrl-C. What it writes is shown under the "
    "last eight\n"
    "digits of its request's id. It is started again when it crashes. spec.timeout and spec.concurrency "
    "hold;\n"
    "memory, cpu and network are this machine's, and so are python3 and node. Cron triggers do not fire.\n"
    "\n"
    "  -p, --port N         8000 if none is given; 0: a free one\n"
    "  -e, --event FILE|-   call it once with the event in FILE (- is stdin; or the JSON itself), print "
    "the\n"
    "                       result and end: 0, or 1 if the function failed\n"
    "      --env NAME=VALUE a variable over those of spec.env; NAME alone takes yours. May be repeated\n"
    "      --debug          C: in gdb, on this terminal; Python: breakpoint() works; Node: --inspect.\n"
    "                       No time-out holds\n"
    "\n"
    "Examples:\n"
    "  rouse run\n"
    "  rouse run hello --port 9000 --env GREETING=hi\n"
    "  echo '{\"name\": \"Ada\"}' | rouse run --event -\n"
    "  rouse run deploy/examples/hello.yaml\n",
    run_run};
