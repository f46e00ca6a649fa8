#include "sandbox/root.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const devices[] = {"null", "zero", "full", "random", "urandom"};

/* What of /proc is the node's and not the sandbox's: what runc and docker hide, and what tells of the node's
 * devices, disks, command line and load. Not `subset=pid`, which takes cpuinfo, meminfo, stat and sys
 * from the runtimes too. Absent ones are passed over. */
static const char *const proc_hidden_files[] = {
    "kcore",       "keys",        "key-users",     "timer_list",    "timer_stats",
    "sched_debug", "kallsyms",    "latency_stats", "sysrq-trigger", "kmsg",
    "config.gz",   "vmallocinfo", "interrupts",    "softirqs",      "cmdline",
    "consoles",    "diskstats",   "partitions",    "swaps",         "modules",
    "iomem",       "ioports",     "dma",           "mtrr",          "pagetypeinfo"};
static const char *const proc_hidden_dirs[] = {"acpi", "asound", "bus",      "driver", "fs",
                                               "irq",  "scsi",   "pressure", "tty"};
#define EMPTY_DIR ROOT_SOCKET_DIR "/empty"

static int tree_clone(const char *path)
{
    int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

    return fd < 0 ? -errno : fd;
}

static int tree_lock(int fd)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                              .propagation = MS_PRIVATE};

    return mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int root_open_tree(const char *path, const char *what, int *ret_fd, struct err *e)
{
    cleanup_fd int fd = -1;
    struct stat st;
    int r;

    if (stat(path, &st) < 0)
        return err_errno(e, errno, "%s %s", what, path);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ENOTDIR, "%s %s is not a directory", what, path);
    fd = tree_clone(path);
    if (fd < 0)
        return err_errno(e, -fd, "%s: clone the mounts at %s", what, path);
    r = tree_lock(fd);
    if (r < 0)
        return err_errno(e, -r, "%s: make %s read-only", what, path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

void root_map_ids(int tree, int user_namespace)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)user_namespace};

    mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr));
}

/* A mount point that the Runtime's directory lacks cannot be made: it is read-only. */
static int no_mount_point(const struct root_plan *p, int code, const char *at, struct err *e)
{
    if (code == ENOENT || code == ENOTDIR)
        return err_set(e, code,
                       "mount %s: the runtime root %s has no directory %s (hack/mkruntime makes it)",
                       at, p->runtime_root, at);
    return err_errno(e, code, "mount %s", at);
}

