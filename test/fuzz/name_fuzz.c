/* module: runtime-sdk/package */
/* name_fuzz.c - any two texts as an entry's name and a link's target: what passes stays inside, however it is
 * read. */
#include "package/name.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct package_limits limits = {.depth = 5, .name = 64};

/* Plain components between single slashes, none of them "." or "..". */
static void check_clean(const char *name)
{
    unsigned depth = 0;

    while (*name) {
        size_t n = strcspn(name, "/");

        if (!n || !strncmp(name, ".", n) || (n == 2 && !strncmp(name, "..", 2)) ||
            ++depth > limits.depth)
            abort();
        name += n;
        if (*name && !*++name)
            abort();
    }
}

/* Follows it as the kernel would if all that it names were directories. */
static void check_link(const char *name, const char *target)
{
    long depth = 0;

    for (const char *p = name; *p; p++)
        depth += *p == '/';
    if (*target == '/' || !*target)
        abort();
    for (const char *p = target; *p; p += *p == '/') {
        size_t n = strcspn(p, "/");

        if (n == 2 && !strncmp(p, "..", 2))
            depth--;
        else if (n && !(n == 1 && *p == '.'))
            depth++;
        if (depth < 0)
            abort();
        p += n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct package_limits l = package_limits_or_default(&limits);
    const uint8_t *end = memchr(data, '\n', n);
    char *name = strndup((const char *)data, end ? (size_t)(end - data) : n);
    char *target = end ? strndup((const char *)end + 1, n - (size_t)(end - data) - 1) : strdup("");
    struct buffer once = {0}, twice = {0};
    struct err e = {0};

    if (package_name_clean(name, &l, &once, &e) == 0) {
        const char *clean = (const char *)buffer_bytes(&once);

        check_clean(clean);
        if (package_name_clean(clean, &l, &twice, &e) < 0 ||
            strcmp(clean, (const char *)buffer_bytes(&twice)))
            abort();
        if (*clean && package_link_check(clean, target, &l, &e) == 0)
            check_link(clean, target);
    } else if (!e.message[0]) {
        abort();
    }
    buffer_done(&once);
    buffer_done(&twice);
    free(name);
    free(target);
    return 0;
}
