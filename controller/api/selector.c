/* selector.c - the grammar: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, joined
 * by commas. */
#include "api/selector.h"

#include "api/validate.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

enum { REQUIREMENTS_MAX = 32, VALUES_MAX = 64 };

enum operator{ OP_IN, OP_NOT_IN, OP_EXISTS, OP_NOT_EXISTS };
struct requirement {
    char *key;
    enum operator op;
    char *values[VALUES_MAX];
    size_t count;
};
struct selector {
    struct requirement labels[REQUIREMENTS_MAX], fields[REQUIREMENTS_MAX];
    size_t label_count, field_count;
};

static const char *skip_space(const char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

/* A run of the characters that keys and values are made of; may be empty. */
static char *take_word(const char **at)
{
    const char *s = skip_space(*at), *end = s;
    char *word;

    while (*end && !strchr(" \t,()=!", *end))
        end++;
    word = strndup(s, (size_t)(end - s));
    *at = skip_space(end);
    return word;
}

static int take_values(const char **at, struct requirement *q)
{
    if (**at != '(')
        return -EINVAL;
    do {
        *at = *at + 1;
        if (q->count == VALUES_MAX)
            return -E2BIG;
        q->values[q->count] = take_word(at);
        if (!q->values[q->count++])
            return -ENOMEM;
    } while (**at == ',');
    if (**at != ')')
        return -EINVAL;
    *at = skip_space(*at + 1);
    return 0;
}

static int take_operator(const char **at, struct requirement *q)
{
    const char *s = *at;
    cleanup_free char *word = NULL;

    if (*s == '\0' || *s == ',') {
        q->op = OP_EXISTS;
        return 0;
    }
    if (*s == '=' || (*s == '!' && s[1] == '=')) {
        q->op = *s == '=' ? OP_IN : OP_NOT_IN;
        *at = s + (s[1] == '=' ? 2 : 1);
        q->values[0] = take_word(at);
        q->count = 1;
        return q->values[0] ? 0 : -ENOMEM;
    }
    word = take_word(at);
    if (!word)
        return -ENOMEM;
    if (strcmp(word, "in") != 0 && strcmp(word, "notin") != 0)
        return -EINVAL;
    q->op = word[0] == 'i' ? OP_IN : OP_NOT_IN;
    return take_values(at, q);
}

static int take_requirement(const char **at, struct requirement *q)
{
    bool not_there = **at == '!';

    if (not_there)
        *at = *at + 1;
    q->key = take_word(at);
    if (!q->key)
        return -ENOMEM;
    if (!q->key[0])
        return -EINVAL;
    if (!not_there)
        return take_operator(at, q);
    q->op = OP_NOT_EXISTS;
    return **at == '\0' || **at == ',' ? 0 : -EINVAL;
}

static int parse(const char *text, struct requirement *list, size_t *count, struct err *e)
{
    const char *at = skip_space(text);

    while (*at) {
        int r;

        if (*count == REQUIREMENTS_MAX)
            return err_set(e, EINVAL, "a selector has at most %d requirements", REQUIREMENTS_MAX);
        r = take_requirement(&at, &list[(*count)++]);
        if (r == 0 && *at == ',') {
            at = skip_space(at + 1);
            if (!*at)
                r = -EINVAL;
        } else if (r == 0 && *at) {
            r = -EINVAL;
        }
        if (r < 0)
            return err_set(e, EINVAL, "unable to parse requirement: \"%.200s\" is not a selector",
                           text);
    }
    return 0;
}

static int check_labels(const struct selector *s, struct err *e)
{
    for (size_t i = 0; i < s->label_count; i++) {
        const struct requirement *q = &s->labels[i];

        if (!validate_qualified_name(q->key))
            return err_set(e, EINVAL, "unable to parse requirement: key: Invalid value: \"%.100s\"",
                           q->key);
        for (size_t v = 0; v < q->count; v++)
            if (!validate_label_value(q->values[v]))
                return err_set(
                    e, EINVAL,
                    "unable to parse requirement: values[%zu][%.100s]: Invalid value: \"%.100s\"",
                    v, q->key, q->values[v]);
    }
    return 0;
}

static bool is_known(const char *field, const char *const *known)
{
    while (*known && strcmp(*known, field) != 0)
        known++;
    return *known != NULL;
}

static int check_fields(const struct selector *s, const char *const *known, struct err *e)
{
    for (size_t i = 0; i < s->field_count; i++) {
        const struct requirement *q = &s->fields[i];

        if (!is_known(q->key, known))
            return err_set(e, EINVAL, "field label not supported: %.100s", q->key);
        if (q->count != 1)
            return err_set(e, EINVAL, "invalid field selector: %.100s takes =, == or !=", q->key);
    }
    return 0;
}

int selector_parse(const char *labels, const char *fields, struct selector **ret, struct err *e)
{
    static const char *const known[] = {"metadata.name", "metadata.namespace", NULL};

    return selector_parse_of(labels, fields, known, ret, e);
}

int selector_parse_of(const char *labels, const char *fields, const char *const *known,
                      struct selector **ret, struct err *e)
{
    struct selector *s = calloc(1, sizeof(*s));
    int r = 0;

    if (!s)
        return err_errno(e, ENOMEM, "selector");
    if (labels)
        r = parse(labels, s->labels, &s->label_count, e);
    if (r == 0 && fields)
        r = parse(fields, s->fields, &s->field_count, e);
    if (r == 0)
        r = check_labels(s, e);
    if (r == 0)
        r = check_fields(s, known, e);
    if (r < 0) {
        selector_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

static void requirements_free(struct requirement *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].key);
        for (size_t v = 0; v < list[i].count; v++)
            free(list[i].values[v]);
    }
}

