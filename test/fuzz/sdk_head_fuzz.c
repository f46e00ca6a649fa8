/* module: runtime-sdk/sdk */
/* sdk_head_fuzz.c - any bytes as the head of an HTTP invocation: what is read lies in the text, ends with a
 * NUL there, and is as much as was said. */
#include "sdk/stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void inside(const char *s, const char *text, size_t n)
{
    if (s < text || s >= text + n || !memchr(s, 0, (size_t)(text + n - s)))
        abort();
}

static void all_inside(const struct rouse_http_field *f, size_t count, const char *text, size_t n)
{
    for (size_t i = 0; i < count; i++) {
        inside(f[i].name, text, n);
        inside(f[i].value, text, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *text = malloc(n ? n : 1);
    struct rouse_http_request req;
    struct buffer fields = {0};

    memcpy(text, data, n);
    if (http_head_parse(text, n, &fields, &req) == 0) {
        if (req.header_count + req.parameter_count > STREAM_FIELDS_MAX || !*req.method)
            abort();
        inside(req.method, text, n);
        all_inside(req.headers, req.header_count, text, n);
        all_inside(req.parameters, req.parameter_count, text, n);
        (void)rouse_http_header(&req, "host");
    }
    buffer_done(&fields);
    free(text);
    return 0;
}
