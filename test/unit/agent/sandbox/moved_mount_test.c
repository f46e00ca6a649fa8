/* A read-only mount that is moved into a box from outside, as a taken box gets its code: the kernel does not lock its flags,
 * so whoever keeps CAP_SYS_ADMIN there can clear them. What holds instead, one lock at a time. */
#include "base/cleanup.h"
#include "sandbox/landlock.h"
#include "sandbox/root.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum lock { NO_LOCK, NO_CAPABILITIES, LANDLOCK };

static char code[] = "/var/tmp/moved-code-XXXXXX", at[] = "/var/tmp/moved-at-XXXXXX";

static void lock(enum lock with)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};
    struct err e;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        _exit(200);
    if (with == NO_CAPABILITIES && syscall(SYS_capset, &header, none) < 0)
        _exit(201);
    if (with == LANDLOCK && landlock_restrict(&e) < 0)
        _exit(202);
}

/* In the box: 0, or why nothing could be written. */
static int try_to_write(void)
{
    struct mount_attr clear = {.attr_clr = MOUNT_ATTR_RDONLY};
    char path[64];

    mount_setattr(AT_FDCWD, at, 0, &clear, sizeof(clear));
    mount(NULL, at, NULL, MS_REMOUNT | MS_BIND, NULL);
    snprintf(path, sizeof(path), "%s/new", at);
    return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) < 0 ? errno : 0;
}

static int box(int sock, enum lock with)
{
    char go;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 203;
    lock(with);
    if (write(sock, "r", 1) != 1 || read(sock, &go, 1) != 1)
        return 204;
    return try_to_write();
}

/* In a process of its own: who shares its working directory with a thread, as under TSan, enters no mount namespace. */
static int mover(pid_t pid)
{
    struct err e;
    char path[64];
    int tree, other;

    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
    other = open(path, O_RDONLY | O_CLOEXEC);
    return tree_open(code, "code", true, &tree, &e) < 0 || setns(other, CLONE_NEWNS) < 0 ||
           move_mount(tree, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0;
}

static void move_in(pid_t pid)
{
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    int status;

    if (child == 0)
        _exit(mover(pid));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

static void map_root(pid_t pid)
{
    const char *const files[] = {"uid_map", "gid_map"};

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        cleanup_fd int fd = -1;
        char path[64];

        snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(write(fd, "0 0 1", 5), 5);
    }
}

/* -1: no such box here. */
static int attempt(enum lock with)
{
    int pair[2], status;
    char ready;
    pid_t pid;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(box(pair[1], with));
    if (pid < 0)
        return -1;
    map_root(pid);
    close(pair[1]);
    ck_assert_int_eq(read(pair[0], &ready, 1), 1);
    move_in(pid);
    ck_assert_int_eq(write(pair[0], "g", 1), 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    close(pair[0]);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(what_holds)
{
    char file[64];
    int r;

    if (geteuid() != 0) {
        printf("skipped: not root\n");
        return;
    }
    ck_assert_ptr_nonnull(mkdtemp(code));
    ck_assert_ptr_nonnull(mkdtemp(at));
    r = attempt(NO_LOCK);
    if (r < 0) {
        printf("skipped: no user namespaces here\n");
    } else {
        /* The kernel as it is: should it lock such mounts one day, this says so. */
        ck_assert_int_eq(r, 0);
        snprintf(file, sizeof(file), "%s/new", code);
        ck_assert_int_eq(unlink(file), 0);
        ck_assert_int_eq(attempt(NO_CAPABILITIES), EROFS);
        ck_assert_int_eq(access(file, F_OK), -1);
        /* It knows nothing of mount_setattr(2): the mount is writable then, its files are not. */
        if (syscall(444, NULL, 0, 1) >= 2)
            ck_assert_int_eq(attempt(LANDLOCK), EACCES);
        ck_assert_int_eq(access(file, F_OK), -1);
    }
    rmdir(code);
    rmdir(at);
}
END_TEST

UNIT_MAIN("moved_mount", what_holds)
