/* log_pipe.h - one of an instance's two outputs, cut into lines. On the agent's loop. */
#pragma once
#include "base/buffer.h"
#include "reactor/loop.h"

struct log_pipe { /* embed, zero-initialised */
    struct loop_watch watch;
    struct loop *loop;
    struct buffer partial; /* the beginning of a line */
    bool open;
    void (*on_line)(struct log_pipe *p, const char *line, size_t n);
    void (*on_end)(struct log_pipe *p);      /* all writers are gone, or log_pipe_close(); may be NULL */
};
int log_pipe_open(struct log_pipe *p, struct loop *loop, int fd,
                  void (*on_line)(struct log_pipe *p, const char *line, size_t n)); /* takes fd */
/* Reads what is there, at most 1 MiB. `flush`: an unfinished line counts as one. */
void log_pipe_drain(struct log_pipe *p, bool flush);
void log_pipe_close(struct log_pipe *p); /* drains first; may be called twice */
