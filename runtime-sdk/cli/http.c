#include "cli/http.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { BODY_MAX = 64 << 20, HEADERS_MAX = 256 << 10 };

struct exchange {
    CURL *curl;
    const struct http_request *q;
    struct http_response *a;
    bool ended; /* by the caller's on_data */
};

static size_t on_header(char *data, size_t one, size_t n, void *user)
{
    struct exchange *x = user;

    (void)one;
    /* A new status line: what came before was a 1xx or a redirect. */
    if (n > 5 && memcmp(data, "HTTP/", 5) == 0)
        buffer_clear(&x->a->headers);
    return buffer_append(&x->a->headers, data, n) < 0 ? 0 : n;
}

static size_t on_body(char *data, size_t one, size_t n, void *user)
{
    struct exchange *x = user;
    long status = 0;

    (void)one;
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    if (!x->q->on_data || status >= 300)
        return buffer_append(&x->a->body, data, n) < 0 ? 0 : n;
    if (x->q->on_data(x->q->user, data, n))
        return n;
    x->ended = true;
    return 0;
}

static int translate(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_URL_MALFORMAT:
        return -EINVAL;
    default:
        return -EIO;
    }
}

static struct curl_slist *header_list(const struct http_request *q)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    cleanup_buffer struct buffer bearer = {0};

    for (size_t i = 0; i < REQUEST_HEADERS_MAX && q->headers[i]; i++)
        list = curl_slist_append(list, q->headers[i]);
    if (q->token && buffer_printf(&bearer, "Authorization: Bearer %s", q->token) == 0 &&
        buffer_append(&bearer, "", 1) == 0)
        list = curl_slist_append(list, (const char *)buffer_bytes(&bearer));
    return list;
}

int http_do(const struct http_request *q, struct http_response *a)
{
    static bool ready;
    struct exchange x = {.q = q, .a = a};
    char error[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers;
    CURLcode code;

    if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -ENOMEM;
    ready = true;
    a->headers.limit = HEADERS_MAX;
    a->body.limit = BODY_MAX;
    x.curl = curl_easy_init();
    if (!x.curl)
        return -ENOMEM;
    headers = header_list(q);
    curl_easy_setopt(x.curl, CURLOPT_URL, q->url);
    curl_easy_setopt(x.curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(x.curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(x.curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x.curl, CURLOPT_NOPROXY, "*"); /* a platform is spoken to directly */
    curl_easy_setopt(x.curl, CURLOPT_USERAGENT, "rouse");
    curl_easy_setopt(x.curl, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
    curl_easy_setopt(x.curl, CURLOPT_TIMEOUT_MS, q->timeout_ms);
    curl_easy_setopt(x.curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(x.curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(x.curl, CURLOPT_HEADERDATA, &x);
    curl_easy_setopt(x.curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(x.curl, CURLOPT_WRITEDATA, &x);
    curl_easy_setopt(x.curl, CURLOPT_HTTPHEADER, headers);
    if (q->body) {
        curl_easy_setopt(x.curl, CURLOPT_POST, 1L);
        curl_easy_setopt(x.curl, CURLOPT_POSTFIELDS, q->body);
        curl_easy_setopt(x.curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_size);
    }
    if (strcmp(q->method, "HEAD") == 0)
        curl_easy_setopt(x.curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(x.curl, CURLOPT_CUSTOMREQUEST, q->method);
    code = curl_easy_perform(x.curl);
    curl_easy_getinfo(x.curl, CURLINFO_RESPONSE_CODE, &a->status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(x.curl);
    if (code == CURLE_OK || x.ended)
        return 0;
    snprintf(a->error, sizeof(a->error), "%s: %s", q->url,
             error[0] ? error : curl_easy_strerror(code));
    return translate(code);
}

void http_response_done(struct http_response *a)
{
    buffer_done(&a->headers);
    buffer_done(&a->body);
}

bool http_header(const struct http_response *a, const char *name, char *out, size_t size)
{
    const char *p = (const char *)buffer_bytes(&a->headers), *end = p + buffer_size(&a->headers);
    size_t n = strlen(name);
    bool found = false;

    while (p && p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        const char *value = p + n + 1, *value_end = line_end ? line_end : end;

        if (value <= value_end && strncasecmp(p, name, n) == 0 && p[n] == ':') {
            while (value < value_end && isspace((unsigned char)*value))
                value++;
            while (value_end > value && isspace((unsigned char)value_end[-1]))
                value_end--;
            snprintf(out, size, "%.*s", (int)(value_end - value), value);
            found = true;
        }
        p = line_end ? line_end + 1 : end;
    }
    return found;
}

int http_escape(struct buffer *to, const char *text, bool keep_slash)
{
    int r = 0;

    for (; *text && r == 0; text++) {
        unsigned char c = (unsigned char)*text;

        if (isalnum(c) || strchr("-._~", c) || (keep_slash && c == '/'))
            r = buffer_append(to, text, 1);
        else
            r = buffer_printf(to, "%%%02X", c);
    }
    return r;
}
