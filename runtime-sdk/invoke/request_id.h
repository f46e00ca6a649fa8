/* request_id.h - names for requests: unique, cheap, in the shape of a UUID.
 *
 * Random bits from the kernel once a process, then a counter that is mixed
 * (splitmix64), so that no two ids of a platform meet and no system call is
 * made a request. Not a secret. On one thread. */
#pragma once
#include <stdint.h>

enum { REQUEST_ID_SIZE = 37 };
struct request_ids {
    uint64_t high, next;
};

void request_ids_init(struct request_ids *ids);
void request_id_make(struct request_ids *ids, char out[REQUEST_ID_SIZE]);
