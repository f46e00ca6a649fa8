/* module: runtime-sdk/package */
/* unpack_fuzz.c - any bytes as an archive: nothing appears outside the directory it is unpacked
 * into.
 */
#include "base/file.h"
#include "package/package.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char root[64];

static void leave(void)
{
    file_remove_tree(root);
}

/* Below root there may be nothing but `in` and what is in it: plain files, directories and links.
 */
static int look(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path, (void)type;
    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && !S_ISLNK(st->st_mode))
        abort();
    if (st->st_mode & (S_ISUID | S_ISGID))
        abort();
    if (at->level == 1 && path[at->base] != 'i')
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct package_limits l = {.unpacked_size = 1 << 16, .files = 64, .depth = 6, .name = 128};
    struct err e = {0};
    char in[80];
    int fd = memfd_create("archive", MFD_CLOEXEC), dir;

    if (!root[0]) {
        snprintf(root, sizeof(root), "/tmp/rouse-unpack-fuzz-XXXXXX");
        if (!mkdtemp(root))
            abort();
        atexit(leave);
    }
    snprintf(in, sizeof(in), "%s/i", root);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n || mkdir(in, 0755) < 0)
        abort();
    dir = open(in, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    package_kind(data, n);
    if (package_unpack(fd, dir, &l, &e) < 0 && !e.message[0])
        abort();
    close(dir);
    close(fd);
    if (nftw(root, look, 16, FTW_PHYS) != 0)
        abort();
    file_remove_tree(in);
    return 0;
}
