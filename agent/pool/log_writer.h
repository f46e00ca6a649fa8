/* log_writer.h - a thread that appends to log files, so that a slow disk never stops the loop.
 *
 * Loops may share one: log_writer_append() is for any thread. */
#pragma once
#include "base/buffer.h"

struct log_writer;

int log_writer_new(struct log_writer **ret);
struct log_writer *log_writer_free(struct log_writer *w); /* writes what is queued, then joins */
/* Takes the bytes (the buffer is empty after). Past 8 MiB queued they are dropped, and counted. One
 * file keeps 10 MiB and the 10 MiB before it in PATH.1. */
void log_writer_append(struct log_writer *w, const char *path, struct buffer *bytes);
uint64_t log_writer_dropped(struct log_writer *w); /* bytes */
