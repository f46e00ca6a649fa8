#include "sandbox/lean.h"

#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool is_needed(const char *path)
{
    static const char *const needed[] = {"/libc.", "/ld-", "/libmnl.", "linux-vdso", "/libgcc_s."};

    for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
        if (strstr(path, needed[i]))
            return true;
    return !*path;
}

static int shed(struct dl_phdr_info *o, size_t size, void *user)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;

    (void)size, (void)user;
    if (is_needed(o->dlpi_name))
        return 0;
    for (size_t i = 0; i < o->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &o->dlpi_phdr[i];
        uintptr_t from = (o->dlpi_addr + h->p_vaddr) & ~page;
        uintptr_t to = (o->dlpi_addr + h->p_vaddr + h->p_memsz + page) & ~page;

        if (h->p_type == PT_LOAD) /* a failure leaves it as it was */
            madvise((void *)from, to - from, MADV_DONTFORK);
    }
    return 0;
}

void lean_forks(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    dl_iterate_phdr(shed, NULL);
#else
    (void)shed;
#endif
}
