/* yaml.c - block mappings and sequences; a string is plain when nothing could take it for something
 * else. */
#include "api/yaml.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static bool plain(const char *s)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n",   "~"};

    if (!isalpha((unsigned char)s[0]) && s[0] != '.' && s[0] != '/')
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(words[i], s) == 0)
            return false;
    for (const char *c = s; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-_./", *c))
            return false;
    return true;
}

static void write_string(const char *s, struct buffer *out)
{
    if (plain(s)) {
        buffer_puts(out, s);
        return;
    }
    buffer_puts(out, "\"");
    buffer_json_string(out, s, strlen(s));
    buffer_puts(out, "\"");
}

static void indent(int n, struct buffer *out)
{
    while (n-- > 0)
        buffer_puts(out, "  ");
}

static bool empty(struct json_object *o)
{
    return (json_object_is_type(o, json_type_object) && json_object_object_length(o) == 0) ||
           (json_object_is_type(o, json_type_array) && json_object_array_length(o) == 0);
}

static bool block(struct json_object *o)
{
    return !empty(o) &&
           (json_object_is_type(o, json_type_object) || json_object_is_type(o, json_type_array));
}

static void write_scalar(struct json_object *o, struct buffer *out)
{
    if (json_object_is_type(o, json_type_string))
        write_string(json_object_get_string(o), out);
    else
        buffer_puts(out, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    buffer_puts(out, "\n");
}

/* The cursor stands where the first line begins; later lines are indented by `level`. */
static void write_block(struct json_object *o, int level, struct buffer *out)
{
    bool first = true;

    if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, key, value)
        {
            if (!first)
                indent(level, out);
            first = false;
            write_string(key, out);
            buffer_puts(out, ":");
            if (!block(value)) {
                buffer_puts(out, " ");
                write_scalar(value, out);
                continue;
            }
            buffer_puts(out, "\n");
            indent(json_object_is_type(value, json_type_array) ? level : level + 1, out);
            write_block(value, json_object_is_type(value, json_type_array) ? level : level + 1, out);
        }
        return;
    }
    for (size_t i = 0; i < json_object_array_length(o); i++) {
        struct json_object *value = json_object_array_get_idx(o, i);

        if (i)
            indent(level, out);
        buffer_puts(out, "- ");
        if (block(value))
            write_block(value, level + 1, out);
        else
            write_scalar(value, out);
    }
}

int yaml_write(struct json_object *o, struct buffer *out)
{
    if (block(o))
        write_block(o, 0, out);
    else
        write_scalar(o, out);
    return buffer_puts(out, "");
}
