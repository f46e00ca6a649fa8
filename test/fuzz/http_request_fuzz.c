/* module: runtime-sdk/http */
/* Requests through scan, head and body: once whole, once in pieces that the first byte decides, and
 * written and read again. All must end alike, made of views into the input. */
#include "http_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char out[HTTP_TARGET_MAX];

    if (n < 2)
        return 0;
    check_message(false, data + 1, n - 1, 1 + data[0] % 16);
    http_percent_decode((struct str){(const char *)data + 1, n - 1}, out, sizeof(out));
    http_list_has((struct str){(const char *)data + 1, n - 1}, "close");
    return 0;
}
