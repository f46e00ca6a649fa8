/* unpack.c - unpacking a foreign archive where it can do no harm.
 *
 * libarchive parses bytes that a user chose. It does so in a process of its
 * own: rouse-unpack (unpack_main.c), which confine() locks into the target
 * directory. A program by itself, because libarchive and all that it brings would
 * be a fifth of the agent's memory, and the agent's libraries half of its start.
 * fetch_unpack() is the agent's side of it, on a worker thread: posix_spawn,
 * since threads never fork. */
#include "code/cache.h"
#include "code/fetch.h"
#include "code/unpack.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* Above the child's own numbers, so that the dup2 actions cannot overwrite one another's source. */
static int raise_fd(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 16);
}

static int spawn(const char *program, int archive_fd, int dir_fd, int out_fd, pid_t *ret_pid)
{
    static char *const argv[] = {UNPACK_PROGRAM, NULL};
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
    posix_spawn_file_actions_adddup2(&fa, archive_fd, UNPACK_ARCHIVE_FD);
    posix_spawn_file_actions_adddup2(&fa, dir_fd, UNPACK_DIR_FD);
    r = posix_spawn(ret_pid, program, &fa, &attr, argv, env);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    return -r;
}

/* Until the other end is closed; the first `size` - 1 bytes are kept. -ETIMEDOUT, -ECANCELED. */
static int read_message(int fd, int stop_fd, int time_ms, char *out, size_t size)
{
    const uint64_t until = clock_monotonic_ns() + (unsigned)time_ms * NS_PER_MS;
    size_t n = 0;

    for (;;) {
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
        uint64_t now = clock_monotonic_ns();
        bool full = n == size - 1;
        char rest[64];
        ssize_t got;

        out[n] = '\0';
        if (now >= until)
            return -ETIMEDOUT;
        if (poll(p, 2, (int)((until - now) / NS_PER_MS) + 1) <= 0)
            continue;
        if (p[1].revents)
            return -ECANCELED;
        got = full ? read(fd, rest, sizeof(rest)) : read(fd, out + n, size - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        n += full ? 0 : (size_t)got;
    }
}

static int judge(int status, const char *message, struct err *e)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;

    if (WIFEXITED(status) && !code)
        return 0;
    if (WIFSIGNALED(status))
        return err_set(e, EBADMSG, "unpack: killed by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    /* The node's trouble keeps its number; all else is the archive's. */
    return err_set(e, code == ENOSPC || code == EDQUOT ? code : EBADMSG, "unpack: %s",
                   *message ? message : "failed without a word");
}

int fetch_unpack(const char *program, int archive_fd, int dir_fd, int stop_fd, int time_ms,
                 struct err *e)
{
    cleanup_fd int archive = raise_fd(archive_fd);
    cleanup_fd int dir = raise_fd(dir_fd);
    cleanup_fd int in = -1, out = -1;
    char message[UNPACK_MESSAGE_MAX + 1];
    int pipe_fds[2], status, r, waited;
    pid_t pid;

    if (archive < 0 || dir < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_errno(e, errno, "unpack: descriptors");
    in = pipe_fds[0];
    out = raise_fd(pipe_fds[1]);
    close(pipe_fds[1]);
    r = out < 0 ? -errno : spawn(program, archive, dir, out, &pid);
    if (out >= 0)
        close(TAKE_FD(out));
    if (r < 0)
        return err_errno(e, -r, "unpack: start %s", program);
    waited = read_message(in, stop_fd, time_ms, message, sizeof(message));
    /* Late, or it has closed its output: by its exit, whose status a kill leaves as it is, or because the archive
     * has taken it over, and then it may never end. */
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_errno(e, errno, "unpack: wait");
    if (waited == -ETIMEDOUT)
        return err_set(e, ETIMEDOUT, "unpack: not done after %d s", time_ms / 1000);
    if (waited == -ECANCELED)
        return err_set(e, ECANCELED, "unpack: the agent stops");
    return judge(status, message, e);
}
