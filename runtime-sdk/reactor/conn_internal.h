/* conn_internal.h - a connection's fields, for the files of reactor/ that implement it.
 *
 * The struct is what an idle connection costs: no buffer, no list that a bit can
 * replace. The backend owns what is marked so. */
#pragma once
#include "reactor/internal.h"

enum conn_state {
    CONN_CONNECTING, /* dialled, no answer yet */
    CONN_OPEN,
    CONN_CLOSING,   /* no input any more; pending bytes still go out */
    CONN_LINGERING, /* all is written and FIN sent; the peer's rest is thrown away */
    CONN_CLOSED,    /* descriptor let go; on_closed() at the end of the turn */
};

/* What a turn still has to do for a connection; the first that is set decides the list it is on. */
enum { TURN_GONE = 1, TURN_RESUME = 2, TURN_FLUSH = 4 };

struct conn {
    struct loop_watch watch; /* the backend's but for fd */
    struct loop *loop;
    const struct conn_ops *ops;
    void *user;
    struct loop_deferred turn;
    struct loop_timer timer; /* connecting: the deadline; closing, lingering: the bound */
    struct chunk *in, *out;
    struct chunk *busy;      /* the backend's: in the kernel's hands, untouched until it answers */
    struct conn_file *files; /* behind `out`; NULL: none */
    struct conn_splice *splice; /* what is received goes there; NULL: to the owner */
    struct listener *listener;  /* where it was accepted */
    uint64_t sent;
    int error; /* closed: what on_closed() is told; end_kept: how the input ended */
    uint32_t discarded;
    uint32_t index;  /* io_uring: its place among the loop's, from 1; 0: none */
    int32_t sending; /* io_uring: the outcome of the send out of `busy` */
    uint32_t input_limit, high_water, low_water;
    uint8_t state; /* enum conn_state */
    uint8_t todo;  /* TURN_* */
    uint8_t armed; /* the backend's */
    bool paused : 1;
    bool eof : 1;      /* the peer's FIN has been read */
    bool end_kept : 1; /* the input ended while paused: told on resume */
    bool left_told : 1;
    bool hung : 1;    /* epoll: paused with the peer gone for good: unwatched until resumed */
    bool blocked : 1; /* the kernel's send buffer is full */
    bool congested : 1;
    bool linger : 1;
    bool shut : 1, fin_sent : 1; /* conn_shutdown(); and done */
    bool in_data : 1;            /* on_data() is on the stack with loop->current */
    bool stream_tcp : 1;
    bool told : 1; /* on_closed() has run */
    bool held : 1; /* the backend frees it, by conn_release() */
};

/* A file to send, or a splice's pipe, and what was written behind it. */
struct conn_file {
    struct conn_file *next;
    int fd;
    struct conn_splice *splice; /* NULL: a file */
    off_t offset;
    uint64_t left; /* of a splice: what is in its pipe */
    struct chunk *after;
};
/* Where the next written byte goes. */
struct chunk **conn_tail(struct conn *c);
size_t conn_files_size(const struct conn *c);
/* Sends of the first file, which nothing is before; -errno. *ret_full: the kernel took nothing. */
int conn_write_file(struct conn *c, bool *ret_full);
void conn_files_drop(struct conn *c);
/* `send` without the signal that a sendfile(2) or splice(2) raises. */
ssize_t conn_send_quietly(int to, ssize_t (*send)(int to, void *from), void *from);

/* ---- conn_splice.c; `c->splice` is set but for _out, _lost and _unfinished */
bool conn_splice_wants(const struct conn *c); /* to be told when there is something to read */
void conn_splice_readable(struct conn *c);    /* and this is that */
void conn_splice_step(struct conn *c);        /* it may want now; not before the return */
void conn_splice_got_end(struct conn *c, int error);
/* As conn_write_file(), of the first of c->files. */
int conn_splice_out(struct conn *c, bool *ret_full);
/* c's state is beyond open; before its files are dropped. */
void conn_splice_lost(struct conn *c, int error);
bool conn_splice_unfinished(const struct conn *c); /* into `c`: not all of it has come */
/* Something was put behind what is pending. */
void conn_offered(struct conn *c);

extern const struct conn_ops conn_no_ops;

void conn_set_state(struct conn *c, enum conn_state to);
void conn_todo(struct conn *c, unsigned what);
void conn_not_todo(struct conn *c, unsigned what);
void conn_release(struct conn *c);

/* ---- the backend's reports */
void conn_connected(struct conn *c); /* or not: asks the socket */
void conn_got_input(struct conn *c, const uint8_t *in, size_t n);
void conn_got_end(struct conn *c, int error); /* 0: the peer's FIN */
/* While paused: the peer closed its side. */
void conn_got_left(struct conn *c);
/* Behind what is kept, without telling the owner. */
int conn_keep(struct conn *c, const uint8_t *in, size_t n);
/* The outcome of conn_flush(): 0 or -errno; tells on_drained(), finishes a close. */
void conn_wrote_out(struct conn *c, int r);
/* Counts `n` bytes of `offered` as taken by the kernel. */
void conn_count_sent(struct conn *c, size_t n, size_t offered);

/* conn_resume()'s work at its time. */
void conn_hand_over_kept(struct conn *c);
/* Writes what is pending until the kernel is full, at once. 0 or -errno. */
int conn_write_out(struct conn *c);
/* The end of a turn, or room again. */
void conn_flush_turn(struct conn *c);
