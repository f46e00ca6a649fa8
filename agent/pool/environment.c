/* environment.c - the runtime's defaults, then the function's own, then the platform's, which win.
 */
#include "pool/internal.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { VARIABLES_MAX = 1024 };

struct environment {
    char **all;
    size_t count, room;
    int error;
};

static char **find(struct environment *e, const char *assignment, size_t name_size)
{
    for (size_t i = 0; i < e->count; i++)
        if (!strncmp(e->all[i], assignment, name_size + 1))
            return &e->all[i];
    return NULL;
}

/* Takes the text "NAME=value" over. */
static void set_text(struct environment *e, char *text)
{
    const char *eq = text ? strchr(text, '=') : NULL;
    char **at = eq ? find(e, text, (size_t)(eq - text)) : NULL;

    if (!eq) {
        free(text);
        e->error = -ENOMEM;
    } else if (at) {
        free(*at);
        *at = text;
    } else if (e->count == e->room) {
        free(text);
        e->error = -E2BIG;
    } else {
        e->all[e->count++] = text;
    }
}

static void set(struct environment *e, const char *name, const char *value)
{
    char *text;

    set_text(e, asprintf(&text, "%s=%s", name, value) < 0 ? NULL : text);
}

static void set_number(struct environment *e, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    set(e, name, text);
}

/* What a function may well want otherwise. */
static void set_defaults(struct environment *e)
{
    set(e, "PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin");
    set(e, "HOME", "/tmp");
    set(e, "LANG", "C.UTF-8");
    set(e, "TZ", "UTC");
    set(e, "AWS_REGION", "local");
    set(e, "AWS_DEFAULT_REGION", "local");
}

static void set_platform(struct environment *e, const struct instance *i)
{
    const Rouse__Control__V1__RevisionSpec *s = i->revision->spec;
    char text[320];

    set(e, "ROUSE_FUNCTION", i->revision->name);
    set(e, "ROUSE_NAMESPACE", i->revision->namespace);
    set(e, "ROUSE_REVISION", i->revision->revision);
    set(e, "ROUSE_INSTANCE", i->id);
    set(e, "ROUSE_NODE", i->pool->node);
    set(e, "ROUSE_HANDLER", s->handler);
    set_number(e, "ROUSE_MEMORY", s->memory);
    set_number(e, "ROUSE_TIMEOUT_MS", s->timeout_ms);
    set_number(e, "ROUSE_CONCURRENCY", s->concurrency);
    set(e, "LAMBDA_TASK_ROOT", "/var/task");
    set(e, "LAMBDA_RUNTIME_DIR", "/var/runtime");
    if (s->port) {
        set_number(e, "PORT", s->port);
        return;
    }
    set(e, "ROUSE_RUNTIME_SOCKET", "/run/rouse/runtime.sock");
    set(e, "_HANDLER", s->handler);
    snprintf(text, sizeof(text), "Rouse_%.128s", s->runtime);
    set(e, "AWS_EXECUTION_ENV", text);
    snprintf(text, sizeof(text), "127.0.0.1:%d", API_PORT);
    set(e, "AWS_LAMBDA_RUNTIME_API", text);
    set(e, "AWS_LAMBDA_FUNCTION_NAME", i->revision->name);
    set(e, "AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
    set_number(e, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", s->memory >> 20);
    snprintf(text, sizeof(text), "/rouse/%.128s/%.128s", i->revision->namespace, i->revision->name);
    set(e, "AWS_LAMBDA_LOG_GROUP_NAME", text);
    set(e, "AWS_LAMBDA_LOG_STREAM_NAME", i->id);
    set_number(e, "AWS_LAMBDA_MAX_CONCURRENCY", s->concurrency);
}

int environment_build(const struct instance *i, char ***ret)
{
    const Rouse__Control__V1__RevisionSpec *s = i->revision->spec;
    struct environment e = {.room = VARIABLES_MAX};

    e.all = calloc(VARIABLES_MAX + 1, sizeof(*e.all));
    if (!e.all)
        return -ENOMEM;
    set_defaults(&e);
    if (s->port) /* a server's lines belong into the log when it writes them */
        set(&e, "PYTHONUNBUFFERED", "1");
    for (char **v = i->runtime->env; *v; v++)
        set_text(&e, strdup(*v));
    for (size_t k = 0; k < s->n_env; k++)
        if (*s->env[k]->name && !strchr(s->env[k]->name, '='))
            set(&e, s->env[k]->name, s->env[k]->value);
    set_platform(&e, i);
    if (e.error) {
        environment_free(e.all);
        return e.error;
    }
    *ret = e.all;
    return 0;
}

char **environment_free(char **env)
{
    for (char **v = env; v && *v; v++)
        free(*v);
    free(env);
    return NULL;
}
