#include "network/resolv.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RESOLV_FILE_MAX (64u << 10)
enum { LINE_MAX_BYTES = 256 };

/* A line that does not fit is left out whole. */
static void keep_line(struct resolv *r, const char *line, size_t n)
{
    size_t used = strlen(r->text);

    if (used + n + 2 > sizeof(r->text))
        return;
    memcpy(r->text + used, line, n);
    memcpy(r->text + used + n, "\n", 2);
}

static bool take_server(struct resolv *r, const char *server, bool six)
{
    struct in_addr four;
    struct in6_addr a;

    if (r->count4 + r->count6 == RESOLV_SERVERS_MAX)
        return false;
    if (inet_pton(AF_INET, server, &four) == 1) {
        uint32_t top = ntohl(four.s_addr) >> 24;

        if (top == 127 && !r->local.s_addr)
            r->local = four;
        if (top == 127 || top == 0)
            return false;
        r->four[r->count4++] = four;
        return true;
    }
    /* Link-local ones, with their "%eth0", do not parse. */
    if (!six || inet_pton(AF_INET6, server, &a) != 1 || IN6_IS_ADDR_LOOPBACK(&a) ||
        IN6_IS_ADDR_LINKLOCAL(&a) || IN6_IS_ADDR_UNSPECIFIED(&a))
        return false;
    r->six[r->count6++] = a;
    return true;
}

void resolv_parse(const char *text, bool six, struct in_addr instead, struct resolv *ret)
{
    char line[32 + INET_ADDRSTRLEN], address[INET_ADDRSTRLEN];

    *ret = (struct resolv){0};
    while (*text) {
        size_t n = strcspn(text, "\n");
        char server[64] = "";
        bool names = n < LINE_MAX_BYTES && sscanf(text, "nameserver %63s", server) == 1;
        bool says = n && n < LINE_MAX_BYTES && *text != '#' && *text != ';';

        if (names ? take_server(ret, server, six) : says)
            keep_line(ret, text, n);
        text += n + (text[n] == '\n');
    }
    if (ret->count4 + ret->count6) {
        ret->local.s_addr = 0;
    } else if (ret->local.s_addr && instead.s_addr) {
        inet_ntop(AF_INET, &instead, address, sizeof(address));
        snprintf(line, sizeof(line), "nameserver %s", address);
        keep_line(ret, line, strlen(line));
    } else {
        *ret = (struct resolv){0};
    }
}

void resolv_read(bool six, struct in_addr instead, struct resolv *ret)
{
    static const char *const sources[] = {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"};
    struct resolv stub = {0};

    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        cleanup_buffer struct buffer b = {0};
        cleanup_free char *text = NULL;

        if (file_read(AT_FDCWD, sources[i], RESOLV_FILE_MAX, &b) < 0)
            continue;
        text = buffer_take_string(&b);
        if (!text)
            continue;
        resolv_parse(text, six, instead, ret);
        if (ret->count4 + ret->count6)
            return;
        if (ret->local.s_addr && !stub.local.s_addr)
            stub = *ret;
    }
    *ret = stub;
}
