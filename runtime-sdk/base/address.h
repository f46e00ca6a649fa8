/* address.h - addresses of streams as text: "tcp://127.0.0.1:8080", "tcp://[::1]:8080", "unix:///path". No DNS. */
#pragma once
#include <stdbool.h>
#include <sys/socket.h>

int address_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_size);
/* Same shape back; port included. `out` holds 128 bytes. */
void address_text(const struct sockaddr_storage *sa, socklen_t size, char out[128]);
/* Reached from this machine alone: loopback, or a Unix socket. */
bool address_is_local(const struct sockaddr_storage *sa);
/* "0.0.0.0" or "[::]". */
bool address_is_any(const struct sockaddr_storage *sa);
