#include "invoke/environment.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { VARIABLES_MAX = 1024 };

static char **find(struct environment *e, const char *assignment, size_t name_size)
{
    for (unsigned i = 0; i < e->count; i++)
        if (!strncmp(e->all[i], assignment, name_size + 1))
            return &e->all[i];
    return NULL;
}

/* Takes the text "NAME=value" over; NULL: there was no memory for it. */
static void take(struct environment *e, char *text)
{
    const char *eq = text ? strchr(text, '=') : NULL;
    char **at = eq ? find(e, text, (size_t)(eq - text)) : NULL;

    if (!e->all)
        e->all = calloc(VARIABLES_MAX + 1, sizeof(*e->all));
    if (!text || !e->all) {
        e->error = -ENOMEM;
    } else if (!eq) {
        e->error = -EINVAL;
    } else if (at) {
        free(*at);
        *at = TAKE_PTR(text);
    } else if (e->count == VARIABLES_MAX) {
        e->error = -E2BIG;
    } else {
        e->all[e->count++] = TAKE_PTR(text);
    }
    free(text);
}

void environment_set_text(struct environment *e, const char *assignment)
{
    take(e, strdup(assignment));
}

void environment_set(struct environment *e, const char *name, const char *value)
{
    char *text;

    take(e, asprintf(&text, "%s=%s", name, value) < 0 ? NULL : text);
}

static void set_number(struct environment *e, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    environment_set(e, name, text);
}

void environment_set_defaults(struct environment *e, const struct environment_facts *f)
{
    environment_set(e, "PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin");
    environment_set(e, "HOME", "/tmp");
    environment_set(e, "LANG", "C.UTF-8");
    environment_set(e, "TZ", "UTC");
    environment_set(e, "AWS_REGION", "local");
    environment_set(e, "AWS_DEFAULT_REGION", "local");
    /* As many processors as its quota keeps busy. */
    if (f->cpu_millis)
        set_number(e, "ROUSE_MAXPROCS", (f->cpu_millis + 999u) / 1000);
    if (f->port) /* a server's lines belong into the log when it writes them */
        environment_set(e, "PYTHONUNBUFFERED", "1");
}

void environment_set_platform(struct environment *e, const struct environment_facts *f)
{
    char text[320];

    environment_set(e, "ROUSE_FUNCTION", f->function);
    environment_set(e, "ROUSE_NAMESPACE", f->namespace);
    environment_set(e, "ROUSE_REVISION", f->revision);
    environment_set(e, "ROUSE_INSTANCE", f->instance);
    environment_set(e, "ROUSE_NODE", f->node);
    environment_set(e, "ROUSE_HANDLER", f->handler);
    set_number(e, "ROUSE_MEMORY", f->memory);
    set_number(e, "ROUSE_TIMEOUT_MS", f->timeout_ms);
    set_number(e, "ROUSE_CONCURRENCY", f->concurrency);
    environment_set(e, "LAMBDA_TASK_ROOT", f->task_root);
    environment_set(e, "LAMBDA_RUNTIME_DIR", f->runtime_dir);
    if (f->port) {
        set_number(e, "PORT", f->port);
        return;
    }
    environment_set(e, "ROUSE_RUNTIME_SOCKET", f->runtime_socket);
    environment_set(e, "_HANDLER", f->handler);
    snprintf(text, sizeof(text), "Rouse_%.128s", f->runtime);
    environment_set(e, "AWS_EXECUTION_ENV", text);
    environment_set(e, "AWS_LAMBDA_RUNTIME_API", f->api_address);
    environment_set(e, "AWS_LAMBDA_FUNCTION_NAME", f->function);
    environment_set(e, "AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
    set_number(e, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", f->memory >> 20);
    snprintf(text, sizeof(text), "/rouse/%.128s/%.128s", f->namespace, f->function);
    environment_set(e, "AWS_LAMBDA_LOG_GROUP_NAME", text);
    environment_set(e, "AWS_LAMBDA_LOG_STREAM_NAME", f->instance);
    set_number(e, "AWS_LAMBDA_MAX_CONCURRENCY", f->concurrency);
}

int environment_finish(struct environment *e)
{
    return e->all ? e->error : -ENOMEM;
}

void environment_done(struct environment *e)
{
    for (unsigned i = 0; i < e->count; i++)
        free(e->all[i]);
    free(e->all);
    *e = (struct environment){0};
}
