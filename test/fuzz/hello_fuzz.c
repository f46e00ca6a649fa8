/* module: runtime-sdk/sdk */
/* hello_fuzz.c - any bytes as the agent's HELLO; the input has no NUL behind it to lean on. */
#include "sdk/hello.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hello h;

    memset(&h, 0xff, sizeof(h));
    if (!hello_parse((const char *)data, n, &h) &&
        (strlen(h.function) >= HELLO_TEXT_MAX || strlen(h.name_space) >= HELLO_TEXT_MAX ||
         strlen(h.revision) >= HELLO_TEXT_MAX))
        abort();
    return 0;
}
