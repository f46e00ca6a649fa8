/* shelf.h - how packages lie on disk, so that a start reads names and nothing else.
 *
 * CACHE/HEX.SIZE is a package, SIZE what it takes on disk; its modification time
 * is when it was last let go. Its sticky bit says that its bytes may not be on
 * the disk yet (a power cut would leave empty files under a good name): what
 * carries it at a start is not taken over. All else in CACHE was half done.
 * CACHE/HEX.tmp.SALT is on its way in or out. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHELF_HEX = 64, SHELF_NAME_MAX = SHELF_HEX + 1 + 20 + 1 };

void shelf_name(char to[SHELF_NAME_MAX], const char *hex, uint64_t size);
/* A name as shelf_name() makes it. */
bool shelf_parse(const char *name, char ret_hex[SHELF_HEX + 1], uint64_t *ret_size);

struct shelf_item {
    char hex[SHELF_HEX + 1];
    uint64_t size;
    int64_t used; /* epoch ns */
};
/* Calls on_item() for each package and on_rest() with the path of all else. -errno */
int shelf_scan(const char *dir, void (*on_item)(void *user, const struct shelf_item *i),
               void (*on_rest)(void *user, const char *path), void *user);
/* Unpacked below `dir` by another user: makes it root's (as root), and ret_size what it takes on disk,
 * 1 KiB for every file added. A worker's. */
int shelf_seal(const char *dir, uint64_t *ret_size);
/* Brings the bytes of all packages in `dir` to the disk and takes the sticky bit of `n` of them away,
 * those that are still there. A worker's. */
int shelf_settle(const char *dir, const char (*names)[SHELF_NAME_MAX], size_t n);
/* A tenth of the disk that `dir` is on, 10 GiB at most. */
uint64_t shelf_default_limit(const char *dir);
