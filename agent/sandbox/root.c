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
#define PROC_ATTR (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
/* The node's own inode: to be read and written, while its times, modes and attributes stay. */
#define DEVICE_ATTR (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)

/* A mount point that the Runtime's directory lacks cannot be made: it is read-only. */
static int no_mount_point(const struct root_plan *p, int code, const char *at, struct err *e)
{
    if (code == ENOENT || code == ENOTDIR)
        return err_set(e, code,
                       "mount %s: the runtime root %s has no directory %s (hack/mkruntime makes it)",
                       at, p->runtime_root, at);
    return err_errno(e, code, "mount %s", at);
}

static int mount_tree(const struct root_plan *p, int tree, const char *at, uint64_t attr,
                      struct err *e)
{
    int r = tree_put(tree, at, attr, p->detached);

    return r < 0 ? no_mount_point(p, -r, at, e) : 0;
}

static int mount_tmpfs(const struct root_plan *p, const char *at, unsigned long flags,
                       const char *options, struct err *e)
{
    if (mount("tmpfs", at, "tmpfs", MS_NOSUID | flags, options) < 0)
        return no_mount_point(p, errno, at, e);
    return 0;
}

static int proc_refused(int code, struct err *e)
{
    if (code == EPERM)
        return err_set(e, EPERM,
                       "mount /proc: the kernel refuses, because the agent's own /proc is partly "
                       "hidden: run the agent outside of a container, or with an unmasked /proc");
    return err_errno(e, code, "mount /proc");
}

/* Made before the old root is gone: the kernel gives a namespace a new /proc only while it still sees a
 * whole one. What cannot be traced from inside, which is the init, is not listed. */
static int open_proc(struct err *e)
{
    cleanup_fd int fs = fsopen("proc", FSOPEN_CLOEXEC);
    int fd;

    if (fs < 0)
        return err_errno(e, errno, "mount /proc: fsopen");
    fsconfig(fs, FSCONFIG_SET_STRING, "hidepid", "2", 0);
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return err_errno(e, errno, "mount /proc");
    fd = fsmount(fs, FSMOUNT_CLOEXEC, PROC_ATTR);
    return fd < 0 ? proc_refused(errno, e) : fd;
}

static int put_proc(const struct root_plan *p, int proc, struct err *e)
{
    if (proc >= 0)
        return mount_tree(p, proc, "/proc", PROC_ATTR, e);
    if (mount("proc", "/proc", "proc", PROC_ATTR, "hidepid=2") == 0)
        return 0;
    return errno == ENOENT ? no_mount_point(p, errno, "/proc", e) : proc_refused(errno, e);
}

static int open_device(const struct root_plan *p, const char *name, int *ret_fd, struct err *e)
{
    char path[32];
    int fd;

    snprintf(path, sizeof(path), "/dev/%s", name);
    fd = tree_take(path, DEVICE_ATTR, p->detached);
    if (fd < 0)
        return err_errno(e, -fd, "take the mount at %s, read-only", path);
    *ret_fd = fd;
    return 0;
}

/* The tree becomes /, with the old root on top of it. */
static int pivot(const struct root_plan *p, struct err *e)
{
    int r;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_errno(e, errno, "make the mounts private");
    r = tree_put_root(p->root_tree, p->detached);
    if (r < 0)
        return err_errno(e, -r, "mount the runtime root");
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return err_errno(e, errno, "pivot_root");
    return 0;
}

static int leave_old_root(struct err *e)
{
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
        r = mount_tree(p, trees[i], path, DEVICE_ATTR, e);
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

/* Covers `at` with a read-only view of what is at `with`. Absent: passed over. */
static int cover(const char *with, const char *at, struct err *e)
{
    int r;

    if (mount(with, at, NULL, MS_BIND, NULL) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_errno(e, errno, "cover %s", at);
    r = tree_remount(at, MOUNT_ATTR_RDONLY | PROC_ATTR);
    return r < 0 ? err_errno(e, -r, "make %s read-only", at) : 0;
}

/* What is bound cannot be written to anyway. */
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

static int enter(const struct root_plan *p, int proc, const int *devs, struct err *e)
{
    char options[96];
    int r = pivot(p, e);

    /* Trees that are not detached are still there. */
    if (r == 0 && p->detached)
        r = leave_old_root(e);
    if (r == 0)
        r = put_proc(p, proc, e);
    if (r == 0)
        r = make_dev(p, devs, e);
    if (r == 0 && p->code_tree >= 0)
        r = mount_tree(p, p->code_tree, ROOT_TASK_DIR, TREE_ATTR, e);
    if (r == 0 && !p->detached)
        r = leave_old_root(e);
    if (r < 0 || p->bare)
        return r;
    snprintf(options, sizeof(options), "mode=1777,size=%llu,nr_inodes=65536",
             (unsigned long long)p->tmp_size);
    r = mount_tmpfs(p, "/tmp", MS_NODEV, options, e);
    if (r == 0)
        r = make_run(p, e);
    if (r == 0)
        r = mask_proc(e);
    return r;
}

int root_enter(const struct root_plan *p, struct err *e)
{
    int devs[ARRAY_LEN(devices)];
    int proc = p->detached ? open_proc(e) : -1;
    int r = p->detached && proc < 0 ? proc : 0;
    size_t n = 0;

    while (n < ARRAY_LEN(devices) && r == 0) {
        r = open_device(p, devices[n], &devs[n], e);
        n += r == 0;
    }
    if (r == 0)
        r = enter(p, proc, devs, e);
    while (n > 0)
        close(devs[--n]);
    if (proc >= 0)
        close(proc);
    return r;
}

int root_mount_code(int tree, const char *runtime_root, struct err *e)
{
    const struct root_plan p = {.runtime_root = runtime_root, .detached = true};

    return mount_tree(&p, tree, ROOT_TASK_DIR, TREE_ATTR, e);
}

int root_seal(struct err *e)
{
    int r = tree_remount("/run", MOUNT_ATTR_RDONLY | PROC_ATTR);

    if (r < 0)
        return err_errno(e, -r, "make /run read-only");
    r = tree_remount("/dev", DEVICE_ATTR);
    return r < 0 ? err_errno(e, -r, "make /dev read-only") : 0;
}
