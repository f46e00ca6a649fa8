/* writer.h - a deterministic tar into a buffer: times and owners 0, the caller's order and modes.
 *
 * Directories become entries only when they are empty, so inline files and a
 * directory of the same files give the same bytes. Any thread. */
#pragma once
#include "package/package.h"

#include <sys/stat.h>

struct archive;
struct writer {
    struct archive *a;
    struct buffer *out;
    struct err *e;
    uint64_t limit; /* of the packed bytes */
    int failed;     /* -errno once the bytes did not fit */
};

int writer_open(struct writer *w);
/* `link`: the target of a symbolic link, else NULL. */
int writer_entry(struct writer *w, const char *name, mode_t mode, const char *link,
                 const void *data, size_t n);
/* Writes the end (where `r`, the result so far, is 0) and frees; an error leaves `out` empty. */
int writer_close(struct writer *w, int r);
