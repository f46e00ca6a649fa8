/* conn_internal.h - a connection's fields, for the files of reactor/ that implement it. */
#pragma once
#include "base/buffer.h"
#include "reactor/internal.h"

enum conn_state {
    CONN_CONNECTING, /* dialled, no answer yet */
    CONN_OPEN,
    CONN_CLOSING,   /* no input any more; pending bytes still go out */
    CONN_LINGERING, /* all is written and FIN sent; the peer's rest is thrown away */
    CONN_CLOSED,    /* descriptor gone; on_closed() at the end of the turn */
};

struct conn {
    struct loop_watch watch;
    struct loop *loop;
    const struct conn_ops *ops;
    void *user;
    enum conn_state state;
    bool paused;
    bool eof; /* the peer's FIN has been read */
    bool left_told;
    bool hung;    /* paused with the peer gone for good: unwatched until resumed */
    bool blocked; /* the kernel's send buffer is full: waits for LOOP_WRITE */
    bool congested;
    bool linger;
    bool in_data; /* on_data() is on the stack with `current` */
    bool stream_tcp;
    int error;
    const uint8_t *current;
    size_t current_n;
    struct buffer in, out;
    uint64_t sent;
    size_t discarded;
    size_t input_limit, high_water, low_water;
    struct loop_timer timer; /* connecting: the deadline; closing, lingering: the bound */
    struct loop_deferred resume, flush, gone;
    struct listener_member member;
};

extern const struct conn_ops conn_no_ops;

void conn_set_state(struct conn *c, enum conn_state to);
void conn_update_watch(struct conn *c);
/* Input, the peer's end, or its hang-up. */
void conn_readable(struct conn *c, uint32_t events);
/* conn_resume()'s work at its time. */
void conn_hand_over_kept(struct loop_deferred *d);
/* Writes what is pending until the kernel is full. 0 or -errno. */
int conn_write_out(struct conn *c);
/* The end of a turn, or room again: writes, tells on_drained(), finishes a close. */
void conn_flush_turn(struct conn *c);
