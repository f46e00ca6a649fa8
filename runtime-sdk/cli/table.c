#include "cli/table.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { GAP = 3 };

static const char *text_of(struct json_object *o, const char *key)
{
    struct json_object *v;

    return json_object_object_get_ex(o, key, &v) && v ? json_object_get_string(v) : "";
}

/* Characters, not bytes: continuation bytes take no column. */
static size_t columns_of(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += (*s & 0xc0) != 0x80;
    return n;
}

static void learn_columns(struct table *t, struct json_object *columns)
{
    size_t n = json_object_array_length(columns);

    t->column_count = n < TABLE_COLUMNS_MAX ? n : TABLE_COLUMNS_MAX;
    for (size_t i = 0; i < t->column_count; i++) {
        struct json_object *c = json_object_array_get_idx(columns, i), *priority;
        bool extra = json_object_object_get_ex(c, "priority", &priority) &&
                     json_object_get_int(priority) > 0;

        snprintf(t->title[i], sizeof(t->title[i]), "%s", text_of(c, "name"));
        for (char *p = t->title[i]; *p; p++)
            *p = (char)toupper((unsigned char)*p);
        t->shown[i] = t->wide || !extra;
        t->width[i] = columns_of(t->title[i]);
    }
    t->width[TABLE_COLUMNS_MAX] = strlen("NAMESPACE");
}

static const char *cell(struct json_object *row, size_t i)
{
    struct json_object *cells, *v;

    if (!json_object_object_get_ex(row, "cells", &cells) ||
        !json_object_is_type(cells, json_type_array))
        return "<none>";
    v = json_object_array_get_idx(cells, i);
    return v && *json_object_get_string(v) ? json_object_get_string(v) : "<none>";
}

static const char *namespace_of(struct json_object *row)
{
    struct json_object *object, *metadata;

    if (!json_object_object_get_ex(row, "object", &object) ||
        !json_object_object_get_ex(object, "metadata", &metadata))
        return "";
    return text_of(metadata, "namespace");
}

static void widen(struct table *t, struct json_object *row)
{
    size_t n = columns_of(namespace_of(row));

    if (n > t->width[TABLE_COLUMNS_MAX])
        t->width[TABLE_COLUMNS_MAX] = n;
    for (size_t i = 0; i < t->column_count; i++) {
        n = columns_of(cell(row, i));
        if (n > t->width[i])
            t->width[i] = n;
    }
}

/* The last column has no blanks after it. Control characters of a peer do not reach the terminal.
 */
static int put(struct buffer *to, const char *s, size_t width, bool last)
{
    size_t pad = last ? 0 : width + GAP - columns_of(s);
    int r = 0;

    for (; *s && r == 0; s++)
        r = buffer_append(to, iscntrl((unsigned char)*s) ? "?" : s, 1);
    return r < 0 ? r : buffer_printf(to, "%*s", (int)pad, "");
}

static int print_line(struct table *t, struct json_object *row, struct buffer *ret)
{
    size_t last = 0;
    int r = 0;

    for (size_t i = 0; i < t->column_count; i++)
        if (t->shown[i])
            last = i;
    if (t->namespaces)
        r = put(ret, row ? namespace_of(row) : "NAMESPACE", t->width[TABLE_COLUMNS_MAX], false);
    for (size_t i = 0; i < t->column_count && r == 0; i++)
        if (t->shown[i])
            r = put(ret, row ? cell(row, i) : t->title[i], t->width[i], i == last);
    return r < 0 ? r : buffer_append(ret, "\n", 1);
}

int table_print(struct table *t, struct json_object *o, struct buffer *ret)
{
    struct json_object *columns, *rows;
    bool with_columns;
    int r = 0;

    if (!json_object_is_type(o, json_type_object) || strcmp(text_of(o, "kind"), "Table") != 0)
        return -EINVAL;
    with_columns = json_object_object_get_ex(o, "columnDefinitions", &columns) &&
                   json_object_is_type(columns, json_type_array) &&
                   json_object_array_length(columns);
    if (!t->column_count && with_columns)
        learn_columns(t, columns);
    if (!json_object_object_get_ex(o, "rows", &rows) || !json_object_is_type(rows, json_type_array))
        return 0;
    for (size_t i = 0; i < json_object_array_length(rows); i++)
        widen(t, json_object_array_get_idx(rows, i));
    if (!t->header_done && json_object_array_length(rows)) {
        r = print_line(t, NULL, ret);
        t->header_done = true;
    }
    for (size_t i = 0; i < json_object_array_length(rows) && r == 0; i++)
        r = print_line(t, json_object_array_get_idx(rows, i), ret);
    return r;
}
