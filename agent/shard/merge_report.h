/* merge_report.h - the reports of several shards as the one of their agent. Pure. */
#pragma once
#include "control.pb-c.h"
#include <stdbool.h>

/* Adds `part` to `*to`, moving the lists' entries over: both are unpacked messages. Loads of one
 * revision are summed; a part that is not `fresh` was reported before: what it counted is not
 * counted again, what it says of now stands. -ENOMEM: something is missing in *to. */
int merge_report(Rouse__Control__V1__Report *to, Rouse__Control__V1__Report *part, bool fresh);
