#include "local/once.h"
#include "base/cleanup.h"
#include "http/client.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct once {
    struct http_client *client;
    struct http_call *call;
    struct buffer body, text;
    int status, failed; /* -ENOMEM: of what the body was kept in */
    bool function_error;
    void (*on_done)(void *user, const struct once_outcome *o);
    void *user;
};

static void on_head(struct http_call *c, const struct http_head *h)
{
    struct once *o = http_call_user(c);

    o->status = h->status;
    o->function_error = http_head_get(h, "X-Amz-Function-Error") != NULL;
}

static void on_body(struct http_call *c, const uint8_t *data, size_t n)
{
    struct once *o = http_call_user(c);

    if (o->failed == 0)
        o->failed = buffer_append(&o->body, data, n);
}

static const char *field(struct json_object *o, const char *name, const char *other)
{
    struct json_object *v;

    if (!json_object_object_get_ex(o, name, &v) && !json_object_object_get_ex(o, other, &v))
        return NULL;
    return json_object_get_string(v);
}

/* Of {"errorType","errorMessage"}, Lambda's form, or {"reason","message"}, the platform's own. */
static void put_error(struct once *o, int error)
{
    struct json_object *json = NULL;
    const char *type = NULL, *message = NULL;

    if (error == 0 && buffer_append(&o->body, "", 1) == 0)
        json = json_tokener_parse((const char *)buffer_bytes(&o->body));
    if (json_object_is_type(json, json_type_object)) {
        type = field(json, "errorType", "reason");
        message = field(json, "errorMessage", "message");
    }
    if (type)
        buffer_printf(&o->text, "%s%s%s", type, message && *message ? ": " : "",
                      message ? message : "");
    else
        buffer_printf(&o->text, "no answer: %s", error ? strerror(-error) : "it is no JSON");
    json_object_put(json);
}

static void on_done(struct http_call *c, int error, bool sent)
{
    struct once *o = http_call_user(c);
    int r = error ? error : o->failed;
    struct once_outcome out = {.failed = r || o->status != 200 || o->function_error};
    const struct buffer *b = out.failed ? &o->text : &o->body;

    (void)sent;
    o->call = NULL;
    if (out.failed)
        put_error(o, r);
    out.data = buffer_bytes(b);
    out.n = buffer_size(b);
    o->on_done(o->user, &out);
}

int once_start(struct loop *loop, const char *address, const char *namespace, const char *name,
               const void *event, size_t n,
               void (*on_finished)(void *user, const struct once_outcome *o), void *user,
               struct once **ret)
{
    static const struct http_call_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_done = on_done};
    struct once *o = calloc(1, sizeof(*o));
    struct http_client_options options = {0};
    char target[512];
    struct http_call_request q = {
        .address = address,
        .method = STR("POST"),
        .headers = "Host: localhost\r\nContent-Type: application/json\r\n",
        .content_length = (int64_t)n,
        .once = true,
    };
    int r;

    if (!o)
        return -ENOMEM;
    *o = (struct once){.on_done = on_finished, .user = user};
    snprintf(target, sizeof(target), "/2015-03-31/functions/%s:%s/invocations", namespace, name);
    q.target = str_of(target);
    r = http_client_new(loop, &options, &o->client);
    if (r == 0)
        r = http_call_start(o->client, &q, &ops, o, &o->call);
    if (r < 0) {
        once_free(o);
        return r;
    }
    if (n)
        http_call_write(o->call, event, n);
    *ret = o;
    return 0;
}

struct once *once_free(struct once *o)
{
    if (!o)
        return NULL;
    if (o->client)
        http_client_free(o->client);
    buffer_done(&o->body);
    buffer_done(&o->text);
    free(o);
    return NULL;
}
