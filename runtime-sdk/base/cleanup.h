/* cleanup.h - ownership by scope: cleanup attributes and TAKE_PTR(). */
#pragma once
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_ptr(void *p)
{
    free(*(void **)p);
}
static inline void cleanup_close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
/* The same before the scope ends: -1 then. */
static inline void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
#define cleanup_free __attribute__((cleanup(cleanup_free_ptr)))
#define cleanup_fd   __attribute__((cleanup(cleanup_close_fd)))

/* Hands the pointer (or descriptor) to the caller and disarms the cleanup. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __auto_type taken_ptr = (p);                                                               \
        (p) = NULL;                                                                                \
        taken_ptr;                                                                                 \
    })
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int taken_fd = (fd);                                                                       \
        (fd) = -1;                                                                                 \
        taken_fd;                                                                                  \
    })

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
