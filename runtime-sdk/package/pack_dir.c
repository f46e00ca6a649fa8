/* pack_dir.c - a directory: its names are collected, sorted, then read one file at a time. Any
 * thread.
 *
 * A file that changes meanwhile is an error, never a package of two states. */
#include "package/locale_utf8.h"
#include "package/name.h"
#include "package/writer.h"
#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct scan {
    struct package_limits limits;
    char **names; /* files, links and (ending in '/') empty directories */
    size_t count, capacity;
    struct err *e;
};

static int scan_add(struct scan *s, const char *name)
{
    if (s->count >= s->limits.files)
        return err_set(s->e, EFBIG, "entry %s: more than %u files", name, s->limits.files);
    if (s->count == s->capacity) {
        size_t want = s->capacity ? s->capacity * 2 : 64;
        char **grown = realloc(s->names, want * sizeof(*grown));

        if (!grown)
            return err_errno(s->e, ENOMEM, "pack");
        s->names = grown;
        s->capacity = want;
    }
    s->names[s->count] = strdup(name);
    if (!s->names[s->count])
        return err_errno(s->e, ENOMEM, "pack");
    s->count++;
    return 0;
}

static int scan_dir(struct scan *s, int parent_fd, const char *component, const char *path);

static int scan_entry(struct scan *s, int dir_fd, const struct dirent *d, const char *path)
{
    cleanup_buffer struct buffer joined = {0}, clean = {0};
    const char *name;
    struct stat st;
    int r = buffer_printf(&joined, "%s%s%s", path, *path ? "/" : "", d->d_name);

    if (r < 0 || buffer_append(&joined, "", 1) < 0)
        return err_errno(s->e, ENOMEM, "pack");
    r = package_name_clean((const char *)buffer_bytes(&joined), &s->limits, &clean, s->e);
    if (r < 0)
        return r;
    name = (const char *)buffer_bytes(&clean);
    if (fstatat(dir_fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_errno(s->e, errno, "entry %s", name);
    if (S_ISDIR(st.st_mode))
        return scan_dir(s, dir_fd, d->d_name, name);
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        return err_set(s->e, EINVAL, "entry %s: neither file, directory nor symbolic link", name);
    return scan_add(s, name);
}

static int scan_dir(struct scan *s, int parent_fd, const char *component, const char *path)
{
    int fd =
        openat(parent_fd, component, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (*path ? O_NOFOLLOW : 0));
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    size_t seen = 0;
    int r = 0;

    if (!dir) {
        r = err_errno(s->e, errno, "%s", *path ? path : component);
        if (fd >= 0)
            close(fd);
        return r;
    }
    while (r == 0) {
        struct dirent *d;

        errno = 0;
        d = readdir(dir);
        if (!d) {
            r = errno ? err_errno(s->e, errno, "%s", path) : 0;
            break;
        }
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
            strcmp(d->d_name, ".git") == 0)
            continue;
        seen++;
        r = scan_entry(s, dirfd(dir), d, path);
    }
    closedir(dir);
    if (r == 0 && !seen && *path) {
        cleanup_buffer struct buffer b = {0};

        if (buffer_printf(&b, "%s/", path) < 0 || buffer_append(&b, "", 1) < 0)
            return err_errno(s->e, ENOMEM, "pack");
        r = scan_add(s, (const char *)buffer_bytes(&b));
    }
    return r;
}

static int strings_by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int pack_link(struct writer *w, int root_fd, const char *name, const struct package_limits *l)
{
    char target[4096];
    ssize_t n = readlinkat(root_fd, name, target, sizeof(target) - 1);
    int r;

    if (n < 0)
        return err_errno(w->e, errno, "entry %s", name);
    target[n] = '\0';
    r = package_link_check(name, target, l, w->e);
    return r < 0 ? r : writer_entry(w, name, S_IFLNK | 0777, target, NULL, 0);
}

/* `left`: unpacked bytes that may still come. The file was no link when it was scanned; O_NOFOLLOW
 * keeps it so. */
static int pack_file(struct writer *w, int root_fd, const char *name, uint64_t *left)
{
    cleanup_fd int fd = openat(root_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    cleanup_free uint8_t *data = NULL;
    size_t size, got = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(w->e, errno, "entry %s", name);
    if (!S_ISREG(st.st_mode))
        return err_set(w->e, EINVAL, "entry %s: changed while it was packed", name);
    if ((uint64_t)st.st_size > *left)
        return err_set(w->e, EFBIG, "entry %s: the files are too large for a package", name);
    size = (size_t)st.st_size;
    *left -= size;
    data = malloc(size + 1);
    if (!data)
        return err_errno(w->e, ENOMEM, "entry %s", name);
    while (got <= size) {
        ssize_t n = read(fd, data + got, size + 1 - got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(w->e, errno, "entry %s", name);
        if (n == 0)
            break;
        got += (size_t)n;
    }
    if (got != size)
        return err_set(w->e, EAGAIN, "entry %s: changed while it was packed", name);
    return writer_entry(w, name, S_IFREG | (st.st_mode & 0111 ? 0755 : 0644), NULL, data, size);
}

static int pack_scanned(struct writer *w, int root_fd, const struct scan *s)
{
    uint64_t left = s->limits.unpacked_size;
    int r = writer_open(w);

    for (size_t i = 0; i < s->count && r == 0; i++) {
        const char *name = s->names[i];
        struct stat st;

        if (name[strlen(name) - 1] == '/')
            r = writer_entry(w, name, S_IFDIR | 0755, NULL, NULL, 0);
        else if (fstatat(root_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            r = err_errno(w->e, errno, "entry %s", name);
        else if (S_ISLNK(st.st_mode))
            r = pack_link(w, root_fd, name, &s->limits);
        else
            r = pack_file(w, root_fd, name, &left);
    }
    return writer_close(w, r);
}

int package_pack_dir(const char *dir, const struct package_limits *l, struct buffer *ret,
                     struct err *e)
{
    struct scan s = {.limits = package_limits_or_default(l), .e = e};
    struct writer w = {.out = ret, .e = e, .limit = s.limits.packed_size};
    cleanup_locale struct locale_scope scope = {0};
    cleanup_fd int root_fd = -1;
    int r = locale_utf8_enter(&scope, e);

    if (r < 0)
        return r;
    root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return err_errno(e, errno, "%s", dir);
    r = scan_dir(&s, root_fd, ".", "");
    if (r == 0) {
        if (s.count)
            qsort(s.names, s.count, sizeof(*s.names), strings_by_name);
        r = pack_scanned(&w, root_fd, &s);
    }
    for (size_t i = 0; i < s.count; i++)
        free(s.names[i]);
    free(s.names);
    return r;
}
