#include "sandbox/syscall_list.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define REFUSED SCMP_ACT_ERRNO(EPERM)
#define NAMESPACES                                                                                 \
    (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |     \
     CLONE_NEWCGROUP)
#define TIOCLINUX_NUM 0x541C

/* Calls newer than the oldest libseccomp that is built with; their numbers are the same on all machines. Decided, and
 * not here: statmount and listmount name the node's paths, listns its namespaces; open_tree_attr mounts;
 * file_setattr, lsm_*: no C library needs them. */
static const struct {
    const char *name;
    int nr;
} newer[] = {
    {"cachestat", 451},   {"fchmodat2", 452},     {"map_shadow_stack", 453},
    {"futex_wake", 454},  {"futex_wait", 455},    {"futex_requeue", 456},
    {"mseal", 462},       {"setxattrat", 463},    {"getxattrat", 464},
    {"listxattrat", 465}, {"removexattrat", 466}, {"open_tree_attr", 467},
};

/* Names between blanks. What this machine does not know is passed over. */
static const char allowed[] =
    /* files */
    "access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat "
    "faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl "
    "fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync "
    "ftruncate futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init "
    "inotify_init1 inotify_rm_watch lchown lgetxattr link linkat listxattr llistxattr "
    "lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open openat "
    "openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink "
    "readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile setxattr setxattrat splice "
    "stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask "
    "unlink unlinkat utime utimensat utimes vmsplice write writev ioctl fstatat64 cachestat "
    /* memory */
    "brk get_mempolicy madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap "
    "mprotect mremap mseal msync munlock munlockall munmap map_shadow_stack pkey_alloc "
    "pkey_free pkey_mprotect process_mrelease remap_file_pages "
    /* processes and threads */
    "arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue "
    "futex_wait futex_waitv futex_wake get_robust_list get_thread_area getcpu getegid geteuid "
    "getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid "
    "getrlimit getrusage getsid gettid getuid ioprio_get ioprio_set kill landlock_add_rule "
    "landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal prctl "
    "prlimit64 restart_syscall rseq sched_get_priority_max sched_get_priority_min "
    "sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval "
    "sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp "
    "set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups "
    "setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid "
    "setuid sysinfo tgkill times tkill uname vfork wait4 waitid waitpid "
    /* signals, time, waiting */
    "alarm clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl "
    "epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 getitimer gettimeofday nanosleep "
    "pause pipe pipe2 poll ppoll pselect6 rt_sigaction rt_sigpending rt_sigprocmask "
    "rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo select "
    "sigaltstack signalfd signalfd4 time timer_create timer_delete timer_getoverrun "
    "timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime "
    /* sockets; socket and socketpair have rules of their own */
    "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg "
    "recvmsg sendmmsg sendmsg sendto setsockopt shutdown "
    /* System V and POSIX queues live in the sandbox's own IPC namespace */
    "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget "
    "msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget "
    /* the rest */
    "getrandom ";

static const char refused[] =
    "acct add_key adjtimex bpf chroot clock_adjtime clock_settime delete_module fanotify_init "
    "fanotify_mark finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter "
    "io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl "
    "lookup_dcookie mbind memfd_secret migrate_pages modify_ldt mount mount_setattr "
    "move_mount move_pages name_to_handle_at nfsservctl open_by_handle_at open_tree open_tree_attr "
    "perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv "
    "process_vm_writev ptrace quotactl quotactl_fd reboot request_key set_mempolicy "
    "set_mempolicy_home_node setdomainname sethostname setns settimeofday swapoff swapon "
    "syslog umount umount2 userfaultfd vhangup vm86 vm86old ";

/* What a Runtime may ask for: it touches none but its caller, or what its caller may reach anyway. Nothing that mounts,
 * enters namespaces, looks into others, loads code into the kernel or goes round this very list (io_uring) is here. */
static const char optional[] =
    "file_getattr io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit mbind "
    "memfd_secret migrate_pages modify_ldt move_pages name_to_handle_at process_madvise set_mempolicy "
    "set_mempolicy_home_node ";

static bool listed(const char *names, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = names; n && (at = strstr(at, name)); at += n)
        if ((at == names || at[-1] == ' ') && at[n] == ' ')
            return true;
    return false;
}

static bool asked_for(const char *const *more, const char *name)
{
    while (more && *more && strcmp(*more, name))
        more++;
    return more && *more;
}

/* Negative: this machine has no such call. */
static int number_of(const char *name)
{
    int nr = seccomp_syscall_resolve_name(name);

    for (size_t i = 0; i < ARRAY_LEN(newer) && nr < 0; i++)
        if (!strcmp(newer[i].name, name))
            nr = newer[i].nr;
    return nr;
}

static int add_name(scmp_filter_ctx f, uint32_t action, const char *name, struct err *e)
{
    int nr = number_of(name);
    int r = nr < 0 ? 0 : seccomp_rule_add(f, action, nr, 0);

    return r < 0 ? err_errno(e, -r, "seccomp: rule for %s", name) : 0;
}

/* All of `names` but those in `without`. */
static int add_names(scmp_filter_ctx f, uint32_t action, const char *names,
                     const char *const *without, struct err *e)
{
    cleanup_free char *copy = strdup(names);
    char *rest = copy, *name;
    int r = copy ? 0 : err_errno(e, ENOMEM, "seccomp: names");

    while (r == 0 && (name = strsep(&rest, " ")))
        if (*name && !asked_for(without, name))
            r = add_name(f, action, name, e);
    return r;
}

