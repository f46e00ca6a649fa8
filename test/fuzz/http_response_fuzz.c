/* module: runtime-sdk/http */
/* Answers of a hostile server through the client itself: whatever comes, a call ends exactly once, and
 * what it was told of an answer that came whole is what the codec reads in one piece. The first byte decides the method and the size of the pieces. */
#include "http/client.h"
#include "http_fuzz.h"

#include <stdio.h>
#include <unistd.h>

static struct loop *loop;
static const uint8_t *answer;
static size_t answer_size, piece;
static int dones, told_status;
static bool head_only;
static struct buffer told; /* the body */
static struct conn *server;

static size_t on_request(struct conn *c, const uint8_t *in, size_t n)
{
    (void)in;
    for (size_t at = 0; at < answer_size; at += piece) {
        conn_write(c, answer + at, piece < answer_size - at ? piece : answer_size - at);
        if (at < 64)
            conn_flush(c);
    }
    conn_close(c);
    return n;
}
static void on_server_closed(struct conn *c, int error)
{
    (void)c, (void)error;
    server = NULL;
}
static const struct conn_ops server_ops = {.on_data = on_request, .on_closed = on_server_closed};

static void on_accept(void *user, int fd)
{
    (void)user;
    if (conn_open(loop, fd, &server_ops, NULL, NULL, &server) < 0)
        abort();
}

static void on_head(struct http_call *c, const struct http_head *h)
{
    (void)c;
    MUST(h->status >= 200 && h->status <= 599 && !dones && !told_status);
    told_status = h->status;
}
static void on_body(struct http_call *c, const uint8_t *data, size_t n)
{
    (void)c;
    MUST(n && !dones && told_status);
    MUST(buffer_append(&told, data, n) == 0);
}
/* The answer behind the interim ones, read from the whole stream. */
static void check_told(void)
{
    struct outcome o;
    size_t at = 0;

    for (;;) {
        read_message(&o, true, answer + at, answer_size - at, answer_size);
        MUST(o.head_size && o.head.status);
        if (o.head.status >= 200)
            break;
        at += o.head_size;
        outcome_done(&o);
    }
    MUST(o.head.status == told_status);
    if (head_only) {
        MUST(!buffer_size(&told));
    } else if (!http_answer_is_bare(STR("GET"), told_status) && !o.head.chunked &&
               o.head.content_length < 0) { /* to the end of the stream */
        MUST(buffer_size(&told) == answer_size - at - o.head_size);
    } else {
        MUST(o.status == TAKEN && same_buffer(&o.body, &told));
    }
    outcome_done(&o);
}

static void on_done(struct http_call *c, int error, bool sent)
{
    (void)c, (void)sent;
    MUST(dones++ == 0);
    if (!error)
        check_told();
    loop_stop(loop);
}
static const struct http_call_ops call_ops = {
    .on_head = on_head, .on_body = on_body, .on_done = on_done};

static struct listener *listener;
static void remove_socket(void)
{
    listener_close(listener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char address[64];
    static struct http_client *client;
    struct http_call *call;

    if (n < 1)
        return 0;
    if (!loop) {
        snprintf(address, sizeof(address), "unix:///tmp/rouse-fuzz-%d", (int)getpid());
        if (loop_new(&loop) < 0 || http_client_new(loop, NULL, &client) < 0 ||
            listener_open(loop, address, NULL, on_accept, NULL, &listener) < 0)
            abort();
        atexit(remove_socket);
    }
    answer = data + 1;
    answer_size = n - 1;
    piece = 1 + data[0] % 61;
    dones = told_status = 0;
    head_only = data[0] & 128;
    buffer_clear(&told);
    if (http_call_start(client,
                        &(struct http_call_request){.address = address,
                                                    .method = head_only ? STR("HEAD") : STR("GET"),
                                                    .target = STR("/"),
                                                    .headers = "Host: a\r\n"},
                        &call_ops, NULL, &call) < 0)
        abort();
    loop_run(loop);
    return 0;
}
