/* ports.h - whether an address can be had, asked before a daemon is started on it. */
#pragma once

/* 0: nobody listens at "http://IPV4:PORT". -EADDRINUSE: somebody does. -EINVAL, or what bind()
 * says. */
int ports_free(const char *url);
/* A port of 127.0.0.1 that nobody has just now; 0 if there is none. */
unsigned short ports_pick(void);
