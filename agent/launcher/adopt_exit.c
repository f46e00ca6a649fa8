#include "launcher/adopt_exit.h"

#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* linux/pidfd.h as of 6.15; the headers that we build with may be older. */
struct pidfd_info_v0 {
    uint64_t mask, cgroup;
    uint32_t pid, tgid, ppid, ids[8];
    int32_t exit_code;
};
#define INFO_EXIT (1ull << 3)
#define GET_INFO  _IOWR(0xff, 11, struct pidfd_info_v0)

int adopt_exit_status(int pidfd, int *ret_status)
{
    struct pidfd_info_v0 info = {.mask = INFO_EXIT};

    /* ESRCH: it was reaped, and this kernel keeps nothing of it. */
    if (ioctl(pidfd, GET_INFO, &info) < 0)
        return errno == EINTR ? -EAGAIN : -EOPNOTSUPP;
    if (!(info.mask & INFO_EXIT))
        return -EAGAIN;
    *ret_status = info.exit_code;
    return 0;
}
