#include "base/cleanup.h"
#include "sandbox/root.h"
#include "launcher/zygote_host.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

extern const uint8_t zygote_library[], zygote_library_end[];

static _Noreturn void fail(const struct err *e)
{
    dprintf(STDERR_FILENO, "%s\n", e->message);
    _exit(127);
}

static int make_library(struct err *e)
{
    size_t n = (size_t)(zygote_library_end - zygote_library);
    int fd = memfd_create("rouse-zygote", MFD_ALLOW_SEALING);

    if (fd < 0)
        return err_errno(e, errno, "memfd for the library");
    if (write(fd, zygote_library, n) != (ssize_t)n)
        return err_set(e, EIO, "write the library");
    /* Its pages are the init's of every box, and every function's that is a fork: nobody writes to them any more. */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return err_errno(e, errno, "seal the library");
    return fd;
}

static int attach(const struct zygote_place *p, struct err *e)
{
    for (size_t i = 0; i < p->n; i++)
        if (write(p->procs[i], "0", 1) != 1)
            return err_errno(e, errno, "cgroup: attach");
    return 0;
}

static int enter_root(const struct zygote *z, struct err *e)
{
    struct root_plan plan = {
        .runtime_root = z->runtime_root, .code_tree = -1, .detached = true, .bare = true};
    int r;

    /* Not the network's: its builders make their boxes' links in the node's. */
    if (unshare(CLONE_NEWNS | CLONE_NEWIPC) < 0)
        return err_errno(e, errno, "unshare the mount and IPC namespaces");
    r = tree_open(z->runtime_root, "runtime root", true, &plan.root_tree, e);
    return r < 0 ? r : root_enter(&plan, e);
}

/* Its own three, the library and the orders' socket; nothing of the launcher's. */
static void place_descriptors(int output, int orders, int library)
{
    enum { HIGH = 64 };
    const int from[] = {open("/dev/null", O_RDONLY | O_CLOEXEC), output, output, orders, library};

    for (size_t i = 0; i < ARRAY_LEN(from); i++)
        if (dup3(from[i], HIGH + (int)i, O_CLOEXEC) < 0)
            _exit(127);
    for (size_t i = 0; i < ARRAY_LEN(from); i++)
        dup2(HIGH + (int)i, (int)i);
    close_range(ARRAY_LEN(from), ~0u, 0);
}

_Noreturn void zygote_exec(const struct zygote *z, const struct zygote_place *place, int output,
                           int orders)
{
    struct err e = {0};
    sigset_t none;
    int library = -1, r;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(output, STDERR_FILENO);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(022);
    setsid();
    r = attach(place, &e);
    if (r == 0)
        r = enter_root(z, &e);
    if (r == 0)
        r = library = make_library(&e);
    if (r < 0)
        fail(&e);
    place_descriptors(output, orders, library);
    execve(z->argv[0], z->argv, z->env);
    err_errno(&e, errno, "exec %s", z->argv[0]);
    fail(&e);
}
