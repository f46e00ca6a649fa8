/* yardstick_clone3.c - the floor for a sandbox: one program that makes what agent/sandbox makes, by the bare calls.
 *
 *   yardstick_clone3 ROOT CODE PROGRAM [v1|v2 DIR FILE=VALUE...]...     orders of starts.h, to the end and removal
 *
 * No launcher to ask, no messages, no state machines, no errors to explain, one sandbox at a time; a call that fails
 * ends it. A start is these system calls, of which bench_sandbox.py counts both sides:
 *
 *   parent  pipe2 x2, fcntl, fchown x2, socketpair; newfstatat, open_tree, mount_setattr of root and code;
 *           in each hierarchy mkdir and a write of each limit, on v2 an open for CLONE_INTO_CGROUP;
 *           clone3 (user, pid, mount, network, uts, ipc; pidfd); a write of uid_map, gid_map, oom_score_adj, of
 *           cgroup.procs on v1; send; recv x2; waitid; reads of memory and cpu; rmdir
 *   init    dup3 x5, close_range, recv; setresgid, setresuid, unshare (cgroup), sethostname; loopback up;
 *           fsopen, fsconfig, fsmount of /proc; open_tree of the devices; mount (private), move_mount, fchdir,
 *           pivot_root, umount2, chdir; move_mount /proc; /dev: mount, open, move_mount, symlink, mkdir, mount;
 *           /proc masked by open_tree, mount_setattr, move_mount; /tmp, /run: mount; move_mount of the code;
 *           /etc/hosts, /etc/hostname; socket, bind, chmod, listen; mount_setattr of /run, /dev; umask, setsid,
 *           keyctl, prlimit x3, prctl (bounding set, securebits, no_new_privs...), setgroups, setresgid, setresuid,
 *           capset, seccomp with agent/sandbox's own program; pipe2, fork, read, sendmsg, wait, send, exit
 *   runtime setsid, sched_setscheduler, rt_sigaction x64, rt_sigprocmask, close_range, chdir, execve */
/* module: agent/sandbox */
#include "sandbox/syscall_list.h"

#include "starts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <grp.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_ID = 0x6f000000, IDS = 65536, USER = 1000, TREES_MAX = 8, LIMITS_MAX = 8 };
enum { FD_CHANNEL = 3, FD_ROOT, FD_CODE, FD_END };

static struct sock_fprog seccomp_program;
static const char *root, *code, *program;
static struct tree {
    bool v2;
    const char *dir;
    struct {
        char file[64];
        const char *value;
    } limits[LIMITS_MAX];
    int n;
} trees[TREES_MAX];
static int n_trees;

#define MUST(call) must((long)(call), #call, __LINE__)
static long must(long r, const char *call, int line)
{
    if (r >= 0)
        return r;
    dprintf(STDERR_FILENO, "yardstick_clone3.c:%d: %s: %s\n", line, call, strerror(errno));
    _exit(1);
}

static void poke(const char *path, const char *text)
{
    int fd = (int)MUST(open(path, O_WRONLY | O_CLOEXEC));

    MUST(write(fd, text, strlen(text)));
    close(fd);
}

/* ---- the sandbox's own side */
static int tree_of(const char *path)
{
    return (int)MUST(open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
}
static int locked(int fd)
{
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                           .propagation = MS_PRIVATE};

    MUST(mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof(a)));
    return fd;
}
static void put(int tree, const char *at)
{
    MUST(move_mount(tree, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH));
}
static void tmpfs(const char *at, unsigned long flags, const char *options)
{
    MUST(mount("tmpfs", at, "tmpfs", MS_NOSUID | flags, options));
}

