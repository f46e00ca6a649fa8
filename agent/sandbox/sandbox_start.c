/* sandbox_start.c - from a spec to a process that builds its own sandbox: the launcher's half. */
#include "base/cleanup.h"
#include "base/file.h"
#include "sandbox/child.h"
#include "sandbox/root.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_PIDS 256u
#define DEFAULT_TMP  (64ull << 20)
#define OOM_SCORE    "500" /* before the node's own daemons */

static int write_proc(pid_t pid, const char *file, const char *text, struct err *e)
{
    char path[64];
    int r;

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    r = file_poke(AT_FDCWD, path, text);
    return r < 0 ? err_errno(e, -r, "write %s to %s", text, path) : 0;
}

static int map_ids(struct sandbox *b, struct err *e)
{
    const struct server *s = b->server;
    char uids[64], gids[64];
    int r = 0;

    if (s->privileged) {
        snprintf(uids, sizeof(uids), "0 %u %u", s->uid_base + b->slot * SANDBOX_ID_RANGE,
                 SANDBOX_ID_RANGE);
        snprintf(gids, sizeof(gids), "%s", uids);
    } else {
        snprintf(uids, sizeof(uids), "1000 %u 1", geteuid());
        snprintf(gids, sizeof(gids), "1000 %u 1", getegid());
        r = write_proc(b->pid, "setgroups", "deny", e);
    }
    if (r == 0)
        r = write_proc(b->pid, "uid_map", uids, e);
    if (r == 0)
        r = write_proc(b->pid, "gid_map", gids, e);
    if (r == 0)
        r = write_proc(b->pid, "oom_score_adj", OOM_SCORE, e);
    return r;
}

/* The function may open /dev/stderr anew: the pipe must be its own for that. */
static int make_output(const struct sandbox *b, int *ret_read, int *ret_write, struct err *e)
{
    uid_t owner = b->server->uid_base + b->slot * SANDBOX_ID_RANGE + 1000;
    int p[2];

    if (pipe2(p, O_CLOEXEC) < 0)
        return err_errno(e, errno, "pipe for the output");
    *ret_read = p[0];
    *ret_write = p[1];
    if (fcntl(p[0], F_SETFL, O_NONBLOCK) < 0 ||
        (b->server->privileged && fchown(p[1], owner, owner) < 0))
        return err_errno(e, errno, "pipe for the output");
    return 0;
}

/* What only lives from here to the go. */
struct parts {
    int stdout_fd, stderr_fd, root_tree, code_tree, child_channel, cgroup;
    bool attached; /* `spare` is, and so will be its child */
    struct spare spare;
};

static void parts_close(struct parts *p)
{
    close_fd(&p->stdout_fd);
    close_fd(&p->stderr_fd);
    close_fd(&p->root_tree);
    close_fd(&p->code_tree);
    close_fd(&p->child_channel);
    close_fd(&p->cgroup);
    /* Its end frees its place in the process limit. */
    if (p->attached)
        spare_end(&p->spare);
}

static int gather(struct sandbox *b, const struct sandbox_spec *spec, struct parts *p, struct err *e)
{
    const struct cgroup_limits limits = {.memory = spec->memory,
                                         .cpu_millis = spec->cpu_millis,
                                         .pids = spec->pids + 1}; /* and the init */
    int pair[2];
    int r = make_output(b, &b->stdout_fd, &p->stdout_fd, e);

    if (r == 0)
        r = make_output(b, &b->stderr_fd, &p->stderr_fd, e);
    if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        r = err_errno(e, errno, "socket pair for the sandbox");
    if (r < 0)
        return r;
    b->channel.fd = pair[0];
    p->child_channel = pair[1];
    if (b->server->privileged) {
        r = root_open_tree(spec->kind.runtime_root, "runtime root", &p->root_tree, e);
        if (r == 0)
            r = root_open_tree(spec->code_dir, "code directory", &p->code_tree, e);
    }
    if (r < 0)
        return r;
    p->attached = spares_take(&b->server->spares, &p->spare);
    return cgroup_create(&b->server->cgroups, b->cgroup, p->attached ? p->spare.name : NULL,
                         &limits, &p->cgroup, e);
}

/* The child holds the same detached trees: it mounts them as they are by its go. */
static void map_trees(const struct sandbox *b, const struct parts *p)
{
    char path[64];
    int fd;

    if (!b->server->privileged)
        return;
    snprintf(path, sizeof(path), "/proc/%d/ns/user", b->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    root_map_ids(p->root_tree, fd);
    root_map_ids(p->code_tree, fd);
    close(fd);
}

/* What only the launcher can give to the new process, and then its go. */
static int equip(struct sandbox *b, const struct sandbox_spec *spec, struct parts *p, struct err *e)
{
    struct server *s = b->server;
    struct child_go go = {0};
    int r = map_ids(b, e);

    if (r == 0)
        map_trees(b, p);
    if (r == 0 && !p->attached)
        r = cgroup_attach(&s->cgroups, b->cgroup, b->pid, e);
    if (r == 0 && spec->kind.network == SANDBOX_NETWORK_EGRESS && s->network.usable) {
        r = network_take(&s->network, &b->link, e);
        b->linked = r == 0;
        if (r == 0)
            r = network_link_make(&b->link, b->pid, e);
        go = (struct child_go){.linked = b->linked, .link = b->link};
    }
    parts_close(p);
    if (r == 0 &&
        send(b->channel.fd, &go, sizeof(go), MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(go))
        r = err_errno(e, errno, "the new process is gone already");
    return r;
}

static int clone_child(struct sandbox *b, const struct sandbox_spec *spec, const struct parts *p,
                       struct err *e)
{
    struct child_plan plan = {.spec = spec,
                              .channel = p->child_channel,
                              .stdout_fd = p->stdout_fd,
                              .stderr_fd = p->stderr_fd,
                              .root_tree = p->root_tree,
                              .code_tree = p->code_tree,
                              .whole_range = b->server->privileged,
                              .resolv_conf = "",
                              .seccomp = &b->server->seccomp};
    pid_t pid;

    if (spec->kind.network == SANDBOX_NETWORK_EGRESS && b->server->network.usable)
        plan.resolv_conf = network_resolv_conf(&b->server->network);
    if (p->attached)
        pid = spare_clone(&p->spare, &plan, p->cgroup, &b->process.fd);
    else
        pid = child_clone(&plan, p->cgroup, 0, &b->process.fd);
    if (pid < 0)
        return err_set(e, -pid, "clone3 with new namespaces: %s%s", strerror(-pid),
                       pid == -EPERM    ? " (are user namespaces allowed here?)"
                       : pid == -ENOSPC ? " (see /proc/sys/user/max_*_namespaces)"
                                        : "");
    b->pid = pid;
    return 0;
}

int sandbox_start(struct sandbox *b, const struct sandbox_spec *asked, struct err *e)
{
    struct parts parts = {-1, -1, -1, -1, -1, -1, false, {.sock = -1}};
    struct sandbox_spec spec = *asked;
    int r;

    spec.pids = spec.pids ? spec.pids : DEFAULT_PIDS;
    spec.tmp_size = spec.tmp_size ? spec.tmp_size : DEFAULT_TMP;
    r = gather(b, &spec, &parts, e);
    if (r == 0)
        r = clone_child(b, &spec, &parts, e);
    if (r < 0) {
        parts_close(&parts);
        if (*parts.spare.name)
            cgroup_remove(&b->server->cgroups, parts.spare.name);
        return r;
    }
    return equip(b, &spec, &parts, e);
}
