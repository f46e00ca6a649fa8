/* invoke.h - one invocation as the router asks for it and as it came out. */
#pragma once
#include "base/clock.h"
#include "http/message.h"

enum invoke_shape {
    INVOKE_HTTP, /* the event is the HTTP v2.0 object; the result is an HTTP answer */
    INVOKE_RAW,  /* the body is the event; the result is the body (Lambda's Invoke) */
};
/* An upgraded stream on which nothing moves for so long is taken for dead: its ends may have gone without
 * a word, and it holds a slot. */
#define INVOKE_TUNNEL_IDLE_NS (3600 * NS_PER_S)
struct invoke_params {
    const char *function_key, *revision;
    const char *request_id, *trace;
    enum invoke_shape shape;
    struct str raw_path; /* the path the function sees (prefix of /function/NS/NAME taken off) */
    struct str route; /* the pattern of the trigger that matched, "/users/{id}"; empty: none did */
    bool route_any;   /* it takes all methods */
    uint64_t slot;    /* 0: any free one; else the activator's lease */
    bool in_turn;     /* it waited for that slot: what the activator wants does not come first */
    uint64_t deadline_ms; /* epoch, the entry's; 0: none. The function's timeout counts from INVOKE */
    uint32_t timeout_ms;
    uint64_t body_limit;
    bool trusted; /* the caller is authenticated: errors carry type, message, trace */
    const char *client_ip;
};
struct invoke_outcome {
    /* Nothing was run: the instance was not there any more. The exchange is whole and the caller's
     * again, and the rest says nothing. */
    bool refused;
    int status; /* what was answered; 101: the stream lives on */
    bool client_gone;
    bool lost;       /* the instance died with it */
    bool cold;       /* the first invocation of its instance */
    uint64_t run_ns; /* INVOKE to the end of the result */
};
