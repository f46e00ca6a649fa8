/* console.h - what `rouse run` shows: the function's lines under their request ids, a line a request,
 * and our own words. Colour where it is a terminal. One thread. */
#pragma once
#include "invoke/failure.h"

#include <stdio.h>

struct console {
    FILE *to;
    bool color;
    bool no_requests; /* console_request() says nothing: there is one alone, and its result is shown */
};
/* NO_COLOR and TERM=dumb are heeded. */
void console_init(struct console *c, FILE *to);
/* What the function wrote, one line or several; `request_id` NULL: not known. */
void console_line(const struct console *c, const char *request_id, const char *text, size_t n);
/* What went wrong with it: as console_line(), but to be seen. */
void console_error(const struct console *c, const char *request_id, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void console_function_error(const struct console *c, const char *request_id,
                            const struct function_error *e);
void console_request(const struct console *c, const char *request_id, struct str method,
                     struct str target, int status, uint64_t ns);
/* "rouse: ..." */
void console_note(const struct console *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "850 us", "1.3 ms", "2.05 s" */
void console_duration(uint64_t ns, char out[24]);
