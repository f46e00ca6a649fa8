/* module: runtime-sdk/control */
/* control_fuzz.c - any bytes as a message of either side: what unpacks is packed and unpacked again
 * the same.
 */
#include "control.pb-c.h"
#include "control/link.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static uint8_t *pack(const ProtobufCMessage *m, size_t *ret_size)
{
    uint8_t *to;

    *ret_size = protobuf_c_message_get_packed_size(m);
    to = malloc(*ret_size + 1);
    if (!to || protobuf_c_message_pack(m, to) != *ret_size)
        abort();
    return to;
}

/* The first packing puts fields into order; from then on the bytes stay. (protobuf-c takes the
 * field number 0 where it is written in two bytes and refuses what it makes of it itself: such a
 * message may end here.) */
static void round_trip(const ProtobufCMessageDescriptor *d, const uint8_t *data, size_t n)
{
    struct buffer in = {0};
    ProtobufCMessage *first, *second;
    uint8_t *a, *b;
    size_t a_size, b_size;

    buffer_append(&in, data, n);
    first = link_unpack(d, &in);
    buffer_done(&in);
    if (!first)
        return;
    a = pack(first, &a_size);
    second = protobuf_c_message_unpack(d, NULL, a_size, a);
    if (second) {
        b = pack(second, &b_size);
        if (a_size != b_size || memcmp(a, b, a_size) != 0)
            abort();
        free(b);
        protobuf_c_message_free_unpacked(second, NULL);
    }
    free(a);
    protobuf_c_message_free_unpacked(first, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    round_trip(&rouse__control__v1__agent_message__descriptor, data, n);
    round_trip(&rouse__control__v1__controller_message__descriptor, data, n);
    return 0;
}
