/* main.c - rouse-controller: parses flags, builds the parts, runs their threads, takes it all down.
 */
#include "activator/front.h"
#include "api/api.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "base/thread.h"
#include "brain/brain.h"
#include "brain/brain_entry.h"
#include "brain/options.h"
#include "brain/registry.h"
#include "control/channel.h"
#include "simulate/simulate.h"
#include "store/packages.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, SECRET_BYTES = 32, SECRET_FILE_MAX = 4096 };

struct controller {
    struct controller_options options;
    char *token, *peer_secret;
    struct store *store;
    struct packages *packages;
    struct registry *registry;
    struct brain *brain;
    struct control_server *control;
    struct front *front;
    struct api *api;
    pthread_t brain_thread, front_thread, api_thread;
    bool brain_runs, front_runs, api_runs;
};

/* ---- secrets */

/* One line of a file. *ret is the caller's. */
static int read_line(const char *path, char **ret)
{
    cleanup_buffer struct buffer b = {0};
    char *text;
    int r = file_read(AT_FDCWD, path, SECRET_FILE_MAX, &b);

    if (r < 0)
        return r;
    text = buffer_take_string(&b);
    if (!text)
        return -ENOMEM;
    text[strcspn(text, " \t\r\n")] = 0;
    if (!*text) {
        free(text);
        return -ENODATA;
    }
    *ret = text;
    return 0;
}

/* What peers show each other outlives a restart: warm traffic between agents never stops for one.
 */
static int peer_secret(struct controller *c, struct err *e)
{
    cleanup_free char *path = NULL;
    char secret[2 * SECRET_BYTES + 1];
    int r;

    if (asprintf(&path, "%s/peer-secret", c->options.state) < 0)
        return err_errno(e, ENOMEM, "--state %s", c->options.state);
    r = read_line(path, &c->peer_secret);
    if (r == -ENOENT || r == -ENODATA) {
        random_hex(secret, SECRET_BYTES);
        r = file_write_atomic(path, secret, strlen(secret), 0600);
        c->peer_secret = r == 0 ? strdup(secret) : NULL;
    }
    return r < 0 ? err_errno(e, -r, "%s", path) : 0;
}

static int secrets(struct controller *c, struct err *e)
{
    const char *file = c->options.token_file;
    int r = file_mkdirs(c->options.state, 0700);

    if (r < 0)
        return err_errno(e, -r, "--state %s", c->options.state);
    r = file ? read_line(file, &c->token) : 0;
    if (r < 0)
        return r == -ENODATA ? err_set(e, EINVAL, "--token-file %s: is empty", file)
                             : err_errno(e, -r, "--token-file %s", file);
    return peer_secret(c, e);
}

/* ---- parts */

/* `rouse`, which stands beside this program. */
static int beside(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 8);
    char *slash;

    if (n < 0)
        return -errno;
    out[n] = '\0';
    slash = strrchr(out, '/');
    strcpy(slash ? slash + 1 : out, "rouse");
    return 0;
}

static int build_brain(struct controller *c, struct err *e)
{
    const struct controller_options *o = &c->options;
    char program[PATH_MAX] = "";
    struct brain_config brain = {
        .queue_deadline_ns = o->queue_deadline_ns,
        .queue_per_function = o->queue_per_function,
        .queue_total = o->queue_total,
        .body_limit = o->body_limit,
        .stable_window_s = (uint32_t)(o->stable_window_ns / NS_PER_S),
        .panic_window_s = (uint32_t)(o->panic_window_ns / NS_PER_S),
        .peer_secret = c->peer_secret,
        .activator_address = o->front_address,
        .prometheus = o->prometheus,
        .node_process = o->platform ? program : NULL,
        .node_platform = o->platform,
        .node_hooks = o->node_hooks,
        .node_control = o->control_address,
    };
    int r = beside(program);

    if (r < 0)
        return err_errno(e, -r, "/proc/self/exe");
    r = store_open_sqlite(o->state, &c->store, e);
    if (r == 0)
        r = packages_open(o->state, &c->packages, e);
    if (r == 0)
        r = registry_new(c->store, &c->registry, e);
    if (r < 0)
        return r;
    r = brain_new(&brain, c->registry, &c->brain);
    if (r < 0)
        return err_errno(e, -r, "start");
    registry_attach(c->registry, brain_loop(c->brain));
    return 0;
}

static int build_servers(struct controller *c, struct err *e)
{
    const struct controller_options *o = &c->options;
    struct control_server_options control = {
        .address = o->control_address,
        .token = c->token,
        .tls_cert = o->tls_cert,
        .tls_key = o->tls_key,
        .loop = brain_loop(c->brain),
        .on_open = brain_on_agent_open,
        .on_message = brain_on_agent_message,
        .on_closed = brain_on_agent_closed,
        .user = c->brain,
    };
    struct front_config front = {
        .address = o->front_address,
        .token = c->token,
        .peer_secret = c->peer_secret,
        .clients = o->clients,
        .submit = brain_entry_submit,
        .cancel = brain_entry_cancel,
        .user = c->brain,
    };
    struct api_config api = {
        .address = o->api_address,
        .local_address = o->local_api_address,
        .token = c->token,
        .insecure = o->insecure_http,
        .clients = o->clients,
        .brain = c->brain,
        .registry = c->registry,
        .store = c->store,
        .packages = c->packages,
        .external = o->prometheus != NULL,
        .figures = {{"front", NULL, front_metrics, NULL}},
        .process_pools = o->platform,
        .hook_pools = o->node_hooks,
    };
    char address[128], url[160];
    int r = front_new(&front, &c->front);

    if (r < 0)
        return err_errno(e, -r, "--front-address %s", o->front_address);
    front_address(c->front, address);
    snprintf(url, sizeof(url), "http://%s", address + (strncmp(address, "tcp://", 6) ? 0 : 6));
    registry_set_gateway(c->registry, o->gateway_url ? o->gateway_url : url);
    r = control_server_new(&control, &c->control);
    if (r < 0)
        return err_errno(e, -r, "--control-address %s", o->control_address);
    brain_set_control(c->brain, c->control);
    api.figures[0].loop = front_loop(c->front);
    api.figures[0].user = c->front;
    return api_new(&api, &c->api, e);
}

