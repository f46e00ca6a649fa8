#include "package/writer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

/* Never fails towards libarchive, which would leak its buffers: after an error the rest is
 * swallowed. */
static la_ssize_t write_block(struct archive *a, void *user, const void *data, size_t n)
{
    struct writer *w = user;

    (void)a;
    if (w->failed)
        return (la_ssize_t)n;
    if (buffer_size(w->out) + n > w->limit)
        w->failed = err_set(w->e, EFBIG, "the package is larger than %ju bytes", (uintmax_t)w->limit);
    else if (buffer_append(w->out, data, n) < 0)
        w->failed = err_errno(w->e, ENOMEM, "pack");
    return (la_ssize_t)n;
}

static int writer_fail(struct writer *w, const char *name)
{
    int code = archive_errno(w->a);
    const char *text = archive_error_string(w->a);

    if (!text)
        text = "cannot be packed";
    return err_set(w->e, code > 0 ? code : EIO, "%s%s: %s", name ? "entry " : "pack",
                   name ? name : "", text);
}

int writer_open(struct writer *w)
{
    w->a = archive_write_new();
    if (!w->a)
        return err_errno(w->e, ENOMEM, "pack");
    /* Restricted pax: plain ustar wherever the name fits into it. */
    if (archive_write_set_format_pax_restricted(w->a) != ARCHIVE_OK ||
        archive_write_add_filter_none(w->a) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(w->a, 65536) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(w->a, 1) != ARCHIVE_OK ||
        archive_write_open(w->a, w, NULL, write_block, NULL) != ARCHIVE_OK)
        return writer_fail(w, NULL);
    return 0;
}

int writer_entry(struct writer *w, const char *name, mode_t mode, const char *link,
                 const void *data, size_t n)
{
    struct archive_entry *entry = archive_entry_new();
    int r = 0;

    if (!entry)
        return err_errno(w->e, ENOMEM, "entry %s", name);
    archive_entry_set_pathname_utf8(entry, name);
    archive_entry_set_mode(entry, mode);
    archive_entry_set_size(entry, (la_int64_t)n);
    archive_entry_set_mtime(entry, 0, 0);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    if (link)
        archive_entry_set_symlink_utf8(entry, link);
    if (archive_write_header(w->a, entry) != ARCHIVE_OK ||
        (n && archive_write_data(w->a, data, n) != (la_ssize_t)n))
        r = writer_fail(w, name);
    archive_entry_free(entry);
    return r < 0 ? r : w->failed;
}

int writer_close(struct writer *w, int r)
{
    if (w->a && r == 0 && archive_write_close(w->a) != ARCHIVE_OK)
        r = writer_fail(w, NULL);
    if (r == 0)
        r = w->failed;
    else if (!w->failed)
        w->failed = r;
    archive_write_free(w->a);
    if (r < 0)
        buffer_clear(w->out);
    return r;
}
