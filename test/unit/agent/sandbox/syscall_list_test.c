/* The seccomp program, loaded for real into processes of the test: needs no privileges. */
#include "sandbox/syscall_list.h"
#include "base/cleanup.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The leak checker traces its process at the end, which is one of the things refused here. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static void load(void)
{
    struct sock_fprog p;
    struct err e = {0};

    ck_assert_msg(syscall_list_compile(&p, &e) == 0, "%s", e.message);
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(syscall_list_load(&p), 0);
    syscall_list_done(&p);
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

UNIT_MAIN("syscall_list", refused, no_namespaces, sockets_by_family, no_typing, what_programs_need)
