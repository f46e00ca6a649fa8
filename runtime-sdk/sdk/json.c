/* json.c - handlers that take and return JSON, by json-c. An object of its own: only they link that library. */
#include "rouse/json.h"

#include "base/cleanup.h"
#include "sdk/event.h"

#include <json-c/json.h>
#include <limits.h>

static void put(struct json_object **o)
{
    json_object_put(*o);
}
#define cleanup_json __attribute__((cleanup(put)))

static int parse(struct invocation *i, struct json_object **ret)
{
    struct rouse_bytes text = event_of(i);
    struct json_tokener *tok = json_tokener_new();
    enum json_tokener_error error;

    if (!tok)
        return rouse_fail(&i->context, "Error", "Cannot allocate memory");
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    *ret = json_tokener_parse_ex(tok, text.data, (int)text.size + 1); /* the NUL ends a number */
    error = json_tokener_get_error(tok);
    if (error == json_tokener_success && json_tokener_get_parse_end(tok) < text.size)
        error = json_tokener_error_parse_unexpected;
    json_tokener_free(tok);
    if (error == json_tokener_success)
        return 0;
    json_object_put(*ret);
    *ret = NULL;
    return rouse_fail(&i->context, "InvalidEvent", "the event is not JSON: %s",
                      error == json_tokener_continue ? "it ends early"
                                                     : json_tokener_error_desc(error));
}

static int answer(struct invocation *i, struct json_object *result)
{
    struct json_object *status;
    uint8_t flags = 0;
    const char *text;
    size_t n;

    if (json_object_is_type(result, json_type_string))
        return response_set(&i->response, FRAME_TEXT, json_object_get_string(result),
                            (size_t)json_object_get_string_len(result));
    text = json_object_to_json_string_length(
        result, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);
    if (json_object_is_type(result, json_type_object) &&
        json_object_object_get_ex(result, "statusCode", &status))
        flags = FRAME_ANSWER;
    return response_set(&i->response, flags, text, n);
}

static int run(struct invocation *i, any_fn *fn, bool context)
{
    cleanup_json struct json_object *event = NULL;
    struct json_object *result;
    int r = parse(i, &event);

    if (r < 0)
        return r;
    result = context ? ((rouse_json_context_handler *)fn)(event, &i->context)
                     : ((rouse_json_handler *)fn)(event);
    r = answer(i, result);
    if (result != event)
        json_object_put(result);
    return r;
}

static int call(struct invocation *i, any_fn *fn)
{
    return run(i, fn, false);
}

static int call_with_context(struct invocation *i, any_fn *fn)
{
    return run(i, fn, true);
}

int rouse_start_json(rouse_json_handler *handler)
{
    return start(&(struct handler){&event_ops, call, (any_fn *)handler});
}

int rouse_start_json_context(rouse_json_context_handler *handler)
{
    return start(&(struct handler){&event_ops, call_with_context, (any_fn *)handler});
}
