/* hello.h - what the agent says about the function in its HELLO. Pure; any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { HELLO_TEXT_MAX = 256, HELLO_CONCURRENCY_MAX = 1000 };

struct hello {
    char function[HELLO_TEXT_MAX], name_space[HELLO_TEXT_MAX], revision[HELLO_TEXT_MAX];
    uint64_t protocol, memory;
    unsigned concurrency; /* 1 to HELLO_CONCURRENCY_MAX */
};

/* Reads one JSON object; fields it does not know are skipped whatever their value.
 * -EBADMSG: not an object, or a known field of another type; -EMSGSIZE: a text or a number over its limit. */
int hello_parse(const char *json, size_t n, struct hello *ret);
