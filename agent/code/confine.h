/* confine.h - the lock-in of the process that unpacks. Its own thread, before it reads a foreign byte. */
#pragma once
#include "base/error.h"

/* Root becomes `dir_fd`; no privilege, no way to get one, no network, no other process, nothing but
 * plain calls on files; bounded memory, cpu and file sizes. There is no way back. */
int confine(int dir_fd, struct err *e);
