/* reactor_http.c - a constant answer to every head that ends, pipelined ones too, on the public <rouse/reactor.h>. Runs until it is killed. */
/* module: runtime-sdk/reactor */
#include "hello_answer.h"
#include "reactor_main.h"

static enum rouse_action opened(struct rouse_conn *c, struct rouse_conn_options *options,
                                struct rouse_output *out)
{
    (void)c, (void)out;
    options->reuse_input_buffer = true;
    return ROUSE_NONE;
}

static enum rouse_action data(struct rouse_conn *c, struct rouse_input *in, struct rouse_output *out)
{
    const char *at = in->data, *last = in->data + in->size, *end;

    (void)c;
    while (at < last && !rouse_output_full(out) &&
           (end = memmem(at, (size_t)(last - at), "\r\n\r\n", 4))) {
        rouse_append(out, HELLO_ANSWER, sizeof(HELLO_ANSWER) - 1);
        at = end + 4;
    }
    in->keep = (size_t)(last - at);
    return ROUSE_NONE;
}

int main(int argc, char **argv)
{
    return reactor_main(argc, argv, (struct rouse_events){.opened = opened, .data = data});
}
