#include "local/console.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define DIM   "\033[2m"
#define RED   "\033[31m"
#define GREEN "\033[32m"
#define OFF   "\033[0m"

enum { ID_SHOWN = 8 };

void console_init(struct console *c, FILE *to)
{
    const char *term = getenv("TERM");

    *c = (struct console){.to = to,
                          .color = isatty(fileno(to)) && !getenv("NO_COLOR") && term &&
                                   strcmp(term, "dumb") != 0};
    setvbuf(to, NULL, _IOLBF, 0);
}

static const char *color(const struct console *c, const char *code)
{
    return c->color ? code : "";
}

/* Its end: what two requests of one process have in common stands at the beginning. */
static const char *shown(const char *request_id)
{
    size_t n = request_id ? strlen(request_id) : 0;

    return !n ? "-" : n > ID_SHOWN ? request_id + n - ID_SHOWN : request_id;
}

static void put(const struct console *c, const char *request_id, const char *code, const char *text,
                size_t n)
{
    fprintf(c->to, "%s%-*.*s%s %s%.*s%s\n", color(c, DIM), ID_SHOWN, ID_SHOWN, shown(request_id),
            color(c, OFF), color(c, code), (int)n, text, *code ? color(c, OFF) : "");
}

static void put_lines(const struct console *c, const char *request_id, const char *code,
                      const char *text, size_t n)
{
    for (;;) {
        const char *end = memchr(text, '\n', n);
        size_t line = end ? (size_t)(end - text) : n;

        put(c, request_id, code, text, line);
        if (!end || line + 1 == n)
            return;
        text += line + 1;
        n -= line + 1;
    }
}

void console_line(const struct console *c, const char *request_id, const char *text, size_t n)
{
    put_lines(c, request_id, "", text, n);
}

void console_error(const struct console *c, const char *request_id, const char *fmt, ...)
{
    struct buffer b = {0};
    va_list ap;

    va_start(ap, fmt);
    if (buffer_vprintf(&b, fmt, ap) == 0)
        put_lines(c, request_id, RED, (const char *)buffer_bytes(&b), buffer_size(&b));
    va_end(ap);
    buffer_done(&b);
}

void console_function_error(const struct console *c, const char *request_id,
                            const struct function_error *e)
{
    struct buffer b = {0};

    if (function_error_text(e, &b) == 0)
        put_lines(c, request_id, RED, (const char *)buffer_bytes(&b), buffer_size(&b));
    buffer_done(&b);
}

void console_duration(uint64_t ns, char out[24])
{
    if (ns < NS_PER_MS)
        snprintf(out, 24, "%llu us", (unsigned long long)(ns / NS_PER_US));
    else if (ns < NS_PER_S)
        snprintf(out, 24, "%.1f ms", (double)ns / 1e6);
    else
        snprintf(out, 24, "%.2f s", (double)ns / 1e9);
}

void console_request(const struct console *c, const char *request_id, struct str method,
                     struct str target, int status, uint64_t ns)
{
    char took[24];

    if (c->no_requests)
        return;
    console_duration(ns, took);
    fprintf(c->to, "%s%-*.*s%s %.*s %.*s %s%d%s %s\n", color(c, DIM), ID_SHOWN, ID_SHOWN,
            shown(request_id), color(c, OFF), (int)method.n, method.at, (int)target.n, target.at,
            color(c, status < 400 ? GREEN : RED), status, color(c, OFF), took);
}

void console_note(const struct console *c, const char *fmt, ...)
{
    va_list ap;

    fputs("rouse: ", c->to);
    va_start(ap, fmt);
    vfprintf(c->to, fmt, ap);
    va_end(ap);
    fputc('\n', c->to);
}
