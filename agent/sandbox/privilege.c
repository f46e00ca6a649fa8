#include "sandbox/privilege.h"
#include "sandbox/syscall_list.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOFILE_SOFT 1024u
#define NOFILE_HARD 65536u

static int limit_resources(struct err *e)
{
    struct rlimit files, core = {0, 0};

    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return err_errno(e, errno, "getrlimit nofile");
    files.rlim_max = files.rlim_max < NOFILE_HARD ? files.rlim_max : NOFILE_HARD;
    files.rlim_cur = files.rlim_max < NOFILE_SOFT ? files.rlim_max : NOFILE_SOFT;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        return err_errno(e, errno, "setrlimit nofile");
    if (setrlimit(RLIMIT_CORE, &core) < 0)
        return err_errno(e, errno, "setrlimit core");
    return 0;
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

static int become_user(bool whole_range, struct err *e)
{
    if (whole_range && setgroups(0, NULL) < 0)
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

int privilege_drop(bool whole_range, const struct sock_fprog *seccomp, struct err *e)
{
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    int r;

    umask(022);
    setsid();
    /* Keys of the node's session must not be found from inside. */
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
        return err_errno(e, errno, "new session keyring");
    r = limit_resources(e);
    if (r == 0)
        r = drop_bounding_set(e);
    if (r == 0 && prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
        r = err_errno(e, errno, "securebits");
    if (r == 0)
        r = become_user(whole_range, e);
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
    r = syscall_list_load(seccomp);
    return r < 0 ? err_errno(e, -r, "load the seccomp program") : 0;
}
