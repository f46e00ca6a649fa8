/* secret.h - whether a peer shows what only a friend knows. Pure. */
#pragma once
#include "http/message.h"

/* Takes as long for every wrong secret of the right length. False for an empty or NULL secret. */
bool secret_equals(struct str shown, const char *secret);
/* "Authorization: Bearer TOKEN". */
bool http_shows_token(const struct http_head *h, const char *token);
