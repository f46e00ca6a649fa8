/* confine.c - chroot, another user, no_new_privs, rlimits, and a list of system calls.
 *
 * As root the user becomes nobody; otherwise a user namespace of its own gives
 * what chroot needs, and is given up with the rest. Without a descriptor from
 * outside and without capabilities nobody leaves a chroot; Landlock could only
 * say the same again. */
#include "code/confine.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { UNPRIVILEGED = 65534, CPU_S = 60, FILES = 32 };
#define FILE_SIZE (512ull << 20)
#define MEMORY    (512ull << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 }; /* they reserve terabytes and make calls of their own */
#else
enum { SANITIZED = 0 };
#endif

static int limit(int which, rlim_t value)
{
    struct rlimit l = {.rlim_cur = value, .rlim_max = value};

    return setrlimit((__rlimit_resource_t)which, &l);
}

/* Its one user is ours; files made there stay ours. */
static int enter_user_namespace(void)
{
    const unsigned uid = geteuid(), gid = getegid();
    char uids[48], gids[48];
    int r;

    snprintf(uids, sizeof(uids), "%d %u 1", UNPRIVILEGED, uid);
    snprintf(gids, sizeof(gids), "%d %u 1", UNPRIVILEGED, gid);
    if (unshare(CLONE_NEWUSER) < 0)
        return -errno;
    r = file_poke(AT_FDCWD, "/proc/self/setgroups", "deny");
    if (r == 0)
        r = file_poke(AT_FDCWD, "/proc/self/uid_map", uids);
    return r == 0 ? file_poke(AT_FDCWD, "/proc/self/gid_map", gids) : r;
}

static int empty_bounding_set(void)
{
    for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
            return -errno;
    return 0;
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

static int become_nobody(void)
{
    if (setgroups(0, NULL) < 0 || setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED) < 0 ||
        setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED) < 0)
        return -errno;
    return 0;
}

/* What libc, libarchive and package_unpack() call; all else is as if the kernel did not have it. */
static int allow_file_calls(void)
{
    static const int calls[] = {
        SCMP_SYS(read),         SCMP_SYS(pread64),       SCMP_SYS(readv),      SCMP_SYS(lseek),
        SCMP_SYS(write),        SCMP_SYS(pwrite64),      SCMP_SYS(writev),     SCMP_SYS(ftruncate),
        SCMP_SYS(openat),       SCMP_SYS(close),         SCMP_SYS(fcntl),      SCMP_SYS(fstat),
        SCMP_SYS(newfstatat),   SCMP_SYS(statx),         SCMP_SYS(mkdirat),    SCMP_SYS(unlinkat),
        SCMP_SYS(symlinkat),    SCMP_SYS(linkat),        SCMP_SYS(fchmodat),   SCMP_SYS(fchmod),
        SCMP_SYS(brk),          SCMP_SYS(mmap),          SCMP_SYS(munmap),     SCMP_SYS(mremap),
        SCMP_SYS(mprotect),     SCMP_SYS(madvise),       SCMP_SYS(futex),      SCMP_SYS(getrandom),
        SCMP_SYS(getpid),       SCMP_SYS(clock_gettime), SCMP_SYS(exit_group), SCMP_SYS(exit),
        SCMP_SYS(rt_sigreturn),
    };
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int r = f ? 0 : -ENOMEM;

    for (size_t i = 0; i < ARRAY_LEN(calls) && r == 0; i++)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
    if (r == 0)
        r = seccomp_load(f);
    if (f)
        seccomp_release(f);
    return r;
}

int confine(int dir_fd, struct err *e)
{
    const bool root = geteuid() == 0;
    int r;

    umask(022);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(e, errno, "no_new_privs");
    if (fchdir(dir_fd) < 0)
        return err_errno(e, errno, "fchdir");
    if (!root && (r = enter_user_namespace()) < 0)
        return err_errno(e, -r, "a user namespace (are they allowed here?)");
    if (chroot(".") < 0 || chdir("/") < 0)
        return err_errno(e, errno, "chroot");
    r = empty_bounding_set();
    if (r == 0 && root)
        r = become_nobody();
    if (r == 0)
        r = drop_capabilities();
    if (r < 0)
        return err_errno(e, -r, "drop privileges");
    /* After the change of user, which clears it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(e, errno, "prctl");
    if (limit(RLIMIT_CPU, CPU_S) < 0 || limit(RLIMIT_FSIZE, FILE_SIZE) < 0 ||
        limit(RLIMIT_NOFILE, FILES) < 0 || limit(RLIMIT_CORE, 0) < 0 ||
        limit(RLIMIT_NPROC, 0) < 0 || (!SANITIZED && limit(RLIMIT_AS, MEMORY) < 0))
        return err_errno(e, errno, "setrlimit");
    r = SANITIZED ? 0 : allow_file_calls();
    return r < 0 ? err_errno(e, -r, "seccomp") : 0;
}
