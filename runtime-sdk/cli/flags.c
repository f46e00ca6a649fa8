/* flags.c - flags in any place of a command's line: --name VALUE, --name=VALUE, -n VALUE, -nVALUE,
 * --. */
#include "cli/cli.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct scan {
    const struct command *c;
    const struct flag *own, *global;
    size_t own_count, global_count;
    int argc;
    char **argv;
    int at;
};

static const struct flag *find_long(const struct flag *f, size_t n, const char *name, size_t size)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(f[i].name) == size && memcmp(f[i].name, name, size) == 0)
            return &f[i];
    return NULL;
}
static const struct flag *find_letter(const struct flag *f, size_t n, char letter)
{
    for (size_t i = 0; i < n; i++)
        if (f[i].letter == letter)
            return &f[i];
    return NULL;
}

static int set_number(const struct scan *s, const struct flag *f, const char *value)
{
    char *end;
    long v;

    errno = 0;
    v = strtol(value, &end, 10);
    if (errno || *end || end == value || v < 0)
        return usage(s->c, "--%s wants a number from 0, not \"%s\"", f->name, value);
    *(long *)f->value = v;
    return -1;
}

static int add_to_list(const struct scan *s, const struct flag *f, const char *value)
{
    struct flag_list *list = f->value;

    if (list->count == FLAG_LIST_MAX)
        return usage(s->c, "--%s is given more than %d times", f->name, FLAG_LIST_MAX);
    list->at[list->count++] = value;
    return -1;
}

/* `value`: what follows in the same word, or NULL. */
static int set_flag(struct scan *s, const struct flag *f, const char *value)
{
    if (f->kind == FLAG_BOOL) {
        if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return usage(s->c, "--%s takes no value, or true or false, not \"%s\"", f->name, value);
        *(bool *)f->value = !value || strcmp(value, "true") == 0;
        return -1;
    }
    if (!value) {
        if (s->at + 1 >= s->argc)
            return usage(s->c, "--%s wants a value", f->name);
        value = s->argv[++s->at];
    }
    if (f->kind == FLAG_NUMBER)
        return set_number(s, f, value);
    if (f->kind == FLAG_LIST)
        return add_to_list(s, f, value);
    *(const char **)f->value = value;
    return -1;
}

static int take_long(struct scan *s, const char *word)
{
    size_t n = strcspn(word, "=");
    const struct flag *f = find_long(s->own, s->own_count, word, n);

    if (!f)
        f = find_long(s->global, s->global_count, word, n);
    if (!f)
        return usage(s->c, "rouse %s has no flag --%.*s", s->c->name, (int)n, word);
    return set_flag(s, f, word[n] ? word + n + 1 : NULL);
}

/* "-f", "-fVALUE", and bools together: "-wf". */
static int take_letters(struct scan *s, const char *word)
{
    for (size_t i = 0; word[i]; i++) {
        const struct flag *f = find_letter(s->own, s->own_count, word[i]);
        int r;

        if (!f)
            f = find_letter(s->global, s->global_count, word[i]);
        if (!f)
            return usage(s->c, "rouse %s has no flag -%c", s->c->name, word[i]);
        if (f->kind != FLAG_BOOL)
            return set_flag(s, f, word[i + 1] ? word + i + 1 + (word[i + 1] == '=') : NULL);
        r = set_flag(s, f, NULL);
        if (r >= 0)
            return r;
    }
    return -1;
}

int flags_parse(const struct command *c, const struct flag *flags, size_t n, int argc, char **argv,
                struct settings *settings, struct arguments *ret)
{
    bool help = false, ended = false;
    const struct flag global[] = {
        {"api", 0, FLAG_TEXT, &settings->api},        {"gateway", 0, FLAG_TEXT, &settings->gateway},
        {"token", 0, FLAG_TEXT, &settings->token},    {"state", 0, FLAG_TEXT, &settings->state},
        {"namespace", 'n', FLAG_TEXT, &settings->ns}, {"help", 'h', FLAG_BOOL, &help},
    };
    struct scan s = {c, flags, global, n, ARRAY_LEN(global), argc, argv, 0};

    *ret = (struct arguments){0};
    for (; s.at < argc; s.at++) {
        const char *word = argv[s.at];
        int r = -1;

        if (ended || word[0] != '-' || !word[1]) {
            if (ret->count == POSITIONAL_MAX)
                return usage(c, "too many arguments");
            ret->positional[ret->count++] = word;
        } else if (strcmp(word, "--") == 0) {
            ended = true;
        } else {
            r = word[1] == '-' ? take_long(&s, word + 2) : take_letters(&s, word + 1);
        }
        if (r >= 0)
            return r;
    }
    if (!help)
        return -1;
    fputs(c->help, stdout);
    return EXIT_DONE;
}
