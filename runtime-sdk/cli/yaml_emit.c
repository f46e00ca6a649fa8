/* yaml_emit.c - JSON as YAML: what reads as another type without quotes gets them. */
#include "cli/yaml.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

static int write_out(void *user, unsigned char *data, size_t n)
{
    return buffer_append(user, data, n) == 0;
}

/* Would the word alone be read as something else than this text? */
static bool reads_as_text(const char *s)
{
    struct json_object *all, *v;
    bool text;

    if (strpbrk(s, "\n:#"))
        return strchr(s, '\n') != NULL;
    if (yaml_parse(s, strlen(s), &all, NULL) < 0)
        return false;
    v = json_object_array_length(all) == 1 ? json_object_array_get_idx(all, 0) : NULL;
    text = json_object_is_type(v, json_type_string) && strcmp(json_object_get_string(v), s) == 0;
    json_object_put(all);
    return text;
}

static int emit_scalar(yaml_emitter_t *em, const char *s, yaml_scalar_style_t style)
{
    yaml_event_t ev;

    return yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)s, (int)strlen(s), 1,
                                        1, style) &&
           yaml_emitter_emit(em, &ev);
}

static int emit_text(yaml_emitter_t *em, const char *s)
{
    if (strchr(s, '\n'))
        return emit_scalar(em, s, YAML_LITERAL_SCALAR_STYLE);
    return emit_scalar(em, s,
                       reads_as_text(s) ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int emit_value(yaml_emitter_t *em, struct json_object *o);

/* Keys in order, as kubectl prints them. */
static int emit_object(yaml_emitter_t *em, struct json_object *o)
{
    size_t n = (size_t)json_object_object_length(o), i = 0;
    yaml_mapping_style_t style = n ? YAML_BLOCK_MAPPING_STYLE : YAML_FLOW_MAPPING_STYLE;
    const char **keys = calloc(n + 1, sizeof(*keys));
    yaml_event_t ev;
    int ok;

    if (!keys)
        return 0;
    json_object_object_foreach(o, key, value)
    {
        (void)value;
        keys[i++] = key;
    }
    qsort(keys, n, sizeof(*keys), by_key);
    ok = yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, style) && yaml_emitter_emit(em, &ev);
    for (i = 0; ok && i < n; i++)
        ok = emit_text(em, keys[i]) && emit_value(em, json_object_object_get(o, keys[i]));
    free(keys);
    return ok && yaml_mapping_end_event_initialize(&ev) && yaml_emitter_emit(em, &ev);
}

static int emit_array(yaml_emitter_t *em, struct json_object *o)
{
    size_t n = json_object_array_length(o);
    yaml_sequence_style_t style = n ? YAML_BLOCK_SEQUENCE_STYLE : YAML_FLOW_SEQUENCE_STYLE;
    yaml_event_t ev;
    int ok = yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1, style) &&
             yaml_emitter_emit(em, &ev);

    for (size_t i = 0; ok && i < n; i++)
        ok = emit_value(em, json_object_array_get_idx(o, i));
    return ok && yaml_sequence_end_event_initialize(&ev) && yaml_emitter_emit(em, &ev);
}

static int emit_value(yaml_emitter_t *em, struct json_object *o)
{
    switch (json_object_get_type(o)) {
    case json_type_object:
        return emit_object(em, o);
    case json_type_array:
        return emit_array(em, o);
    case json_type_string:
        return emit_text(em, json_object_get_string(o));
    case json_type_null:
        return emit_scalar(em, "null", YAML_PLAIN_SCALAR_STYLE);
    default:
        return emit_scalar(em, json_object_to_json_string(o), YAML_PLAIN_SCALAR_STYLE);
    }
}

int yaml_emit(struct json_object *o, struct buffer *ret)
{
    yaml_emitter_t em;
    yaml_event_t ev;
    int ok;

    if (!yaml_emitter_initialize(&em))
        return -ENOMEM;
    yaml_emitter_set_output(&em, write_out, ret);
    yaml_emitter_set_unicode(&em, 1);
    yaml_emitter_set_width(&em, -1);
    ok = yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING) && yaml_emitter_emit(&em, &ev) &&
         yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1) &&
         yaml_emitter_emit(&em, &ev) && emit_value(&em, o) &&
         yaml_document_end_event_initialize(&ev, 1) && yaml_emitter_emit(&em, &ev) &&
         yaml_stream_end_event_initialize(&ev) && yaml_emitter_emit(&em, &ev);
    yaml_emitter_delete(&em);
    return ok ? 0 : -EINVAL;
}
