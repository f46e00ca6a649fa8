/* module: runtime-sdk/wire */
/* frame_fuzz.c - any bytes as a stream of frames: what parses is encoded again to the same bytes.
 */
#include "wire/gauge.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void same(const struct buffer *b, const uint8_t *data, size_t n)
{
    if (buffer_size(b) != n || memcmp(buffer_bytes(b), data, n) != 0)
        abort();
}

/* What is taken is within the limits, and is encoded to the same bytes. */
static void metric(const struct frame *f, struct gauges *g)
{
    uint8_t bytes[FRAME_METRIC_MAX];
    const struct gauge *found;
    const char *name;
    double value;
    size_t size;

    if (frame_metric_parse(f, &name, &size, &value) < 0 || gauges_set(g, name, size, value, NULL))
        return;
    found = gauges_find(g, name, size);
    if (!found || found->value != value || g->count > GAUGES_MAX ||
        !(value >= 0 && value <= GAUGE_VALUE_MAX))
        abort();
    if (frame_metric_put(bytes, name, size, value) != f->length ||
        memcmp(bytes + 8, name, size) != 0 || (value > 0 && memcmp(bytes, f->payload, 8) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buffer b = {0};
    struct frame_invoke inv;
    struct gauges gauges = {0};
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
        metric(&f, &gauges);
        data += size;
        n -= size;
    }
    buffer_done(&b);
    return 0;
}
