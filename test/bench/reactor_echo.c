/* reactor_echo.c - echo on the public <rouse/reactor.h>. Runs until it is killed. */
/* module: runtime-sdk/reactor */
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
    (void)c;
    rouse_append(out, in->data, in->size);
    return ROUSE_NONE;
}

int main(int argc, char **argv)
{
    return reactor_main(argc, argv, (struct rouse_events){.opened = opened, .data = data});
}
