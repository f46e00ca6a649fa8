/* hello.c - the C function of the benchmarks: a string of five bytes, whatever the event. */
#include <rouse/rouse.h>

static int hello(const struct rouse_event *event, struct rouse_response *resp,
                 struct rouse_context *ctx)
{
    (void)event, (void)ctx;
    return rouse_respond_text(resp, "hello");
}

int main(void)
{
    return rouse_start(hello) < 0;
}
