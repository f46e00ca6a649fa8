#include "sandbox/landlock.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>

/* The kernel's interface (Documentation/userspace-api/landlock.rst): the headers of a build machine
 * are often older than the kernel that runs the result. */
enum {
    SYS_CREATE_RULESET = 444,
    SYS_ADD_RULE = 445,
    SYS_RESTRICT_SELF = 446,
    CREATE_RULESET_VERSION = 1,
    RULE_PATH_BENEATH = 1,
};
struct ruleset {
    uint64_t files, net, scoped;
};
struct beneath {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

#define EXECUTE    (1ull << 0)
#define WRITE_FILE (1ull << 1)
#define READ_FILE  (1ull << 2)
#define READ_DIR   (1ull << 3)
#define MAKE_CHAR  (1ull << 6)
#define MAKE_BLOCK (1ull << 11)
#define REFER      (1ull << 13)
#define TRUNCATE   (1ull << 14)
#define IOCTL_DEV  (1ull << 15)

#define SCOPE_ABSTRACT_SOCKETS (1ull << 0)
#define SCOPE_SIGNALS          (1ull << 1)

/* Who provokes refusals must not fill the node's audit log with them. */
#define QUIET_SELF       (1u << 0)
#define QUIET_SUBDOMAINS (1u << 2)

static uint64_t files_of(int abi)
{
    return abi >= 5 ? (IOCTL_DEV << 1) - 1 : abi >= 3 ? (TRUNCATE << 1) - 1 : (REFER << 1) - 1;
}

static int allow(int rules, const char *path, uint64_t what, struct err *e)
{
    cleanup_fd int dir = open(path, O_PATH | O_CLOEXEC | O_DIRECTORY);
    struct beneath rule = {.allowed = what, .parent = dir};

    if (dir < 0)
        return err_errno(e, errno, "Landlock: open %s", path);
    if (syscall(SYS_ADD_RULE, rules, RULE_PATH_BENEATH, &rule, 0) < 0)
        return err_errno(e, errno, "Landlock: rule for %s", path);
    return 0;
}

int landlock_restrict(struct err *e)
{
    const int abi = (int)syscall(SYS_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);
    const uint64_t all = files_of(abi), data = all & ~(MAKE_CHAR | MAKE_BLOCK);
    const struct ruleset asked = {.files = all,
                                  .scoped = abi >= 6 ? SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS : 0};
    cleanup_fd int rules = -1;
    int r;

    if (abi < 2)
        return 0;
    rules = (int)syscall(SYS_CREATE_RULESET, &asked, sizeof(asked), 0);
    if (rules < 0)
        return err_errno(e, errno, "Landlock: rule set");
    r = allow(rules, "/", EXECUTE | READ_FILE | READ_DIR, e);
    if (r == 0)
        r = allow(rules, "/tmp", data, e);
    if (r == 0)
        r = allow(rules, "/dev", all & (WRITE_FILE | TRUNCATE | IOCTL_DEV), e);
    if (r == 0)
        r = allow(rules, "/dev/shm", data, e);
    if (r == 0 && access("/dev/mqueue", F_OK) == 0)
        r = allow(rules, "/dev/mqueue", data, e);
    if (r == 0 && syscall(SYS_RESTRICT_SELF, rules, abi >= 7 ? QUIET_SELF | QUIET_SUBDOMAINS : 0) < 0)
        r = err_errno(e, errno, "Landlock: restrict");
    return r;
}
