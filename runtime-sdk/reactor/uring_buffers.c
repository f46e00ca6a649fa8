/* uring_buffers.c - the loop's ring of receive buffers: the kernel takes one when bytes come.
 *
 * No connection owns a buffer while it is idle. Where the kernel can, a buffer
 * is filled bit by bit, so that many small requests share one and a large stream
 * gets it whole; else every completion takes one. */
#include "reactor/uring_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static void give(struct uring *u, unsigned id)
{
    io_uring_buf_ring_add(u->buffers, u->memory + (size_t)id * u->buffer_size, u->buffer_size,
                          (unsigned short)id, io_uring_buf_ring_mask(u->buffer_count), u->returned++);
}

int uring_buffers_open(struct uring *u)
{
    struct io_uring_buf_reg reg = {.bgid = URING_GROUP};
    int r;

    u->buffer_count = u->incremental ? URING_BUFFERS : URING_WHOLE_BUFFERS;
    u->buffer_size = u->incremental ? URING_BUFFER : URING_WHOLE_BUFFER;
    reg.ring_entries = u->buffer_count;
    u->buffers = mmap(NULL, u->buffer_count * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                      MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    u->memory = mmap(NULL, (size_t)u->buffer_count * u->buffer_size, PROT_READ | PROT_WRITE,
                     MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (u->buffers == MAP_FAILED || u->memory == MAP_FAILED)
        return -ENOMEM;
    reg.ring_addr = (uintptr_t)u->buffers;
    reg.pad = u->incremental ? URING_PBUF_INC : 0; /* the flags, in newer headers */
    r = io_uring_register_buf_ring(&u->ring, &reg, 0);
    if (r < 0)
        return r;
    io_uring_buf_ring_init(u->buffers);
    for (unsigned i = 0; i < u->buffer_count; i++)
        give(u, i);
    uring_buffers_return(u);
    return 0;
}

void uring_buffers_close(struct uring *u)
{
    if (u->buffers && u->buffers != MAP_FAILED)
        munmap(u->buffers, u->buffer_count * sizeof(struct io_uring_buf));
    if (u->memory && u->memory != MAP_FAILED)
        munmap(u->memory, (size_t)u->buffer_count * u->buffer_size);
    u->buffers = NULL;
    u->memory = NULL;
}

uint8_t *uring_buffer_take(struct uring *u, uint32_t flags, int res)
{
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
    uint8_t *bytes;

    if (!(flags & IORING_CQE_F_BUFFER))
        return NULL;
    bytes = u->memory + (size_t)id * u->buffer_size + u->offset[id];
    if (flags & URING_F_BUF_MORE) {
        u->offset[id] += res > 0 ? (uint32_t)res : 0;
    } else { /* full; the kernel has it again at uring_buffers_return() */
        u->offset[id] = 0;
        give(u, id);
    }
    return bytes;
}

void uring_buffers_return(struct uring *u)
{
    if (!u->returned)
        return;
    io_uring_buf_ring_advance(u->buffers, u->returned);
    u->returned = 0;
}
