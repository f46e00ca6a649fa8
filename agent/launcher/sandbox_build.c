/* sandbox_build.c - what one sandbox is built from, gathered by the launcher and ordered from a builder. */
#include "base/cleanup.h"
#include "sandbox/message.h"
#include "launcher/kind.h"
#include "launcher/park.h"
#include "sandbox/privilege.h"
#include "sandbox/root.h"
#include "launcher/sandbox.h"
#include "launcher/zygotes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARKED_NAME "sandbox" /* its hostname while it is nobody's */

/* What only lives until the order has been sent. */
struct parts {
    int stdout_fd, stderr_fd, channel, root_tree;
};

static void parts_close(struct parts *p)
{
    close_fd(&p->stdout_fd);
    close_fd(&p->stderr_fd);
    close_fd(&p->channel);
    close_fd(&p->root_tree);
}

static void choose_ids(const struct sandbox *b, struct builder_order *o)
{
    const struct server *s = b->server;
    unsigned pair = s->rootless.boxes ? b->slot % s->rootless.boxes * IDMAP_PAIR : 0;

    o->ids = s->privileged ? IDMAP_WHOLE : s->rootless.boxes ? IDMAP_TWO : IDMAP_ONE;
    o->uid = geteuid();
    o->gid = getegid();
    if (o->ids == IDMAP_WHOLE)
        o->uid = o->gid = s->uid_base + b->slot * SANDBOX_ID_RANGE;
    if (o->ids == IDMAP_TWO) {
        o->uid = s->rootless.uid_base + pair;
        o->gid = s->rootless.gid_base + pair;
    }
}

/* Without privileges a pipe cannot be given away; who has neither end of it cannot open it. */
static int let_function_open(const struct sandbox *b, int fd)
{
    const struct server *s = b->server;
    uid_t owner = s->uid_base + b->slot * SANDBOX_ID_RANGE + SANDBOX_UID;

    if (!s->privileged)
        return fchmod(fd, 0622);
    return fchown(fd, owner, owner);
}

/* The function may open /dev/stderr anew: the pipe must be its own for that. */
static int make_output(const struct sandbox *b, int *ret_read, int *ret_write, struct err *e)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC) < 0)
        return err_errno(e, errno, "pipe for the output");
    *ret_read = p[0];
    *ret_write = p[1];
    if (fcntl(p[0], F_SETFL, O_NONBLOCK) < 0 || let_function_open(b, p[1]) < 0)
        return err_errno(e, errno, "pipe for the output");
    return 0;
}

static int make_channel(struct sandbox *b, struct parts *p, struct err *e)
{
    const int room = 2 * MESSAGE_MAX;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, errno, "socket pair for the sandbox");
    b->channel.fd = pair[0];
    p->channel = pair[1];
    if (setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
        setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    return 0;
}

static bool wants_link(const struct server *s, const struct sandbox_kind *k)
{
    return k->network == SANDBOX_NETWORK_EGRESS && s->network.usable;
}

static int gather(struct sandbox *b, const struct sandbox_kind *k, struct parts *p, struct err *e)
{
    int r = make_output(b, &b->stdout_fd, &p->stdout_fd, e);

    if (r == 0)
        r = make_output(b, &b->stderr_fd, &p->stderr_fd, e);
    if (r == 0)
        r = make_channel(b, p, e);
    if (r == 0 && b->server->ahead)
        r = tree_open(k->runtime_root, "runtime root", true, &p->root_tree, e);
    if (r == 0 && wants_link(b->server, k)) {
        network_refresh(&b->server->network);
        r = network_take(&b->server->network, &b->net, e);
        b->linked = r == 0;
    }
    return r < 0 ? r : sandbox_watch(b, e);
}

static int order(struct sandbox *b, const struct kind *k, const struct sandbox_spec *first,
                 const struct parts *p, struct err *e)
{
    struct server *s = b->server;
    int fds[ORDER_FDS] = {[ORDER_CHANNEL] = p->channel,
                          [ORDER_STDOUT] = p->stdout_fd,
                          [ORDER_STDERR] = p->stderr_fd,
                          [ORDER_SECCOMP] = k->seccomp_fd < 0 ? s->seccomp_fd : k->seccomp_fd,
                          [ORDER_ROOT] = p->root_tree};
    struct builder_order o = {.detached = s->ahead, .linked = b->linked, .net = b->net};
    struct sandbox_spec spec = {
        .id = b->cgroup, .hostname = b->hostname, .kind = k->kind, .tmp_size = b->tmp_size};
    int r;

    choose_ids(b, &o);
    if (!s->ahead && !first)
        return err_errno(e, ENOMEM, "sandbox");
    /* Nobody can mount it later. */
    if (!s->ahead) {
        spec.code_dir = first->code_dir;
        b->has_code = true;
    }
    if (b->linked)
        snprintf(o.resolv_conf, sizeof(o.resolv_conf), "%s", network_resolv_conf(&s->network));
    b->builder = builders_take(zygote_builders(s, &k->kind), b->cgroup, &b->limits);
    r = builder_order(b->builder, &o, &spec, fds, s->ahead ? ORDER_FDS : ORDER_ROOT, b);
    b->lost = r == -EPIPE || r == -ECONNRESET;
    return r < 0 ? err_errno(e, -r, "order a sandbox") : 0;
}

void sandbox_build(struct server *s, struct kind *k, const struct sandbox_spec *first)
{
    struct parts parts = {-1, -1, -1, -1};
    struct sandbox *b;
    struct err e = {0};
    int r;

    r = sandbox_new(s, k, &b);
    if (r < 0) {
        err_errno(&e, -r, "the launcher's room for %u sandboxes", SERVER_SANDBOXES_MAX);
        park_build_failed(k, &e);
        return;
    }
    snprintf(b->hostname, sizeof(b->hostname), "%s", first ? first->hostname : PARKED_NAME);
    b->tmp_size = first && first->tmp_size ? first->tmp_size : SANDBOX_TMP;
    r = gather(b, &k->kind, &parts, &e);
    if (r == 0)
        r = order(b, k, first, &parts, &e);
    parts_close(&parts);
    if (r < 0)
        sandbox_discard(b, &e);
}
