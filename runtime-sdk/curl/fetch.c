/* fetch.c - rouse_fetch(): one HTTP request on rouse_curl_perform(). */
#include "rouse/fetch.h"

#include "rouse/curl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEADERS_MAX = 64 << 10, BODY_LIMIT = 16 << 20, FIRST = 4096, REDIRECTS_MAX = 1000 };

struct text {
    char *data;
    size_t size, room, limit;
};
struct exchange {
    CURL *easy;
    struct curl_slist *headers;
    struct text body, head;
    const struct text *too_large;
    bool no_memory;
    char error[CURL_ERROR_SIZE];
};
_Static_assert(CURL_ERROR_SIZE == ROUSE_FETCH_ERROR, "the size of an error's text is libcurl's");

/* A 0 byte stays behind it. */
static bool append(struct exchange *x, struct text *t, const char *data, size_t n)
{
    size_t room = t->room ? t->room : FIRST;
    char *more;

    if (n > t->limit - t->size) {
        x->too_large = t;
        return false;
    }
    while (room - t->size <= n)
        room *= 2;
    if (room != t->room) {
        more = realloc(t->data, room);
        if (!more) {
            x->no_memory = true;
            return false;
        }
        t->data = more;
        t->room = room;
    }
    memcpy(t->data + t->size, data, n);
    t->size += n;
    t->data[t->size] = '\0';
    return true;
}

static size_t on_body(char *data, size_t one, size_t n, void *user)
{
    struct exchange *x = user;

    return append(x, &x->body, data, one * n) ? n : 0;
}

/* A line a call. Each status line begins an answer: those of redirects and 100s are not the last. */
static size_t on_header(char *data, size_t one, size_t n, void *user)
{
    struct exchange *x = user;
    size_t size = one * n;

    if (size >= 5 && !memcmp(data, "HTTP/", 5)) {
        x->head.size = 0;
        return n;
    }
    while (size && (data[size - 1] == '\n' || data[size - 1] == '\r'))
        size--;
    return !size || (append(x, &x->head, data, size) && append(x, &x->head, "", 1)) ? n : 0;
}

static int add_headers(struct exchange *x, const char *const *headers)
{
    for (; headers && *headers; headers++) {
        struct curl_slist *l;

        if (strpbrk(*headers, "\r\n") || !strchr(*headers, ':'))
            return -EINVAL; /* else a header's value could be a request of its own */
        l = curl_slist_append(x->headers, *headers);
        if (!l)
            return -ENOMEM;
        x->headers = l;
    }
    return 0;
}

static CURLcode set_request(struct exchange *x, const struct rouse_fetch *f)
{
    CURL *e = x->easy;
    CURLcode c = curl_easy_setopt(e, CURLOPT_URL, f->url);

    if (!c && f->body) {
        c = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->size);
        if (!c)
            c = curl_easy_setopt(e, CURLOPT_POSTFIELDS, f->body); /* not copied */
    }
    if (!c && f->method && !strcmp(f->method, "HEAD"))
        c = curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    else if (!c && f->method)
        c = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, f->method);
    if (!c && f->redirects) {
        curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
        c = curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)f->redirects);
    }
    if (!c && f->ca_file)
        c = curl_easy_setopt(e, CURLOPT_CAINFO, f->ca_file);
    return c;
}

static CURLcode set_answer(struct exchange *x)
{
    CURL *e = x->easy;

    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x->error);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
    return curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
}

static int error_of(const struct exchange *x, CURLcode c)
{
    if (x->too_large)
        return -EMSGSIZE;
    if (x->no_memory)
        return -ENOMEM;
    switch (c) {
    case CURLE_OK:
        return 0;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_SSL_CACERT_BADFILE:
        return -EINVAL;
    case CURLE_COULDNT_RESOLVE_HOST:
        return -ENOENT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_TOO_MANY_REDIRECTS:
        return -ELOOP;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
        return -EPROTO;
    default:
        return -EIO;
    }
}

static int exchange_begin(struct exchange *x, const struct rouse_fetch *f, int64_t deadline)
{
    int r = add_headers(x, f->headers);
    CURLcode c;

    if (r < 0)
        return r;
    c = set_answer(x);
    if (!c)
        c = set_request(x, f);
    if (c)
        return error_of(x, c);
    r = rouse_curl_perform(x->easy, deadline);
    return r > 0 ? error_of(x, (CURLcode)r) : r;
}

/* A body, also of an answer without one. */
static int exchange_take(struct exchange *x, struct rouse_fetched *ret)
{
    long status = 0;

    if (!append(x, &x->body, "", 0) || !append(x, &x->head, "", 0))
        return -ENOMEM;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    *ret =
        (struct rouse_fetched){(int)status, x->body.size, x->body.data, x->head.size, x->head.data};
    x->body.data = x->head.data = NULL;
    return 0;
}

static void tell(const struct rouse_fetch *f, const struct exchange *x, int r)
{
    const char *what = *x->error ? x->error : strerrordesc_np(-r);

    if (x->too_large)
        what = x->too_large == &x->head ? "the answer's headers are larger than 64 KiB"
                                        : "the answer is larger than body_limit";
    if (f->error)
        snprintf(f->error, ROUSE_FETCH_ERROR, "%s", what ? what : "");
}

/* Not every libcurl does it by itself for two threads at a time. */
static int global_init(void *unused)
{
    (void)unused;
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

static int exchange(struct exchange *x, const struct rouse_fetch *f, int64_t deadline)
{
    static struct rouse_once once;
    int r = rouse_once(&once, global_init, NULL, deadline);

    if (r < 0)
        return r;
    if (!f->url || f->redirects > REDIRECTS_MAX)
        return -EINVAL;
    x->easy = curl_easy_init();
    return x->easy ? exchange_begin(x, f, deadline) : -ENOMEM;
}

int rouse_fetch(const struct rouse_fetch *request, int64_t deadline, struct rouse_fetched *ret)
{
    struct exchange x = {
        .body.limit = request->body_limit ? request->body_limit : BODY_LIMIT,
        .head.limit = HEADERS_MAX,
    };
    int r;

    r = exchange(&x, request, deadline);
    if (r == 0)
        r = exchange_take(&x, ret);
    if (r < 0)
        tell(request, &x, r);
    curl_easy_cleanup(x.easy);
    curl_slist_free_all(x.headers);
    free(x.body.data);
    free(x.head.data);
    return r;
}

void rouse_fetched_done(struct rouse_fetched *answer)
{
    free(answer->body);
    free(answer->headers);
    *answer = (struct rouse_fetched){0};
}

const char *rouse_fetched_header(const struct rouse_fetched *answer, const char *name)
{
    const char *at = answer->headers, *end = at + answer->headers_size;
    size_t n = strlen(name);

    for (; at < end; at += strlen(at) + 1) {
        if (strncasecmp(at, name, n) != 0 || at[n] != ':')
            continue;
        at += n + 1;
        return at + strspn(at, " \t");
    }
    return NULL;
}
