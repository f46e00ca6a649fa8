/* log_pipe.h - one of an instance's two outputs, cut into lines. On one loop.
 *
 * What an instance may say is bounded, in bytes and in lines: past its budget its outputs are not
 * read for a while, so that it waits in write(2), and its reader does not. */
#pragma once
#include "base/buffer.h"
#include "reactor/loop.h"

/* A token bucket; a line costs its bytes and a fixed part. It may be overdrawn by one read. */
enum { LOG_RATE = 1 << 20 /* a second */, LOG_BURST = 4 << 20, LOG_LINE_COST = 64 };
enum { LOG_LINE_MAX = 16 << 10 }; /* a longer line goes on in the next */
struct log_budget {               /* zero-initialised: full */
    int64_t spent;
    uint64_t at_ns;
};
bool log_budget_left(struct log_budget *b, uint64_t now_ns);
void log_budget_spend(struct log_budget *b, size_t bytes, size_t lines);

struct log_pipe { /* embed, zero-initialised */
    struct loop_watch watch;
    struct loop_timer pause;
    struct loop *loop;
    struct buffer partial; /* the beginning of a line */
    bool open;
    bool rest;                 /* the last read left something, as far as is known */
    struct log_budget *budget; /* of the instance */
    void (*on_line)(struct log_pipe *p, const char *line, size_t n);
};
int log_pipe_open(struct log_pipe *p, struct loop *loop, int fd, struct log_budget *budget,
                  void (*on_line)(struct log_pipe *p, const char *line, size_t n)); /* takes fd */
/* Hands on what its writer had written: reads it, at most 1 MiB and what the budget has left.
 * `told`: the loop's event that is being handled was the writer's next act, so that mostly all was
 * told already. An unfinished line counts as one. */
void log_pipe_drain(struct log_pipe *p, bool told);
void log_pipe_close(struct log_pipe *p); /* drains first; may be called twice */
