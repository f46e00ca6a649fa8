/* fetch.h - the blocking half of the code cache: download, check, unpack. Runs on worker threads
 * only. */
#pragma once
#include "base/error.h"
#include <stdint.h>

struct fetch_source {
    const char *api_url, *token; /* token: NULL for none */
    const char *cache_dir;       /* absolute */
    const char *unpack_program;  /* code_cache_config's */
    int stop_fd;                 /* readable: give up */
};
/* Leaves the unpacked package in CACHE_DIR as shelf.h names it and says how many bytes it takes there;
 * or nothing at all. */
int fetch_package(const struct fetch_source *s, const char *hex, uint64_t *ret_size, struct err *e);
/* Unpacks by `program`, rouse-unpack, a process of its own that cannot reach anything but `dir_fd` (see unpack.c), within
 * `time_ms`. -ECANCELED once stop_fd (-1: none) is readable, -ENOSPC where the disk is full, -EBADMSG
 * what is wrong with the archive, -ETIMEDOUT. */
int fetch_unpack(const char *program, int archive_fd, int dir_fd, int stop_fd, int time_ms,
                 struct err *e);