static int mount_tree(const struct root_plan *p, int fd, const char *at, struct err *e)
{
    if (move_mount(fd, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return no_mount_point(p, errno, at, e);
    return 0;
}

static int mount_tmpfs(const struct root_plan *p, const char *at, unsigned long flags,
                       const char *options, struct err *e)
{
    if (mount("tmpfs", at, "tmpfs", MS_NOSUID | flags, options) < 0)
        return no_mount_point(p, errno, at, e);
    return 0;
}

/* Made before the pivot: the kernel gives a namespace a new /proc only while it still sees a whole
 * one. */
static int open_proc(struct err *e)
{
    cleanup_fd int fs = fsopen("proc", FSOPEN_CLOEXEC);
    int fd;

    if (fs < 0)
        return err_errno(e, errno, "mount /proc: fsopen");
    /* What cannot be traced from inside, which is the init, is not listed. */
    fsconfig(fs, FSCONFIG_SET_STRING, "hidepid", "2", 0);
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return err_errno(e, errno, "mount /proc");
    fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (fd < 0 && errno == EPERM)
        return err_set(e, EPERM,
                       "mount /proc: the kernel refuses, because the agent's own /proc is partly "
                       "hidden: run the agent outside of a container, or with an unmasked /proc");
    return fd < 0 ? err_errno(e, errno, "mount /proc") : fd;
}

/* The node's own inode: to be read and written, while its times, modes and attributes stay. */
static int open_device(const char *name, int *ret_fd, struct err *e)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};
    cleanup_fd int fd = -1;
    char path[32];

    snprintf(path, sizeof(path), "/dev/%s", name);
    fd = tree_clone(path);
    if (fd < 0)
        return err_errno(e, -fd, "clone the mount at %s", path);
    if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return err_errno(e, errno, "make the mount of %s read-only", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* The detached tree becomes /, the old root disappears. */
static int pivot(int root_tree, struct err *e)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_errno(e, errno, "make the mounts private");
    if (move_mount(root_tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_errno(e, errno, "mount the runtime root");
    if (fchdir(root_tree) < 0)
        return err_errno(e, errno, "enter the runtime root");
    /* Old root over new root at the same place; what is on top is taken away. */
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return err_errno(e, errno, "pivot_root");
    if (umount2(".", MNT_DETACH) < 0)
        return err_errno(e, errno, "unmount the old root");
    if (chdir("/") < 0)
        return err_errno(e, errno, "enter the new root");
    return 0;
}

static int make_dev(const struct root_plan *p, const int *trees, struct err *e)
{
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"}};
    int r = mount_tmpfs(p, "/dev", MS_NOEXEC, "mode=755,size=64k,nr_inodes=64", e);

    for (size_t i = 0; i < ARRAY_LEN(devices) && r == 0; i++) {
        char path[32];
        int fd;

        snprintf(path, sizeof(path), "/dev/%s", devices[i]);
        fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
        if (fd < 0)
            return err_errno(e, errno, "make %s", path);
        close(fd);
        r = mount_tree(p, trees[i], path, e);
    }
    for (size_t i = 0; i < ARRAY_LEN(links) && r == 0; i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            r = err_errno(e, errno, "make %s", links[i][1]);
    if (r == 0 && mkdir("/dev/shm", 01777) < 0)
        r = err_errno(e, errno, "make /dev/shm");
    if (r == 0)
        r = mount_tmpfs(p, "/dev/shm", MS_NODEV | MS_NOEXEC, "mode=1777,size=64m,nr_inodes=4096", e);
    if (r == 0 && mkdir("/dev/mqueue", 01777) < 0)
        r = err_errno(e, errno, "make /dev/mqueue");
    /* mq_open(3) needs none, but Landlock to know where queues lie. */
    if (r == 0 &&
        mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 &&
        errno != ENODEV)
        r = err_errno(e, errno, "mount /dev/mqueue");
    return r;
}

/* Covers `at` with a read-only copy of the mount at `with`. Absent: passed over. */
static int cover(const char *with, const char *at, struct err *e)
{
    cleanup_fd int fd = tree_clone(with);
    int r = fd < 0 ? fd : tree_lock(fd);

    if (r == 0 && move_mount(fd, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        r = -errno;
    if (r == -ENOENT || r == -ENOTDIR || r == 0)
        return 0;
    return err_errno(e, -r, "cover %s", at);
}

/* The old call: one instead of three, and what is bound cannot be written to anyway. */
static int hide(const char *with, const char *const *names, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        char at[32];

        snprintf(at, sizeof(at), "/proc/%s", names[i]);
        if (mount(with, at, NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
            return err_errno(e, errno, "hide %s", at);
    }
    return 0;
}

static int mask_proc(struct err *e)
{
    int r = cover("/proc/sys", "/proc/sys", e);

    if (r == 0)
        r = hide("/dev/null", proc_hidden_files, ARRAY_LEN(proc_hidden_files), e);
    if (r == 0)
        r = hide(EMPTY_DIR, proc_hidden_dirs, ARRAY_LEN(proc_hidden_dirs), e);
    return r;
}

/* A generated file in /run over an empty one that the Runtime keeps for it, if it does. */
static int put_file(const char *source, const char *at, const char *text, struct err *e)
{
    size_t n = strlen(text);
    int fd;

    if (access(at, F_OK) < 0)
        return 0;
    fd = open(source, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
    if (fd < 0)
        return err_errno(e, errno, "make %s", source);
    if (write(fd, text, n) != (ssize_t)n) {
        close(fd);
        return err_set(e, EIO, "write %s", source);
    }
    close(fd);
    return cover(source, at, e);
}

void root_names(const char *hostname, char hosts[256], char name[80])
{
    snprintf(hosts, 256, "127.0.0.1 localhost %s\n", hostname);
    snprintf(name, 80, "%s\n", hostname);
}

static int make_run(const struct root_plan *p, struct err *e)
{
    char hosts[256], hostname[80];
    int r = mount_tmpfs(p, "/run", MS_NODEV | MS_NOEXEC, "mode=755,size=64k,nr_inodes=64", e);

    if (r < 0)
        return r;
    if (mkdir(ROOT_SOCKET_DIR, 0755) < 0 || mkdir(EMPTY_DIR, 0555) < 0)
        return err_errno(e, errno, "make " EMPTY_DIR);
    root_names(p->hostname, hosts, hostname);
    r = put_file("/run/" ROOT_HOSTS, "/etc/hosts", hosts, e);
    if (r == 0)
        r = put_file("/run/" ROOT_HOSTNAME, "/etc/hostname", hostname, e);
    if (r == 0 && *p->resolv_conf)
        r = put_file(ROOT_SOCKET_DIR "/resolv.conf", "/etc/resolv.conf", p->resolv_conf, e);
    return r;
}

static int enter(const struct root_plan *p, int proc, const int *trees, struct err *e)
{
    char options[96];
    int r = pivot(p->root_tree, e);

    if (r == 0)
        r = mount_tree(p, proc, "/proc", e);
    if (r == 0)
        r = make_dev(p, trees, e);
    if (r < 0 || p->bare)
        return r;
    snprintf(options, sizeof(options), "mode=1777,size=%llu,nr_inodes=65536",
             (unsigned long long)p->tmp_size);
    r = mount_tmpfs(p, "/tmp", MS_NODEV, options, e);
    if (r == 0 && p->code_tree >= 0)
        r = mount_tree(p, p->code_tree, ROOT_TASK_DIR, e);
    if (r == 0)
        r = make_run(p, e);
    if (r == 0)
        r = mask_proc(e);
    return r;
}

int root_enter(const struct root_plan *p, struct err *e)
{
    int trees[ARRAY_LEN(devices)];
    int proc = open_proc(e);
    size_t n = 0;
    int r = proc < 0 ? proc : 0;

    while (n < ARRAY_LEN(devices) && r == 0) {
        r = open_device(devices[n], &trees[n], e);
        n += r == 0;
    }
    if (r == 0)
        r = enter(p, proc, trees, e);
    while (n > 0)
        close(trees[--n]);
    if (proc >= 0)
        close(proc);
    return r;
}

int root_mount_code(int tree, const char *runtime_root, struct err *e)
{
    return mount_tree(&(struct root_plan){.runtime_root = runtime_root}, tree, ROOT_TASK_DIR, e);
}

int root_seal(struct err *e)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

    if (mount_setattr(AT_FDCWD, "/run", 0, &attr, sizeof(attr)) < 0)
        return err_errno(e, errno, "make /run read-only");
    if (mount_setattr(AT_FDCWD, "/dev", 0, &attr, sizeof(attr)) < 0)
        return err_errno(e, errno, "make /dev read-only");
    return 0;
}
