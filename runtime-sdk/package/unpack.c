/* unpack.c - an archive below a directory descriptor, trusting nothing in it.
 *
 * Every directory on an entry's way is opened one component at a time without
 * following links, files are always created new (O_EXCL), and links pass
 * package_link_check(): nothing outside the directory can be reached, whatever
 * the order of entries. Any thread. */
#include "package/locale_utf8.h"
#include "package/name.h"
#include "base/cleanup.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FILTERS_MAX = 2, /* one that decompresses, and the file itself */
    RATIO_FREE = 32 << 20,
};

struct reader {
    struct archive *a;
    struct package_limits limits;
    int root_fd;
    uint64_t unpacked, most; /* bytes so far; the lower one of two limits */
    uint32_t entries,
        directories; /* read; made, with those that only a name implies: each within limits.files */
    struct err *e;
};

static int reader_fail(struct reader *x, const char *name)
{
    const char *text = archive_error_string(x->a);

    return err_set(x->e, EBADMSG, "entry %s: %s", name, text ? text : "the archive is damaged");
}

static int count(struct reader *x, uint32_t *counter, const char *name)
{
    if (++*counter > x->limits.files)
        return err_set(x->e, EFBIG, "entry %s: more than %u entries", name, x->limits.files);
    return 0;
}

/* Nothing to do where something is already; who opens it sees whether it is a directory. */
static int make_dir(struct reader *x, int fd, const char *base, const char *name)
{
    if (mkdirat(fd, base, 0755) < 0)
        return errno == EEXIST ? 0 : err_errno(x->e, errno, "entry %s", name);
    if (fchmodat(fd, base, 0755, 0) < 0)
        return err_errno(x->e, errno, "entry %s", name);
    return count(x, &x->directories, name);
}

