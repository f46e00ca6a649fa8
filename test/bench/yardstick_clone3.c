/* yardstick_clone3.c - the floor for a sandbox: one program that makes what agent/sandbox makes, by the bare calls.
 *
 *   yardstick_clone3 ROOT CODE PROGRAM [v1|v2 DIR FILE=VALUE...]...     orders of starts.h, to the end and removal
 *
 * No launcher to ask, no messages, no state machines, no errors to explain, one sandbox at a time; a call that fails
 * ends it. A start is these system calls, of which bench_sandbox.py counts both sides:
 *
 *   parent  pipe2 x2, fcntl x2, fchown x2, socketpair; newfstatat, open_tree, mount_setattr of root and code;
 *           in each hierarchy mkdirat and a write of each limit, on v2 an open for CLONE_INTO_CGROUP;
 *           clone3 (user, pid, mount, network, uts, ipc, time; pidfd); a write of uid_map, gid_map, oom_score_adj, of
 *           cgroup.procs on v1; an open of ns/user, mount_setattr of root and code (idmap); send; recv x2; waitid;
 *           reads of memory and cpu; unlinkat of the cgroups
 *   init    dup3 x5, close_range, recv; setresgid, setresuid, unshare (cgroup), sethostname; loopback up;
 *           fsopen, fsconfig, fsmount of /proc; open_tree and mount_setattr of the devices; mount (private),
 *           move_mount, fchdir, pivot_root, umount2, chdir; move_mount /proc; /dev: mount, open, move_mount, symlink,
 *           mkdir, mount; /tmp, /run: mount; move_mount of the code; /etc/hosts, /etc/hostname; 34 mounts over /proc;
 *           socket, bind, chmod, listen; mount_setattr of /run, /dev; umask, setsid, keyctl, prlimit x16, prctl
 *           (bounding set, securebits, no_new_privs...), setgroups, setresgid, setresuid, capset, Landlock (a rule set of
 *           4), seccomp with agent/sandbox's own program; pipe2, fork, read, sendmsg, wait, send, exit
 *   runtime setsid, sched_setscheduler, rt_sigaction x64, rt_sigprocmask, close_range, chdir, execve */
/* module: agent/launcher */
#include "starts.h"
#include "yardstick_inside.h"

#include <linux/sched.h>
#include <stdbool.h>

enum { FIRST_ID = 0x6f000000, IDS = 65536, TREES_MAX = 8, LIMITS_MAX = 8 };

static const char *root, *code;
static struct tree {
    bool v2;
    int dir;
    struct {
        char file[64];
        const char *value;
    } limits[LIMITS_MAX];
    int n;
} trees[TREES_MAX];
static int n_trees;

static void poke(int dir, const char *path, const char *text)
{
    int fd = (int)MUST(openat(dir, path, O_WRONLY | O_CLOEXEC));

    MUST(write(fd, text, strlen(text)));
    close(fd);
}

/* ---- cgroups: the directory `one` in each hierarchy */
static int make_cgroups(void)
{
    int fd = -1;

    for (struct tree *t = trees; t < trees + n_trees; t++) {
        MUST(mkdirat(t->dir, "one", 0755));
        for (int i = 0; i < t->n; i++)
            poke(t->dir, t->limits[i].file, t->limits[i].value);
        if (t->v2)
            fd = (int)MUST(openat(t->dir, "one", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    return fd;
}

static void attach_v1(pid_t pid)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", pid);
    for (struct tree *t = trees; t < trees + n_trees; t++)
        if (!t->v2)
            poke(t->dir, "one/cgroup.procs", text);
}

/* As the launcher does: what it used, and then away with it. */
static void read_figures(const struct tree *t)
{
    static const char *const v1[] = {"one/memory.max_usage_in_bytes", "one/memory.oom_control", NULL};
    static const char *const v2[] = {"one/cpu.stat", "one/memory.peak", "one/memory.events", NULL};
    char text[512];

    /* A unified tree without limits is beside v1 ones that have them. */
    for (const char *const *f = t->v2 ? v2 : v1; *f && (f == v2 || t->n); f++) {
        int fd = (int)MUST(openat(t->dir, *f, O_RDONLY | O_CLOEXEC));

        MUST(read(fd, text, sizeof(text)));
        close(fd);
    }
}

static void remove_cgroups(void)
{
    for (struct tree *t = trees; t < trees + n_trees; t++) {
        if (t->v2 || (t->n && !strncmp(t->limits[0].file, "one/memory", 10)))
            read_figures(t);
        while (unlinkat(t->dir, "one", AT_REMOVEDIR) < 0 && errno == EBUSY)
            sleep_until(clock_monotonic_ns() + 100 * NS_PER_US);
    }
}

/* ---- a start */
static void give_ids(pid_t pid)
{
    char path[64], map[64];

    snprintf(map, sizeof(map), "0 %u %u", (unsigned)FIRST_ID, (unsigned)IDS);
    snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
    poke(AT_FDCWD, path, map);
    snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
    poke(AT_FDCWD, path, map);
    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
    poke(AT_FDCWD, path, "500");
}

static void map_tree(int tree, int user)
{
    struct mount_attr a = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)user};

    /* Not every file system can. */
    mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof(a));
}

