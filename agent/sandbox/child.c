#include "sandbox/child.h"
#include "base/cleanup.h"
#include "sandbox/message.h"
#include "network/network.h"
#include "sandbox/privilege.h"
#include "sandbox/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

enum { FD_CHANNEL = 3, FD_GO, FD_ROOT, FD_END };

/* Moves what is kept to 1..5 and closes all else. */
static int keep_descriptors(struct child_plan *p, struct err *e)
{
    const struct {
        int *from, to;
    } keep[] = {{&p->stdout_fd, STDOUT_FILENO},
                {&p->stderr_fd, STDERR_FILENO},
                {&p->channel, FD_CHANNEL},
                {&p->go, FD_GO},
                {&p->root_tree, FD_ROOT}};

    /* First out of each other's way. */
    for (size_t i = 0; i < ARRAY_LEN(keep); i++)
        if (*keep[i].from >= 0 && (*keep[i].from = fcntl(*keep[i].from, F_DUPFD_CLOEXEC, 64)) < 0)
            return err_errno(e, errno, "keep a descriptor");
    for (size_t i = 0; i < ARRAY_LEN(keep); i++) {
        if (*keep[i].from < 0) {
            close(keep[i].to);
            continue;
        }
        if (dup3(*keep[i].from, keep[i].to, keep[i].to >= FD_CHANNEL ? O_CLOEXEC : 0) < 0)
            return err_errno(e, errno, "place a descriptor");
        *keep[i].from = keep[i].to;
    }
    if (close_range(FD_END, ~0u, 0) < 0)
        return err_errno(e, errno, "close_range");
    return 0;
}

/* The builder's end closed says: it has failed and told why, and so do we end. */
static void wait_for_go(int go, void *to, size_t size)
{
    ssize_t n;

    while ((n = read(go, to, size)) < 0 && errno == EINTR)
        ;
    if (n != (ssize_t)size)
        _exit(1);
}

