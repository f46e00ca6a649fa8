/* brain_provider.c - questions to the providers of nodes, and what they answer. */
#include "brain/brain_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void on_answer(void *user, const struct provider_answer *a)
{
    struct brain *b = user;

    core_provider(b->core, loop_now(b->loop), a, &b->actions);
    brain_touch(b);
}

int brain_provider_configure(struct brain *b, const struct brain_config *c)
{
    const char *const given[] = {c->node_process, c->node_platform, c->node_hooks, c->node_control};

    for (size_t i = 0; i < ARRAY_LEN(given); i++) {
        b->node_texts[i] = given[i] ? strdup(given[i]) : NULL;
        if (given[i] && !b->node_texts[i])
            return -ENOMEM;
    }
    return 0;
}

/* Its threads are made when there is a pool that asks. */
void brain_provider_ask(struct brain *b, const struct provider_request *q)
{
    struct providers_config c = {.process = b->node_texts[0],
                                 .platform = b->node_texts[1],
                                 .hooks = b->node_texts[2],
                                 .control = b->node_texts[3],
                                 .loop = b->loop,
                                 .on_answer = on_answer,
                                 .user = b};
    int r = b->providers ? 0 : providers_new(&c, &b->providers);

    if (r == 0) {
        providers_ask(b->providers, q);
    } else {
        struct provider_answer a = {.verb = q->verb, .error = r};

        snprintf(a.pool, sizeof(a.pool), "%s", q->pool->name);
        snprintf(a.node, sizeof(a.node), "%s", q->node ? q->node : "");
        snprintf(a.message, sizeof(a.message), "threads: %s", strerror(-r));
        on_answer(b, &a);
    }
}

void brain_provider_done(struct brain *b)
{
    b->providers = providers_free(b->providers);
    for (size_t i = 0; i < ARRAY_LEN(b->node_texts); i++)
        free(b->node_texts[i]);
}
