/* yardstick_inside.h - yardstick_clone3.c's sandbox from within: what agent/sandbox's child, root, privilege and init do,
 * by the bare calls. */
#pragma once
#include "sandbox/syscall_list.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { USER = 1000 };
enum { FD_CHANNEL = 3, FD_ROOT, FD_CODE, FD_END };

static struct sock_fprog seccomp_program;
static const char *program;

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define MUST(call)   must((long)(call), #call, __FILE__, __LINE__)
static long must(long r, const char *call, const char *file, int line)
{
    if (r >= 0)
        return r;
    dprintf(STDERR_FILENO, "%s:%d: %s: %s\n", file, line, call, strerror(errno));
    _exit(1);
}

/* ---- file system */
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

static int device_tree(const char *path)
{
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};
    int fd = tree_of(path);

    MUST(mount_setattr(fd, "", AT_EMPTY_PATH, &a, sizeof(a)));
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

/* Not every kernel has all of them. */
static void mask_proc(void)
{
    static const char *const files[] = {
        "kcore",       "keys",        "key-users",     "timer_list",    "timer_stats",
        "sched_debug", "kallsyms",    "latency_stats", "sysrq-trigger", "kmsg",
        "config.gz",   "vmallocinfo", "interrupts",    "softirqs",      "cmdline",
        "consoles",    "diskstats",   "partitions",    "swaps",         "modules",
        "iomem",       "ioports",     "dma",           "mtrr",          "pagetypeinfo"};
    static const char *const dirs[] = {"acpi", "asound", "bus",      "driver", "fs",
                                       "irq",  "scsi",   "pressure", "tty"};
    int fd = locked(tree_of("/proc/sys"));
    char at[32];

    put(fd, "/proc/sys");
    close(fd);
    for (size_t i = 0; i < COUNT(files); i++) {
        snprintf(at, sizeof(at), "/proc/%s", files[i]);
        mount("/dev/null", at, NULL, MS_BIND, NULL);
    }
    for (size_t i = 0; i < COUNT(dirs); i++) {
        snprintf(at, sizeof(at), "/proc/%s", dirs[i]);
        mount("/run/rouse/empty", at, NULL, MS_BIND, NULL);
    }
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
        device_trees[i] = device_tree(devices[i]);
    MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    put(FD_ROOT, "/");
    MUST(fchdir(FD_ROOT));
    MUST(syscall(SYS_pivot_root, ".", "."));
    MUST(umount2(".", MNT_DETACH));
    MUST(chdir("/"));
    put(proc, "/proc");
    close(proc);
    make_dev(device_trees);
    tmpfs("/tmp", MS_NODEV, "mode=1777,size=64m,nr_inodes=65536");
    put(FD_CODE, "/var/task");
    tmpfs("/run", MS_NODEV | MS_NOEXEC, "mode=755,size=64k,nr_inodes=64");
    MUST(mkdir("/run/rouse", 0755));
    MUST(mkdir("/run/rouse/empty", 0555));
    put_file("/run/rouse/hosts", "/etc/hosts", "127.0.0.1 localhost bench\n");
    put_file("/run/rouse/hostname", "/etc/hostname", "bench\n");
    mask_proc();
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

/* ---- privileges */
static void limit_resources(void)
{
    static const struct {
        int what;
        rlim_t soft, hard;
    } limits[] = {{RLIMIT_NOFILE, 1024, 65536},
                  {RLIMIT_CORE, 1, 1},
                  {RLIMIT_STACK, 8u << 20, RLIM_INFINITY},
                  {RLIMIT_MEMLOCK, 8u << 20, 8u << 20},
                  {RLIMIT_MSGQUEUE, 800u << 10, 800u << 10},
                  {RLIMIT_SIGPENDING, 4096, 4096},
                  {RLIMIT_NICE, 0, 0},
                  {RLIMIT_RTPRIO, 0, 0}};
    struct rlimit now;

    for (size_t i = 0; i < COUNT(limits); i++) {
        MUST(getrlimit((__rlimit_resource_t)limits[i].what, &now));
        now.rlim_max = now.rlim_max < limits[i].hard ? now.rlim_max : limits[i].hard;
        now.rlim_cur = now.rlim_max < limits[i].soft ? now.rlim_max : limits[i].soft;
        MUST(setrlimit((__rlimit_resource_t)limits[i].what, &now));
    }
}

/* As agent/sandbox/landlock.c, whose numbers these are. */
static void restrict_by_landlock(void)
{
    enum { CREATE = 444, ADD = 445, RESTRICT = 446, BENEATH = 1 };
    const long abi = syscall(CREATE, NULL, 0, 1);
    const unsigned long all = abi >= 5 ? 0xffff : abi >= 3 ? 0x7fff : 0x3fff, data = all & ~0x840ul;
    const struct {
        const char *path;
        unsigned long allowed;
    } rules[] = {{"/", 0xd}, {"/tmp", data}, {"/dev", all & 0xc002}, {"/dev/shm", data}};
    const struct {
        unsigned long files, net, scoped;
    } asked = {all, 0, abi >= 6 ? 3 : 0};
    int set;

    if (abi < 2)
        return;
    set = (int)MUST(syscall(CREATE, &asked, sizeof(asked), 0));
    for (size_t i = 0; i < COUNT(rules); i++) {
        struct {
            unsigned long allowed;
            int parent;
        } __attribute__((packed))
        rule = {rules[i].allowed, (int)MUST(open(rules[i].path, O_PATH | O_CLOEXEC | O_DIRECTORY))};

        MUST(syscall(ADD, set, BENEATH, &rule, 0));
        close(rule.parent);
    }
    MUST(syscall(RESTRICT, set, abi >= 7 ? 5 : 0));
    close(set);
}

static void drop_all(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};

    umask(022);
    setsid();
    MUST(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
    limit_resources();
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
    restrict_by_landlock();
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