/* ---- threads */

static void *run_brain(void *user)
{
    pthread_setname_np(pthread_self(), "brain");
    brain_run(((struct controller *)user)->brain);
    return NULL;
}

static void *run_front(void *user)
{
    pthread_setname_np(pthread_self(), "front");
    front_run(((struct controller *)user)->front);
    return NULL;
}

static void *run_api(void *user)
{
    pthread_setname_np(pthread_self(), "api");
    api_run(((struct controller *)user)->api);
    return NULL;
}

static int start(struct controller *c, struct err *e)
{
    int r = thread_start(&c->brain_thread, run_brain, c);

    c->brain_runs = r == 0;
    if (r == 0)
        r = thread_start(&c->front_thread, run_front, c);
    c->front_runs = c->brain_runs && r == 0;
    if (r == 0)
        r = thread_start(&c->api_thread, run_api, c);
    c->api_runs = c->front_runs && r == 0;
    return r < 0 ? err_errno(e, -r, "start a thread") : 0;
}

/* Those who ask stop before the brain, which answers. */
static void take_down(struct controller *c)
{
    if (c->api_runs) {
        api_stop(c->api);
        pthread_join(c->api_thread, NULL);
    }
    if (c->front_runs) {
        front_stop(c->front);
        pthread_join(c->front_thread, NULL);
    }
    if (c->brain_runs) {
        brain_stop(c->brain);
        pthread_join(c->brain_thread, NULL);
    }
    control_server_free(c->control);
    if (c->brain_runs)
        brain_drain(c->brain);
    store_free(c->store); /* its last answers are mail to loops that must still be there */
    api_free(c->api);
    front_free(c->front);
    brain_free(c->brain);
    registry_free(c->registry);
    packages_free(c->packages);
    free(c->token);
    free(c->peer_secret);
}

static void say_hello(const struct controller *c)
{
    char api[128], front[128], control[128];
    const char *fallen_back = loop_backend_reason();

    api_address(c->api, api);
    front_address(c->front, front);
    control_server_address(c->control, control);
    log_info("api %s front %s control %s state %s", api, front, control, c->options.state);
    log_info("reactor: %s%s%s", loop_backend_name(brain_loop(c->brain)),
             *fallen_back ? "; io_uring: " : "", fallen_back);
}

static void raise_descriptor_limit(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

/* So that only sigwait() sees them. */
static void block_signals(sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    pthread_sigmask(SIG_BLOCK, ret, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int print_crd(void)
{
    cleanup_buffer struct buffer b = {0};

    if (api_crd_yaml(&b) < 0)
        return EXIT_FAILURE;
    return fwrite(buffer_bytes(&b), 1, buffer_size(&b), stdout) == buffer_size(&b) ? EXIT_SUCCESS
                                                                                   : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct controller c = {0};
    struct err e = {0};
    sigset_t end;
    int r, sig = 0;

    log_init("controller");
    if (argc > 1 && !strcmp(argv[1], "simulate"))
        return simulate_main(argc - 2, argv + 2);
    if (controller_options_parse(argc, argv, &c.options, &e) < 0) {
        fprintf(stderr, "rouse-controller: %s\n", e.message);
        return EXIT_USAGE;
    }
    if (c.options.mode == CONTROLLER_CRD)
        return print_crd();
    if (c.options.mode != CONTROLLER_RUN) {
        fputs(c.options.mode == CONTROLLER_HELP ? controller_help
                                                : "rouse-controller " CONTROLLER_VERSION "\n",
              stdout);
        return EXIT_SUCCESS;
    }
    block_signals(&end);
    raise_descriptor_limit();
    if (c.options.reactor >= 0)
        loop_backend_default((enum loop_backend)c.options.reactor);
    if (c.options.reactor == LOOP_IO_URING && *loop_backend_reason()) {
        fprintf(stderr, "rouse-controller: --reactor io_uring: %s\n", loop_backend_reason());
        return EXIT_USAGE;
    }
    r = secrets(&c, &e);
    if (r == 0)
        r = build_brain(&c, &e);
    if (r == 0)
        r = build_servers(&c, &e);
    if (r == 0)
        r = start(&c, &e);
    if (r == 0) {
        say_hello(&c);
        sigwait(&end, &sig);
        log_info("%s: stopping", strsignal(sig));
    } else {
        log_error("%s", e.message);
    }
    take_down(&c);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
