/* bootstrap.c - a function in C: it answers with the event that it was called with.
 *
 * main() runs once, when an instance starts; hello() runs for each request.
 * rouse/rouse.h documents everything that is used here. */
#include <rouse/rouse.h>

static int hello(const struct rouse_event *event, struct rouse_response *resp,
                 struct rouse_context *ctx)
{
    rouse_log(ctx, "%s: an event of %zu bytes, %llu ms left", rouse_function_name(ctx), event->size,
              (unsigned long long)rouse_remaining_ms(ctx));
    if (!event->size)
        return rouse_fail(ctx, "EmptyEvent", "there is nothing to echo");
    return rouse_respond_json(resp, event->data);
}

int main(void)
{
    return rouse_start(hello) < 0;
}
