#include "sandbox/privilege.h"
#include "base/cleanup.h"
#include "sandbox/landlock.h"
#include "sandbox/syscall_list.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Soft and hard, each at most what the agent itself may. Memory, processes and time are the cgroup's. */
static const struct {
    int what;
    const char *name;
    rlim_t soft, hard;
} limits[] = {
    {RLIMIT_NOFILE, "nofile", 1024, 65536},
    /* Not 0: a core_pattern that is a pipe starts the node's own handler for any limit but 1. */
    {RLIMIT_CORE, "core", 1, 1},
    {RLIMIT_STACK, "stack", 8u << 20, RLIM_INFINITY},
    {RLIMIT_MEMLOCK, "memlock", 8u << 20, 8u << 20},
    {RLIMIT_MSGQUEUE, "msgqueue", 800u << 10, 800u << 10},
    {RLIMIT_SIGPENDING, "sigpending", 4096, 4096},
    {RLIMIT_NICE, "nice", 0, 0},
    {RLIMIT_RTPRIO, "rtprio", 0, 0},
};

static int limit_resource(int what, const char *name, rlim_t soft, rlim_t hard, struct err *e)
{
    struct rlimit now;

    if (getrlimit((__rlimit_resource_t)what, &now) < 0)
        return err_errno(e, errno, "getrlimit %s", name);
    now.rlim_max = now.rlim_max < hard ? now.rlim_max : hard;
    now.rlim_cur = now.rlim_max < soft ? now.rlim_max : soft;
    return setrlimit((__rlimit_resource_t)what, &now) < 0 ? err_errno(e, errno, "setrlimit %s", name)
                                                          : 0;
}

bool privilege_counts_processes(void)
{
    unsigned major, minor;
    struct utsname u;

    return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 14));
}

static int limit_resources(bool processes, struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < ARRAY_LEN(limits) && r == 0; i++)
        r = limit_resource(limits[i].what, limits[i].name, limits[i].soft, limits[i].hard, e);
    if (r == 0 && processes && privilege_counts_processes())
        r = limit_resource(RLIMIT_NPROC, "nproc", SANDBOX_PROCESSES, SANDBOX_PROCESSES, e);
    return r;
}

static int drop_bounding_set(struct err *e)
{
    for (int cap = 0;; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
            continue;
        /* Past the last one that this kernel knows. */
        if (errno == EINVAL)
            return 0;
        return err_errno(e, errno, "drop capability %d from the bounding set", cap);
    }
}

static int become_user(bool may_set_groups, struct err *e)
{
    if (may_set_groups && setgroups(0, NULL) < 0)
        return err_errno(e, errno, "setgroups");
    if (setresgid(SANDBOX_UID, SANDBOX_UID, SANDBOX_UID) < 0)
        return err_errno(e, errno, "setresgid %u", SANDBOX_UID);
    if (setresuid(SANDBOX_UID, SANDBOX_UID, SANDBOX_UID) < 0)
        return err_errno(e, errno, "setresuid %u", SANDBOX_UID);
    return 0;
}

static int drop_capabilities(struct err *e)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return err_errno(e, errno, "clear the ambient capabilities");
    if (syscall(SYS_capset, &header, none) < 0)
        return err_errno(e, errno, "capset");
    return 0;
}

int privilege_new_keyring(void)
{
    return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS ? -errno : 0;
}

int privilege_drop(bool may_set_groups, bool limit_processes, const struct sock_fprog *seccomp,
                   struct err *e)
{
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    int r;

    umask(022);
    setsid();
    /* Without root all instances are one user's, who may have 200 keys; the launcher's ring is empty, too. */
    r = privilege_new_keyring();
    if (r < 0 && r != -EDQUOT)
        return err_errno(e, -r, "new session keyring");
    r = limit_resources(limit_processes, e);
    if (r == 0)
        r = drop_bounding_set(e);
    if (r == 0 && prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
        r = err_errno(e, errno, "securebits");
    if (r == 0)
        r = become_user(may_set_groups, e);
    if (r == 0)
        r = drop_capabilities(e);
    if (r < 0)
        return r;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(e, errno, "no_new_privs");
    /* The process that stays as init is a fork of the launcher: nobody inside may look into it. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_errno(e, errno, "not dumpable");
    /* After the change of user, which clears it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return err_errno(e, errno, "death with the launcher");
    r = landlock_restrict(e);
    if (r < 0)
        return r;
    r = syscall_list_load(seccomp);
    return r < 0 ? err_errno(e, -r, "load the seccomp program") : 0;
}