static int new_proc(void)
{
    int fs = (int)MUST(fsopen("proc", FSOPEN_CLOEXEC)), fd;

    MUST(fsconfig(fs, FSCONFIG_SET_STRING, "hidepid", "2", 0));
    MUST(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    fd = (int)MUST(
        fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
    close(fs);
    return fd;
}

static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                      "/dev/urandom"};
enum { DEVICES = 5 };

static void make_dev(const int *device_trees)
{
    tmpfs("/dev", MS_NOEXEC, "mode=755,size=64k,nr_inodes=64");
    for (int i = 0; i < DEVICES; i++) {
        close((int)MUST(open(devices[i], O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444)));
        put(device_trees[i], devices[i]);
        close(device_trees[i]);
    }
    MUST(symlink("/proc/self/fd", "/dev/fd"));
    MUST(symlink("/proc/self/fd/0", "/dev/stdin"));
    MUST(symlink("/proc/self/fd/1", "/dev/stdout"));
    MUST(symlink("/proc/self/fd/2", "/dev/stderr"));
    MUST(mkdir("/dev/shm", 01777));
    tmpfs("/dev/shm", MS_NODEV | MS_NOEXEC, "mode=1777,size=64m,nr_inodes=4096");
}

static void mask_proc(void)
{
    static const char *const read_only[] = {"/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs"};
    static const char *const hidden[] = {
        "/proc/kcore",         "/proc/keys",      "/proc/key-users",     "/proc/timer_list",
        "/proc/sched_debug",   "/proc/kallsyms",  "/proc/latency_stats", "/proc/kmsg",
        "/proc/sysrq-trigger", "/proc/config.gz", "/proc/vmallocinfo"};
    static const char *const hidden_dirs[] = {"/proc/acpi", "/proc/scsi", "/proc/asound",
                                              "/proc/driver"};

    for (size_t i = 0; i < sizeof(read_only) / sizeof(*read_only); i++) {
        int fd = locked(tree_of(read_only[i]));

        put(fd, read_only[i]);
        close(fd);
    }
    for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++) {
        int fd = tree_of("/dev/null");

        move_mount(fd, "", AT_FDCWD, hidden[i], MOVE_MOUNT_F_EMPTY_PATH); /* not every kernel has all */
        close(fd);
    }
    for (size_t i = 0; i < sizeof(hidden_dirs) / sizeof(*hidden_dirs); i++)
        mount("tmpfs", hidden_dirs[i], "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV,
              "mode=555,size=4k,nr_inodes=1");
}

static void put_file(const char *source, const char *at, const char *text)
{
    int fd = (int)MUST(open(source, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444));

    MUST(write(fd, text, strlen(text)));
    close(fd);
    fd = locked(tree_of(source));
    put(fd, at);
    close(fd);
}

static void build_root(void)
{
    int proc = new_proc(), device_trees[DEVICES];

    for (int i = 0; i < DEVICES; i++)
        device_trees[i] = tree_of(devices[i]);
    MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    put(FD_ROOT, "/");
    MUST(fchdir(FD_ROOT));
    MUST(syscall(SYS_pivot_root, ".", "."));
    MUST(umount2(".", MNT_DETACH));
    MUST(chdir("/"));
    put(proc, "/proc");
    close(proc);
    make_dev(device_trees);
    mask_proc();
    tmpfs("/tmp", MS_NODEV, "mode=1777,size=64m,nr_inodes=65536");
    put(FD_CODE, "/var/task");
    tmpfs("/run", MS_NODEV | MS_NOEXEC, "mode=755,size=64k,nr_inodes=64");
    MUST(mkdir("/run/rouse", 0755));
    put_file("/run/rouse/hosts", "/etc/hosts", "127.0.0.1 localhost bench\n");
    put_file("/run/rouse/hostname", "/etc/hostname", "bench\n");
    close(FD_ROOT);
    close(FD_CODE);
}

static void loopback_up(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = (int)MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

    MUST(ioctl(fd, SIOCSIFFLAGS, &lo));
    close(fd);
}

static int listen_frames(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/run/rouse/runtime.sock"};
    int fd = (int)MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

    MUST(bind(fd, (struct sockaddr *)&at, sizeof(at)));
    MUST(chmod(at.sun_path, 0666));
    MUST(listen(fd, 16));
    return fd;
}