struct selector *selector_free(struct selector *s)
{
    if (s) {
        requirements_free(s->labels, s->label_count);
        requirements_free(s->fields, s->field_count);
        free(s);
    }
    return NULL;
}

/* An absent label is "not in" every set. */
static bool holds(const struct requirement *q, const char *value)
{
    if (q->op == OP_EXISTS || q->op == OP_NOT_EXISTS)
        return (value != NULL) == (q->op == OP_EXISTS);
    for (size_t i = 0; value && i < q->count; i++)
        if (strcmp(q->values[i], value) == 0)
            return q->op == OP_IN;
    return q->op == OP_NOT_IN;
}

static const char *label_of(const struct content *c, const char *key)
{
    for (size_t i = 0; i < c->label_count; i++)
        if (strcmp(c->labels[i].name, key) == 0)
            return c->labels[i].value;
    return NULL;
}

bool selector_matches(const struct selector *s, const struct object *o)
{
    if (!s)
        return true;
    for (size_t i = 0; i < s->label_count; i++)
        if (!holds(&s->labels[i], label_of(o->content, s->labels[i].key)))
            return false;
    for (size_t i = 0; i < s->field_count; i++) {
        const struct requirement *q = &s->fields[i];
        const char *value = strcmp(q->key, "metadata.name") == 0 ? o->content->name : o->content->ns ?: "";

        if (!holds(q, value))
            return false;
    }
    return true;
}

bool selector_matches_of(const struct selector *s,
                         const char *(*field)(const void *of, const char *name), const void *of)
{
    for (size_t i = 0; s && i < s->label_count; i++)
        if (!holds(&s->labels[i], NULL))
            return false;
    for (size_t i = 0; s && i < s->field_count; i++)
        if (!holds(&s->fields[i], field(of, s->fields[i].key)))
            return false;
    return true;
}

const char *selector_name(const struct selector *s)
{
    for (size_t i = 0; s && i < s->field_count; i++)
        if (strcmp(s->fields[i].key, "metadata.name") == 0 && s->fields[i].op == OP_IN)
            return s->fields[i].values[0];
    return NULL;
}
