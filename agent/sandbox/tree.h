/* tree.h - mounts that have no place yet: taken from one path, put at another, by the sandbox that is being built
 * or by somebody outside who hands it on.
 *
 * Such a detached tree is a descriptor of open_tree(2), with attributes by mount_setattr(2) (Linux 5.12). Where the
 * kernel has none, or a filter around the agent refuses it, a tree is no more than its path's descriptor: of use in the
 * mount namespace alone where it was opened, as long as that path is there, and without the mounts below it. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/* Whether trees can be detached here. For who has CAP_SYS_ADMIN in its user namespace. */
bool tree_detachable(void);

/* A read-only, nosuid, nodev and private one of the directory at `path`. `what` names it in errors. */
int tree_open(const char *path, const char *what, bool detached, int *ret_fd, struct err *e);

/* The same of any path, with `attr` of MOUNT_ATTR_{RDONLY,NOSUID,NODEV,NOEXEC}. The descriptor, or -errno. */
int tree_take(const char *path, uint64_t attr, bool detached);
/* Puts it at `at`, with the `attr` that it was taken with; tree_open()'s: TREE_ATTR. -errno. One that is not detached
 * takes a /proc. */
int tree_put(int tree, const char *at, uint64_t attr, bool detached);
/* On top of /, and enters it there: what pivot_root(2) wants. -errno */
int tree_put_root(int tree, bool detached);
#define TREE_ATTR (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

/* Gives the mount at `at` these attributes alone. -errno */
int tree_remount(const char *at, uint64_t attr);

/* Shows the files of a detached one by the ids of that user namespace: as root's inside, and not as nobody's. It
 * takes root, and a file system that can: ids stay as they are where one says no (overlay, before Linux 5.12). */
void tree_map_ids(int tree, int user_namespace);
