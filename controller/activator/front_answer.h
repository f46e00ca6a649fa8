/* front_answer.h - what the platform itself answers at the front: {"reason","message","requestId"} and headers. */
#pragma once
#include <stdint.h>

struct front_answer {
    int status;
    const char *reason, *message;
    uint32_t retry_after_s; /* 0: no header */
    const char *allow;      /* NULL or "": no header */
};
struct http_exchange;
void front_answer_send(struct http_exchange *x, const char *request_id, const struct front_answer *a);
