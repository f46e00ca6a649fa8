/* result_internal.h - what results and the heads of streamed answers (answer_head.c) are held to alike. */
#pragma once
#include "invoke/result.h"

struct json_object;

/* The whole of the bytes must be one JSON value, of not too many. NULL is both an error and `null`. */
bool result_parse(const uint8_t *s, size_t n, struct json_object **ret);
/* A line of that header, or nothing if its name is the server's or the platform's own. -EBADMSG, with a
 * message for people; -ENOMEM. */
int result_add_header(struct buffer *to, const char *name, struct json_object *value,
                      char message[RESULT_MESSAGE_MAX]);
