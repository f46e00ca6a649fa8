/* module: runtime-sdk/http */
/* Answers through scan, head and body: once whole, once in pieces that the first byte decides, and
 * written and read again. All must end alike, made of views into the input. */
#include "http_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n >= 2)
        check_message(true, data + 1, n - 1, 1 + data[0] % 16);
    return 0;
}
