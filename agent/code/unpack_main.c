/* unpack_main.c - rouse-unpack: the process that unpacks one archive, locked in. See unpack.c. */
#include "code/cache.h"
#include "code/confine.h"
#include "code/unpack.h"
#include "package/package.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void code_unpack_main(void)
{
    struct err e = {0};
    int r;

    /* Loaded now, since its files are out of reach once locked in: names in archives are UTF-8. */
    setlocale(LC_ALL, "C.UTF-8");
    close_range(UNPACK_DIR_FD + 1, ~0u, 0);
    r = confine(UNPACK_DIR_FD, &e);
    if (r == 0)
        r = package_unpack(UNPACK_ARCHIVE_FD, UNPACK_DIR_FD, NULL, &e);
    if (r < 0)
        dprintf(STDOUT_FILENO, "%.*s", UNPACK_MESSAGE_MAX, e.message);
    /* Nothing is left to flush, and what else runs at an exit does not expect to be locked in. */
    _exit(r < 0 ? (e.code > 0 && e.code < 256 ? e.code : EIO) : EXIT_SUCCESS);
}
