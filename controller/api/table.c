/* table.c - rows of cells. */
#include "api/table.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

void table_age(uint64_t s, char out[24])
{
    uint64_t m = s / 60, h = s / 3600, d = s / 86400;

    if (s < 120)
        snprintf(out, 24, "%" PRIu64 "s", s);
    else if (m < 10)
        snprintf(out, 24, s % 60 ? "%" PRIu64 "m%" PRIu64 "s" : "%" PRIu64 "m", m, s % 60);
    else if (m < 180)
        snprintf(out, 24, "%" PRIu64 "m", m);
    else if (h < 8)
        snprintf(out, 24, m % 60 ? "%" PRIu64 "h%" PRIu64 "m" : "%" PRIu64 "h", h, m % 60);
    else if (h < 48)
        snprintf(out, 24, "%" PRIu64 "h", h);
    else if (d < 8)
        snprintf(out, 24, h % 24 ? "%" PRIu64 "d%" PRIu64 "h" : "%" PRIu64 "d", d, h % 24);
    else
        snprintf(out, 24, "%" PRIu64 "d", d);
}

/* ---------------------------------------------------------------- paths */
static struct json_object *filter(struct json_object *list, const char *expression, size_t n)
{
    char field[64], value[128];
    char copy[256];

    if (n >= sizeof(copy))
        return NULL;
    memcpy(copy, expression, n);
    copy[n] = '\0';
    if (sscanf(copy, "?(@.%63[A-Za-z0-9]==\"%127[^\"]\")", field, value) != 2 ||
        !json_object_is_type(list, json_type_array))
        return NULL;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *item = json_object_array_get_idx(list, i), *v;

        if (json_object_object_get_ex(item, field, &v) &&
            strcmp(json_object_get_string(v) ?: "", value) == 0)
            return item;
    }
    return NULL;
}

static struct json_object *step_bracket(struct json_object *o, const char *inside, size_t n)
{
    if (inside[0] == '?')
        return filter(o, inside, n);
    if (!json_object_is_type(o, json_type_array))
        return NULL;
    return json_object_array_get_idx(o, strtoul(inside, NULL, 10));
}

struct json_object *table_path(struct json_object *o, const char *path)
{
    char name[64];

    while (o && *path) {
        if (*path == '[') {
            const char *end = strchr(path, ']');

            if (!end)
                return NULL;
            o = step_bracket(o, path + 1, (size_t)(end - path - 1));
            path = end + 1;
        } else {
            size_t n = strcspn(path + 1, ".[");

            if (*path != '.' || n >= sizeof(name))
                return NULL;
            memcpy(name, path + 1, n);
            name[n] = '\0';
            if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, name, &o))
                return NULL;
            path += n + 1;
        }
    }
    return o;
}

/* ---------------------------------------------------------------- the table */
static void add_text(struct buffer *out, const char *text)
{
    buffer_puts(out, "\"");
    buffer_json_string(out, text, strlen(text));
    buffer_puts(out, "\"");
}

static void add_column(struct buffer *out, const char *name, const char *type, const char *format,
                       const char *description, int priority)
{
    buffer_puts(out, "{\"name\":");
    add_text(out, name);
    buffer_printf(out, ",\"type\":\"%s\",\"format\":\"%s\",\"description\":", type, format);
    add_text(out, description);
    buffer_printf(out, ",\"priority\":%d}", priority);
}

int table_begin(const struct schema_kind *k, const char *metadata, bool columns, struct buffer *out)
{
    buffer_printf(out,
                  "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/"
                  "v1\",\"metadata\":%s,\"columnDefinitions\":",
                  metadata);
    if (!columns)
        return buffer_puts(out, "null,\"rows\":[");
    buffer_puts(out, "[");
    add_column(out, "Name", "string", "name", "Name of the object.", 0);
    for (size_t i = 0; i < json_object_array_length(k->columns); i++) {
        struct json_object *c = json_object_array_get_idx(k->columns, i), *priority = NULL;

        json_object_object_get_ex(c, "priority", &priority);
        buffer_puts(out, ",");
        add_column(out, json_string(c, "name"), json_string(c, "type"), "",
                   json_string(c, "description"), json_object_get_int(priority));
    }
    return buffer_puts(out, "],\"rows\":[");
}

static void add_date(struct buffer *out, const char *text, uint64_t now_s)
{
    struct tm tm = {0};
    char age[24];
    time_t t;

    if (!strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm)) {
        buffer_puts(out, "\"<unknown>\"");
        return;
    }
    t = timegm(&tm);
    table_age((uint64_t)t < now_s ? now_s - (uint64_t)t : 0, age);
    add_text(out, age);
}

static void add_cell(struct json_object *column, struct json_object *o, uint64_t now_s,
                     struct buffer *out)
{
    struct json_object *v = table_path(o, json_string(column, "jsonPath"));

    if (!v)
        buffer_puts(out, strcmp(json_string(column, "type"), "string") == 0 ? "\"\"" : "null");
    else if (strcmp(json_string(column, "type"), "date") == 0)
        add_date(out, json_object_get_string(v), now_s);
    else if (json_object_is_type(v, json_type_int) &&
             strcmp(json_string(column, "type"), "integer") == 0)
        buffer_puts(out, json_object_get_string(v));
    else
        add_text(out, json_object_get_string(v));
}

int table_row(const struct schema_kind *k, const struct object *o, enum table_include include,
              uint64_t now_s, struct buffer *out)
{
    cleanup_buffer struct buffer text = {0};
    struct json_object *json;

    if (object_json(o, &text) < 0 || buffer_append(&text, "", 1) < 0)
        return -ENOMEM;
    json = json_tokener_parse((const char *)buffer_bytes(&text));
    if (!json)
        return -EINVAL;
    buffer_puts(out, "{\"cells\":[");
    add_text(out, o->content->name);
    for (size_t i = 0; i < json_object_array_length(k->columns); i++) {
        buffer_puts(out, ",");
        add_cell(json_object_array_get_idx(k->columns, i), json, now_s, out);
    }
    buffer_puts(out, "]");
    json_object_put(json);
    if (include == TABLE_METADATA)
        buffer_printf(out,
                      ",\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\","
                      "\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\",%s}",
                      o->rv, o->content->metadata + 1);
    else if (include == TABLE_OBJECT)
        buffer_printf(out, ",\"object\":%s", (const char *)buffer_bytes(&text));
    return buffer_puts(out, "}");
}

int table_end(struct buffer *out)
{
    return buffer_puts(out, "]}");
}
