/* What privilege_drop() takes away that the list of calls would hide: here that lets everything pass. */
#include "sandbox/privilege.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const char *missing(void)
{
#ifdef __SANITIZE_THREAD__
    return "ThreadSanitizer gives a child a thread, and who has threads makes no user namespace";
#endif
    return geteuid() == 0 ? NULL : "keys of another user need root";
}

#define NEED()                                                                                     \
    do {                                                                                           \
        if (missing()) {                                                                           \
            printf("skipped: %s\n", missing());                                                    \
            return;                                                                                \
        }                                                                                          \
    } while (0)

enum { QUOTA = 100000 }; /* more keys than anybody may have */

static long key_add(int n)
{
    char name[32];

    snprintf(name, sizeof(name), "rouse-test-%d", n);
    return syscall(SYS_add_key, "user", name, "x", 1, KEY_SPEC_SESSION_KEYRING);
}

/* A login session: its user, who maps himself as an agent without root does, and its keyring with a key. */
static int log_in(bool full)
{
    const uid_t uid = 64000 + (uid_t)getpid() % 1000;
    char map[32];

    snprintf(map, sizeof(map), "%u %u 1", SANDBOX_UID, uid);
    if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0 ||
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ||
        syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 || key_add(0) < 0)
        return -errno;
    for (int n = 1; full && key_add(n) >= 0; n++)
        if (n == QUOTA)
            return -ERANGE;
    if (full && errno != EDQUOT)
        return -errno;
    if (unshare(CLONE_NEWUSER) < 0 || file_poke(AT_FDCWD, "/proc/self/setgroups", "deny") < 0 ||
        file_poke(AT_FDCWD, "/proc/self/uid_map", map) < 0 ||
        file_poke(AT_FDCWD, "/proc/self/gid_map", map) < 0)
        return -errno;
    return 0;
}

/* The errno with which the session's key is not found, 0: it is. Above 200: it did not come to that. */
static int search_after_drop(bool full)
{
    struct sock_filter yes[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {1, yes};
    struct err e = {0};
    int r = log_in(full);

    if (r < 0) {
        printf("log in: %s\n", strerror(-r));
        return 200;
    }
    if (privilege_drop(false, false, &program, &e) < 0) {
        printf("%s\n", e.message);
        return 201;
    }
    return syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "rouse-test-0", 0) < 0
               ? errno
               : 0;
}

/* In a process that is not the test's: what it has given up, the test's end may need. */
static int in_child(bool full)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int r = search_after_drop(full);

        fflush(stdout);
        _exit(r);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(keys_of_the_session_stay_outside)
{
    NEED();
    ck_assert_int_eq(in_child(false), ENOKEY);
}
END_TEST

/* Without root all instances are one user's, who may have 200 keys: no instance is refused for that. */
START_TEST(a_user_who_may_have_no_more_keys)
{
    NEED();
    ck_assert_int_le(in_child(true), 199);
}
END_TEST

UNIT_MAIN("privilege", keys_of_the_session_stay_outside, a_user_who_may_have_no_more_keys)
