#include "cli/home.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int home_program_dir(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);

    if (n < 0)
        return -errno;
    out[n] = '\0';
    if (strrchr(out, '/'))
        *strrchr(out, '/') = '\0';
    return 0;
}

static int find(const char *const *places, size_t n, char out[PATH_MAX])
{
    char dir[PATH_MAX], path[2 * PATH_MAX];
    int r = home_program_dir(dir);

    for (size_t i = 0; i < n && r == 0; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, places[i]);
        if (realpath(path, out))
            return 0;
    }
    return r < 0 ? r : -ENOENT;
}

int home_sdk_find(struct home_sdk *ret)
{
    static const char *const libraries[] = {"../lib/librouse.a"};
    static const char *const headers[] = {"../../../runtime-sdk/include/rouse/rouse.h",
                                          "../include/rouse/rouse.h"};
    int r = find(libraries, ARRAY_LEN(libraries), ret->library);

    if (r == 0)
        r = find(headers, ARRAY_LEN(headers), ret->include);
    if (r == 0)
        ret->include[strlen(ret->include) - strlen("/rouse/rouse.h")] = '\0';
    return r;
}

int home_bootstrap(const char *runtime, char out[PATH_MAX])
{
    static const char *const python[] = {
        "../../../runtime-sdk/python/bootstrap.py",
        "../lib/rouse/runtimes/python3/rootfs/var/runtime/bootstrap.py"};
    static const char *const node[] = {"../../../runtime-sdk/nodejs/bootstrap.js",
                                       "../lib/rouse/runtimes/nodejs/rootfs/var/runtime/bootstrap.js"};

    if (strcmp(runtime, "python3") == 0)
        return find(python, ARRAY_LEN(python), out);
    if (strcmp(runtime, "nodejs") == 0)
        return find(node, ARRAY_LEN(node), out);
    return -ENOENT;
}

int home_program(const char *name, char out[PATH_MAX])
{
    const char *search = getenv("PATH");
    struct stat st;

    for (const char *p = search ? search : ""; *p; p += strcspn(p, ":"), p += *p == ':') {
        int size = (int)strcspn(p, ":");

        if (*p != '/' || snprintf(out, PATH_MAX, "%.*s/%s", size, p, name) >= PATH_MAX)
            continue;
        if (access(out, X_OK) == 0 && stat(out, &st) == 0 && S_ISREG(st.st_mode))
            return 0;
    }
    return -ENOENT;
}
