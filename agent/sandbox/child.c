#include "sandbox/child.h"
#include "base/cleanup.h"
#include "sandbox/message.h"
#include "sandbox/network.h"
#include "sandbox/privilege.h"
#include "sandbox/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

enum { FD_CHANNEL = 3, FD_ROOT, FD_CODE, FD_END };

/* Moves what is kept to 1..5 and closes all else: the launcher's descriptors of other sandboxes
 * above all. */
static int keep_descriptors(struct child_plan *p, struct err *e)
{
    const struct {
        int *from, to;
    } keep[] = {{&p->stdout_fd, STDOUT_FILENO},
                {&p->stderr_fd, STDERR_FILENO},
                {&p->channel, FD_CHANNEL},
                {&p->root_tree, FD_ROOT},
                {&p->code_tree, FD_CODE}};

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

/* The launcher's end closed says: it is gone, and so are we. */
static void wait_for_go(int channel, struct child_go *ret)
{
    ssize_t n;

    while ((n = recv(channel, ret, sizeof(*ret), 0)) < 0 && errno == EINTR)
        ;
    if (n != (ssize_t)sizeof(*ret))
        _exit(1);
}

static int become_inner_root(const struct child_plan *p, struct err *e)
{
    if (p->whole_range && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        return err_errno(e, errno, "become the user namespace's root");
    /* Only now: its root is the cgroup that the launcher has put us in meanwhile. */
    if (unshare(CLONE_NEWCGROUP) < 0)
        return err_errno(e, errno, "unshare the cgroup namespace");
    if (sethostname(p->spec->hostname, strlen(p->spec->hostname)) < 0)
        return err_errno(e, errno, "sethostname %s", p->spec->hostname);
    return 0;
}

static int build_root(struct child_plan *p, struct err *e)
{
    const struct sandbox_spec *s = p->spec;
    struct root_plan plan = {.runtime_root = s->kind.runtime_root,
                             .tmp_size = s->tmp_size,
                             .hostname = s->hostname,
                             .resolv_conf = p->resolv_conf};
    int r = 0;

    if (p->root_tree < 0)
        r = root_open_tree(s->kind.runtime_root, "runtime root", &p->root_tree, e);
    if (r == 0 && p->code_tree < 0)
        r = root_open_tree(s->code_dir, "code directory", &p->code_tree, e);
    if (r < 0)
        return r;
    plan.root_tree = p->root_tree;
    plan.code_tree = p->code_tree;
    r = root_enter(&plan, e);
    close(p->root_tree);
    close(p->code_tree);
    return r;
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

_Noreturn static void child_run(struct child_plan *p)
{
    int channel = p->channel, fds[2];
    struct child_go go;
    struct err e = {0};
    size_t n = 0;
    int r = keep_descriptors(p, &e);

    if (r < 0)
        init_fail(channel, &e);
    channel = p->channel;
    wait_for_go(channel, &go);
    r = become_inner_root(p, &e);
    if (r == 0)
        r = network_child(go.linked ? &go.link : NULL, &e);
    if (r == 0)
        r = build_root(p, &e);
    if (r == 0)
        r = open_stdin(&e);
    if (r == 0 && p->spec->kind.frames_socket)
        r = listen_frames(&fds[n++], &e);
    if (r == 0 && p->spec->kind.api_port)
        r = listen_api(p->spec->kind.api_port, &fds[n++], &e);
    if (r == 0)
        r = root_seal(&e);
    if (r == 0)
        r = privilege_drop(p->whole_range, p->seccomp, &e);
    if (r < 0)
        init_fail(channel, &e);
    check_launcher(channel);
    init_run(p, channel, fds, n);
}

pid_t child_clone(struct child_plan *p, int cgroup_fd, uint64_t more, int *ret_pidfd)
{
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS |
                 CLONE_NEWIPC | CLONE_NEWTIME | CLONE_PIDFD | more,
        .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
        /* A sibling of the caller ends with the caller's own signal. */
        .exit_signal = more & CLONE_PARENT ? 0 : SIGCHLD,
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
