/* module: runtime-sdk/wire */
/* frame_fuzz.c - any bytes as a stream of frames: what parses is encoded again to the same bytes.
 */
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void same(const struct buffer *b, const uint8_t *data, size_t n)
{
    if (buffer_size(b) != n || memcmp(buffer_bytes(b), data, n) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buffer b = {0};
    struct frame_invoke inv;
    struct frame_hook hook;
    struct frame f;
    size_t size;

    while (frame_parse(data, n, &f, &size) == 1) {
        if (size > n || !f.type || frame_type_name(f.type)[0] == '\0')
            abort();
        buffer_clear(&b);
        if (frame_append(&b, f.type, f.flags, f.id, f.payload, f.length) < 0)
            abort();
        same(&b, data, size);
        if (!frame_invoke_parse(&f, &inv)) {
            buffer_clear(&b);
            if (frame_invoke_append(&b, f.flags, f.id, &inv) < 0)
                abort();
            same(&b, data, size);
        }
        if (!f.flags && !frame_hook_parse(&f, &hook)) {
            buffer_clear(&b);
            if (frame_hook_append(&b, f.id, &hook) < 0)
                abort();
            same(&b, data, size);
        }
        data += size;
        n -= size;
    }
    buffer_done(&b);
    return 0;
}
