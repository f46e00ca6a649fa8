/* symbols.c - the symbol table of /proc/self/exe, mapped when it is first asked for, and kept. */
#include "sched/symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    _Atomic bool tried; /* set last: a signal handler may come while it is read, and reads it again */
    const Elf64_Sym *all;
    size_t count;
    const char *names;
    size_t names_size;
    uint64_t bias; /* where the program was loaded, less where it was linked for */
} table;

/* [offset, offset + size) lies within the file. */
static bool within(uint64_t offset, uint64_t size, uint64_t file)
{
    return offset <= file && size <= file - offset;
}

static void read_table(const char *file, uint64_t size)
{
    const Elf64_Ehdr *e = (const void *)file;
    const Elf64_Shdr *s;

    if (size < sizeof(*e) || memcmp(e->e_ident, ELFMAG, SELFMAG) != 0 ||
        e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_shentsize != sizeof(*s) || e->e_shoff % 8 ||
        !within(e->e_shoff, (uint64_t)e->e_shnum * sizeof(*s), size))
        return;
    s = (const void *)(file + e->e_shoff);
    for (unsigned i = 0; i < e->e_shnum; i++) {
        const Elf64_Shdr *names;

        if (s[i].sh_type != SHT_SYMTAB || s[i].sh_link >= e->e_shnum || s[i].sh_offset % 8)
            continue;
        names = &s[s[i].sh_link];
        if (!within(s[i].sh_offset, s[i].sh_size, size) ||
            !within(names->sh_offset, names->sh_size, size) || !names->sh_size ||
            file[names->sh_offset + names->sh_size - 1])
            return;
        table.all = (const void *)(file + s[i].sh_offset);
        table.count = s[i].sh_size / sizeof(*table.all);
        table.names = file + names->sh_offset;
        table.names_size = names->sh_size;
        table.bias = getauxval(AT_ENTRY) - e->e_entry;
        return;
    }
}

static void open_table(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *file;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (file != MAP_FAILED)
            read_table(file, (uint64_t)st.st_size);
    }
    if (fd >= 0)
        close(fd);
    table.tried = true;
}

static struct symbol in_table(uintptr_t address)
{
    uint64_t at = address - table.bias;

    for (size_t i = 0; i < table.count; i++) {
        const Elf64_Sym *s = &table.all[i];
        uint64_t size = s->st_size ? s->st_size : 1;

        if (ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_shndx != SHN_UNDEF &&
            at >= s->st_value && at - s->st_value < size && s->st_name < table.names_size)
            return (struct symbol){table.names + s->st_name, at - s->st_value};
    }
    return (struct symbol){0};
}

/* Without a symbol table: what addr2line takes, for the file with one. */
static struct symbol in_program(uintptr_t address)
{
    extern const char __executable_start[], _end[]; /* the linker's */
    const Elf64_Ehdr *e = (const void *)__executable_start;
    uintptr_t start = (uintptr_t)__executable_start;

    if (address < start || address >= (uintptr_t)_end)
        return (struct symbol){0};
    return (struct symbol){"program", e->e_type == ET_DYN ? address - start : address};
}

struct symbol symbol_of(uintptr_t address, bool in_handler)
{
    struct symbol found;
    Dl_info info;

    if (!table.tried)
        open_table();
    found = in_table(address);
    if (!found.name && !in_handler && dladdr((void *)address, &info) && info.dli_sname)
        found = (struct symbol){info.dli_sname, address - (uintptr_t)info.dli_saddr};
    return found.name ? found : in_program(address);
}
