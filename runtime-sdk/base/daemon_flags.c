/* daemon_flags.c - see the header. */
#include "base/daemon_flags.h"
#include "base/quantity.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int daemon_flag_bad(struct err *e, const char *said, const char *value, const char *want)
{
    return err_set(e, EINVAL, "%s \"%s\": %s", said, value, want);
}

/* ---------------------------------------------------------------- takers */
static void *at(const struct daemon_flag *f, void *options)
{
    return (char *)options + f->offset;
}

int daemon_flag_text(const struct daemon_flag *f, const char *said, char *value, void *options,
                     struct err *e)
{
    if (!*value)
        return daemon_flag_bad(e, said, value, "is empty");
    *(const char **)at(f, options) = value;
    return 0;
}

int daemon_flag_switch(const struct daemon_flag *f, const char *said, char *value, void *options,
                       struct err *e)
{
    bool on = !strcmp(value, "1") || !strcmp(value, "true");

    if (!on && strcmp(value, "0") && strcmp(value, "false"))
        return daemon_flag_bad(e, said, value, "is none of 1, true, 0, false");
    *(bool *)at(f, options) = on;
    return 0;
}

int daemon_flag_number(const struct daemon_flag *f, const char *said, char *value, void *options,
                       struct err *e)
{
    unsigned long n;
    char *end;

    errno = 0;
    n = strtoul(value, &end, 10);
    if (!isdigit((unsigned char)*value) || *end || errno || n < f->min || n > f->max)
        return daemon_flag_bad(e, said, value, f->want);
    *(uint32_t *)at(f, options) = (uint32_t)n;
    return 0;
}

static int take_quantity(int (*parse)(const char *text, uint64_t *ret), const struct daemon_flag *f,
                         const char *said, const char *value, void *options, struct err *e)
{
    uint64_t v;

    if (parse(value, &v) < 0 || v < f->min || v > f->max)
        return daemon_flag_bad(e, said, value, f->want);
    *(uint64_t *)at(f, options) = v;
    return 0;
}

int daemon_flag_memory(const struct daemon_flag *f, const char *said, char *value, void *options,
                       struct err *e)
{
    return take_quantity(quantity_memory, f, said, value, options, e);
}

int daemon_flag_duration(const struct daemon_flag *f, const char *said, char *value, void *options,
                         struct err *e)
{
    return take_quantity(quantity_duration, f, said, value, options, e);
}

/* ---------------------------------------------------------------- the command line, the environment */
const char *daemon_flags_question(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return "--help";
        if (!strcmp(argv[i], "--version"))
            return "--version";
    }
    return NULL;
}

void daemon_flag_variable(const struct daemon_flag *f, char ret[DAEMON_FLAG_NAME_MAX])
{
    static const char prefix[] = "ROUSE_";
    const char *name = f->name + strlen("--");
    size_t n = strlen(prefix);

    assert(n + strlen(name) < DAEMON_FLAG_NAME_MAX);
    memcpy(ret, prefix, n);
    for (; *name; name++)
        ret[n++] = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
    ret[n] = '\0';
}

/* A variable's text is the environment's, and not to be cut. */
static char *keep(size_t i, const char *value)
{
    static char *kept[DAEMON_FLAGS_MAX];

    free(kept[i]);
    return kept[i] = strdup(value);
}

static int take_environment(const struct daemon_flag *table, size_t count, const bool *said,
                            void *options, struct err *e)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++) {
        const struct daemon_flag *f = &table[i];
        char name[DAEMON_FLAG_NAME_MAX];
        const char *value;

        if (f->kind == DAEMON_FLAG_HERE || (said[i] && f->kind != DAEMON_FLAG_AGAIN))
            continue;
        daemon_flag_variable(f, name);
        value = getenv(name);
        if (value && *value) {
            char *copy = keep(i, value);

            r = copy ? f->take(f, name, copy, options, e) : err_errno(e, ENOMEM, "%s", name);
        }
    }
    return r;
}

int daemon_flags_parse(const struct daemon_flag *table, size_t count, int argc, char **argv,
                       void *options, struct err *e)
{
    static char on[] = "1";
    bool said[DAEMON_FLAGS_MAX] = {0};

    assert(count <= DAEMON_FLAGS_MAX);
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        size_t k = 0;
        int r;

        if (value)
            *value++ = '\0';
        while (k < count && strcmp(table[k].name, argv[i]) != 0)
            k++;
        if (k == count)
            return err_set(e, EINVAL, "%s is not a flag; see --help", argv[i]);
        if (!value && table[k].kind == DAEMON_FLAG_SWITCH)
            value = on;
        else if (!value && i + 1 < argc)
            value = argv[++i];
        if (!value)
            return err_set(e, EINVAL, "%s needs a value; see --help", table[k].name);
        r = table[k].take(&table[k], table[k].name, value, options, e);
        if (r < 0)
            return r;
        said[k] = true;
    }
    return take_environment(table, count, said, options, e);
}
