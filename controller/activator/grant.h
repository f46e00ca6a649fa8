/* grant.h - the activator's answer to a ticket: a leased slot, or a refusal. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct grant {
    bool granted;
    /* granted */
    char function_key[320], revision[24], instance[64], peer_address[128];
    uint64_t slot;
    uint32_t timeout_ms;
    uint64_t body_limit;
    const char *route; /* as Grant.route in control.proto; lives as long as what carries the grant */
    /* refused */
    int status;
    char reason[32], message[256], allow[128];
    uint32_t retry_after_s;
};
