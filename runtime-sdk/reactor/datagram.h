/* datagram.h - a UDP socket on a loop: packets in batches, answers in batches.
 *
 * Belongs to the loop it was opened on. Answers are queued while packets are
 * handled and go out together; while the kernel takes no more, nothing is
 * read, so a peer that floods and does not listen costs no memory. */
#pragma once
#include "reactor/loop.h"
#include <netinet/in.h>
#include <stdbool.h>

struct datagram_socket;

union datagram_peer {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};
struct datagram_ops {
    /* One packet; `in` lives until the return. Answers by datagram_answer(). */
    void (*on_packet)(void *user, const union datagram_peer *from, socklen_t from_size,
                      const uint8_t *in, size_t n);
    /* So many answers have left, so many were refused by the kernel. */
    void (*on_sent)(void *user, unsigned sent, unsigned dropped);
};
struct datagram_options {
    bool reuseport, v6only;
};
enum { DATAGRAM_MAX = 65507 }; /* bytes in one IPv4 packet */

int datagram_open(struct loop *l, const struct sockaddr *sa, socklen_t size,
                  const struct datagram_options *o, const struct datagram_ops *ops, void *user,
                  struct datagram_socket **ret);
int datagram_fd(const struct datagram_socket *d);
/* To the sender of the packet being handled; copies. -EMSGSIZE, -ENOMEM; outside of on_packet()
 * -ENOTCONN. */
int datagram_answer(struct datagram_socket *d, const void *data, size_t n);
struct datagram_socket *datagram_close(struct datagram_socket *d); /* tries to send what is queued */
