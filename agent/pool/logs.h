/* logs.h - what functions wrote: the last MiB of each in memory, all of it in files, live to who
 * follows.
 *
 * A line is `2026-11-23T10:00:00.123Z REQUEST-ID text`. On the agent's loop. */
#pragma once
#include "control.pb-c.h"
#include "reactor/loop.h"

struct logs;
struct log_writer;
struct function_log;

/* `writer` is shared, so that one thread alone writes a file; NULL: one of its own. */
int logs_new(struct loop *loop, const char *state_dir, struct log_writer *writer,
             int (*send)(void *user, const Rouse__Control__V1__AgentMessage *m), void *user,
             struct logs **ret);
struct logs *logs_free(struct logs *l); /* flushes */
/* Held until function_log_put(). NULL: no memory. */
struct function_log *logs_get(struct logs *l, const char *function_key);
void function_log_put(struct function_log *f);
/* One line without its newline; request_id NULL: not known, "-". Embedded newlines make several. */
void function_log_line(struct function_log *f, const char *request_id, const char *text, size_t n);
void logs_request(struct logs *l, const Rouse__Control__V1__LogRequest *r);
void logs_forget_followers(struct logs *l); /* the controller that asked is gone */
