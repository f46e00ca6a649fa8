/* landlock.h - what a box may do with files, said once more in another place of the kernel.
 *
 * The mounts already say it: read-only but for /tmp and /dev/shm. Landlock holds where they would
 * not: a mount that somebody made writable again, a descriptor of a directory outside that leaked
 * in, mount(2) itself. And no signal and no abstract socket crosses the box's border.
 * It nests: a function may restrict itself further, and what others mount into the box from
 * outside lies below its root like all else. It costs an open(2) up to a microsecond (the kernel
 * walks up to the root), a box some 50 us, ahead of use where boxes are parked. /proc is not written
 * to: who names another thread by its file gets EACCES. */
#pragma once
#include "base/error.h"

/* For the calling thread and its children; no_new_privs must be set, the mounts complete. 0 without an effect where
 * the kernel has none, or one that would forbid renaming between directories (before ABI 2). */
int landlock_restrict(struct err *e);