int syscall_list_check(const char *name, struct err *e)
{
    if (listed(optional, name))
        return 0;
    if (listed(allowed, name))
        return err_set(e, EEXIST, "%s: every Runtime may call it", name);
    return err_set(e, EPERM, "%s: no Runtime may add it; what one may: %s", name, optional);
}

/* Calls that depend on their arguments. Masks cover the 32 bits that the kernel looks at. */
static int add_guarded(scmp_filter_ctx f)
{
    static const int protocols[] = {0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6};
    const uint64_t word = UINT32_MAX;
    int r;

    /* Threads and processes, no namespaces. clone3's flags lie behind a pointer: ENOSYS. */
    r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                         SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACES, 0));
    if (r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(unshare), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACES | CLONE_NEWTIME, 0));
    if (r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, word, AF_UNIX));
    /* The other protocols (SCTP, DCCP, L2TP...) bring modules in by being asked for: code of the kernel that nobody
     * on the node may ever have wanted. */
    for (size_t i = 0; i < ARRAY_LEN(protocols) && r == 0; i++) {
        const struct scmp_arg_cmp protocol =
            SCMP_A2(SCMP_CMP_MASKED_EQ, word, (uint64_t)protocols[i]);

        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, word, AF_INET), protocol);
        if (r == 0)
            r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                                 SCMP_A0(SCMP_CMP_MASKED_EQ, word, AF_INET6), protocol);
    }
    /* getifaddrs(3) asks rtnetlink; no other netlink family. */
    if (r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, word, AF_NETLINK),
                             SCMP_A2(SCMP_CMP_MASKED_EQ, word, 0));
    if (r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, word, AF_UNIX));
    /* Asking for the personality, and the default one. */
    if (r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, word, word));
    if (r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, word, 0));
    return r;
}

/* Typing into a terminal, and core dumps: a limit of 1 (privilege.c) is to stay, and who asks for none, or for any, is
 * told yes, since programs that hold secrets end when they cannot switch them off. libseccomp cannot say "any ioctl
 * but these" about the low 32 bits alone, which is what the kernel reads, so this goes before its program;
 * jumps there are relative. */
static const struct sock_filter first[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 3, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 6, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setrlimit, 11, 0),
    BPF_STMT(BPF_JMP | BPF_JA, 13),
    /* ioctl(fd, request) */
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX_NUM, 0, 10),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    /* prlimit(pid, resource, new); to ask is allowed */
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RLIMIT_CORE, 0, 7),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2]) + 4),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 2),
    /* setrlimit(resource, new) */
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RLIMIT_CORE, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
};

static int export_program(scmp_filter_ctx f, struct sock_fprog *ret, struct err *e)
{
    cleanup_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
    size_t head = ARRAY_LEN(first), n;
    struct sock_filter *program;
    struct stat st;
    int r;

    if (fd < 0)
        return err_errno(e, errno, "seccomp: memfd_create");
    r = seccomp_export_bpf(f, fd);
    if (r < 0)
        return err_errno(e, -r, "seccomp: compile");
    if (fstat(fd, &st) < 0)
        return err_errno(e, errno, "seccomp: fstat");
    n = (size_t)st.st_size / sizeof(*program);
    if (n + head > BPF_MAXINSNS)
        return err_set(e, E2BIG, "seccomp: %zu instructions are too many", n + head);
    program = calloc(n + head, sizeof(*program));
    if (!program)
        return err_errno(e, ENOMEM, "seccomp");
    memcpy(program, first, sizeof(first));
    if (pread(fd, program + head, n * sizeof(*program), 0) != (ssize_t)(n * sizeof(*program))) {
        free(program);
        return err_set(e, EIO, "seccomp: short read of the program");
    }
    *ret = (struct sock_fprog){.len = (unsigned short)(n + head), .filter = program};
    return 0;
}

int syscall_list_compile(const char *const *more, struct sock_fprog *ret, struct err *e)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int r;

    if (!f)
        return err_set(e, ENOMEM, "seccomp: cannot make a filter");
    /* A binary tree over the numbers: a call passes some ten comparisons, not three hundred. */
    seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    r = add_names(f, SCMP_ACT_ALLOW, allowed, NULL, e);
    for (size_t i = 0; more && more[i] && r == 0; i++) {
        r = syscall_list_check(more[i], e);
        if (r == 0)
            r = add_name(f, SCMP_ACT_ALLOW, more[i], e);
    }
    if (r == 0)
        r = add_names(f, REFUSED, refused, more, e);
    if (r == 0 && (r = add_guarded(f)) < 0)
        err_errno(e, -r, "seccomp: guarded rules");
    if (r == 0)
        r = export_program(f, ret, e);
    seccomp_release(f);
    return r;
}

void syscall_list_done(struct sock_fprog *p)
{
    free(p->filter);
    *p = (struct sock_fprog){0};
}

int syscall_list_file(const struct sock_fprog *p, int *ret_fd)
{
    cleanup_fd int fd = memfd_create("seccomp", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r = fd < 0 ? -errno : file_write_all(fd, p->filter, p->len * sizeof(*p->filter));

    if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        r = -errno;
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int syscall_list_load(const struct sock_fprog *p)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, p) < 0 ? -errno : 0;
}
