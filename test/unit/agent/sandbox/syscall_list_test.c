/* The seccomp program, loaded for real into processes of the test: needs no privileges. */
#include "sandbox/syscall_list.h"
#include "base/cleanup.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The leak checker traces its process at the end, which is one of the things refused here. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static void load_with(const char *const *more)
{
    struct sock_fprog p;
    struct err e = {0};

    ck_assert_msg(syscall_list_compile(more, &p, &e) == 0, "%s", e.message);
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(syscall_list_load(&p), 0);
    syscall_list_done(&p);
}

static void load(void)
{
    load_with(NULL);
}

static int errno_of(long r)
{
    return r < 0 ? errno : 0;
}

START_TEST(refused)
{
    static const int calls[] = {
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_chroot,
        SYS_setns,
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_kexec_load,
        SYS_bpf,
        SYS_perf_event_open,
        SYS_keyctl,
        SYS_add_key,
        SYS_request_key,
        SYS_userfaultfd,
        SYS_io_uring_setup,
        SYS_io_uring_enter,
        SYS_io_uring_register,
        SYS_open_by_handle_at,
        SYS_name_to_handle_at,
        SYS_init_module,
        SYS_finit_module,
        SYS_delete_module,
        SYS_reboot,
        SYS_swapon,
        SYS_syslog,
        SYS_sethostname,
        SYS_settimeofday,
        SYS_clock_settime,
        SYS_acct,
        SYS_quotactl,
        SYS_open_tree,
        SYS_move_mount,
        SYS_fsopen,
        SYS_fsmount,
        SYS_mount_setattr,
        SYS_kcmp,
        SYS_pidfd_getfd,
        SYS_fanotify_init,
        SYS_move_pages,
    };

    load();
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        ck_assert_msg(errno_of(syscall(calls[i], 0, 0, 0, 0, 0, 0)) == EPERM, "call %d", calls[i]);
    /* Not on the list: as if the kernel were older. */
    ck_assert_int_eq(errno_of(syscall(SYS_clone3, NULL, 0)), ENOSYS);
    ck_assert_int_eq(errno_of(syscall(100000, 0)), ENOSYS);
}
END_TEST

START_TEST(no_namespaces)
{
    static const int flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWNET,   CLONE_NEWPID,
                                CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};

    load();
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        ck_assert_int_eq(errno_of(unshare(flags[i])), ENOSYS);
        ck_assert_int_ne(errno_of(syscall(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0)), 0);
        /* Bits that the kernel does not read must not hide the flag. */
        ck_assert_int_ne(errno_of(syscall(SYS_unshare, (unsigned long)flags[i] | 1ul << 40)), 0);
    }
}
END_TEST

START_TEST(sockets_by_family)
{
    int fd;

    load();
    for (int family = 0; family < 64; family++) {
        bool allowed = family == AF_UNIX || family == AF_INET || family == AF_INET6;

        fd = socket(family, SOCK_DGRAM, family == AF_NETLINK ? 15 : 0);
        if (!allowed)
            ck_assert_msg(fd < 0 && errno == ENOSYS, "family %d: %d", family, fd);
        if (fd >= 0)
            close(fd);
    }
    for (int protocol = 1; protocol < 300; protocol++) {
        bool allowed = protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ||
                       protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;

        for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++)
            ck_assert_msg(allowed || errno_of(socket(AF_INET, type, protocol)) == ENOSYS, "%d",
                          protocol);
        ck_assert_msg(allowed || errno_of(socket(AF_INET6, SOCK_DGRAM, protocol)) == ENOSYS, "%d",
                      protocol);
    }
    for (int family = AF_INET; family <= AF_INET6; family += AF_INET6 - AF_INET) {
        fd = socket(family, SOCK_STREAM, IPPROTO_TCP);
        ck_assert_int_ge(fd, 0);
        close(fd);
        fd = socket(family, SOCK_DGRAM, IPPROTO_UDP);
        ck_assert_int_ge(fd, 0);
        close(fd);
    }
    fd = socket(AF_NETLINK, SOCK_RAW, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ne(errno_of(syscall(SYS_socket, AF_VSOCK | 1ul << 32, SOCK_STREAM, 0)), 0);
    ck_assert_int_ne(errno_of(syscall(SYS_socket, AF_PACKET | 1ul << 33, SOCK_RAW, 0)), 0);
}
END_TEST

