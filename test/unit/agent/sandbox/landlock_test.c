/* Landlock for real, in processes of the test: needs no privileges, only a kernel that has it. */
#include "sandbox/landlock.h"
#include "base/cleanup.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

static int abi(void)
{
    return (int)syscall(444, NULL, 0, 1);
}

#define NEED(version)                                                                              \
    do {                                                                                           \
        if (abi() < (version)) {                                                                   \
            printf("skipped: no Landlock of ABI %d here\n", (version));                            \
            return;                                                                                \
        }                                                                                          \
    } while (0)

static void enter(void)
{
    struct err e = {0};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_msg(landlock_restrict(&e) == 0, "%s", e.message);
}

static int open_errno(int at, const char *path, int flags)
{
    int fd = openat(at, path, flags | O_CLOEXEC, 0600);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

/* Root may write anywhere, but for Landlock. */
START_TEST(writes_where_writes_make_sense)
{
    char a[] = "/tmp/landlock-XXXXXX", b[64], c[64];

    NEED(2);
    ck_assert_ptr_nonnull(mkdtemp(a));
    snprintf(b, sizeof(b), "%s/file", a);
    snprintf(c, sizeof(c), "/tmp/landlock-moved-%d", getpid());
    enter();
    ck_assert_int_eq(open_errno(AT_FDCWD, "/etc/passwd", O_RDONLY), 0);
    ck_assert_int_eq(open_errno(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY), 0);
    ck_assert_int_eq(open_errno(AT_FDCWD, "/proc/self/comm", O_RDONLY), 0);
    ck_assert_int_eq(open_errno(AT_FDCWD, "/dev/null", O_WRONLY | O_TRUNC), 0);
    ck_assert_int_eq(open_errno(AT_FDCWD, b, O_RDWR | O_CREAT | O_EXCL), 0);
    /* To another directory. */
    ck_assert_int_eq(rename(b, c), 0);
    ck_assert_int_eq(truncate(c, 0), 0);
    ck_assert_int_eq(unlink(c), 0);
    ck_assert_int_eq(rmdir(a), 0);

    ck_assert_int_eq(open_errno(AT_FDCWD, "/var/landlock-test", O_WRONLY | O_CREAT), EACCES);
    ck_assert_int_eq(open_errno(AT_FDCWD, "/proc/self/comm", O_WRONLY), EACCES);
    ck_assert_int_eq(mkdir("/var/landlock-test", 0700) < 0 ? errno : 0, EACCES);
    ck_assert_int_eq(symlink("x", "/var/landlock-test") < 0 ? errno : 0, EACCES);
    /* A device: 0, 0 would be an overlay's whiteout, which newer kernels take for a file. */
    ck_assert_int_eq(mknod("/tmp/landlock-node", S_IFCHR | 0600, makedev(1, 3)) < 0 ? errno : 0,
                     EACCES);
}
END_TEST

START_TEST(mounts_stay)
{
    NEED(2);
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0) {
        printf("skipped: no mount namespace here\n");
        return;
    }
    enter();
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0 ? errno : 0,
                     EPERM);
    ck_assert_int_eq(mount("none", "/tmp", "tmpfs", 0, NULL) < 0 ? errno : 0, EPERM);
    ck_assert_int_eq(umount2("/proc", MNT_DETACH) < 0 ? errno : 0, EPERM);
}
END_TEST

/* A descriptor that leaked in leads nowhere, to reading neither. */
START_TEST(a_tree_from_outside)
{
    int tree;

    NEED(2);
    tree = open_tree(AT_FDCWD, "/etc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) {
        printf("skipped: no tree of mounts to be had: %s\n", strerror(errno));
        return;
    }
    ck_assert_int_eq(open_errno(tree, "passwd", O_RDONLY), 0);
    enter();
    ck_assert_int_eq(open_errno(tree, "passwd", O_RDONLY), EACCES);
    ck_assert_int_eq(open_errno(tree, "landlock-test", O_WRONLY | O_CREAT), EACCES);
}
END_TEST

START_TEST(nothing_crosses_the_border)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t n = sizeof(at.sun_family);
    int outside = socket(AF_UNIX, SOCK_STREAM, 0), own, client;
    pid_t pid;

    NEED(6);
    /* A name of the kernel's choice. */
    ck_assert_int_eq(bind(outside, (struct sockaddr *)&at, n), 0);
    ck_assert_int_eq(listen(outside, 1), 0);
    n = sizeof(at);
    ck_assert_int_eq(getsockname(outside, (struct sockaddr *)&at, &n), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    enter();
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(client, (struct sockaddr *)&at, n) < 0 ? errno : 0, EPERM);
    ck_assert_int_eq(kill(getppid(), 0) < 0 ? errno : 0, EPERM);
    ck_assert_int_eq(kill(pid, SIGKILL) < 0 ? errno : 0, EPERM);
    /* Its own are as always. */
    own = socket(AF_UNIX, SOCK_STREAM, 0);
    n = sizeof(at.sun_family);
    ck_assert_int_eq(bind(own, (struct sockaddr *)&at, n), 0);
    ck_assert_int_eq(listen(own, 1), 0);
    n = sizeof(at);
    ck_assert_int_eq(getsockname(own, (struct sockaddr *)&at, &n), 0);
    ck_assert_int_eq(connect(client, (struct sockaddr *)&at, n), 0);
    ck_assert_int_eq(kill(getpid(), 0), 0);
}
END_TEST

/* A function may use it itself. */
START_TEST(nests)
{
    NEED(2);
    enter();
    enter();
    ck_assert_int_eq(open_errno(AT_FDCWD, "/etc/passwd", O_RDONLY), 0);
}
END_TEST

UNIT_MAIN("landlock", writes_where_writes_make_sense, mounts_stay, a_tree_from_outside,
          nothing_crosses_the_border, nests)