static void map_trees(pid_t pid, const int *kept)
{
    char path[64];
    int user;

    snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
    user = (int)MUST(open(path, O_RDONLY | O_CLOEXEC));
    map_tree(kept[3], user);
    map_tree(kept[4], user);
    close(user);
}

static int open_dir_tree(const char *path)
{
    struct stat st;

    MUST(stat(path, &st));
    return locked(tree_of(path));
}

static uint64_t start(void *user)
{
    int out[2], err[2], channel[2], pidfd = -1, cgroup, kept[FD_CODE];
    uint64_t began = clock_monotonic_ns();
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
                                       CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWTIME | CLONE_PIDFD,
                              .pidfd = (uint64_t)(uintptr_t)&pidfd,
                              .exit_signal = SIGCHLD};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char word;
    struct iovec to = {&word, 1};
    struct msghdr m = {
        .msg_iov = &to, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    siginfo_t info;
    int status, listener;
    pid_t pid;

    (void)user;
    MUST(pipe2(out, O_CLOEXEC));
    MUST(pipe2(err, O_CLOEXEC));
    MUST(fcntl(out[0], F_SETFL, O_NONBLOCK));
    MUST(fcntl(err[0], F_SETFL, O_NONBLOCK));
    MUST(fchown(out[1], FIRST_ID + USER, FIRST_ID + USER));
    MUST(fchown(err[1], FIRST_ID + USER, FIRST_ID + USER));
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel));
    kept[0] = out[1];
    kept[1] = err[1];
    kept[2] = channel[1];
    kept[3] = open_dir_tree(root);
    kept[4] = open_dir_tree(code);
    cgroup = make_cgroups();
    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)cgroup;
    }
    pid = (pid_t)MUST(syscall(SYS_clone3, &args, sizeof(args)));
    if (pid == 0)
        be_sandbox(kept);
    give_ids(pid);
    map_trees(pid, kept);
    attach_v1(pid);
    for (int i = 0; i < FD_CODE; i++)
        close(kept[i]);
    close(cgroup);
    MUST(send(channel[0], "g", 1, MSG_NOSIGNAL));
    if (recvmsg(channel[0], &m, MSG_CMSG_CLOEXEC) != 1) {
        errno = EPIPE;
        MUST(-1);
    }
    memcpy(&listener, CMSG_DATA(&control.head), sizeof(listener));
    MUST(recv(channel[0], &status, sizeof(status), 0));
    MUST(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED));
    if (status || info.si_status) {
        errno = ECHILD;
        MUST(-1);
    }
    close(listener);
    close(pidfd);
    close(channel[0]);
    close(out[0]);
    close(err[0]);
    remove_cgroups();
    return clock_monotonic_ns() - began;
}

static void take_cgroups(int argc, char **argv)
{
    struct tree *t = NULL;

    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '=');

        if (!value && n_trees < TREES_MAX && i + 1 < argc) {
            t = &trees[n_trees++];
            *t = (struct tree){.v2 = !strcmp(argv[i], "v2"),
                               .dir = (int)MUST(open(argv[i + 1], O_PATH | O_DIRECTORY | O_CLOEXEC))};
            i++;
        } else if (t && value && t->n < LIMITS_MAX) {
            snprintf(t->limits[t->n].file, sizeof(t->limits[t->n].file), "one/%.*s",
                     (int)(value - argv[i]), argv[i]);
            t->limits[t->n++].value = value + 1;
        }
    }
}

int main(int argc, char **argv)
{
    struct err e = {0};

    if (argc < 4) {
        fprintf(stderr, "usage: yardstick_clone3 ROOT CODE PROGRAM [v1|v2 DIR FILE=VALUE...]...\n");
        return 2;
    }
    root = argv[1];
    code = argv[2];
    program = argv[3];
    take_cgroups(argc - 4, argv + 4);
    if (syscall_list_compile(NULL, &seccomp_program, &e) < 0) {
        fprintf(stderr, "%s\n", e.message);
        return 1;
    }
    return starts_serve(start, NULL);
}
