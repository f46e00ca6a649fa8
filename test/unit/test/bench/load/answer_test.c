/* answer_test.c - answers are counted however the stream is cut; what is none is refused. */
#include "bench/load/answer.h"
#include "unit.h"
#include <errno.h>
#include <string.h>

static const char stream[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello"
                             "HTTP/1.1 404 Not Found\r\ncontent-length:   0\r\nX: y\r\n\r\n"
                             "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
                             "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 12\r\n\r\n\r\n\r\nHTTP/1.";

static void read_pieces(size_t piece)
{
    struct answer_reader r = {0};
    unsigned answers = 0, failed = 0;
    size_t n = sizeof(stream) - 1;

    for (size_t at = 0; at < n; at += piece)
        ck_assert_int_eq(
            answer_read(&r, stream + at, n - at < piece ? n - at : piece, &answers, &failed), 0);
    ck_assert_uint_eq(answers, 3); /* the last one is a byte short */
    ck_assert_uint_eq(failed, 1);
    ck_assert_uint_eq(r.body_left, 1);
    answer_reader_done(&r);
}

START_TEST(answers_are_counted_in_any_pieces)
{
    for (size_t piece = 1; piece <= sizeof(stream); piece++)
        read_pieces(piece);
}
END_TEST

START_TEST(other_streams_are_refused)
{
    static const char *const bad[] = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                      "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nHello",
                                      "SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1\r\n\r\n"};
    char endless[ANSWER_HEAD_MAX + 1];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct answer_reader r = {0};
        unsigned answers = 0, failed = 0;

        ck_assert_int_eq(answer_read(&r, bad[i], strlen(bad[i]), &answers, &failed), -EPROTO);
        answer_reader_done(&r);
    }
    for (size_t piece = 1; piece < 3; piece++) {
        struct answer_reader r = {0};
        unsigned answers = 0, failed = 0;
        int e = 0;

        memset(endless, 'a', sizeof(endless));
        for (size_t at = 0; at < sizeof(endless) && !e; at += piece)
            e = answer_read(&r, endless + at, piece, &answers, &failed);
        ck_assert_int_eq(e, -EPROTO);
        answer_reader_done(&r);
    }
}
END_TEST

UNIT_MAIN("answer", answers_are_counted_in_any_pieces, other_streams_are_refused)