/* Opens (and makes) the directories of cleaned `name`; *ret_base points to its last component. */
static int open_parent(struct reader *x, const char *name, bool make, int *ret_fd,
                       const char **ret_base)
{
    cleanup_fd int fd = fcntl(x->root_fd, F_DUPFD_CLOEXEC, 3);
    cleanup_free char *path = strdup(name);
    char *p = path;
    int r;

    if (fd < 0 || !path)
        return err_errno(x->e, path ? errno : ENOMEM, "entry %s", name);
    for (char *slash; (slash = strchr(p, '/')); p = slash + 1) {
        int next;

        *slash = '\0';
        r = make ? make_dir(x, fd, p, name) : 0;
        if (r < 0)
            return r;
        next = openat(fd, p, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0 && (errno == ENOTDIR || errno == ELOOP))
            return err_set(x->e, ENOTDIR, "entry %s: goes through %s, which is not a directory",
                           name, path);
        if (next < 0)
            return err_errno(x->e, errno, "entry %s", name);
        close(fd);
        fd = next;
        *slash = '/';
    }
    *ret_base = name + (p - path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Two readers of an archive might take different ones of two entries: there is one. */
static int name_fail(struct reader *x, int error, const char *name)
{
    return error == EEXIST ? err_set(x->e, EEXIST, "entry %s: named twice", name)
                           : err_errno(x->e, error, "entry %s", name);
}

static int write_at(int fd, const uint8_t *p, size_t n, off_t at)
{
    while (n) {
        ssize_t w = pwrite(fd, p, n, at);

        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -errno;
        p += w;
        at += w;
        n -= (size_t)w;
    }
    return 0;
}

static int over_size(struct reader *x, const char *name)
{
    if (x->most < x->limits.unpacked_size)
        return err_set(x->e, EFBIG,
                       "entry %s: the package unpacks to more than %llu bytes, %u times its own size",
                       name, (unsigned long long)x->most, x->limits.ratio);
    return err_set(x->e, EFBIG, "entry %s: the package unpacks to more than %llu bytes", name,
                   (unsigned long long)x->limits.unpacked_size);
}

/* Holes count as bytes: a sparse entry cannot claim more than the limit either. */
static int copy_data(struct reader *x, int fd, const char *name)
{
    uint64_t left = x->most - x->unpacked, end = 0;

    for (;;) {
        const void *block;
        la_int64_t at;
        size_t n;
        int r = archive_read_data_block(x->a, &block, &n, &at);

        if (r == ARCHIVE_EOF)
            break;
        if (r != ARCHIVE_OK)
            return reader_fail(x, name);
        if (at < 0 || (uint64_t)at > left || n > left - (uint64_t)at)
            return over_size(x, name);
        r = write_at(fd, block, n, at);
        if (r < 0)
            return err_errno(x->e, -r, "entry %s", name);
        if ((uint64_t)at + n > end)
            end = (uint64_t)at + n;
    }
    if (ftruncate(fd, (off_t)end) < 0)
        return err_errno(x->e, errno, "entry %s", name);
    x->unpacked += end;
    return 0;
}

static int unpack_file(struct reader *x, struct archive_entry *entry, int fd, const char *base,
                       const char *name)
{
    mode_t mode = archive_entry_perm(entry) & 0111 ? 0755 : 0644;
    cleanup_fd int file = -1;
    int r;

    if (archive_entry_size_is_set(entry) &&
        (archive_entry_size(entry) < 0 || (uint64_t)archive_entry_size(entry) > x->most - x->unpacked))
        return over_size(x, name);
    file = openat(fd, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return name_fail(x, errno, name);
    r = copy_data(x, file, name);
    if (r == 0 && fchmod(file, mode) < 0)
        r = err_errno(x->e, errno, "entry %s", name);
    return r;
}

static int unpack_symlink(struct reader *x, const char *target, int fd, const char *base,
                          const char *name)
{
    int r;

    if (!target)
        return err_set(x->e, EINVAL, "entry %s: the link's target is not UTF-8", name);
    r = package_link_check(name, target, &x->limits, x->e);
    if (r == 0 && symlinkat(target, fd, base) < 0)
        r = name_fail(x, errno, name);
    return r;
}

/* A hard link's target is an entry that was unpacked before, and a file. */
static int unpack_hardlink(struct reader *x, const char *target, int fd, const char *base,
                           const char *name)
{
    cleanup_buffer struct buffer clean = {0};
    cleanup_fd int from_fd = -1;
    const char *from, *from_base;
    struct stat st;
    int r = package_name_clean(target, &x->limits, &clean, x->e);

    if (r < 0)
        return err_wrap(x->e, "entry %s: hard link", name);
    from = (const char *)buffer_bytes(&clean);
    if (strcmp(from, name) == 0)
        return err_set(x->e, EINVAL, "entry %s: a hard link to itself", name);
    r = open_parent(x, from, false, &from_fd, &from_base);
    if (r < 0)
        return err_wrap(x->e, "entry %s: hard link", name);
    if (fstatat(from_fd, from_base, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return err_set(x->e, EINVAL,
                       "entry %s: the hard link's target %s is no file of the package", name, from);
    return linkat(from_fd, from_base, fd, base, 0) < 0 ? name_fail(x, errno, name) : 0;
}

static int unpack_dir(struct reader *x, int fd, const char *base, const char *name)
{
    struct stat st;
    int r = make_dir(x, fd, base, name);

    if (r < 0)
        return r;
    if (fstatat(fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return err_set(x->e, ENOTDIR, "entry %s: is not a directory already", name);
    return 0;
}

static int unpack_entry(struct reader *x, struct archive_entry *entry)
{
    cleanup_buffer struct buffer clean = {0};
    const char *raw = archive_entry_pathname_utf8(entry), *hard = archive_entry_hardlink_utf8(entry);
    cleanup_fd int fd = -1;
    const char *name, *base;
    unsigned type = archive_entry_filetype(entry);
    int r;

    if (!raw)
        return err_set(x->e, EINVAL, "entry %u: its name is not UTF-8", x->entries);
    r = package_name_clean(raw, &x->limits, &clean, x->e);
    if (r < 0)
        return r;
    name = (const char *)buffer_bytes(&clean);
    r = count(x, &x->entries, name);
    if (r < 0)
        return r;
    if (archive_entry_is_encrypted(entry) > 0)
        return err_set(x->e, EINVAL, "entry %s: is encrypted", name);
    if (!*name)
        return type == AE_IFDIR && !hard ? 0 : err_set(x->e, EINVAL, "entry \"%s\": not a name", raw);
    if (!hard && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK)
        return err_set(x->e, EINVAL, "entry %s: neither file, directory nor link", name);
    r = open_parent(x, name, true, &fd, &base);
    if (r < 0)
        return r;
    if (hard)
        return unpack_hardlink(x, hard, fd, base, name);
    if (type == AE_IFDIR)
        return unpack_dir(x, fd, base, name);
    if (type == AE_IFLNK)
        return unpack_symlink(x, archive_entry_symlink_utf8(entry), fd, base, name);
    return unpack_file(x, entry, fd, base, name);
}

/* Never those that libarchive would have another program do. */
static int support_filters(struct archive *a)
{
    int r = archive_read_support_filter_gzip(a);

    if (r == ARCHIVE_OK && archive_liblzma_version())
        r = archive_read_support_filter_xz(a);
    if (r == ARCHIVE_OK && archive_libzstd_version())
        r = archive_read_support_filter_zstd(a);
    return r;
}

static int unpack_all(struct reader *x, int archive_fd)
{
    if (support_filters(x->a) != ARCHIVE_OK || archive_read_support_format_tar(x->a) != ARCHIVE_OK ||
        archive_read_support_format_zip(x->a) != ARCHIVE_OK ||
        archive_read_open_fd(x->a, archive_fd, 65536) != ARCHIVE_OK)
        return reader_fail(x, "(first)");
    if (archive_filter_count(x->a) > FILTERS_MAX)
        return err_set(x->e, EINVAL, "the package is compressed more than once");
    for (;;) {
        struct archive_entry *entry;
        int r = archive_read_next_header(x->a, &entry);

        if (r == ARCHIVE_EOF)
            return 0;
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return reader_fail(x, x->entries ? "(next)" : "(first)");
        r = unpack_entry(x, entry);
        if (r < 0)
            return r;
    }
}

int package_unpack(int archive_fd, int dir_fd, const struct package_limits *l, struct err *e)
{
    struct reader x = {.limits = package_limits_or_default(l), .root_fd = dir_fd, .e = e};
    cleanup_locale struct locale_scope scope = {0};
    struct stat st;
    int r = locale_utf8_enter(&scope, e);

    if (r < 0)
        return r;
    if (fstat(archive_fd, &st) < 0 || lseek(archive_fd, 0, SEEK_SET) < 0)
        return err_errno(e, errno, "package");
    if ((uint64_t)st.st_size > x.limits.packed_size)
        return err_set(e, EFBIG, "the package is larger than %llu bytes",
                       (unsigned long long)x.limits.packed_size);
    x.most = (uint64_t)st.st_size * x.limits.ratio;
    if (x.most < RATIO_FREE)
        x.most = RATIO_FREE;
    if (x.most > x.limits.unpacked_size)
        x.most = x.limits.unpacked_size;
    x.a = archive_read_new();
    if (!x.a)
        return err_errno(e, ENOMEM, "package");
    r = unpack_all(&x, archive_fd);
    archive_read_free(x.a);
    return r;
}
