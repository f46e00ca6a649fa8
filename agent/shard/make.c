/* make.c - shards as they are made: all on the main thread, so that what fails is told like any other
 * failure to start. The threads come later (life.c). */
#include "base/cleanup.h"
#include "base/random.h"
#include "pool/log_writer.h"
#include "reactor/conn.h"
#include "report/report.h"
#include "router/gateway.h"
#include "router/peer.h"
#include "router/routes.h"
#include "router/tickets.h"
#include "launcher/launcher.h"
#include "shard/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool on_slot_free(void *user, const char *function_key, const char *revision, unsigned wanted)
{
    struct shard *s = user;

    return s->gateway && gateway_slot_free(s->gateway, function_key, revision, wanted);
}

static const char *active_revision(void *user, const char *function_key)
{
    const struct shard *s = user;
    const struct route *r = routes_get(routes_now(s->routes), function_key);

    return r ? r->revision : NULL;
}

static int make_pool(struct shard *s)
{
    struct shards *all = s->all;
    const struct pool_bridge bridge = {
        .create = boxes_create,
        .adopt = boxes_adopt,
        .stop = boxes_stop,
        .code_get = code_get,
        .code_release = code_release,
        .code_forget = code_forget,
        .user = s,
    };
    struct pool_config c = {
        .loop = s->loop,
        .launcher = all->config.launcher,
        .runtimes = all->config.runtimes,
        .code = all->config.code,
        .report = s->report,
        .state_dir = all->config.state_dir,
        .node = all->config.node,
        .log_writer = all->log_writer,
        .templates = (all->config.templates + all->config.count - 1) / all->config.count,
        .active_revision = active_revision,
        .freeze_after_ns = all->config.freeze_after_ns,
        .memory_cgroup = all->config.memory_cgroup,
        .reclaim = all->config.reclaim,
        .slot_base = (uint64_t)s->index << LOOP_SHIFT,
        .send = up_send,
        .on_slot_free = on_slot_free,
        .user = s,
    };

    if (all->config.count > 1) {
        c.bridge = &bridge;
        c.hints = s->hints;
    }
    return pool_new(&c, &s->pool);
}

static int make_servers(struct shard *s)
{
    struct shards *all = s->all;
    bool several = all->config.count > 1;
    struct gateway_config gateway = {
        .loop = s->loop,
        .pool = s->pool,
        .report = s->report,
        .routes = s->routes,
        .node = all->config.node,
        .queue_deadline_ns = all->config.queue_deadline_ns,
        .clients = all->config.clients,
        .tickets_limit = TICKETS_MAX / all->config.count,
        .held_limit = TICKETS_HELD_MAX / all->config.count,
        .ticket_base = (uint64_t)s->index << LOOP_SHIFT,
        .siblings = several ? &s->siblings : NULL,
        .reuseport = several,
        .send = up_send,
        .slot_unused = down_slot_unused,
        .user = s,
    };
    struct peer_server_config peer = {
        .loop = s->loop,
        .pool = s->pool,
        .routes = s->routes,
        .siblings = several ? &s->siblings : NULL,
        .reuseport = several,
    };
    struct peer_server_config inner = {.loop = s->loop, .pool = s->pool, .routes = s->routes};
    int r = gateway_new(&gateway, &s->gateway);

    if (r == 0)
        r = peer_server_new(&peer, &s->peer);
    if (r == 0 && several)
        r = peer_server_new(&inner, &s->inner);
    if (r == 0 && several)
        peer_server_secret(s->inner, all->secret);
    return r;
}

/* The loop of shard 0 is the main one, there already. */
static int shard_make(struct shard *s, struct err *e)
{
    struct shards *all = s->all;
    int r = 0;

    if (!is_main(s))
        r = loop_new(&s->loop);
    if (r < 0)
        return err_errno(e, -r, "loop %u: %s", s->index, loop_backend_reason());
    s->box.loop = s->loop;
    s->siblings = (struct siblings){
        .count = all->config.count,
        .self = s->index,
        .secret = all->secret,
        .addresses = all->inner_addresses,
        .hints = all->hints,
    };
    r = report_new(&s->report);
    if (r == 0)
        r = routes_new(all->config.node, &s->routes);
    if (r == 0)
        r = make_pool(s);
    if (r == 0)
        r = make_servers(s);
    return r < 0 ? err_errno(e, -r, "loop %u", s->index) : 0;
}

/* ---------------------------------------------------------------- listening */
/* With SO_REUSEPORT two agents could take one port and share its clients in silence: it is bound
 * alone first, as a port that is not shared would be. */
static int claim(const char *address)
{
    struct sockaddr_storage sa;
    socklen_t size;
    cleanup_fd int fd = -1;
    int one = 1, r = address_parse(address, &sa, &size);

    if (r < 0 || sa.ss_family == AF_UNIX)
        return r;
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&sa, size) < 0)
        return -errno;
    return 0;
}

