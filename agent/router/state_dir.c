/* state_dir.c - see the header. */
#include "router/state_dir.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

enum { LOCK_WAIT_MS = 20000, LOCK_POLL_MS = 20, TOKEN_MAX = 4096 };

static long holder(int fd)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    return n > 0 ? strtol(text, NULL, 10) : 0;
}

static int lock(const char *dir, int fd, struct err *e)
{
    const struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000};
    char pid[32];
    int n;

    for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_POLL_MS) {
        long other = holder(fd);

        if (errno != EWOULDBLOCK)
            return err_errno(e, errno, "lock %s/agent.lock", dir);
        if (other > 0 && (kill((pid_t)other, 0) == 0 || errno == EPERM))
            return err_set(e, EBUSY, "another agent (pid %ld) runs with --state %s", other, dir);
        if (waited >= LOCK_WAIT_MS)
            return err_set(e, EBUSY,
                           "%s/agent.lock is still held by what an earlier agent left behind", dir);
        nanosleep(&pause, NULL);
    }
    n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
        return err_errno(e, errno, "write %s/agent.lock", dir);
    return 0;
}

int state_dir_open(const char *path, struct state_dir *ret, struct err *e)
{
    cleanup_fd int dir = -1, fd = -1;
    int r = file_mkdirs(path, 0700);

    if (r < 0)
        return err_errno(e, -r, "--state %s", path);
    if (!realpath(path, ret->path))
        return err_errno(e, errno, "--state %s", path);
    dir = open(ret->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fd = dir < 0 ? -1 : openat(dir, "agent.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "%s/agent.lock", ret->path);
    r = lock(ret->path, fd, e);
    if (r < 0)
        return r;
    ret->lock_fd = TAKE_FD(fd);
    return 0;
}

int state_token_read(const char *path, char **ret, struct err *e)
{
    cleanup_buffer struct buffer text = {0};
    int r = file_read(AT_FDCWD, path, TOKEN_MAX, &text);
    char *token;

    if (r < 0)
        return err_errno(e, -r, "--token-file %s", path);
    token = buffer_take_string(&text);
    if (!token)
        return err_errno(e, ENOMEM, "--token-file %s", path);
    token[strcspn(token, "\r\n")] = '\0';
    if (!*token) {
        free(token);
        return err_set(e, EINVAL, "--token-file %s: its first line is empty", path);
    }
    *ret = token;
    return 0;
}
