/* The process that unpacks: what it cannot do, and how it ends. */
#include "base/cleanup.h"
#include "base/file.h"
#include "code/cache.h"
#include "code/confine.h"
#include "code/fetch.h"
#include "package/package.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* TSan has a thread of its own, and no process with two makes a user namespace. */
#ifdef __SANITIZE_THREAD__
enum { THREADED = 1 };
#else
enum { THREADED = 0 };
#endif

static char dir[64];

static int begin(uid_t owner)
{
    int fd;

    strcpy(dir, "/tmp/rouse-unpack-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fchown(fd, owner, owner), 0);
    return fd;
}

/* In the child: the number of the first thing that was possible, or 0. */
static int attack(int dir_fd)
{
    struct err e = {0};
    int fd;

    if (confine(dir_fd, &e) < 0) {
        dprintf(2, "%s\n", e.message);
        return 100;
    }
    if (open("/etc/passwd", O_RDONLY) >= 0 || open("../etc/passwd", O_RDONLY) >= 0)
        return 1;
    if (chroot("/") == 0 || setresuid(0, 0, 0) == 0)
        return 2;
    /* Its own place it may write to. */
    fd = openat(dir_fd, "mine", O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0 || write(fd, "x", 1) != 1 || fchmod(fd, 0755) < 0)
        return 3;
    if (SANITIZED)
        return 0;
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0)
        return 4;
    if (syscall(SYS_kill, 1, 0) == 0 || errno != ENOSYS)
        return 5;
    if (syscall(SYS_fork) >= 0 || syscall(SYS_execve, "/proc/self/exe", NULL, NULL) == 0)
        return 6;
    if (syscall(SYS_unshare, CLONE_NEWUSER) == 0 || syscall(SYS_ptrace, 0, 0, 0, 0) == 0)
        return 7;
    if (syscall(SYS_mknodat, AT_FDCWD, "device", S_IFCHR | 0666, 0x103) == 0)
        return 8;
    if (mmap(NULL, 1ul << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        return 9;
    return 0;
}

static int in_child(int dir_fd, uid_t uid)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (uid &&
            (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0))
            _exit(101);
        /* As after an exec; else /proc/self would be root's. */
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
        _exit(attack(dir_fd));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

START_TEST(locked_in)
{
    static const uid_t users[] = {0, 65533};
    struct stat st;

    if (geteuid() != 0) {
        printf("skipped: locked_in needs root\n");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(users) - THREADED; i++) {
        uid_t owner = users[i] ? users[i] : 65534;
        int fd = begin(owner);

        ck_assert_int_eq(in_child(fd, users[i]), 0);
        ck_assert_int_eq(fstatat(fd, "mine", &st, 0), 0);
        ck_assert_uint_eq(st.st_uid, owner);
        close(fd);
        file_remove_tree(dir);
    }
}
END_TEST

static int archive_of(const char *text)
{
    cleanup_buffer struct buffer b = {0};
    struct package_file f = {.name = "index.py", .data = text, .size = strlen(text)};
    int fd = memfd_create("archive", MFD_CLOEXEC);

    ck_assert_int_eq(package_pack_files(&f, 1, &b, NULL), 0);
    ck_assert_int_eq(write(fd, buffer_bytes(&b), buffer_size(&b)), (ssize_t)buffer_size(&b));
    return fd;
}

static bool no_children(void)
{
    return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD;
}

START_TEST(ends_in_time)
{
    uid_t owner = geteuid() ? geteuid() : 65534;
    int fd = begin(owner), archive = archive_of("pass"), stop = eventfd(1, EFD_CLOEXEC);
    struct err e = {0};

    ck_assert_int_eq(fetch_unpack("/proc/self/exe", archive, fd, -1, 0, &e), -ETIMEDOUT);
    ck_assert(no_children());
    ck_assert_int_eq(fetch_unpack("/proc/self/exe", archive, fd, stop, 60000, &e), -ECANCELED);
    ck_assert(no_children());
    ck_assert_int_eq(fetch_unpack("/nowhere/rouse-unpack", archive, fd, -1, 60000, &e), -ENOENT);
    ck_assert_msg(strstr(e.message, "/nowhere/rouse-unpack: No such file"), "%s", e.message);
    close(fd);
    file_remove_tree(dir);

    fd = begin(owner);
    ck_assert_msg(fetch_unpack("/proc/self/exe", archive, fd, -1, 60000, &e) == 0, "%s", e.message);
    ck_assert_int_eq(faccessat(fd, "index.py", R_OK, 0), 0);
    close(fd);
    close(archive);
    close(stop);
    file_remove_tree(dir);
}
END_TEST

/* What the archive has taken over may do as it likes: its words are cut, and it ends with them. */
START_TEST(ends_when_it_has_spoken)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"#!/bin/sh\nprintf %1000d 7; exit 5\n", "unpack:      "},
        {"#!/bin/sh\nexec >&-; exec sleep 1000\n", "unpack: killed by signal 9"},
    };
    int fd = begin(geteuid()), archive = archive_of("pass");

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {0};
        char path[96];

        snprintf(path, sizeof(path), "%s/unpack-%zu", dir, i);
        ck_assert_int_eq(file_write_atomic(path, rows[i].text, strlen(rows[i].text), 0700), 0);
        ck_assert_int_eq(fetch_unpack(path, archive, fd, -1, 60000, &e), -EBADMSG);
        ck_assert_msg(strstr(e.message, rows[i].message) == e.message, "%s", e.message);
        ck_assert(no_children());
    }
    close(archive);
    close(fd);
    file_remove_tree(dir);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *const cases[] = {locked_in, ends_in_time, ends_when_it_has_spoken};

    if (argc == 1 && !strcmp(argv[0], UNPACK_PROGRAM))
        code_unpack_main();
    return unit_main("code_unpack", cases, sizeof(cases) / sizeof(cases[0]));
}
