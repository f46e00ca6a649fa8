#include "cli/yaml.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct convert {
    yaml_document_t *doc;
    unsigned values, depth;
    struct err *e;
};

static int fail_at(struct convert *c, const yaml_node_t *n, const char *what)
{
    return err_set(c->e, EINVAL, "line %zu: %s", n->start_mark.line + 1, what);
}

/* ---- plain scalars: what a word means */

static bool one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(s, *words) == 0)
            return true;
    return false;
}

/* 1: true, 0: false, -1: neither. YAML 1.1, as kubectl. */
static int word_bool(const char *s)
{
    static const char *const yes[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                      "True", "TRUE", "on",  "On",  "ON",  NULL};
    static const char *const no[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                     "False", "FALSE", "off", "Off", "OFF", NULL};

    return one_of(s, yes) ? 1 : one_of(s, no) ? 0 : -1;
}
static bool word_null(const char *s)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};

    return one_of(s, words);
}

static bool word_int(const char *s, int64_t *ret)
{
    const char *digits = s + (*s == '-' || *s == '+');
    int base = 10;
    char *end;
    long long v;

    if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'o' || digits[1] == 'b')) {
        base = digits[1] == 'x' ? 16 : digits[1] == 'o' ? 8 : 2;
        digits += 2;
    } else if (digits[0] == '0' && digits[1]) {
        base = 8;
    }
    if (!isxdigit((unsigned char)*digits))
        return false;
    errno = 0;
    v = strtoll(digits, &end, base);
    if (errno || *end)
        return false;
    *ret = *s == '-' ? -v : v;
    return true;
}

static bool word_double(const char *s, double *ret)
{
    const char *p = s + (*s == '-' || *s == '+');
    size_t whole = strspn(p, "0123456789"), part = 0;
    char *end;

    p += whole;
    if (*p == '.')
        part = strspn(++p, "0123456789");
    p += part;
    if (!whole && !part)
        return false;
    if (*p == 'e' || *p == 'E') {
        p += 1 + (p[1] == '-' || p[1] == '+');
        if (!isdigit((unsigned char)*p))
            return false;
        p += strspn(p, "0123456789");
    }
    if (*p)
        return false;
    *ret = strtod(s, &end);
    return true;
}

static int scalar(struct convert *c, yaml_node_t *n, struct json_object **ret)
{
    const char *s = (const char *)n->data.scalar.value, *tag = (const char *)n->tag;
    bool plain = n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    size_t size = n->data.scalar.length;
    int64_t i;
    double d;

    if (tag && strcmp(tag, YAML_STR_TAG) != 0 && strncmp(tag, "tag:yaml.org,2002:", 18) != 0)
        return fail_at(c, n, "a tag of its own is not taken");
    if (memchr(s, '\0', size))
        return fail_at(c, n, "a NUL character in a text");
    if (plain && word_null(s))
        *ret = NULL;
    else if (plain && word_bool(s) >= 0)
        *ret = json_object_new_boolean(word_bool(s));
    else if (plain && word_int(s, &i))
        *ret = json_object_new_int64(i);
    else if (plain && word_double(s, &d))
        *ret = json_object_new_double(d);
    else
        *ret = json_object_new_string_len(s, (int)size);
    return 0;
}

/* ---- collections */
static int convert(struct convert *c, int index, struct json_object **ret);

static int sequence(struct convert *c, yaml_node_t *n, struct json_object **ret)
{
    struct json_object *a = json_object_new_array();

    for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++) {
        struct json_object *v;
        int r = convert(c, *i, &v);

        if (r < 0) {
            json_object_put(a);
            return r;
        }
        json_object_array_add(a, v);
    }
    *ret = a;
    return 0;
}