static int become_inner_root(const struct child_plan *p, struct err *e)
{
    if (p->ids != IDMAP_ONE && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        return err_errno(e, errno, "become the user namespace's root");
    /* Only now: its root is the cgroup that the launcher has put us in meanwhile. */
    if (unshare(CLONE_NEWCGROUP) < 0)
        return err_errno(e, errno, "unshare the cgroup namespace");
    if (sethostname(p->spec->hostname, strlen(p->spec->hostname)) < 0)
        return err_errno(e, errno, "sethostname %s", p->spec->hostname);
    return 0;
}

/* As who the builder is: the way to them may be open to nobody else. */
static int open_trees(struct child_plan *p, bool detached, int *ret_code, struct err *e)
{
    const struct sandbox_spec *s = p->spec;
    int r = 0;

    if (p->root_tree < 0)
        r = tree_open(s->kind.runtime_root, "runtime root", detached, &p->root_tree, e);
    if (r == 0 && *s->code_dir)
        r = tree_open(s->code_dir, "code directory", detached, ret_code, e);
    return r;
}

static int build_root(const struct child_plan *p, bool detached, int code_tree, struct err *e)
{
    const struct sandbox_spec *s = p->spec;
    struct root_plan plan = {.runtime_root = s->kind.runtime_root,
                             .tmp_size = s->tmp_size,
                             .hostname = s->hostname,
                             .root_tree = p->root_tree,
                             .code_tree = code_tree,
                             .detached = detached,
                             .resolv_conf = p->resolv_conf};
    int r = root_enter(&plan, e);

    close(p->root_tree);
    if (plan.code_tree >= 0)
        close(plan.code_tree);
    return r;
}

/* What the parked sandbox hands to the launcher. */
struct offer {
    unsigned which;
    int fds[4];
    size_t n;
};

static void offer_fd(struct offer *o, unsigned which, int fd)
{
    o->which |= which;
    o->fds[o->n++] = fd;
}

/* Files of /run that the launcher can still write when that is read-only inside: they are opened through a
 * mount of it that nobody inside sees. A Runtime without them in its /etc has none. */
static int offer_names(struct offer *o, struct err *e)
{
    cleanup_fd int run = open_tree(AT_FDCWD, "/run", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    static const char *const names[] = {ROOT_HOSTS, ROOT_HOSTNAME};

    if (run < 0)
        return err_errno(e, errno, "clone the mount at /run");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int fd = openat(run, names[i], O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

        if (fd >= 0)
            offer_fd(o, i == 0 ? CHILD_FD_HOSTS : CHILD_FD_HOSTNAME, fd);
        else if (errno != ENOENT)
            return err_errno(e, errno, "open /run/%s", names[i]);
    }
    return 0;
}

static int listen_frames(int *ret_fd, struct err *e)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = ROOT_SOCKET_PATH};
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_errno(e, errno, "socket for %s", ROOT_SOCKET_PATH);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        return err_errno(e, errno, "bind %s", ROOT_SOCKET_PATH);
    if (chmod(ROOT_SOCKET_PATH, 0666) < 0)
        return err_errno(e, errno, "chmod %s", ROOT_SOCKET_PATH);
    if (listen(fd, 16) < 0)
        return err_errno(e, errno, "listen on %s", ROOT_SOCKET_PATH);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int listen_api(uint16_t port, int *ret_fd, struct err *e)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_errno(e, errno, "socket for port %u", port);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        return err_errno(e, errno, "bind 127.0.0.1:%u", port);
    if (listen(fd, 64) < 0)
        return err_errno(e, errno, "listen on 127.0.0.1:%u", port);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int open_stdin(struct err *e)
{
    int fd = open("/dev/null", O_RDWR);

    if (fd < 0)
        return err_errno(e, errno, "open /dev/null");
    if (fd != STDIN_FILENO) {
        dup2(fd, STDIN_FILENO);
        close(fd);
    }
    return 0;
}

/* The launcher may have died before its death was ours to hear. */
static void check_launcher(int channel)
{
    struct pollfd p = {.fd = channel};

    if (poll(&p, 1, 0) > 0 && p.revents & POLLHUP)
        _exit(1);
}

static int offer_frames(struct offer *o, struct err *e)
{
    int fd = -1, r = listen_frames(&fd, e);

    if (r == 0)
        offer_fd(o, CHILD_FD_FRAMES, fd);
    return r;
}

static int offer_api(struct offer *o, uint16_t port, struct err *e)
{
    int fd = -1, r = listen_api(port, &fd, e);

    if (r == 0)
        offer_fd(o, CHILD_FD_API, fd);
    return r;
}

static int build_world(struct child_plan *p, struct offer *o, struct err *e)
{
    const struct sandbox_kind *k = &p->spec->kind;
    bool detached = p->root_tree >= 0 || tree_detachable();
    int code_tree = -1, r;
    struct child_go go;
    char ids;

    wait_for_go(p->go, &ids, sizeof(ids));
    r = open_trees(p, detached, &code_tree, e);
    if (r == 0)
        r = become_inner_root(p, e);
    if (r == 0)
        r = build_root(p, detached, code_tree, e);
    if (r == 0)
        r = open_stdin(e);
    if (r == 0 && k->frames_socket)
        r = offer_frames(o, e);
    if (r < 0)
        return r;
    wait_for_go(p->go, &go, sizeof(go));
    close(p->go);
    r = network_child(go.linked ? &go.net : NULL, e);
    if (r == 0 && k->api_port)
        r = offer_api(o, k->api_port, e);
    /* Else it is built under the names that it keeps. */
    if (r == 0 && detached)
        r = offer_names(o, e);
    if (r == 0)
        r = root_seal(e);
    if (r == 0)
        r = privilege_drop(p->ids != IDMAP_ONE, p->ids != IDMAP_WHOLE, p->seccomp, e);
    return r;
}

_Noreturn static void child_run(struct child_plan *p)
{
    int channel = p->channel;
    struct offer offer = {0};
    struct err e = {0};
    int r = keep_descriptors(p, &e);

    if (r < 0)
        init_fail(channel, &e);
    r = build_world(p, &offer, &e);
    if (r < 0)
        init_fail(p->channel, &e);
    check_launcher(p->channel);
    init_run(p, offer.which, offer.fds, offer.n);
}

pid_t child_clone(struct child_plan *p, int cgroup_fd, int *ret_pidfd)
{
    struct clone_args args = {
        /* A sibling of the caller ends with the caller's own signal. */
        .flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS |
                 CLONE_NEWIPC | CLONE_NEWTIME | CLONE_PIDFD | CLONE_PARENT,
        .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
    };
    long pid;

    if (cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)cgroup_fd;
    }
    pid = syscall(SYS_clone3, &args, sizeof(args));
    /* A kernel without time namespaces. */
    if (pid < 0 && errno == EINVAL) {
        args.flags &= ~(uint64_t)CLONE_NEWTIME;
        pid = syscall(SYS_clone3, &args, sizeof(args));
    }
    if (pid == 0)
        child_run(p);
    return pid < 0 ? -errno : (pid_t)pid;
}
