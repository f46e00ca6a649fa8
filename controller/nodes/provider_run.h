/* provider_run.h - one run of a provider's program, to its end, on the calling thread. */
#pragma once
#include "base/buffer.h"

struct provider_run {
    char *const *argv;
    const char *input;
    uint64_t deadline; /* monotonic ns */
    int stop;          /* a descriptor that is readable when the program is to end at once, or -1 */
    size_t limit;      /* of its stdout */
    struct buffer out; /* the caller's to free, whatever comes back */
    char message[256]; /* why it failed: the last line of its stderr, or what happened */
};
/* 0: it ended with status 0. -ETIMEDOUT, -E2BIG, -ECANCELED: it was killed, with all that it had started in
 * its process group. -EREMOTEIO: it failed. -errno: it could not be started. */
int provider_run(struct provider_run *r);
