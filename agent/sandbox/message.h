/* message.h - what the agent and its launcher say to each other over a SOCK_SEQPACKET pair.
 *
 * A message is a u32 type and its fields in order: u32, u64, and strings as
 * u32 length (with the NUL) and bytes; host byte order, one machine. At most
 * MESSAGE_MAX bytes. Descriptors come beside it by SCM_RIGHTS. The codec is
 * pure; message_send() and message_recv() never block. Any thread. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "sandbox/spec.h"

#define MESSAGE_MAX      (256u << 10)
#define MESSAGE_FDS_MAX  8
#define MESSAGE_LIST_MAX 4096 /* entries of argv or env */

enum message_type {
    MESSAGE_CREATE = 1, /* agent to launcher */
    MESSAGE_STOP,
    MESSAGE_ADOPT,
    MESSAGE_PARK,
    MESSAGE_PORTS,
    MESSAGE_READY, /* launcher to agent, once: cleaned up, at work */
    MESSAGE_STARTED,
    MESSAGE_FAILED,
    MESSAGE_EXIT,
    MESSAGE_PARKED, /* launcher to agent, now and then: so many of that kind */
    MESSAGE_RUN,    /* launcher to a sandbox: the spec's argv and env */
};

/* Which descriptors came, in this order. */
enum { MESSAGE_FD_STDOUT = 1, MESSAGE_FD_STDERR = 2, MESSAGE_FD_FRAMES = 4, MESSAGE_FD_API = 8 };

/* A decoded message. Strings point into the bytes it was decoded from. */
struct message {
    enum message_type type;
    const char *id;
    struct sandbox_spec spec; /* CREATE; PARK: kind only. Its lists are owned: message_done() */
    uint32_t count;           /* PARK, PARKED */
    const char *const *ports; /* PORTS: addresses; owned */
    struct sandbox_adoption adoption; /* ADOPT */
    uint64_t grace_ns;                /* STOP */
    const char *warning;              /* READY; "" if none */
    struct sandbox_started started;   /* STARTED: but for the descriptors */
    uint32_t fds;                     /* STARTED: MESSAGE_FD_* */
    struct err error;                 /* FAILED; READY with a code: could not start */
    struct sandbox_exit exit;         /* EXIT */
};

/* Appends the whole message. -EMSGSIZE, -ENOMEM. */
int message_encode(struct buffer *to, const struct message *m);
/* -EPROTO: not a message, or bytes left over; -ENOMEM. */
int message_decode(const void *data, size_t n, struct message *ret);
void message_done(struct message *m);

/* ---- message_socket.c */
int message_send(int sock, const void *data, size_t n, const int *fds, size_t n_fds);
/* *ret_n 0: the peer is gone. fds are close-on-exec and the caller's. -EAGAIN; -EPROTO: truncated. */
int message_recv(int sock, void *to, size_t capacity, size_t *ret_n, int fds[MESSAGE_FDS_MAX],
                 size_t *ret_n_fds);
void message_close(const int *fds, size_t n);
