/* history_text.h - a function's idle times as the store keeps them: JSON, only the minutes in which some ended. Pure. */
#pragma once
#include "autoscaler/histogram.h"
#include "base/buffer.h"

int history_text(const struct idle_histogram *h, struct buffer *to); /* with a NUL; -ENOMEM */
/* -EINVAL: it is no such text, or says more than a histogram holds. */
int history_parse(const char *text, struct idle_histogram *ret);
