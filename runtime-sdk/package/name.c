#include "package/name.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

struct package_limits package_limits_or_default(const struct package_limits *l)
{
    struct package_limits r = l ? *l : (struct package_limits){0};

    if (!r.packed_size)
        r.packed_size = 256u << 20;
    if (!r.unpacked_size)
        r.unpacked_size = 512u << 20;
    if (!r.ratio)
        r.ratio = 200;
    if (!r.files)
        r.files = 20000;
    if (!r.depth)
        r.depth = 32;
    if (!r.name)
        r.name = 1024;
    return r;
}

/* Length of the UTF-8 sequence at `s` (RFC 3629: shortest form, no surrogates), 0 if it is none. */
static size_t utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char lo, hi, second_lo, second_hi, more;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 0x80, 0xbf, 1}, {0xe0, 0xe0, 0xa0, 0xbf, 2},
        {0xe1, 0xec, 0x80, 0xbf, 2}, {0xed, 0xed, 0x80, 0x9f, 2}, {0xee, 0xef, 0x80, 0xbf, 2},
        {0xf0, 0xf0, 0x90, 0xbf, 3}, {0xf1, 0xf3, 0x80, 0xbf, 3}, {0xf4, 0xf4, 0x80, 0x8f, 3},
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (s[0] < forms[i].lo || s[0] > forms[i].hi)
            continue;
        if (forms[i].more && (s[1] < forms[i].second_lo || s[1] > forms[i].second_hi))
            return 0;
        for (size_t k = 2; k <= forms[i].more; k++)
            if ((s[k] & 0xc0) != 0x80)
                return 0;
        return (size_t)forms[i].more + 1;
    }
    return 0;
}

static int check_text(const char *what, const char *s, const struct package_limits *l, struct err *e)
{
    const unsigned char *p = (const unsigned char *)s;

    if (strlen(s) > l->name)
        return err_set(e, ENAMETOOLONG, "%s %.64s... is longer than %u bytes", what, s, l->name);
    while (*p) {
        size_t n = utf8_length(p);

        if (!n || *p < 0x20 || *p == 0x7f)
            return err_set(e, EINVAL,
                           "%s \"%.*s...\" has a byte 0x%02x that is not allowed in a name", what,
                           (int)(p - (const unsigned char *)s), s, *p);
        p += n;
    }
    return 0;
}

int package_name_clean(const char *name, const struct package_limits *l, struct buffer *ret,
                       struct err *e)
{
    uint32_t depth = 0;
    int r = check_text("entry", name, l, e);

    if (r < 0)
        return r;
    if (name[0] == '/')
        return err_set(e, EINVAL, "entry %s: the name is absolute", name);
    buffer_clear(ret);
    for (const char *p = name; *p;) {
        size_t n = strcspn(p, "/");

        if (n == 2 && p[0] == '.' && p[1] == '.')
            return err_set(e, EINVAL, "entry %s: the name has \"..\"", name);
        if (n > NAME_MAX)
            return err_set(e, ENAMETOOLONG, "entry %.64s...: a component is longer than %d bytes",
                           name, NAME_MAX);
        if (n && !(n == 1 && p[0] == '.')) {
            if (++depth > l->depth)
                return err_set(e, ENAMETOOLONG, "entry %s: more than %u path components", name,
                               l->depth);
            if (buffer_size(ret) && buffer_append(ret, "/", 1) < 0)
                return err_errno(e, ENOMEM, "entry %s", name);
            if (buffer_append(ret, p, n) < 0)
                return err_errno(e, ENOMEM, "entry %s", name);
        }
        p += n;
        p += *p == '/';
    }
    if (buffer_append(ret, "", 1) < 0)
        return err_errno(e, ENOMEM, "entry %s", name);
    return 0;
}

int package_link_check(const char *name, const char *target, const struct package_limits *l,
                       struct err *e)
{
    size_t above = 0; /* directories between the root and the link */
    bool named = false;
    int r = check_text("link target", target, l, e);

    if (r < 0)
        return err_wrap(e, "entry %s", name);
    for (const char *p = name; *p; p++)
        above += *p == '/';
    if (!target[0])
        return err_set(e, EINVAL, "entry %s: the link has no target", name);
    if (target[0] == '/')
        return err_set(e, EINVAL, "entry %s: the link to %s is absolute", name, target);
    for (const char *p = target; *p;) {
        size_t n = strcspn(p, "/");

        if (n == 2 && p[0] == '.' && p[1] == '.') {
            if (named)
                return err_set(e, EINVAL, "entry %s: the link to %s has \"..\" after a name", name,
                               target);
            if (!above--)
                return err_set(e, EINVAL, "entry %s: the link to %s leaves the package", name,
                               target);
        } else if (n && !(n == 1 && p[0] == '.')) {
            named = true;
        }
        p += n;
        p += *p == '/';
    }
    return 0;
}
