/* module: runtime-sdk/http */
/* Chunked bodies and their trailers, whole and in pieces that the first byte decides, against the
 * grammar of RFC 9112 7.1 written down once more, as simply as possible. */
#include "http_fuzz.h"

/* The bytes still to be read. */
struct rest {
    const uint8_t *at, *end;
};

static bool octet(struct rest *r, uint8_t c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}
static bool token(struct rest *r)
{
    const uint8_t *from = r->at;

    while (r->at < r->end && http_is(*r->at, HTTP_TOKEN))
        r->at++;
    return r->at > from;
}
static bool quoted(struct rest *r)
{
    if (!octet(r, '"'))
        return false;
    while (r->at < r->end && *r->at >= ' ' && *r->at < 0x7f && *r->at != '"' && *r->at != '\\')
        r->at++;
    return octet(r, '"');
}

/* "0a;x=y" CRLF; the length of the extensions is added. */
static bool chunk_line(struct rest *r, uint64_t *ret_size, size_t *extensions)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = r->at;

    *ret_size = 0;
    while (r->at < r->end && *r->at && strchr(digits, http_lower(*r->at)))
        *ret_size = *ret_size * 16 + (uint64_t)(strchr(digits, http_lower(*r->at++)) - digits);
    if (r->at == from || r->at - from > 15)
        return false;
    from = r->at;
    while (octet(r, ';')) {
        if (!token(r) || (octet(r, '=') && !token(r) && !quoted(r)))
            return false;
    }
    *extensions += (size_t)(r->at - from);
    return r->at - from < HTTP_CHUNK_LINE_MAX && octet(r, '\r') && octet(r, '\n');
}

/* The body and where it ends; false: it is malformed, incomplete, or past a limit. */
static bool reference(struct rest *r, struct buffer *body, struct rest *ret_trailers)
{
    size_t extensions = 0;
    uint64_t size;

    for (;;) {
        if (!chunk_line(r, &size, &extensions))
            return false;
        if (!size)
            break;
        if (size > (uint64_t)(r->end - r->at))
            return false;
        MUST(buffer_append(body, r->at, size) == 0);
        r->at += size;
        if (!octet(r, '\r') || !octet(r, '\n'))
            return false;
    }
    ret_trailers->at = r->at;
    /* What its lines hold is for http_parse_trailers() to say. */
    while (r->end - r->at < 2 || memcmp(r->at, "\r\n", 2) != 0) {
        const uint8_t *cr = memmem(r->at, (size_t)(r->end - r->at), "\r\n", 2);

        if (!cr || memchr(r->at, '\n', (size_t)(cr - r->at)))
            return false;
        r->at = cr + 2;
    }
    r->at += 2;
    ret_trailers->end = r->at;
    return extensions < HTTP_CHUNK_EXTENSIONS_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *host = "POST / HTTP/1.1\r\nHost: a\r\n\r\n", *why;
    struct outcome whole = {0}, pieces = {0};
    cleanup_buffer struct buffer body = {0};
    struct rest r, trailers;
    struct http_head h;
    int status;

    if (n < 2)
        return 0;
    n--;
    status = read_chunks(&whole, data + 1, n, n, n);
    MUST(status == read_chunks(&pieces, data + 1, n, 0, 1 + data[0] % 16));
    r = (struct rest){data + 1, data + 1 + n};
    if (reference(&r, &body, &trailers) && trailers.end - trailers.at < HTTP_TRAILERS_MAX) {
        MUST(status == TAKEN && whole.end == (size_t)(r.at - data - 1));
        MUST(same_buffer(&whole.body, &body));
        MUST(buffer_size(&whole.trailers) == 0 ||
             buffer_size(&whole.trailers) == (size_t)(r.at - trailers.at));
    } else if (n < HTTP_CHUNK_LINE_MAX) {
        MUST(status != TAKEN);
    }
    if (status == TAKEN) {
        MUST(same_buffer(&whole.body, &pieces.body) && whole.end == pieces.end);
        MUST(same_buffer(&whole.trailers, &pieces.trailers));
        MUST(http_parse_request(&h, host, strlen(host), &why) == 0);
        outcome_done(&pieces);
        pieces = (struct outcome){
            .bytes = copy_of(buffer_bytes(&whole.trailers), buffer_size(&whole.trailers))};
        if (http_parse_trailers(&h, pieces.bytes, buffer_size(&whole.trailers), &why) == 0)
            MUST(h.content_length == -1 && !h.chunked && str_eq(h.host, "a"));
    }
    outcome_done(&whole);
    outcome_done(&pieces);
    return 0;
}
