/* package_test.h - a scratch directory and archives with anything in them.
 */
#pragma once
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "package/package.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch {
    char path[64], out[80];
    int out_fd;
};

static inline struct scratch scratch_new(void)
{
    struct scratch s = {.path = "/tmp/rouse-package-XXXXXX"};

    if (!mkdtemp(s.path))
        abort();
    snprintf(s.out, sizeof(s.out), "%s/out", s.path);
    if (mkdir(s.out, 0755) < 0)
        abort();
    s.out_fd = open(s.out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return s;
}
static inline void scratch_done(struct scratch *s)
{
    close(s->out_fd);
    file_remove_tree(s->path);
}

/* One entry of a hostile archive. */
struct entry {
    const char *name;
    mode_t mode;      /* with S_IFMT */
    const char *data; /* content, or the target of a symbolic link */
    const char *hardlink;
};

static inline la_ssize_t archive_to_buffer(struct archive *a, void *user, const void *data, size_t n)
{
    (void)a;
    return buffer_append(user, data, n) < 0 ? -1 : (la_ssize_t)n;
}

enum shape { SHAPE_TAR, SHAPE_TAR_GZ, SHAPE_ZIP, SHAPE_TAR_XZ, SHAPE_TAR_ZSTD, SHAPES };
static inline void archive_make(enum shape shape, const struct entry *entries, size_t n,
                                struct buffer *ret)
{
    struct archive *a = archive_write_new();

    if (shape == SHAPE_ZIP)
        archive_write_set_format_zip(a);
    else
        archive_write_set_format_pax_restricted(a);
    if (shape == SHAPE_TAR_GZ)
        archive_write_add_filter_gzip(a);
    if (shape == SHAPE_TAR_XZ)
        archive_write_add_filter_xz(a);
    if (shape == SHAPE_TAR_ZSTD)
        archive_write_add_filter_zstd(a);
    /* No padding behind a compressed stream: zstd takes it for another frame. */
    archive_write_set_bytes_in_last_block(a, 1);
    if (archive_write_open(a, ret, NULL, archive_to_buffer, NULL) != ARCHIVE_OK)
        abort();
    for (size_t i = 0; i < n; i++) {
        struct archive_entry *e = archive_entry_new();
        bool file = S_ISREG(entries[i].mode) && !entries[i].hardlink;
        size_t size = file && entries[i].data ? strlen(entries[i].data) : 0;

        archive_entry_set_pathname(e, entries[i].name);
        archive_entry_set_mode(e, entries[i].mode);
        archive_entry_set_size(e, (la_int64_t)size);
        if (S_ISLNK(entries[i].mode))
            archive_entry_set_symlink(e, entries[i].data);
        if (entries[i].hardlink)
            archive_entry_set_hardlink(e, entries[i].hardlink);
        if (archive_write_header(a, e) < ARCHIVE_WARN ||
            (size && archive_write_data(a, entries[i].data, size) < 0))
            abort();
        archive_entry_free(e);
    }
    archive_write_close(a);
    archive_write_free(a);
}

static inline int unpack_bytes(struct scratch *s, const void *data, size_t n,
                               const struct package_limits *l, struct err *e)
{
    char path[128];
    int fd, r;

    snprintf(path, sizeof(path), "%s/archive", s->path);
    if (file_write_atomic(path, data, n, 0600) < 0)
        abort();
    fd = open(path, O_RDONLY | O_CLOEXEC);
    r = package_unpack(fd, s->out_fd, l, e);
    close(fd);
    return r;
}

static inline int unpack_entries(struct scratch *s, enum shape shape, const struct entry *entries,
                                 size_t n, const struct package_limits *l, struct err *e)
{
    cleanup_buffer struct buffer b = {0};

    archive_make(shape, entries, n, &b);
    return unpack_bytes(s, buffer_bytes(&b), buffer_size(&b), l, e);
}

static inline bool content_is(int dir_fd, const char *name, const char *want)
{
    cleanup_buffer struct buffer b = {0};

    return file_read(dir_fd, name, 1 << 20, &b) == 0 && buffer_size(&b) == strlen(want) &&
           memcmp(buffer_bytes(&b), want, strlen(want)) == 0;
}