static void drop_all(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    struct rlimit files, core = {0, 0};

    umask(022);
    setsid();
    MUST(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
    MUST(getrlimit(RLIMIT_NOFILE, &files));
    files.rlim_cur = 1024;
    MUST(setrlimit(RLIMIT_NOFILE, &files));
    MUST(setrlimit(RLIMIT_CORE, &core));
    for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
        ;
    MUST(prctl(PR_SET_SECUREBITS,
               SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                   SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                   SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
               0, 0, 0));
    MUST(setgroups(0, NULL));
    MUST(setresgid(USER, USER, USER));
    MUST(setresuid(USER, USER, USER));
    MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    MUST(syscall(SYS_capset, &head, none));
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    MUST(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    MUST(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    MUST(syscall_list_load(&seccomp_program));
}

_Noreturn static void run_program(void)
{
    char *const argv[] = {(char *)(uintptr_t)program, NULL}, *const env[] = {"PATH=/bin", NULL};
    sigset_t none;

    setsid();
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    close_range(FD_CHANNEL, ~0u, CLOSE_RANGE_CLOEXEC);
    MUST(chdir("/var/task"));
    execve(program, argv, env);
    _exit(127);
}

_Noreturn static void be_init(int listener)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec word = {"s", 1};
    struct msghdr m = {
        .msg_iov = &word, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    int pipes[2], status;
    sigset_t all;
    char end;

    prctl(PR_SET_NAME, "yardstick-init");
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    MUST(pipe2(pipes, O_CLOEXEC));
    if (MUST(fork()) == 0)
        run_program();
    close(pipes[1]);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    MUST(read(pipes[0], &end, 1));
    close(pipes[0]);
    memcpy(CMSG_DATA(&control.head), &listener, sizeof(listener));
    MUST(sendmsg(FD_CHANNEL, &m, MSG_NOSIGNAL));
    close(listener);
    MUST(wait(&status));
    MUST(send(FD_CHANNEL, &status, sizeof(status), MSG_NOSIGNAL));
    _exit(0);
}

_Noreturn static void be_sandbox(const int *kept)
{
    static const int to[] = {STDOUT_FILENO, STDERR_FILENO, FD_CHANNEL, FD_ROOT, FD_CODE};
    int high[FD_END], listener;
    char go;

    for (int i = 0; i < FD_CODE; i++)
        high[i] = (int)MUST(fcntl(kept[i], F_DUPFD_CLOEXEC, 64));
    for (int i = 0; i < FD_CODE; i++)
        MUST(dup3(high[i], to[i], to[i] >= FD_CHANNEL ? O_CLOEXEC : 0));
    MUST(close_range(FD_END, ~0u, 0));
    if (recv(FD_CHANNEL, &go, 1, 0) != 1)
        _exit(1);
    MUST(setresgid(0, 0, 0));
    MUST(setresuid(0, 0, 0));
    MUST(unshare(CLONE_NEWCGROUP));
    MUST(sethostname("bench", 5));
    loopback_up();
    build_root();
    MUST(dup2((int)MUST(open("/dev/null", O_RDWR)), STDIN_FILENO));
    listener = listen_frames();
    MUST(mount_setattr(AT_FDCWD, "/run", 0, &(struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY},
                       sizeof(struct mount_attr)));
    MUST(mount_setattr(AT_FDCWD, "/dev", 0, &(struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY},
                       sizeof(struct mount_attr)));
    drop_all();
    be_init(listener);
}

/* ---- the parent's side */
static const char *path_in(const struct tree *t, const char *file)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/one%s%s", t->dir, *file ? "/" : "", file);
    return path;
}

static int make_cgroups(void)
{
    int fd = -1;

    for (struct tree *t = trees; t < trees + n_trees; t++) {
        MUST(mkdir(path_in(t, ""), 0755));
        for (int i = 0; i < t->n; i++)
            poke(path_in(t, t->limits[i].file), t->limits[i].value);
        if (t->v2)
            fd = (int)MUST(open(path_in(t, ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    return fd;
}

static void attach_v1(pid_t pid)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", pid);
    for (struct tree *t = trees; t < trees + n_trees; t++)
        if (!t->v2)
            poke(path_in(t, "cgroup.procs"), text);
}

/* As the launcher does: what it used, and then away with it. */
static void read_figures(const struct tree *t)
{
    static const char *const v1[] = {"memory.usage_in_bytes", "memory.max_usage_in_bytes",
                                     "memory.oom_control", NULL};
    static const char *const v2[] = {"cpu.stat", "memory.current", "memory.peak", "memory.events",
                                     NULL};
    char text[512];

    /* A unified tree without limits is beside v1 ones that have them. */
    for (const char *const *f = t->v2 ? v2 : v1; *f && (f == v2 || t->n); f++) {
        int fd = (int)MUST(open(path_in(t, *f), O_RDONLY | O_CLOEXEC));

        MUST(read(fd, text, sizeof(text)));
        close(fd);
    }
}

static void remove_cgroups(void)
{
    for (struct tree *t = trees; t < trees + n_trees; t++) {
        if (t->v2 || (t->n && !strncmp(t->limits[0].file, "memory", 6)))
            read_figures(t);
        while (rmdir(path_in(t, "")) < 0 && errno == EBUSY)
            sleep_until(clock_monotonic_ns() + 100 * NS_PER_US);
    }
}

static void give_ids(pid_t pid)
{
    char path[64], map[64];

    snprintf(map, sizeof(map), "0 %u %u", (unsigned)FIRST_ID, (unsigned)IDS);
    snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
    poke(path, map);
    snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
    poke(path, map);
    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
    poke(path, "500");
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
                                       CLONE_NEWUTS | CLONE_NEWIPC | CLONE_PIDFD,
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
            *t = (struct tree){.v2 = !strcmp(argv[i], "v2"), .dir = argv[i + 1]};
            i++;
        } else if (t && value && t->n < LIMITS_MAX) {
            snprintf(t->limits[t->n].file, sizeof(t->limits[t->n].file), "%.*s",
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
