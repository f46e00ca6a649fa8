/* environment.c - an instance's environment: the runtime's defaults, then the function's own, then the
 * platform's, which win. */
#include "pool/internal.h"
#include "invoke/environment.h"

#include <stdio.h>
#include <string.h>

int instance_environment(const struct instance *i, struct environment *ret)
{
    const Rouse__Control__V1__RevisionSpec *s = i->revision->spec;
    struct environment e = {0};
    char api[32];
    struct environment_facts f = {
        .function = i->revision->name,
        .namespace = i->revision->namespace,
        .revision = i->revision->revision,
        .instance = i->id,
        .node = i->pool->node,
        .handler = s->handler,
        .runtime = s->runtime,
        .task_root = "/var/task",
        .runtime_dir = "/var/runtime",
        .runtime_socket = "/run/rouse/runtime.sock",
        .api_address = api,
        .memory = s->memory,
        .cpu_millis = s->cpu,
        .timeout_ms = s->timeout_ms,
        .concurrency = s->concurrency,
        .port = (uint16_t)s->port,
    };
    int r;

    snprintf(api, sizeof(api), "127.0.0.1:%d", API_PORT);
    environment_set_defaults(&e, &f);
    for (char **v = i->runtime->env; *v; v++)
        environment_set_text(&e, *v);
    for (size_t k = 0; k < s->n_env; k++)
        if (*s->env[k]->name && !strchr(s->env[k]->name, '='))
            environment_set(&e, s->env[k]->name, s->env[k]->value);
    environment_set_platform(&e, &f);
    r = environment_finish(&e);
    if (r < 0)
        environment_done(&e);
    else
        *ret = e;
    return r;
}
