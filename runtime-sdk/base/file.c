#include "base/file.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int file_read(int dirfd, const char *path, size_t limit, struct buffer *to)
{
    cleanup_fd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    size_t total = 0;

    if (fd < 0)
        return -errno;
    for (;;) {
        uint8_t *at = buffer_reserve(to, 4096);
        ssize_t n;

        if (!at)
            return -ENOMEM;
        n = read(fd, at, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        total += (size_t)n;
        if (total > limit)
            return -EFBIG;
        buffer_commit(to, (size_t)n);
    }
}

int file_write_all(int fd, const void *data, size_t n)
{
    const char *p = data;

    while (n) {
        ssize_t w = write(fd, p, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -errno;
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

int file_write_atomic(const char *path, const void *data, size_t n, mode_t mode)
{
    char tmp[PATH_MAX];
    cleanup_fd int fd = -1;
    int r;

    if (snprintf(tmp, sizeof(tmp), "%s.XXXXXX", path) >= (int)sizeof(tmp))
        return -ENAMETOOLONG;
    fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = file_write_all(fd, data, n);
    if (r == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(tmp, path) < 0))
        r = -errno;
    if (r < 0)
        unlink(tmp);
    return r;
}

int file_poke(int dirfd, const char *path, const char *text)
{
    cleanup_fd int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
    ssize_t n = (ssize_t)strlen(text);

    if (fd < 0)
        return -errno;
    return write(fd, text, (size_t)n) == n ? 0 : -errno;
}

int file_mkdirs(const char *path, mode_t mode)
{
    char p[PATH_MAX];

    if (snprintf(p, sizeof(p), "%s", path) >= (int)sizeof(p))
        return -ENAMETOOLONG;
    for (char *s = p + 1; *s; s++) {
        if (*s != '/')
            continue;
        *s = '\0';
        if (mkdir(p, mode) < 0 && errno != EEXIST)
            return -errno;
        *s = '/';
    }
    return mkdir(p, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path) < 0 ? -errno : 0;
}

int file_remove_tree(const char *path)
{
    int r = nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

    if (r < 0 && errno == ENOENT)
        return 0;
    return r;
}