static bool is_unix(const char *address)
{
    return !strncmp(address, "unix:", 5);
}

/* A socket file has one listener: there the first loop takes all connections. */
static int listen_all(struct shards *all, const char *flag, const char *address,
                      int (*listen_on)(struct shard *s, const char *address),
                      void (*bound)(const struct shards *all, char out[128]), struct err *e)
{
    char resolved[128];
    int r = all->config.count > 1 ? claim(address) : 0;

    if (r == 0)
        r = listen_on(shard_at(all, 0), address);
    if (r < 0)
        return err_errno(e, -r, "%s %s", flag, address);
    bound(all, resolved);
    for (unsigned i = 1; i < all->config.count && !is_unix(address); i++) {
        r = listen_on(shard_at(all, i), resolved);
        if (r < 0)
            return err_errno(e, -r, "loop %u: %s %s", i, flag, address);
    }
    return 0;
}

static int listen_gateway(struct shard *s, const char *address)
{
    return gateway_listen(s->gateway, address);
}

static int listen_peer(struct shard *s, const char *address)
{
    return peer_server_listen(s->peer, address);
}

void shards_gateway_address(const struct shards *s, char out[128])
{
    gateway_address(s->shards[0].gateway, out);
}

void shards_peer_address(const struct shards *s, char out[128])
{
    peer_server_address(s->shards[0].peer, out);
}

static int listen_inner(struct shards *all, struct err *e)
{
    for (unsigned i = 0; all->config.count > 1 && i < all->config.count; i++) {
        struct shard *s = shard_at(all, i);
        int n = snprintf(s->inner_address, sizeof(s->inner_address), "unix://%s/loop-%u.sock",
                         all->config.state_dir, i);
        int r = n < (int)sizeof(s->inner_address) ? peer_server_listen(s->inner, s->inner_address)
                                                  : -ENAMETOOLONG;

        if (r < 0)
            return err_errno(e, -r, "loop %u: its socket %s/loop-%u.sock", i, all->config.state_dir,
                             i);
    }
    return 0;
}

static void on_rejected(void *user, const char *reason)
{
    struct shards *all = user;

    all->config.on_rejected(all->config.user, reason);
}

const struct session_ops shards_session_ops = {
    .on_open = hello_begin,
    .on_welcome = down_welcome,
    .on_away = down_away,
    .on_message = down_message,
    .on_report = figures_report,
    .on_rejected = on_rejected,
};

static int prepare(struct shards *all, struct err *e)
{
    unsigned count = all->config.count;
    int r = 0;

    all->shards = calloc(count, sizeof(*all->shards));
    if (!all->shards)
        return err_errno(e, ENOMEM, "loops");
    for (unsigned i = 0; i < count; i++) {
        struct shard *s = shard_at(all, i);

        s->all = all;
        s->index = i;
        s->loop = i ? NULL : all->config.loop;
        list_init(&s->code_wishes);
        all->inner_addresses[i] = s->inner_address;
        s->hints = all->hints[i] = count > 1 ? calloc(1, sizeof(*s->hints)) : NULL;
        if (count > 1 && !s->hints)
            return err_errno(e, ENOMEM, "loops");
    }
    if (count == 1)
        return 0;
    random_hex(all->secret, 16);
    r = log_writer_new(&all->log_writer);
    if (r == 0)
        r = launcher_attach(all->config.launcher, all->config.loop, &boxes_launcher_ops, all);
    return r < 0 ? err_errno(e, -r, "loops") : 0;
}

int shards_new(const struct shards_config *c, struct shards **ret, struct err *e)
{
    struct shards *all = calloc(1, sizeof(*all));
    int r;

    if (!all)
        return err_errno(e, ENOMEM, "loops");
    all->config = *c;
    all->box.loop = c->loop;
    all->placement.count = c->count;
    list_init(&all->up.backlog);
    list_init(&all->log_gathers);
    list_init(&all->code_requests);
    figures_init(all);
    *ret = all; /* half-built ones are taken down like any other */
    r = ports_init(&all->ports, c->loop, c->launcher, c->controller, c->api, c->allow_gateways);
    r = r < 0 ? err_errno(e, -r, "loops") : prepare(all, e);
    for (unsigned i = 0; r == 0 && i < c->count; i++)
        r = shard_make(shard_at(all, i), e);
    if (r == 0)
        r = listen_all(all, "--gateway-address", c->gateway_address, listen_gateway,
                       shards_gateway_address, e);
    if (r == 0)
        r = listen_all(all, "--peer-address", c->peer_address, listen_peer, shards_peer_address, e);
    return r < 0 ? r : listen_inner(all, e);
}

void shards_set_session(struct shards *s, struct session *session)
{
    s->session = session;
}

void shards_set_metrics(struct shards *s, struct metrics_server *m)
{
    s->metrics = m;
}
