#include "code/shelf.h"
#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { FILE_COST = 1024, WALK_FDS = 16, NS = 1000000000, DISK_SHARE = 10 };
#define LIMIT_MAX (10ull << 30)

void shelf_name(char to[SHELF_NAME_MAX], const char *hex, uint64_t size)
{
    snprintf(to, SHELF_NAME_MAX, "%.64s.%" PRIu64, hex, size);
}

bool shelf_parse(const char *name, char ret_hex[SHELF_HEX + 1], uint64_t *ret_size)
{
    char again[SHELF_NAME_MAX];
    uint64_t size;

    if (strspn(name, "0123456789abcdef") != SHELF_HEX || name[SHELF_HEX] != '.')
        return false;
    size = strtoull(name + SHELF_HEX + 1, NULL, 10);
    shelf_name(again, name, size);
    if (strcmp(name, again))
        return false;
    memcpy(ret_hex, name, SHELF_HEX);
    ret_hex[SHELF_HEX] = '\0';
    *ret_size = size;
    return true;
}

int shelf_scan(const char *dir, void (*on_item)(void *user, const struct shelf_item *i),
               void (*on_rest)(void *user, const char *path), void *user)
{
    DIR *d = opendir(dir);
    struct dirent *entry;

    if (!d)
        return -errno;
    while ((entry = readdir(d))) {
        struct shelf_item i;
        char path[PATH_MAX];
        struct stat st;

        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (shelf_parse(entry->d_name, i.hex, &i.size) &&
            fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(st.st_mode) && !(st.st_mode & S_ISVTX)) {
            i.used = (int64_t)st.st_mtim.tv_sec * NS + st.st_mtim.tv_nsec;
            on_item(user, &i);
        } else if (snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < (int)sizeof(path)) {
            on_rest(user, path);
        }
    }
    closedir(d);
    return 0;
}

static _Thread_local uint64_t walked; /* nftw(3) passes no argument on */

static int seal_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)at;
    if (type == FTW_DNR || type == FTW_NS)
        return -1;
    walked += (uint64_t)st->st_blocks * 512 + FILE_COST;
    return geteuid() == 0 ? lchown(path, 0, 0) : 0;
}

int shelf_seal(const char *dir, uint64_t *ret_size)
{
    walked = 0;
    if (nftw(dir, seal_one, WALK_FDS, FTW_PHYS | FTW_MOUNT) < 0)
        return errno ? -errno : -EIO;
    if (chmod(dir, 0755 | S_ISVTX) < 0)
        return -errno;
    *ret_size = walked;
    return 0;
}

int shelf_settle(const char *dir, const char (*names)[SHELF_NAME_MAX], size_t n)
{
    cleanup_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || syncfs(fd) < 0)
        return -errno;
    for (size_t i = 0; i < n; i++)
        if (fchmodat(fd, names[i], 0755, 0) < 0 && errno != ENOENT)
            return -errno;
    return 0;
}

uint64_t shelf_default_limit(const char *dir)
{
    struct statvfs v;
    uint64_t tenth;

    if (statvfs(dir, &v) < 0)
        return LIMIT_MAX;
    tenth = (uint64_t)v.f_blocks * v.f_frsize / DISK_SHARE;
    return tenth < LIMIT_MAX ? tenth : LIMIT_MAX;
}
