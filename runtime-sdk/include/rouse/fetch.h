/* fetch.h - an HTTP request and its answer, for tasks.
 *
 *     struct rouse_fetched answer;
 *
 *     if (rouse_fetch(&(struct rouse_fetch){.url = "http://127.0.0.1:8080/"},
 *                     rouse_after(5 * ROUSE_SECOND), &answer) == 0) {
 *         printf("%d: %s\n", answer.status, answer.body);
 *         rouse_fetched_done(&answer);
 *     }
 *
 * Link librouse-curl.a and libcurl: `pkg-config --libs rouse-curl`. Connections are
 * kept and shared, see rouse/curl.h, which is also for whatever is not offered here. */
#pragma once
#include "rouse/sched.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ROUSE_FETCH_ERROR 256

struct rouse_fetch {            /* what is not set is 0 */
    const char *url;            /* http:// or https:// */
    const char *method;         /* NULL: GET, or POST with a body */
    const char *const *headers; /* "Name: value" each, NULL at the end; may be NULL */
    const void *body;           /* lives until the return; NULL: none */
    size_t size;                /* of it, bytes */
    size_t body_limit;          /* of the answer, bytes, after decompression; 0: 16 MiB */
    unsigned redirects;         /* at most so many are followed, to 1000; 0: they are answers */
    const char *ca_file;        /* certificates to trust, PEM; NULL: the system's */
    char *error; /* ROUSE_FETCH_ERROR bytes, set to a text when it fails; may be NULL */
};
struct rouse_fetched {
    int status;
    size_t size; /* of the body, bytes */
    char *body;  /* a 0 byte is behind it; never NULL */
    size_t headers_size;
    char *headers; /* of the last answer: "Name: value", each with a 0 byte behind it */
};

/* -ETIMEDOUT, -ECANCELED, -EPERM; -EINVAL: the URL or an option; -ENOENT: no such host; -ECONNREFUSED: no
 * connection, for whatever reason; -EPROTO: TLS, or what is no HTTP; -EMSGSIZE: the answer is larger than
 * body_limit, or its headers than 64 KiB; -ELOOP: too many redirects; -ENOMEM; -EIO: anything else, as a
 * connection that broke. A status of 400 and more is an answer like any other. */
int rouse_fetch(const struct rouse_fetch *request, int64_t deadline, struct rouse_fetched *ret);
void rouse_fetched_done(struct rouse_fetched *answer); /* any thread */
/* The value of the first header of that name, in any case; NULL: there is none. Any thread. */
const char *rouse_fetched_header(const struct rouse_fetched *answer, const char *name);

#ifdef __cplusplus
}
#endif
