/* stack_arena.c - arenas: one mapping each, with room for many stacks of one size. They live as long as the
 * scheduler. The list of them only grows, so that a signal handler may walk it.
 *
 * The kernel counts mappings (vm.max_map_count, 65,530), not pages: stacks are
 * guarded in a way that leaves an arena one mapping, where there is one. */
#include "sched/stack_arena.h"
#include "sched/stack_tools.h"
#include "sched/lock.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum {
    GUARD_SIZE = 16 << 10, /* frames of C are smaller, and -fstack-clash-protection touches each page */
    ARENA_SIZE = 64 << 20, /* about; a stack larger than that has an arena to itself */
    ARENA_STACKS = 256,
    PROTECT_MAX = 20000, /* guards by mprotect: 40,000 of the mappings; the program needs some as well */
    COLORS = 16,
    COLOR_SIZE = 64,
};

struct arena {
    struct arena *next;
    char *base;
    size_t stride; /* guard and stack */
    size_t guard;
    uint32_t count, used; /* under the lock */
    struct stack stacks[];
};

static struct {
    struct lock lock; /* over what is made, not over who looks */
    _Atomic(struct arena *) all;
    struct arena *current[STACK_CLASSES];
} arenas;
static _Atomic(enum stack_guard) best = STACK_GUARD_INSTALL;
static _Atomic uint32_t protected;

static struct arena *arena_new(uint32_t size_class)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), guard = page > GUARD_SIZE ? page : GUARD_SIZE;
    size_t size = (size_t)STACK_MIN << size_class, stride = guard + (size > page ? size : page);
    uint32_t count = ARENA_SIZE / stride ? (uint32_t)(ARENA_SIZE / stride) : 1;
    struct arena *a;

    if (count > ARENA_STACKS)
        count = ARENA_STACKS;
    a = calloc(1, sizeof(*a) + count * sizeof(a->stacks[0]));
    if (!a)
        return NULL;
    *a = (struct arena){.stride = stride, .guard = guard, .count = count};
    a->base = mmap(NULL, count * stride, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (a->base == MAP_FAILED) {
        free(a);
        return NULL;
    }
    /* a huge page would make 2 MiB of a stack of which one page was touched */
    (void)madvise(a->base, count * stride, MADV_NOHUGEPAGE);
    return a;
}

/* An emulator may answer every advice with 0. */
static bool takes_any_advice(char *at, size_t size)
{
    return madvise(at, size, -1) == 0;
}

static bool guard(char *at, size_t size)
{
    static _Atomic bool asked;
    enum stack_guard kind = atomic_load_explicit(&best, memory_order_relaxed);

    if (kind == STACK_GUARD_INSTALL) {
        bool believe =
            atomic_load_explicit(&asked, memory_order_relaxed) || !takes_any_advice(at, size);

        atomic_store_explicit(&asked, believe, memory_order_relaxed);
        if (believe && madvise(at, size, MADV_GUARD_INSTALL) == 0)
            return true;
        atomic_store_explicit(&best, STACK_GUARD_PROTECT, memory_order_relaxed);
        kind = STACK_GUARD_PROTECT;
    }
    return kind == STACK_GUARD_PROTECT &&
           atomic_fetch_add_explicit(&protected, 1, memory_order_relaxed) < PROTECT_MAX &&
           mprotect(at, size, PROT_NONE) == 0;
}

struct stack *stack_make(uint32_t size_class)
{
    struct arena *a;
    struct stack *s;
    uint32_t index;
    char *at;

    lock_acquire(&arenas.lock);
    a = arenas.current[size_class];
    if (!a || a->used == a->count) {
        a = arena_new(size_class);
        if (!a) {
            lock_release(&arenas.lock);
            return NULL;
        }
        a->next = atomic_load_explicit(&arenas.all, memory_order_relaxed);
        atomic_store_explicit(&arenas.all, a, memory_order_release);
        arenas.current[size_class] = a;
    }
    index = a->used++;
    lock_release(&arenas.lock);

    s = &a->stacks[index];
    at = a->base + index * a->stride;
    s->low = at + a->guard;
    s->color = (uint16_t)(index % COLORS * COLOR_SIZE);
    s->top = at + a->stride - s->color;
    s->size_class = (uint8_t)size_class;
    s->canary = !guard(at, a->guard);
    stack_tell(s);
    return s;
}

void stack_discard(struct stack *s)
{
    (void)madvise(s->low, stack_size(s), MADV_DONTNEED);
}

/* A page that was never written to reads as zeros, and costs nothing but its table entry. */
bool stack_overflown(const struct stack *s)
{
    const uint64_t *word = (const uint64_t *)(const void *)s->low;

    for (int i = 1; s->canary && i <= 512; i++) {
        if (word[-i])
            return true;
    }
    return false;
}

const struct stack *stack_guarding(const void *address)
{
    struct arena *a = atomic_load_explicit(&arenas.all, memory_order_acquire);

    for (; a; a = a->next) {
        size_t offset = (size_t)((uintptr_t)address - (uintptr_t)a->base);

        if (offset < a->count * a->stride)
            return offset % a->stride < a->guard ? &a->stacks[offset / a->stride] : NULL;
    }
    return NULL;
}

void stack_arenas_done(void)
{
    struct arena *next;

    for (struct arena *a = arenas.all; a; a = next) {
        next = a->next;
        for (uint32_t i = 0; i < a->used; i++)
            stack_untell(&a->stacks[i]);
        munmap(a->base, a->count * a->stride);
        free(a);
    }
    memset(&arenas, 0, sizeof(arenas));
    atomic_store_explicit(&protected, 0, memory_order_relaxed);
}

void stacks_guard_by(enum stack_guard kind)
{
    atomic_store_explicit(&best, kind, memory_order_relaxed);
}
