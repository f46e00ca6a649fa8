/* attackers.c - a function in C that attacks the kernel and its own box: called with "all", it answers what each attempt
 * came to: "OK", an errno's name, or the signal that ended it.
 *
 * Each attempt is a child of its own, so that one that kills its process spoils no other. */
#include <rouse/rouse.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Numbers that are the same on all machines, for headers that are older than the call. */
enum { OPEN_TREE_ATTR = 467, STATMOUNT = 457, LISTMOUNT = 458, FILE_SETATTR = 469, LISTNS = 470 };
#define CODE "/var/task"

static long opened(const char *path, int flags)
{
    return open(path, flags | O_CLOEXEC | O_NONBLOCK, 0600);
}

static long written(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 ? fd : write(fd, text, strlen(text));
}

static long own_namespace(const char *path, int type)
{
    int fd = open(path, O_RDONLY);

    return fd < 0 ? fd : setns(fd, type);
}

static long abstract(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    memcpy(at.sun_path + 1, name, strlen(name));
    return connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&at,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}

static long more_files(void)
{
    struct rlimit l;

    getrlimit(RLIMIT_NOFILE, &l);
    l.rlim_cur = l.rlim_max = l.rlim_max + 1;
    return setrlimit(RLIMIT_NOFILE, &l);
}

static long core_limit(void)
{
    const struct rlimit none = {0, 0};
    struct rlimit now;

    if (setrlimit(RLIMIT_CORE, &none) < 0 || getrlimit(RLIMIT_CORE, &now) < 0)
        return -1;
    errno = now.rlim_cur == 1 && now.rlim_max == 1 ? EDOM : ERANGE;
    return -1;
}

static long all_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct all[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}};

    return syscall(SYS_capset, &header, all);
}

