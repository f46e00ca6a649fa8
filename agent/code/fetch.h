/* fetch.h - the blocking half of the code cache: download, check, unpack. Runs on worker threads
 * only. */
#pragma once
#include "base/error.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { HEX_MAX = 65 };

struct fetch_source {
    const char *api_url, *token; /* token: NULL for none */
    const char *cache_dir;       /* absolute */
    const atomic_bool *stop;     /* set by the loop's thread when the cache ends: give up */
};
/* Leaves the unpacked package in CACHE_DIR/HEX and says how many bytes it holds there; or nothing
 * at all. */
int fetch_package(const struct fetch_source *s, const char *hex, uint64_t *ret_size, struct err *e);
/* Bytes on disk below `dir`, and 1 KiB for every file. */
uint64_t fetch_tree_size(const char *dir);
/* Unpacks in a process of its own that cannot reach anything but `dir_fd` (see unpack.c). */
int fetch_unpack(int archive_fd, int dir_fd, struct err *e);
