/* resolv.c - which name servers a sandbox is told of. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sandbox/network.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RESOLV_MAX (64u << 10)

static bool on_loopback(const char *server)
{
    return !strncmp(server, "127.", 4) || !strcmp(server, "::1") || !strcmp(server, "0.0.0.0");
}

int network_filter_resolv(const char *text, char *to, size_t size)
{
    size_t used = 0;
    int servers = 0;

    to[0] = '\0';
    while (*text) {
        size_t n = strcspn(text, "\n");
        char server[64] = "";
        bool names = n < 256 && sscanf(text, "nameserver %63s", server) == 1;

        /* A line that does not fit is left out whole. */
        if (n && *text != '#' && *text != ';' && !(names && on_loopback(server)) &&
            used + n + 2 <= size) {
            memcpy(to + used, text, n);
            used += n;
            to[used++] = '\n';
            to[used] = '\0';
            servers += names;
        }
        text += n + (text[n] == '\n');
    }
    return servers;
}

void network_resolv_conf(char *to, size_t size)
{
    static const char *const sources[] = {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"};

    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        cleanup_buffer struct buffer b = {0};
        cleanup_free char *text = NULL;

        to[0] = '\0';
        if (file_read(AT_FDCWD, sources[i], RESOLV_MAX, &b) < 0)
            continue;
        text = buffer_take_string(&b);
        if (text && network_filter_resolv(text, to, size) > 0)
            return;
    }
}