/* "<<": what is not there yet comes from the mapping(s) named. */
static int merge(struct convert *c, const yaml_node_t *at, struct json_object *into,
                 struct json_object *from)
{
    if (json_object_is_type(from, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(from); i++) {
            int r = merge(c, at, into, json_object_array_get_idx(from, i));

            if (r < 0)
                return r;
        }
        return 0;
    }
    if (!json_object_is_type(from, json_type_object))
        return fail_at(c, at, "<< wants a mapping");
    json_object_object_foreach(from, key, value)
    {
        if (!json_object_object_get_ex(into, key, NULL))
            json_object_object_add(into, key, json_object_get(value));
    }
    return 0;
}

static int pairs(struct convert *c, yaml_node_t *n, struct json_object *o, struct json_object *merges)
{
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        yaml_node_t *k = yaml_document_get_node(c->doc, p->key);
        const char *key =
            k && k->type == YAML_SCALAR_NODE ? (const char *)k->data.scalar.value : NULL;
        struct json_object *v;
        int r;

        if (!key || strlen(key) != k->data.scalar.length)
            return fail_at(c, k ? k : n, "a key that is no text");
        r = convert(c, p->value, &v);
        if (r < 0)
            return r;
        if (strcmp(key, "<<") == 0 && k->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
            json_object_array_add(merges, v);
        } else if (json_object_object_get_ex(o, key, NULL)) {
            json_object_put(v);
            return err_set(c->e, EINVAL, "line %zu: the key %.100s is there twice",
                           k->start_mark.line + 1, key);
        } else {
            json_object_object_add(o, key, v);
        }
    }
    return merge(c, n, o, merges);
}

static int mapping(struct convert *c, yaml_node_t *n, struct json_object **ret)
{
    struct json_object *o = json_object_new_object(), *merges = json_object_new_array();
    int r = pairs(c, n, o, merges);

    json_object_put(merges);
    if (r < 0)
        json_object_put(o);
    else
        *ret = o;
    return r;
}

static int convert(struct convert *c, int index, struct json_object **ret)
{
    yaml_node_t *n = yaml_document_get_node(c->doc, index);
    int r;

    if (!n)
        return err_set(c->e, EINVAL, "the document is broken");
    if (++c->values > YAML_VALUES_MAX)
        return fail_at(c, n, "more than 200000 values (with what aliases expand to)");
    if (c->depth >= YAML_DEPTH_MAX)
        return fail_at(c, n, "nested deeper than 64 levels");
    c->depth++;
    if (n->type == YAML_SCALAR_NODE)
        r = scalar(c, n, ret);
    else
        r = n->type == YAML_SEQUENCE_NODE ? sequence(c, n, ret) : mapping(c, n, ret);
    c->depth--;
    return r;
}

static int parse_document(yaml_parser_t *p, struct json_object *all, struct err *e, bool *ret_end)
{
    yaml_document_t doc;
    struct convert c = {.doc = &doc, .e = e};
    struct json_object *o = NULL;
    int r = 0;

    if (!yaml_parser_load(p, &doc))
        return err_set(e, EINVAL, "line %zu: %s", p->problem_mark.line + 1,
                       p->problem ? p->problem : "no YAML");
    *ret_end = !yaml_document_get_root_node(&doc);
    if (!*ret_end)
        r = convert(&c, 1, &o);
    if (r == 0 && o)
        json_object_array_add(all, o);
    yaml_document_delete(&doc);
    return r;
}

int yaml_parse(const char *text, size_t n, struct json_object **ret, struct err *e)
{
    struct json_object *all;
    yaml_parser_t p;
    bool end = false;
    int r = 0;

    if (n > YAML_TEXT_MAX)
        return err_set(e, EFBIG, "larger than 8 MiB");
    if (!yaml_parser_initialize(&p))
        return err_errno(e, ENOMEM, "YAML");
    yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
    all = json_object_new_array();
    while (r == 0 && !end)
        r = parse_document(&p, all, e, &end);
    yaml_parser_delete(&p);
    if (r < 0)
        json_object_put(all);
    else
        *ret = all;
    return r;
}
