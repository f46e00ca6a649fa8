#include "api/notes_json.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void note_name(const struct note *n, char out[NOTE_NAME])
{
    snprintf(out, NOTE_NAME, "%s.%.8s%.4s%.4s", n->name, n->uid, n->uid + 9, n->uid + 14);
}

static void add_text(struct buffer *b, const char *name, const char *value)
{
    buffer_printf(b, "\"%s\":\"", name);
    buffer_json_string(b, value, strlen(value));
    buffer_puts(b, "\"");
}

static void add_metadata(const struct note *n, const char *first, struct buffer *b)
{
    char name[NOTE_NAME];

    note_name(n, name);
    buffer_puts(b, "\"metadata\":{");
    add_text(b, "name", name);
    buffer_printf(b,
                  ",\"namespace\":\"%s\",\"uid\":\"%s\",\"resourceVersion\":\"%" PRIu64
                  "\",\"creationTimestamp\":\"%s\"}",
                  note_namespace(n), n->uid, n->rv, first);
}

void note_json(const struct note *n, struct buffer *b)
{
    char first[32], last[32];

    time_text(n->first_s, first);
    time_text(n->last_s, last);
    buffer_puts(b, "{\"kind\":\"Event\",\"apiVersion\":\"v1\",");
    add_metadata(n, first, b);
    buffer_printf(b, ",\"involvedObject\":{\"kind\":\"%s\",", n->kind);
    if (*n->ns)
        buffer_printf(b, "\"namespace\":\"%s\",", n->ns);
    add_text(b, "name", n->name);
    buffer_printf(b, ",\"uid\":\"%s\",\"apiVersion\":\"rouse.dev/v1\"},\"reason\":\"%s\",",
                  n->object_uid, n->reason);
    add_text(b, "message", n->message);
    buffer_printf(b,
                  ",\"source\":{\"component\":\"rouse-controller\"},\"firstTimestamp\":\"%s\","
                  "\"lastTimestamp\":\"%s\",\"count\":%u,\"type\":\"%s\",\"eventTime\":null,"
                  "\"reportingComponent\":\"rouse-controller\",\"reportingInstance\":\"\"}",
                  first, last, n->count, n->warning ? "Warning" : "Normal");
}

/* ---- as a table, with the columns that Kubernetes has */

static void add_columns(struct buffer *b)
{
    static const struct {
        const char *name, *type;
        int priority;
    } columns[] = {{"Last Seen", "string", 0}, {"Type", "string", 0},       {"Reason", "string", 0},
                   {"Object", "string", 0},    {"Subobject", "string", 1},  {"Source", "string", 1},
                   {"Message", "string", 0},   {"First Seen", "string", 1}, {"Count", "integer", 1},
                   {"Name", "string", 1}};

    buffer_puts(b, "[");
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        buffer_printf(b,
                      "%s{\"name\":\"%s\",\"type\":\"%s\",\"format\":\"%s\",\"description\":\"\","
                      "\"priority\":%d}",
                      i ? "," : "", columns[i].name, columns[i].type,
                      strcmp(columns[i].name, "Name") == 0 ? "name" : "", columns[i].priority);
    buffer_puts(b, "]");
}

void note_table_begin(struct buffer *b, uint64_t rv, bool columns)
{
    buffer_printf(b,
                  "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{"
                  "\"resourceVersion\":\"%" PRIu64 "\"},\"columnDefinitions\":",
                  rv);
    if (columns)
        add_columns(b);
    else
        buffer_puts(b, "null");
    buffer_puts(b, ",\"rows\":[");
}

void note_row(enum table_include include, const struct note *n, struct buffer *b)
{
    uint64_t now = clock_wall_ms() / 1000;
    char last[24], first[24], at[32], name[NOTE_NAME], kind[32];
    size_t k = 0;

    table_age(now > n->last_s ? now - n->last_s : 0, last);
    table_age(now > n->first_s ? now - n->first_s : 0, first);
    time_text(n->first_s, at);
    note_name(n, name);
    for (; n->kind[k] && k + 1 < sizeof(kind); k++) /* as kubectl writes it: function/hello */
        kind[k] = (char)(n->kind[k] >= 'A' && n->kind[k] <= 'Z' ? n->kind[k] + 32 : n->kind[k]);
    kind[k] = '\0';
    buffer_printf(b, "{\"cells\":[\"%s\",\"%s\",\"%s\",\"%s/%s\",\"\",\"rouse-controller\",\"",
                  last, n->warning ? "Warning" : "Normal", n->reason, kind, n->name);
    buffer_json_string(b, n->message, strlen(n->message));
    buffer_printf(b, "\",\"%s\",%u,\"%s\"]", first, n->count, name);
    if (include == TABLE_METADATA) {
        buffer_puts(b, ",\"object\":{\"kind\":\"PartialObjectMetadata\","
                       "\"apiVersion\":\"meta.k8s.io/v1\",");
        add_metadata(n, at, b);
        buffer_puts(b, "}");
    } else if (include == TABLE_OBJECT) {
        buffer_puts(b, ",\"object\":");
        note_json(n, b);
    }
    buffer_puts(b, "}");
}
