/* bootstrap.c - HTTP in C, bodies as streams: POST answers with the body in capitals while it comes; GET
 * counts, as server-sent events, one each tenth of a second, as far as `?to=` says.
 *
 * Each request is a task: a hundred of them that wait cost one thread, and one whose client
 * leaves is cancelled: its next wait returns -ECANCELED. */
#include <rouse/rouse.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int capitals(struct rouse_http_request *req, struct rouse_http_response *resp)
{
    char data[16384];
    ssize_t n;
    int r = 0;

    rouse_http_add(resp, "content-type", "text/plain");
    while (r == 0 && (n = rouse_http_read(req, data, sizeof(data), ROUSE_NEVER)) != 0) {
        if (n < 0)
            return (int)n;
        for (ssize_t i = 0; i < n; i++)
            data[i] = (char)toupper((unsigned char)data[i]);
        r = rouse_http_write(resp, data, (size_t)n, ROUSE_NEVER);
    }
    return r;
}

static int count(struct rouse_http_request *req, struct rouse_http_response *resp)
{
    const char *to = strstr(req->query, "to=");
    long last = to ? strtol(to + 3, NULL, 10) : 10;
    char event[64];
    int r = 0;

    rouse_http_add(resp, "content-type", "text/event-stream");
    for (long i = 1; r == 0 && i <= last; i++) {
        int n = snprintf(event, sizeof(event), "data: %ld\n\n", i);

        r = rouse_http_write(resp, event, (size_t)n, ROUSE_NEVER);
        if (r == 0 && i < last)
            r = rouse_sleep(100 * ROUSE_MS);
    }
    return r;
}

static int serve(struct rouse_http_request *req, struct rouse_http_response *resp,
                 struct rouse_context *ctx)
{
    int r = !strcmp(req->method, "POST") ? capitals(req, resp) : count(req, resp);

    if (r == -ECANCELED)
        rouse_log(ctx, "nobody listens any more");
    return r;
}

int main(void)
{
    return rouse_start_http(serve) < 0;
}
