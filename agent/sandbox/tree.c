#include "sandbox/tree.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Both ways name attributes by the same numbers, statvfs(3) too. */
_Static_assert(MOUNT_ATTR_RDONLY == MS_RDONLY && MOUNT_ATTR_NOSUID == MS_NOSUID &&
                   MOUNT_ATTR_NODEV == MS_NODEV && MOUNT_ATTR_NOEXEC == MS_NOEXEC,
               "mount(2)'s flags");
_Static_assert(MS_RDONLY == (int)ST_RDONLY && MS_NOSUID == (int)ST_NOSUID &&
                   MS_NODEV == (int)ST_NODEV && MS_NOEXEC == (int)ST_NOEXEC,
               "statvfs(3)'s flags");

/* What the kernel makes of flags that nobody has: EINVAL, if the call is there. */
static bool is_refused(int result)
{
    return result < 0 && (errno == ENOSYS || errno == EPERM);
}

bool tree_detachable(void)
{
    struct mount_attr attr = {0};

    return !is_refused(open_tree(-1, "", ~0u)) && !is_refused(move_mount(-1, "", -1, "", ~0u)) &&
           !is_refused(mount_setattr(-1, "", ~0u, &attr, sizeof(attr))) &&
           !is_refused(fsopen("tmpfs", ~0u));
}

/* ---- detached */
static int clone_tree(const char *path, uint64_t attr)
{
    struct mount_attr a = {.attr_set = attr, .propagation = MS_PRIVATE};
    cleanup_fd int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

    if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof(a)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* ---- by mount(2) */
int tree_remount(const char *at, uint64_t attr)
{
    return mount(NULL, at, NULL, MS_REMOUNT | MS_BIND | (unsigned long)attr, NULL) < 0 ? -errno : 0;
}

/* Of what it has where it comes from nothing may be taken away in another user namespace. */
static uint64_t with_own(int tree, uint64_t attr)
{
    struct statvfs fs;

    if (fstatvfs(tree, &fs) == 0)
        attr |= fs.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC);
    return attr;
}

/* Without what is mounted below it, which could not be made read-only in one go; EINVAL where that would show what
 * it covers. */
static int bind_tree(const char *from, const char *at)
{
    return mount(from, at, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

/* ---- */
int tree_take(const char *path, uint64_t attr, bool detached)
{
    int fd = detached ? clone_tree(path, attr) : open(path, O_PATH | O_CLOEXEC);

    return fd < 0 && !detached ? -errno : fd;
}

int tree_open(const char *path, const char *what, bool detached, int *ret_fd, struct err *e)
{
    struct stat st;
    int fd;

    if (stat(path, &st) < 0)
        return err_errno(e, errno, "%s %s", what, path);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ENOTDIR, "%s %s is not a directory", what, path);
    fd = tree_take(path, TREE_ATTR, detached);
    if (fd < 0)
        return err_errno(e, -fd, "%s: take the mounts at %s, read-only", what, path);
    *ret_fd = fd;
    return 0;
}

int tree_put(int tree, const char *at, uint64_t attr, bool detached)
{
    char from[32];
    int r;

    if (detached)
        return move_mount(tree, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
    snprintf(from, sizeof(from), "/proc/self/fd/%d", tree);
    r = bind_tree(from, at);
    return r < 0 ? r : tree_remount(at, with_own(tree, attr));
}

int tree_put_root(int tree, bool detached)
{
    int r;

    if (detached) {
        if (move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return -errno;
        return fchdir(tree) < 0 ? -errno : 0;
    }
    if (fchdir(tree) < 0)
        return -errno;
    r = bind_tree(".", "/");
    /* The way up ends at the root, and goes on to what is mounted there: / alone does not. */
    if (r == 0 && chdir("/..") < 0)
        r = -errno;
    return r < 0 ? r : tree_remount(".", with_own(tree, TREE_ATTR));
}

void tree_map_ids(int tree, int user_namespace)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)user_namespace};

    mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr));
}