/* A filter that says yes to everything does not undo the one before it. */
static long another_filter(void)
{
    struct sock_filter yes[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {1, yes};

    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        return -1;
    return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static long real_time(void)
{
    return sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
}

static long init_by_pidfd(int what)
{
    int fd = (int)syscall(SYS_pidfd_open, 1, 0);

    if (fd < 0)
        return -1;
    return what == 'n'   ? setns(fd, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID)
           : what == 'f' ? syscall(SYS_pidfd_getfd, fd, 0, 0)
                         : ioctl(fd, _IO(0xFF, 3), 0); /* PIDFD_GET_MNT_NAMESPACE */
}

/* All signals there are; those who could end it are dropped by the kernel, since it is an init. */
static long signal_init(void)
{
    for (int i = 1; i < NSIG; i++)
        if (i != SIGTERM && kill(1, i) < 0)
            return -1;
    return kill(1, 0);
}

static long mapped_at_null(void)
{
    return mmap(NULL, 4096, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
               ? -1
               : 0;
}

#ifdef __x86_64__
static long by_x32(void)
{
    return syscall(0x40000000 + SYS_getppid);
}

/* getppid by i386's number and gate. */
static long by_i386(void)
{
    long r;

    __asm__ volatile("int $0x80" : "=a"(r) : "a"(64L) : "memory");
    return r;
}
#endif

#define MODULE "\177ELF"

/* name, what it does */
#define ATTACKS(A)                                                                                 \
    A("mount", mount("none", "/tmp", "tmpfs", 0, NULL))                                            \
    A("mount cgroups", mount("none", "/tmp", "cgroup", 0, "memory"))                               \
    A("mount proc anew", mount("none", "/tmp", "proc", 0, NULL))                                   \
    A("remount the code", mount(NULL, CODE, NULL, MS_REMOUNT | MS_BIND, NULL))                     \
    A("remount the root", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL))                      \
    A("remount /run", mount(NULL, "/run", NULL, MS_REMOUNT | MS_BIND, NULL))                       \
    A("bind over the code", mount("/tmp", CODE, NULL, MS_BIND, NULL))                              \
    A("mount_setattr",                                                                             \
      mount_setattr(AT_FDCWD, CODE, 0, &(struct mount_attr){.attr_clr = MOUNT_ATTR_RDONLY},        \
                    sizeof(struct mount_attr)))                                                    \
    A("umount", umount(CODE))                                                                      \
    A("umount what hides", umount2("/proc/keys", MNT_DETACH))                                      \
    A("open_tree", open_tree(AT_FDCWD, CODE, OPEN_TREE_CLONE))                                     \
    A("open_tree_attr", syscall(OPEN_TREE_ATTR, AT_FDCWD, CODE, 1, NULL, 0))                       \
    A("move_mount", move_mount(AT_FDCWD, "/tmp", AT_FDCWD, CODE, 0))                               \
    A("fsopen", fsopen("tmpfs", 0))                                                                \
    A("fspick", fspick(AT_FDCWD, "/tmp", 0))                                                       \
    A("fsconfig", fsconfig(-1, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0))                           \
    A("fsmount", fsmount(-1, 0, 0))                                                                \
    A("statmount", syscall(STATMOUNT, NULL, NULL, 0, 0))                                           \
    A("listmount", syscall(LISTMOUNT, NULL, NULL, 0, 0))                                           \
    A("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"))                                       \
    A("chroot", chroot("/tmp"))                                                                    \
    A("user namespace", unshare(CLONE_NEWUSER))                                                    \
    A("user namespace, beside bits nobody reads", syscall(SYS_unshare, CLONE_NEWUSER | 1ul << 40)) \
    A("mount namespace", unshare(CLONE_NEWNS))                                                     \
    A("network namespace", unshare(CLONE_NEWNET))                                                  \
    A("time namespace", unshare(0x80))                                                             \
    A("clone into namespaces", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0))            \
    A("clone3", syscall(SYS_clone3, NULL, 0))                                                      \
    A("setns to its own", own_namespace("/proc/self/ns/user", CLONE_NEWUSER))                      \
    A("setns to the init's", own_namespace("/proc/1/ns/mnt", CLONE_NEWNS))                         \
    A("setns by pidfd", init_by_pidfd('n'))                                                        \
    A("a namespace of a pidfd", init_by_pidfd('i'))                                                \
    A("listns", syscall(LISTNS, NULL, NULL, 0, 0))                                                 \
    A("ptrace the init", ptrace(PTRACE_ATTACH, 1, 0, 0))                                           \
    A("seize the init", ptrace(PTRACE_SEIZE, 1, 0, 0))                                             \
    A("ptrace a parent", ptrace(PTRACE_TRACEME, 0, 0, 0))                                          \
    A("process_vm_readv", syscall(SYS_process_vm_readv, 1, 0, 0, 0, 0, 0))                         \
    A("process_vm_writev", syscall(SYS_process_vm_writev, 1, 0, 0, 0, 0, 0))                       \
    A("process_madvise", syscall(SYS_process_madvise, -1, 0, 0, 0, 0))                             \
    A("pidfd_getfd", init_by_pidfd('f'))                                                           \
    A("kcmp", syscall(SYS_kcmp, 1, 1, 0, 0, 0))                                                    \
    A("memory of the init", opened("/proc/1/mem", O_RDWR))                                         \
    A("descriptors of the init", opened("/proc/1/fd", O_RDONLY))                                   \
    A("root of the init", opened("/proc/1/root", O_RDONLY))                                        \
    A("program of the init", opened("/proc/1/exe", O_RDWR))                                        \
    A("environment of the init", opened("/proc/1/environ", O_RDONLY))                              \
    A("signals to the init", signal_init())                                                        \
    A("device node", mknod("/tmp/mem", S_IFCHR | 0666, 0x101))                                     \
    A("block device node", mknod("/tmp/disk", S_IFBLK | 0666, 0xfe00))                             \
    A("raw socket", socket(AF_INET, SOCK_RAW, 1))                                                  \
    A("raw socket of IPv6", socket(AF_INET6, SOCK_RAW, 58))                                        \
    A("SCTP", socket(AF_INET, SOCK_STREAM, 132))                                                   \
    A("DCCP", socket(AF_INET, SOCK_DCCP, 33))                                                      \
    A("L2TP", socket(AF_INET, SOCK_DGRAM, 115))                                                    \
    A("MPTCP", socket(AF_INET6, SOCK_STREAM, 262))                                                 \
    A("packet socket", socket(AF_PACKET, SOCK_RAW, 0))                                             \
    A("packet socket, beside bits nobody reads",                                                   \
      syscall(SYS_socket, AF_PACKET | 1ul << 33, SOCK_RAW, 0))                                     \
    A("vsock", socket(AF_VSOCK, SOCK_STREAM, 0))                                                   \
    A("AF_ALG", socket(AF_ALG, SOCK_SEQPACKET, 0))                                                 \
    A("AF_XDP", socket(44, SOCK_RAW, 0))                                                           \
    A("bluetooth", socket(AF_BLUETOOTH, SOCK_RAW, 1))                                              \
    A("netfilter", socket(AF_NETLINK, SOCK_RAW, 12))                                               \
    A("generic netlink", socket(AF_NETLINK, SOCK_RAW, 16))                                         \
    A("audit", socket(AF_NETLINK, SOCK_RAW, 9))                                                    \
    A("uevents", socket(AF_NETLINK, SOCK_RAW, 15))                                                 \
    A("abstract socket of the neighbour", abstract("neighbours-abstract-name"))                    \
    A("io_uring", syscall(SYS_io_uring_setup, 1, NULL))                                            \
    A("bpf", syscall(SYS_bpf, 0, NULL, 0))                                                         \
    A("perf", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0))                                    \
    A("userfaultfd", syscall(SYS_userfaultfd, 0))                                                  \
    A("memfd_secret", syscall(SYS_memfd_secret, 0))                                                \
    A("keyctl", syscall(SYS_keyctl, 0, -3, 0))                                                     \
    A("add_key", syscall(SYS_add_key, "user", "a", "b", 1, -3))                                    \
    A("request_key", syscall(SYS_request_key, "user", "a", NULL, -3))                              \
    A("init_module", syscall(SYS_init_module, MODULE, 4, ""))                                      \
    A("finit_module", syscall(SYS_finit_module, 0, "", 0))                                         \
    A("delete_module", syscall(SYS_delete_module, "x", 0))                                         \
    A("kexec", syscall(SYS_kexec_load, 0, 0, NULL, 0))                                             \
    A("kexec of a file", syscall(SYS_kexec_file_load, 0, 0, 0, NULL, 0))                           \
    A("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0))                      \
    A("name_to_handle_at", syscall(SYS_name_to_handle_at, AT_FDCWD, CODE, NULL, NULL, 0))          \
    A("mbind", syscall(SYS_mbind, 1, 0, 0, NULL, 0, 0))                                            \
    A("move_pages", syscall(SYS_move_pages, 1, 0, NULL, NULL, NULL, 0))                            \
    A("fanotify", syscall(SYS_fanotify_init, 0, 0))                                                \
    A("reboot", syscall(SYS_reboot, 0, 0, 0, NULL))                                                \
    A("swapon", syscall(SYS_swapon, "/tmp", 0))                                                    \
    A("acct", syscall(SYS_acct, "/tmp/acct"))                                                      \
    A("quotactl", syscall(SYS_quotactl, 0, NULL, 0, NULL))                                         \
    A("syslog", syscall(SYS_syslog, 10, NULL, 0))                                                  \
    A("sethostname", sethostname("x", 1))                                                          \
    A("setdomainname", setdomainname("x", 1))                                                      \
    A("settimeofday", syscall(SYS_settimeofday, NULL, NULL))                                       \
    A("clock_settime", syscall(SYS_clock_settime, 0, NULL))                                        \
    A("clock_adjtime", syscall(SYS_clock_adjtime, 0, NULL))                                        \
    A("adjtimex", syscall(SYS_adjtimex, NULL))                                                     \
    A("offsets of the clocks", written("/proc/self/timens_offsets", "boottime 100000 0"))          \
    A("setuid", setuid(0))                                                                         \
    A("setgid", setgid(0))                                                                         \
    A("setgroups", syscall(SYS_setgroups, 0, NULL))                                                \
    A("capabilities", all_capabilities())                                                          \
    A("ambient capability", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0))      \
    A("securebits", prctl(PR_SET_SECUREBITS, 0, 0, 0, 0))                                          \
    A("new privileges", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))                                    \
    A("another map of its memory", prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, 0, 0, 0))                  \
    A("another filter", another_filter())                                                          \
    A("ids of its namespace", written("/proc/self/uid_map", "0 0 1"))                              \
    A("memory by its file", opened("/proc/self/mem", O_RDWR))                                      \
    A("own program", opened("/proc/self/exe", O_WRONLY))                                           \
    A("spare me", written("/proc/self/oom_score_adj", "0"))                                        \
    A("more descriptors", more_files())                                                            \
    A("core dumps", core_limit())                                                                  \
    A("real time", real_time())                                                                    \
    A("priority", setpriority(PRIO_PROCESS, 0, -20))                                               \
    A("priority of the disk", syscall(SYS_ioprio_set, 1, 0, 1 << 13))                              \
    A("no address randomisation", syscall(SYS_personality, 0x40000))                               \
    A("map at null", mapped_at_null())                                                             \
    A("type into a terminal", ioctl(0, TIOCSTI, "x"))                                              \
    A("the same, by the low bits", syscall(SYS_ioctl, 0, (unsigned long)TIOCSTI | 7ul << 32, "x")) \
    A("paste into a console", ioctl(0, 0x541C, "x"))                                               \
    A("flags of a file", syscall(FILE_SETATTR, AT_FDCWD, "/tmp", NULL, 0, 0))                      \
    A("a call of tomorrow", syscall(600))                                                          \
    MACHINE(A)

#ifdef __x86_64__
#define MACHINE(A)                                                                                 \
    A("modify_ldt", syscall(SYS_modify_ldt, 0, NULL, 0))                                           \
    A("ioperm", syscall(SYS_ioperm, 0, 1, 1))                                                      \
    A("iopl", syscall(SYS_iopl, 3))                                                                \
    A("by x32's number", by_x32())                                                                 \
    A("by i386's gate", by_i386())
#else
#define MACHINE(A)
#endif

#define NAME(name, call) name,
static const char *const names[] = {ATTACKS(NAME)};
enum { COUNT = sizeof(names) / sizeof(names[0]) };

static long attempt(int which)
{
    int at = 0;

#define TRY(name, call)                                                                            \
    if (which == at++)                                                                             \
        return call;
    ATTACKS(TRY)
    return 0;
}

/* Positive: an errno; 0: it went well; negative: the signal. */
static int outcome(int which)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        alarm(5);
        _exit(attempt(which) < 0 ? errno : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return ECHILD;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int all(const struct rouse_event *event, struct rouse_response *resp, struct rouse_context *ctx)
{
    static char text[16384];
    size_t n = 0;

    (void)event;
    (void)ctx;
    for (int i = 0; i < COUNT; i++) {
        int r = outcome(i);
        const char *said = r > 0 ? strerrorname_np(r) : r ? sigabbrev_np(-r) : "OK";

        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"%s\": \"%s%s\"", i ? ", " : "{",
                              names[i], r < 0 ? "SIG" : "", said ? said : "?");
    }
    snprintf(text + n, sizeof(text) - n, "}");
    return rouse_respond_json(resp, text);
}

int main(void)
{
    return rouse_start(all) < 0;
}
