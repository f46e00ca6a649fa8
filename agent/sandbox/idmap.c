#include "sandbox/idmap.h"
#include "base/file.h"
#include "sandbox/child.h"
#include "sandbox/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int proc_write(pid_t pid, const char *file, const char *text, struct err *e)
{
    char path[64];
    int r;

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    r = file_poke(AT_FDCWD, path, text);
    return r < 0 ? err_errno(e, -r, "write %s to %s", text, path) : 0;
}

/* Whoever asks these programs needs no privileges: /etc/subuid and /etc/subgid say what they may. */
static int run(const char *program, pid_t pid, unsigned first, struct err *e)
{
    char process[16], root[16], user[16], function[8];
    const char *argv[] = {program, process, "0", root, "1", function, user, "1", NULL};
    int status = -1;
    pid_t child;

    snprintf(process, sizeof(process), "%d", pid);
    snprintf(root, sizeof(root), "%u", first);
    snprintf(user, sizeof(user), "%u", first + 1);
    snprintf(function, sizeof(function), "%u", SANDBOX_UID);
    child = vfork();
    if (child == 0) {
        execv(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (child < 0)
        return err_errno(e, errno, "%s", program);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return err_set(e, EPERM, "%s refuses the ids %s and %s: see /etc/subuid and /etc/subgid",
                       program, root, user);
    return 0;
}

int idmap_write(enum idmap_kind kind, uid_t uid, gid_t gid, pid_t pid, struct err *e)
{
    char uids[64], gids[64];
    int r;

    if (kind == IDMAP_TWO) {
        r = run(IDMAP_UIDS, pid, uid, e);
        return r < 0 ? r : run(IDMAP_GIDS, pid, gid, e);
    }
    if (kind == IDMAP_WHOLE) {
        snprintf(uids, sizeof(uids), "0 %u %u", uid, SANDBOX_ID_RANGE);
        snprintf(gids, sizeof(gids), "0 %u %u", gid, SANDBOX_ID_RANGE);
    } else {
        snprintf(uids, sizeof(uids), "%u %u 1", SANDBOX_UID, uid);
        snprintf(gids, sizeof(gids), "%u %u 1", SANDBOX_UID, gid);
        r = proc_write(pid, "setgroups", "deny", e);
        if (r < 0)
            return r;
    }
    r = proc_write(pid, "uid_map", uids, e);
    return r < 0 ? r : proc_write(pid, "gid_map", gids, e);
}
