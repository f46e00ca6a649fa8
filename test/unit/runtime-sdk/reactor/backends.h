/* backends.h - the main() of the reactor's tests: every case on every backend, in one binary.
 *
 * io_uring runs twice, with all that this kernel has and with what Linux 6.1 has. */
#pragma once
#include "reactor/uring_internal.h"
#include "unit.h"

#include <stdio.h>

static inline int backends_main(const char *name, const TTest *const *cases, size_t n)
{
    const char *reason = loop_backend_reason();
    char suite[64];
    int failed;

    snprintf(suite, sizeof(suite), "%s on epoll", name);
    loop_backend_default(LOOP_EPOLL);
    failed = unit_main(suite, cases, n);
    if (*reason) {
        printf("skipped: io_uring: %s\n", reason);
        return failed;
    }
    loop_backend_default(LOOP_IO_URING);
    snprintf(suite, sizeof(suite), "%s on io_uring", name);
    failed |= unit_main(suite, cases, n);
    uring_without = WITHOUT_FIXED | WITHOUT_INCREMENTAL | WITHOUT_ABSOLUTE;
    snprintf(suite, sizeof(suite), "%s on io_uring as of Linux 6.1", name);
    return failed | unit_main(suite, cases, n);
}
#define BACKENDS_MAIN(name, ...)                                                                   \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const cases[] = {__VA_ARGS__};                                                \
        return backends_main(name, cases, sizeof(cases) / sizeof(cases[0]));                       \
    }
