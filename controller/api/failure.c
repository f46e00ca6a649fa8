/* failure.c - messages and Status objects, word for word as kube-apiserver's. */
#include "api/failure.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void failure_done(struct failure *f)
{
    problems_done(&f->problems);
    json_object_put(f->causes);
    f->causes = NULL;
}

int failure_set(struct failure *f, int code, const char *reason, const char *fmt, ...)
{
    va_list ap;

    f->code = code;
    f->reason = reason;
    va_start(ap, fmt);
    vsnprintf(f->message, sizeof(f->message), fmt, ap);
    va_end(ap);
    return -1;
}

int failure_bad_request(struct failure *f, const char *fmt, ...)
{
    va_list ap;

    f->code = 400;
    f->reason = "BadRequest";
    va_start(ap, fmt);
    vsnprintf(f->message, sizeof(f->message), fmt, ap);
    va_end(ap);
    return -1;
}

int failure_not_found(struct failure *f, const char *resource, const char *group, const char *name)
{
    return failure_set(f, 404, "NotFound", "%s%s%s \"%s\" not found", resource, group[0] ? "." : "",
                       group, name);
}

int failure_conflict(struct failure *f, const char *resource, const char *group, const char *name)
{
    return failure_set(f, 409, "Conflict",
                       "Operation cannot be fulfilled on %s.%s \"%s\": the object has been "
                       "modified; please apply your "
                       "changes to the latest version and try again",
                       resource, group, name);
}

int failure_exists(struct failure *f, const char *resource, const char *group, const char *name,
                   bool deleting)
{
    return failure_set(f, 409, "AlreadyExists", "%s%s.%s \"%s\" already exists",
                       deleting ? "object is being deleted: " : "", resource, group, name);
}

int failure_invalid(struct failure *f, const char *kind, const char *group, const char *name)
{
    cleanup_buffer struct buffer all = {0};
    const struct problems *p = &f->problems;

    for (size_t i = 0; i < p->count; i++)
        buffer_printf(&all, "%s%s: %s", i ? ", " : "", p->items[i].field, p->items[i].message);
    if (p->dropped)
        buffer_printf(&all, ", and %zu more", p->dropped);
    return failure_set(f, 422, "Invalid", "%s.%s \"%s\" is invalid: %s%.*s%s", kind, group, name,
                       p->count > 1 ? "[" : "", (int)buffer_size(&all),
                       (const char *)buffer_bytes(&all), p->count > 1 ? "]" : "");
}

int failure_errno(struct failure *f, int error, const char *message)
{
    const char *why = message && message[0] ? message : strerror(-error);

    if (error == -ENOSPC || error == -EDQUOT)
        return failure_set(f, 507, "InsufficientStorage", "%s", why);
    return failure_set(f, 500, "InternalError", "Internal error occurred: %s", why);
}

static void add_field(struct buffer *out, const char *name, const char *value)
{
    if (!value || !value[0])
        return;
    if (buffer_bytes(out)[buffer_size(out) - 1] != '{')
        buffer_puts(out, ",");
    buffer_printf(out, "\"%s\":\"", name);
    buffer_json_string(out, value, strlen(value));
    buffer_puts(out, "\"");
}

static void add_causes(const struct failure *f, struct buffer *out)
{
    if (f->causes) {
        buffer_printf(out, ",\"causes\":%s",
                      json_object_to_json_string_ext(f->causes, JSON_C_TO_STRING_NOSLASHESCAPE));
        return;
    }
    if (!f->problems.count)
        return;
    buffer_puts(out, ",\"causes\":[");
    for (size_t i = 0; i < f->problems.count; i++) {
        buffer_puts(out, i ? ",{" : "{");
        add_field(out, "reason", f->problems.items[i].reason);
        add_field(out, "message", f->problems.items[i].message);
        add_field(out, "field", f->problems.items[i].field);
        buffer_puts(out, "}");
    }
    buffer_puts(out, "]");
}

int failure_json(const struct failure *f, const char *group, const char *plural, const char *kind,
                 const char *name, struct buffer *out)
{
    buffer_puts(out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
                     "\"Failure\",\"message\":\"");
    buffer_json_string(out, f->message, strlen(f->message));
    buffer_printf(out, "\",\"reason\":\"%s\"", f->reason);
    if (plural || f->retry_after_s || f->causes) {
        buffer_puts(out, ",\"details\":{");
        add_field(out, "name", name);
        add_field(out, "group", plural ? group : NULL);
        add_field(out, "kind", f->code == 422 ? kind : plural);
        add_causes(f, out);
        if (f->retry_after_s)
            buffer_printf(out, "%s\"retryAfterSeconds\":%u",
                          buffer_bytes(out)[buffer_size(out) - 1] == '{' ? "" : ",",
                          f->retry_after_s);
        buffer_puts(out, "}");
    }
    return buffer_printf(out, ",\"code\":%d}\n", f->code);
}
