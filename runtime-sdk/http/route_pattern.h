/* route_pattern.h - what a route's path and host may be, and how a request's path is compared. Pure.
 *
 * A pattern is a path of segments: plain ones, {name} for exactly one segment
 * that is not empty, and at the very end * for whatever follows, nothing
 * included. The pattern of "/static/" and a star is matched by "/static/" and all
 * below it, not by "/static" itself (another resource: its relative links resolve
 * elsewhere); likewise "/a/" is not "/a".
 *
 * Paths are compared as they were sent, but for what RFC 3986 6.2.2 calls
 * equivalent: an escaped unreserved character is that character and the digits
 * of an escape have no case ("/%61" is "/a"). Anything else stays escaped:
 * "/a%2Fb" is one segment, never "/a/b". A path that a next hop could read as
 * another one reaches no route at all: one with a malformed escape, with a
 * control character, or with a part that is "." or "..", where / and \, escaped
 * or not, end a part. Empty segments are kept: "/a//b" is not "/a/b". */
#pragma once
#include "http/message.h"

enum {
    ROUTE_PATTERN_MAX = 1024,
    ROUTE_SEGMENTS_MAX = 64,
    ROUTE_PARAMS_MAX = 16,
    ROUTE_PARAM_NAME_MAX = 64,
    ROUTE_HOST_MAX = 253,
    ROUTE_KEY_MAX = ROUTE_HOST_MAX + 1 + ROUTE_PATTERN_MAX,
    ROUTE_WHY_MAX = 160,
};

/* 0, or -EINVAL and what is wrong, for people: "{id is not closed". */
int route_pattern_check(struct str pattern, char why[ROUTE_WHY_MAX]);
/* A lower-case host name; its first label may be "*", for exactly one label. */
int route_host_check(struct str host, char why[ROUTE_WHY_MAX]);

/* A pattern's identity: two that match the same requests have the same key, whatever their
 * parameters are called. `host` is empty for any. Returns its size, or -EINVAL. */
int route_key(struct str host, struct str pattern, char out[ROUTE_KEY_MAX]);
enum { ROUTE_KEY_ANY_LABEL = 3, ROUTE_KEY_REST = 2, ROUTE_KEY_PARAM = 1, ROUTE_KEY_HOST_END = 0 };

/* The form in which paths are compared: `path` itself where nothing is escaped, else it lies in
 * `buffer` (at least path.n bytes). -EINVAL: no route may have it. */
int route_path_canonical(struct str path, char *buffer, struct str *ret);
/* The platform's own: /function/ and /2015-03-31/. No pattern reaches there. */
bool route_path_reserved(struct str canonical);
/* A Host header's name in lower case without port and final dot; empty if it is no name. */
struct str route_host_canonical(struct str host, char buffer[ROUTE_HOST_MAX]);

/* ---- what the parameters of a pattern were in a path that it matched; views, still escaped */
struct route_param {
    struct str name, value;
};
size_t route_params(struct str pattern, struct str path, struct route_param ret[ROUTE_PARAMS_MAX]);

/* ---- methods as bits */
#define ROUTE_METHODS_ALL UINT32_MAX
uint32_t route_method(struct str method); /* one of no name has a bit that only ALL has */
enum { ROUTE_METHODS_TEXT = 64 };
void route_methods_text(uint32_t methods, char out[ROUTE_METHODS_TEXT]); /* "GET, POST"; ALL: "" */
