/* unpack.c - unpacking a foreign archive where it can do no harm.
 *
 * libarchive parses bytes that a user chose. It does so in a process of its
 * own: the agent's binary, executed again as `rouse-agent --unpack`, locked
 * into the target directory, without privileges, with bounded resources.
 * fetch_unpack() is the agent's side of it, on a worker thread: posix_spawn,
 * since threads never fork. */
#include "code/fetch.h"
#include "code/cache.h"
#include "base/cleanup.h"
#include "package/package.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <locale.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
    ARCHIVE_FD = 3,
    DIR_FD = 4,
    UNPRIVILEGED = 65534,
    UNPACK_CPU_S = 60,
    UNPACK_FILES = 32,
    MESSAGE_MAX = 400,
};
#define UNPACK_FILE_SIZE (512ull << 20)
#define UNPACK_MEMORY    (512ull << 20)

static int limit(int which, rlim_t value)
{
    struct rlimit l = {.rlim_cur = value, .rlim_max = value};

    return setrlimit((__rlimit_resource_t)which, &l);
}

static int confine(struct err *e)
{
    umask(022);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(e, errno, "no_new_privs");
    if (fchdir(DIR_FD) < 0)
        return err_errno(e, errno, "fchdir");
    if (geteuid() == 0 && (chroot(".") < 0 || chdir("/") < 0 || setgroups(0, NULL) < 0 ||
                           setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED) < 0 ||
                           setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED) < 0))
        return err_errno(e, errno, "drop privileges");
    if (limit(RLIMIT_CPU, UNPACK_CPU_S) < 0 || limit(RLIMIT_FSIZE, UNPACK_FILE_SIZE) < 0 ||
        limit(RLIMIT_NOFILE, UNPACK_FILES) < 0 || limit(RLIMIT_CORE, 0) < 0)
        return err_errno(e, errno, "setrlimit");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they reserve terabytes */
    if (limit(RLIMIT_AS, UNPACK_MEMORY) < 0)
        return err_errno(e, errno, "setrlimit");
#endif
    return 0;
}

/* The instance runs as another user: all must be readable, and what is executable, executable by
 * all. */
static int open_up(const char *path, const struct stat *st, int type, struct FTW *at)
{
    mode_t mode = 0644;

    (void)at;
    if (type == FTW_SL || type == FTW_SLN)
        return 0;
    if (S_ISDIR(st->st_mode) || st->st_mode & 0111)
        mode = 0755;
    return chmod(path, mode);
}

int code_unpack_main(void)
{
    struct err e = {0};
    int r;

    /* Loaded now, since its files are out of reach once locked in: names in archives are UTF-8. */
    setlocale(LC_ALL, "C.UTF-8");
    r = confine(&e);
    if (r == 0)
        r = package_unpack(ARCHIVE_FD, DIR_FD, NULL, &e);
    if (r == 0 && nftw(".", open_up, 16, FTW_PHYS | FTW_MOUNT) < 0)
        r = err_errno(&e, errno, "chmod");
    if (r < 0)
        dprintf(STDOUT_FILENO, "%.*s", MESSAGE_MAX, e.message);
    /* Nothing is left to flush, and what else runs at an exit does not expect to be locked in. */
    _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* Above the child's own numbers, so that the dup2 actions cannot overwrite one another's source. */
static int raise_fd(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 16);
}

static int spawn(int archive_fd, int dir_fd, int out_fd, pid_t *ret_pid)
{
    static char *const argv[] = {"rouse-agent", "--unpack", NULL};
    static char *const env[] = {"LC_ALL=C.UTF-8", NULL};
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none;
    int r;

    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, out_fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&fa, archive_fd, ARCHIVE_FD);
    posix_spawn_file_actions_adddup2(&fa, dir_fd, DIR_FD);
    r = posix_spawn(ret_pid, "/proc/self/exe", &fa, &attr, argv, env);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    return -r;
}

static size_t read_message(int fd, char *out, size_t size)
{
    size_t n = 0;

    for (;;) {
        ssize_t got = read(fd, out + n, size - 1 - n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
        if (n == size - 1)
            break;
    }
    out[n] = '\0';
    return n;
}

int fetch_unpack(int archive_fd, int dir_fd, struct err *e)
{
    cleanup_fd int archive = raise_fd(archive_fd);
    cleanup_fd int dir = raise_fd(dir_fd);
    cleanup_fd int out = -1;
    char message[MESSAGE_MAX + 1];
    int pipe_fds[2], status, r;
    pid_t pid;

    if (archive < 0 || dir < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_errno(e, errno, "unpack: descriptors");
    out = raise_fd(pipe_fds[1]);
    close(pipe_fds[1]);
    r = out < 0 ? -errno : spawn(archive, dir, out, &pid);
    if (out >= 0)
        close(TAKE_FD(out));
    if (r < 0) {
        close(pipe_fds[0]);
        return err_errno(e, -r, "unpack: spawn");
    }
    read_message(pipe_fds[0], message, sizeof(message));
    close(pipe_fds[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_errno(e, errno, "unpack: wait");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status))
        return err_set(e, EBADMSG, "unpack: killed by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    return err_set(e, EBADMSG, "unpack: %s", *message ? message : "failed without a word");
}
