#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    if (e) {
        e->code = code;
        va_start(ap, fmt);
        vsnprintf(e->message, sizeof(e->message), fmt, ap);
        va_end(ap);
    }
    return -code;
}

int err_errno(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;
    size_t n;

    if (e) {
        e->code = code;
        va_start(ap, fmt);
        vsnprintf(e->message, sizeof(e->message), fmt, ap);
        va_end(ap);
        n = strlen(e->message);
        snprintf(e->message + n, sizeof(e->message) - n, ": %s", strerror(code));
    }
    return -code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    char inner[ERR_MESSAGE_MAX];
    va_list ap;
    size_t n;

    if (!e)
        return -1;
    memcpy(inner, e->message, sizeof(inner));
    va_start(ap, fmt);
    vsnprintf(e->message, sizeof(e->message), fmt, ap);
    va_end(ap);
    n = strlen(e->message);
    snprintf(e->message + n, sizeof(e->message) - n, ": %s", inner);
    return -e->code;
}
