/* http_head.c - the JSON head of a request, as proto/frames.md has it. Pure. */
#include "sdk/reader.h"
#include "sdk/stream.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

struct head {
    struct reader reader;
    struct rouse_http_request *request;
    struct buffer *fields, parameters;
};

static int text(struct head *h, const char **ret)
{
    char *s;
    int r = reader_string_here(&h->reader, &s);

    if (r == 0)
        *ret = s;
    return r;
}

static int add(struct head *h, struct buffer *to, const struct rouse_http_field *f)
{
    if (buffer_size(h->fields) + buffer_size(&h->parameters) >= STREAM_FIELDS_MAX * sizeof(*f))
        return -EMSGSIZE;
    return buffer_append(to, f, sizeof(*f));
}

/* [["name","value"],...] */
static int read_headers(struct head *h)
{
    struct reader *r = &h->reader;

    if (!reader_take(r, '['))
        return -EBADMSG;
    if (reader_take(r, ']'))
        return 0;
    do {
        struct rouse_http_field f;
        int e;

        if (!reader_take(r, '['))
            return -EBADMSG;
        e = text(h, &f.name);
        if (e == 0 && !reader_take(r, ','))
            e = -EBADMSG;
        if (e == 0)
            e = text(h, &f.value);
        if (e == 0 && !reader_take(r, ']'))
            e = -EBADMSG;
        if (e == 0)
            e = add(h, h->fields, &f);
        if (e < 0)
            return e;
    } while (reader_take(r, ','));
    return reader_take(r, ']') ? 0 : -EBADMSG;
}

static int read_parameters(struct head *h);
static int read_field(struct head *h, const char *name)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {
        {"method", &h->request->method},     {"path", &h->request->path},
        {"query", &h->request->query},       {"scheme", &h->request->scheme},
        {"protocol", &h->request->protocol}, {"sourceIp", &h->request->source_ip},
        {"routeKey", &h->request->route},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!strcmp(name, texts[i].name))
            return text(h, texts[i].to);
    }
    if (!strcmp(name, "headers"))
        return read_headers(h);
    if (!strcmp(name, "pathParameters"))
        return read_parameters(h);
    return reader_skip(&h->reader);
}

static int read_parameter(struct head *h, const char *name)
{
    struct rouse_http_field f = {.name = name};
    int e = text(h, &f.value);

    return e < 0 ? e : add(h, &h->parameters, &f);
}

static int read_object(struct head *h, int (*member)(struct head *h, const char *name))
{
    struct reader *r = &h->reader;

    if (!reader_take(r, '{'))
        return -EBADMSG;
    if (reader_take(r, '}'))
        return 0;
    do {
        const char *name;
        int e = text(h, &name);

        if (e == 0 && !reader_take(r, ':'))
            e = -EBADMSG;
        if (e == 0)
            e = member(h, name);
        if (e < 0)
            return e;
    } while (reader_take(r, ','));
    return reader_take(r, '}') ? 0 : -EBADMSG;
}

static int read_parameters(struct head *h)
{
    return read_object(h, read_parameter);
}

int http_head_parse(char *json, size_t n, struct buffer *fields, struct rouse_http_request *ret)
{
    struct head h = {.reader = {json, json + n, .lenient = true}, .request = ret, .fields = fields};
    size_t parameters;
    int r;

    *ret = (struct rouse_http_request){.method = "",
                                       .path = "/",
                                       .query = "",
                                       .scheme = "",
                                       .protocol = "",
                                       .source_ip = "",
                                       .route = "$default"};
    buffer_clear(fields);
    r = read_object(&h, read_field);
    if (r == 0 && (!reader_end(&h.reader) || !*ret->method))
        r = -EBADMSG;
    ret->header_count = buffer_size(fields) / sizeof(struct rouse_http_field);
    parameters = buffer_size(&h.parameters);
    if (r == 0 && parameters)
        r = buffer_append(fields, buffer_bytes(&h.parameters), parameters);
    buffer_done(&h.parameters);
    ret->headers = (const struct rouse_http_field *)(const void *)buffer_bytes(fields);
    ret->parameter_count = parameters / sizeof(struct rouse_http_field);
    ret->parameters = ret->header_count ? ret->headers + ret->header_count : ret->headers;
    return r;
}

static const char *find(const struct rouse_http_field *f, size_t n, const char *name,
                        int (*compare)(const char *, const char *))
{
    for (size_t i = 0; i < n; i++) {
        if (!compare(f[i].name, name))
            return f[i].value;
    }
    return NULL;
}

const char *rouse_http_header(const struct rouse_http_request *req, const char *name)
{
    return find(req->headers, req->header_count, name, strcasecmp);
}

const char *rouse_http_parameter(const struct rouse_http_request *req, const char *name)
{
    return find(req->parameters, req->parameter_count, name, strcmp);
}
