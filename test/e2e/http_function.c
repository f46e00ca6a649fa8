/* http_function.c - what http_runtime.c does by hand, as a function on the SDK. test_http_frames.py builds it.
 *
 *     /echo   the request's body as it comes     /sink   how many bytes came
 *     /big    64 MiB                             /crash  a null pointer
 *     /warm   whether the initializer has run */
#include <rouse/rouse.h>

#include <stdio.h>
#include <string.h>

enum { BIG = 64 << 20, PART = 60000 };
static int warm;

static int on_warm(struct rouse_context *ctx)
{
    rouse_log(ctx, "hook warm");
    warm++;
    return 0;
}

static int echo(struct rouse_http_request *req, struct rouse_http_response *resp, int64_t deadline)
{
    char part[4096];
    ssize_t n;
    int r = rouse_http_write(resp, "", 0, deadline);

    while (r == 0 && (n = rouse_http_read(req, part, sizeof(part), deadline)))
        r = n < 0 ? (int)n : rouse_http_write(resp, part, (size_t)n, deadline);
    return r;
}

static int sink(struct rouse_http_request *req, struct rouse_http_response *resp, int64_t deadline)
{
    char part[4096];
    size_t got = 0;
    ssize_t n;

    while ((n = rouse_http_read(req, part, sizeof(part), deadline)) > 0)
        got += (size_t)n;
    return n < 0 ? (int)n : rouse_http_write(resp, part, (size_t)sprintf(part, "%zu", got), deadline);
}

static int big(struct rouse_http_response *resp, int64_t deadline)
{
    static char zeros[PART];
    int r = rouse_http_add(resp, "content-length", "67108864");

    for (size_t left = BIG, n; r == 0 && left; left -= n) {
        n = left < sizeof(zeros) ? left : sizeof(zeros);
        r = rouse_http_write(resp, zeros, n, deadline);
    }
    return r;
}

static int handle(struct rouse_http_request *req, struct rouse_http_response *resp,
                  struct rouse_context *ctx)
{
    int64_t deadline = rouse_deadline(ctx);
    char text[16];

    if (!strcmp(req->path, "/echo"))
        return echo(req, resp, deadline);
    if (!strcmp(req->path, "/sink"))
        return sink(req, resp, deadline);
    if (!strcmp(req->path, "/big"))
        return big(resp, deadline);
    if (!strcmp(req->path, "/crash"))
        *(volatile int *)0 = 1;
    if (!strcmp(req->path, "/warm"))
        return rouse_http_write(resp, text, (size_t)sprintf(text, "%d", warm), deadline);
    return rouse_http_status(resp, 404);
}

int main(void)
{
    return rouse_hook("warm", on_warm) < 0 || rouse_start_http(handle) < 0;
}
