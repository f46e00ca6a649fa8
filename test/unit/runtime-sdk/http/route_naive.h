/* route_naive.h - the rules of route_table.h written down a second time, slowly: every pattern is held
 * against the path. Shared by the unit test and the fuzzer. */
#pragma once
#include "http/route_pattern.h"

#include <string.h>

enum { NAIVE_RANK_MAX = ROUTE_SEGMENTS_MAX + 8 };

struct naive_route {
    struct str host, pattern; /* canonical */
};

static inline bool naive_segment(struct str *rest, struct str *ret)
{
    size_t n = 0;

    if (!rest->n)
        return false;
    while (1 + n < rest->n && rest->at[1 + n] != '/')
        n++;
    *ret = (struct str){rest->at + 1, n};
    *rest = (struct str){rest->at + 1 + n, rest->n - 1 - n};
    return true;
}

/* -1: no match; 2 its own host, 1 by wildcard, 0 any. */
static inline int naive_host(struct str pattern, struct str host)
{
    const char *dot = host.n ? memchr(host.at, '.', host.n) : NULL;
    size_t parent = dot ? host.n - (size_t)(dot - host.at) : 0;

    if (!pattern.n)
        return 0;
    if (pattern.at[0] == '*')
        return dot && pattern.n == parent + 1 && !memcmp(pattern.at + 1, dot, parent) ? 1 : -1;
    return pattern.n == host.n && !memcmp(pattern.at, host.at, host.n) ? 2 : -1;
}

/* How well `p` matches, as a text that sorts; false if it does not. */
static inline bool naive_rank(const struct naive_route *p, struct str host, struct str path,
                              char out[NAIVE_RANK_MAX])
{
    struct str patterns = p->pattern, paths = path, want, have;
    char ways[NAIVE_RANK_MAX];
    size_t n = 0, length = 0;
    int h = naive_host(p->host, host);
    bool rest = false;

    if (h < 0)
        return false;
    while (!rest && naive_segment(&patterns, &want)) {
        if (!naive_segment(&paths, &have))
            return false;
        length++;
        if (want.n == 1 && want.at[0] == '*') {
            rest = true;
        } else if (want.n && want.at[0] == '{') {
            if (!have.n)
                return false;
            ways[n++] = '1';
        } else {
            if (want.n != have.n || memcmp(want.at, have.at, want.n) != 0)
                return false;
            ways[n++] = '2';
        }
    }
    if (!rest && paths.n)
        return false;
    ways[n] = '\0';
    out[0] = (char)('1' + h);
    out[1] = rest ? '1' : '2';
    out[2] = (char)(' ' + (rest ? length : 0));
    memcpy(out + 3, ways, n + 1);
    return true;
}
