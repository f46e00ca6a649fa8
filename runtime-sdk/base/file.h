/* file.h - whole small files. Blocking; not for an event loop's thread once it serves. */
#pragma once
#include "base/buffer.h"
#include <sys/types.h>

/* Appends the file to `to`, at most `limit` bytes (-EFBIG past it). -errno. */
int file_read(int dirfd, const char *path, size_t limit, struct buffer *to);
/* write(2) until all bytes are written; for descriptors that block. -errno. */
int file_write_all(int fd, const void *data, size_t n);
/* Writes all bytes into `path` by a temporary beside it, fsync and rename. -errno. */
int file_write_atomic(const char *path, const void *data, size_t n, mode_t mode);
/* Writes to an existing file in one write (cgroup and proc files). -errno. */
int file_poke(int dirfd, const char *path, const char *text);
/* mkdir -p. */
int file_mkdirs(const char *path, mode_t mode);
/* rm -rf, on this file system only, following no link. 0 if absent. */
int file_remove_tree(const char *path);
