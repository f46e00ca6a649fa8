/* sockets.h - listening sockets of a run: not for the reactor's listeners, but for those who take them
 * over. Blocking calls that do not wait. */
#pragma once
#include "base/error.h"

#include <stdint.h>

/* At `path`, in place of what lies there. */
int sockets_listen_unix(const char *path, int *ret, struct err *e);
/* On a free port of 127.0.0.1: "127.0.0.1:40123". */
int sockets_listen_loopback(char ret_address[64], int *ret, struct err *e);
/* Whether somebody could listen at that port of 127.0.0.1 now: 0, or -EADDRINUSE, -EACCES. */
int sockets_port_free(uint16_t port);
