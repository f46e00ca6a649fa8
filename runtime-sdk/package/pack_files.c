/* pack_files.c - inline files, sorted by name. Any thread. */
#include "package/locale_utf8.h"
#include "package/name.h"
#include "package/writer.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct inline_entry {
    char *name;
    const struct package_file *file;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct inline_entry *)a)->name, ((const struct inline_entry *)b)->name);
}

/* Refuses a name that is there twice, and "a" beside "a/b". */
static int check_conflicts(struct inline_entry *entries, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        char *name = entries[i].name;

        if (i && strcmp(entries[i - 1].name, name) == 0)
            return err_set(e, EEXIST, "entry %s: named twice", name);
        for (char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
            bool clash;

            *slash = '\0';
            clash = bsearch(&entries[i], entries, i, sizeof(*entries), by_name) != NULL;
            *slash = '/';
            if (clash)
                return err_set(e, ENOTDIR, "entry %s: %.*s is a file too", name,
                               (int)(slash - name), name);
        }
    }
    return 0;
}

static int clean_entries(const struct package_file *files, size_t n, const struct package_limits *l,
                         struct inline_entry *entries, struct err *e)
{
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++) {
        cleanup_buffer struct buffer clean = {0};
        int r = package_name_clean(files[i].name, l, &clean, e);

        if (r < 0)
            return r;
        if (buffer_size(&clean) == 1)
            return err_set(e, EINVAL, "entry \"%s\": not the name of a file", files[i].name);
        if (files[i].size > l->unpacked_size - total)
            return err_set(e, EFBIG, "entry %s: the files are larger than %llu bytes",
                           files[i].name, (unsigned long long)l->unpacked_size);
        total += files[i].size;
        entries[i].file = &files[i];
        entries[i].name = buffer_take_string(&clean);
        if (!entries[i].name)
            return err_errno(e, ENOMEM, "pack");
    }
    qsort(entries, n, sizeof(*entries), by_name);
    return check_conflicts(entries, n, e);
}

int package_pack_files(const struct package_file *files, size_t n, struct buffer *ret, struct err *e)
{
    const struct package_limits l = package_limits_or_default(NULL);
    cleanup_locale struct locale_scope scope = {0};
    struct writer w = {.out = ret, .e = e, .limit = l.packed_size};
    struct inline_entry *entries;
    int r = locale_utf8_enter(&scope, e);

    if (r < 0)
        return r;
    if (n > l.files)
        return err_set(e, EFBIG, "more than %u files", l.files);
    entries = calloc(n + 1, sizeof(*entries));
    if (!entries)
        return err_errno(e, ENOMEM, "pack");
    r = clean_entries(files, n, &l, entries, e);
    if (r == 0)
        r = writer_open(&w);
    for (size_t i = 0; i < n && r == 0; i++) {
        const struct package_file *f = entries[i].file;

        r = writer_entry(&w, entries[i].name, S_IFREG | (f->executable ? 0755 : 0644), NULL,
                         f->data, f->size);
    }
    for (size_t i = 0; i < n; i++)
        free(entries[i].name);
    free(entries);
    return writer_close(&w, r);
}
