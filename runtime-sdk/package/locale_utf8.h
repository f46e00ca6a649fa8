/* locale_utf8.h - libarchive reads names in the thread's locale; a scope in which that is UTF-8.
 *
 * Thread-local (uselocale), so nobody else's locale changes. C.UTF-8 is part
 * of glibc itself. */
#pragma once
#include "base/error.h"

#include <errno.h>
#include <locale.h>

struct locale_scope { /* zero-initialise */
    locale_t mine, before;
};

static inline int locale_utf8_enter(struct locale_scope *s, struct err *e)
{
    s->mine = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!s->mine)
        return err_errno(e, errno, "locale C.UTF-8");
    s->before = uselocale(s->mine);
    return 0;
}
static inline void cleanup_locale_leave(struct locale_scope *s)
{
    if (!s->mine)
        return;
    uselocale(s->before);
    freelocale(s->mine);
}
#define cleanup_locale __attribute__((cleanup(cleanup_locale_leave)))
