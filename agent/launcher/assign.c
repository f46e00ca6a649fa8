/* assign.c - makes a parked sandbox an instance's: limits, code, names, and the word to its init.
 *
 * Nothing foreign has run in it yet. The launcher goes into its mount and UTS
 * namespaces for the few calls that need that, opens no path there but the two
 * mount points that its own child has made, and comes back whatever happens. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "sandbox/message.h"
#include "sandbox/root.h"
#include "launcher/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* ---- the launcher's own place */
int assign_open_home(struct home *h, struct err *e)
{
    /* A root and a working directory of this thread's own, should a library have made another: who shares them
     * may enter no mount namespace. */
    if (unshare(CLONE_FS) < 0)
        return err_errno(e, errno, "unshare the file system's root");
    h->mounts = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    h->names = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    h->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return h->mounts < 0 || h->names < 0 || h->root < 0
               ? err_errno(e, errno, "the launcher's own namespaces")
               : 0;
}

/* A mount namespace is entered at its root: one that is not ours, should the agent have been confined by
 * chroot(2). Elsewhere than here the launcher must not go on: the next paths it opens would be a sandbox's. */
static void return_home(const struct home *h)
{
    if (setns(h->mounts, CLONE_NEWNS) == 0 && fchdir(h->root) == 0 && chroot(".") == 0 &&
        setns(h->names, CLONE_NEWUTS) == 0)
        return;
    log_error("cannot return from a sandbox: %s", strerror(errno));
    _exit(1);
}

/* ---- inside */
static int resize_tmp(uint64_t size, struct err *e)
{
    cleanup_fd int fs = fspick(AT_FDCWD, "/tmp", FSPICK_CLOEXEC | FSPICK_NO_AUTOMOUNT);
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
    if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", text, 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
        return err_errno(e, errno, "set the size of /tmp to %s", text);
    return 0;
}

static int change_inside(const struct sandbox *b, const struct sandbox_spec *s, int code_tree,
                         struct err *e)
{
    int r = code_tree < 0 ? 0 : root_mount_code(code_tree, s->kind.runtime_root, e);

    if (r < 0)
        return r;
    if (strcmp(b->hostname, s->hostname) && sethostname(s->hostname, strlen(s->hostname)) < 0)
        return err_errno(e, errno, "sethostname %s", s->hostname);
    return s->tmp_size == b->tmp_size ? 0 : resize_tmp(s->tmp_size, e);
}

static int go_inside(const struct sandbox *b, const struct sandbox_spec *s, int code_tree,
                     struct err *e)
{
    int r;

    if (setns(b->process.fd, CLONE_NEWNS | CLONE_NEWUTS) < 0)
        return err_errno(e, errno, "enter the sandbox");
    r = change_inside(b, s, code_tree, e);
    return_home(&b->server->home);
    return r;
}

/* ---- from outside */
static int rewrite(int fd, const char *text, const char *what, struct err *e)
{
    size_t n = strlen(text);

    if (fd < 0)
        return 0;
    if (pwrite(fd, text, n, 0) != (ssize_t)n || ftruncate(fd, (off_t)n) < 0)
        return err_errno(e, errno, "write %s", what);
    return 0;
}

static int rename_it(const struct sandbox *b, const char *hostname, struct err *e)
{
    char hosts[256], name[80];
    int r;

    root_names(hostname, hosts, name);
    r = rewrite(b->hosts_fd, hosts, "/etc/hosts", e);
    return r < 0 ? r : rewrite(b->hostname_fd, name, "/etc/hostname", e);
}

static int tell(const struct sandbox *b, const struct sandbox_spec *s, struct err *e)
{
    const struct message m = {.type = MESSAGE_RUN, .id = "", .spec = *s};
    cleanup_buffer struct buffer bytes = {0};
    int r = message_encode(&bytes, &m);

    if (r == 0)
        r = message_send(b->channel.fd, buffer_bytes(&bytes), buffer_size(&bytes), NULL, 0);
    return r < 0 ? err_errno(e, -r, "tell the sandbox what to run") : 0;
}

/* Its files show the ids that they have on the node as the sandbox's own, where the file system can. */
static int open_code(const struct sandbox *b, const char *dir, int *ret_tree, struct err *e)
{
    char path[64];
    int fd, r = tree_open(dir, "code directory", true, ret_tree, e);

    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "/proc/%d/ns/user", b->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        tree_map_ids(*ret_tree, fd);
        close(fd);
    }
    return 0;
}

int sandbox_assign(struct sandbox *b, const struct sandbox_spec *asked, struct err *e)
{
    struct sandbox_spec s = *asked;
    const struct cgroup_limits limits = limits_of(asked);
    cleanup_fd int code_tree = -1;
    int r = cgroup_limit(&b->server->cgroups, b->cgroup, &b->limits, &limits, e);

    b->limits = limits;
    s.tmp_size = s.tmp_size ? s.tmp_size : SANDBOX_TMP;
    if (r == 0 && !b->has_code)
        r = open_code(b, s.code_dir, &code_tree, e);
    if (r == 0 && strcmp(b->hostname, s.hostname))
        r = rename_it(b, s.hostname, e);
    if (r == 0 && (code_tree >= 0 || strcmp(b->hostname, s.hostname) || s.tmp_size != b->tmp_size))
        r = go_inside(b, &s, code_tree, e);
    if (r == 0 && !b->has_argv)
        r = tell(b, &s, e);
    return r;
}
