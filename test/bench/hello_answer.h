/* hello_answer.h - the one answer that every HTTP server of the benchmarks gives, byte for byte as long
 * as the engine's own (its Date is the time; here it is a constant, which favours the yardsticks). */
#pragma once

#define HELLO_ANSWER                                                                               \
    "HTTP/1.1 200 OK\r\n"                                                                          \
    "Content-Type: text/plain\r\n"                                                                 \
    "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"                                                      \
    "Content-Length: 5\r\n"                                                                        \
    "\r\n"                                                                                         \
    "Hello"