START_TEST(no_typing)
{
    load();
    ck_assert_int_eq(errno_of(ioctl(0, TIOCSTI, "x")), EPERM);
    ck_assert_int_eq(errno_of(syscall(SYS_ioctl, 0, (unsigned long)TIOCSTI | 1ul << 32, "x")), EPERM);
    ck_assert_int_eq(errno_of(ioctl(0, 0x541C, "x")), EPERM);
    ck_assert_int_eq(errno_of(ioctl(-1, FIONREAD, "x")), EBADF);
}
END_TEST

/* What a handler of the node's would be started by; and who asks for none hears no refusal. */
START_TEST(core_dumps_stay_off)
{
    const struct rlimit one = {1, 1}, zero = {0, 0};
    struct rlimit now = {9, 9};

    ck_assert_int_eq(setrlimit(RLIMIT_CORE, &one), 0);
    load();
    ck_assert_int_eq(setrlimit(RLIMIT_CORE, &zero), 0);
    ck_assert_int_eq(syscall(SYS_setrlimit, RLIMIT_CORE, &zero), 0);
    ck_assert_int_eq(syscall(SYS_setrlimit, RLIMIT_CORE | 1ul << 32, &zero), 0);
    ck_assert_int_eq(syscall(SYS_prlimit64, 0, RLIMIT_CORE, &zero, &now), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_CORE, &now), 0);
    ck_assert_uint_eq(now.rlim_cur, 1);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
    now.rlim_cur = 100;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
    ck_assert_int_eq(syscall(SYS_setrlimit, RLIMIT_NOFILE, &now), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
    ck_assert_uint_eq(now.rlim_cur, 100);
}
END_TEST

START_TEST(additions)
{
    static const char *const more[] = {"move_pages", "io_setup", NULL}, *const never[] = {"mount",
                                                                                          NULL};
    static const char *const none[] = {"mount",  "setns",       "bpf",   "ptrace", "io_uring_setup",
                                       "clone3", "pidfd_getfd", "bogus", "",       "keyctl",
                                       "move",   "move_pages "};
    struct sock_fprog p;
    struct err e = {0};

    ck_assert_int_eq(syscall_list_check("move_pages", &e), 0);
    ck_assert_int_eq(syscall_list_check("openat", &e), -EEXIST);
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        ck_assert_msg(syscall_list_check(none[i], &e) == -EPERM, "%s", none[i]);
    ck_assert_int_eq(syscall_list_compile(never, &p, &e), -EPERM);
    ck_assert_msg(strstr(e.message, "mount: no Runtime may add it"), "%s", e.message);
    load_with(more);
    ck_assert_int_eq(errno_of(syscall(SYS_io_setup, 0, NULL)), EFAULT);
    ck_assert_int_eq(errno_of(syscall(SYS_move_pages, -1, 0, 0, 0, 0, ~0)), EINVAL);
    ck_assert_int_eq(errno_of(syscall(SYS_migrate_pages, 0, 0, 0, 0)), EPERM);
    ck_assert_int_eq(errno_of(syscall(SYS_io_submit, 0, 0, 0)), ENOSYS);
}
END_TEST

/* Newer than some libseccomp: by number. */
START_TEST(new_calls)
{
    load();
    ck_assert_int_ne(errno_of(syscall(452, AT_FDCWD, "/nowhere", 0, 0)), EPERM); /* fchmodat2 */
    if (errno != ENOSYS)
        ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(errno_of(syscall(467, -1, "", 0, NULL, 0)), EPERM); /* open_tree_attr */
    ck_assert_int_eq(errno_of(syscall(457, NULL, NULL, 0, 0)), ENOSYS);  /* statmount */
    ck_assert_int_eq(errno_of(syscall(458, NULL, NULL, 0, 0)), ENOSYS);  /* listmount */
    ck_assert_int_eq(errno_of(syscall(470, NULL, NULL, 0, 0)), ENOSYS);  /* listns */
}
END_TEST

static void *thread(void *arg)
{
    return arg;
}

START_TEST(what_programs_need)
{
    pthread_t t;
    void *got;
    int status;
    pid_t pid;

    load();
    ck_assert_int_eq(pthread_create(&t, NULL, thread, load), 0);
    ck_assert_int_eq(pthread_join(t, &got), 0);
    ck_assert_ptr_eq(got, load);
    pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "x=$(echo 3 | cat); exit $x", (char *)NULL);
        _exit(99);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(WEXITSTATUS(status), 3);
}
END_TEST

UNIT_MAIN("syscall_list", refused, no_namespaces, sockets_by_family, no_typing, core_dumps_stay_off,
          additions, new_calls, what_programs_need)
