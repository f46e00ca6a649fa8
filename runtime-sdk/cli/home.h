/* home.h - where what belongs to this program lies: in the tree that it was built in (build/VARIANT/bin),
 * else below the PREFIX that it was installed to. */
#pragma once
#include <limits.h>

struct home_sdk {                              /* what a C function is compiled with */
    char include[PATH_MAX], library[PATH_MAX]; /* a directory; librouse.a */
};
/* The directory of /proc/self/exe. -errno. */
int home_program_dir(char out[PATH_MAX]);
/* -ENOENT: neither is beside this program. */
int home_sdk_find(struct home_sdk *ret);
/* The file that a language's runtime executes ("python3", "nodejs"). -ENOENT. */
int home_bootstrap(const char *runtime, char out[PATH_MAX]);
/* A program in $PATH, as a path. -ENOENT. */
int home_program(const char *name, char out[PATH_MAX]);
