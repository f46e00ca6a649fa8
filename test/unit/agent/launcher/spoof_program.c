/* What a function without privileges can send with a source that is not its own: spoof_program FROM TO PORT TEXT. The kernel
 * takes IPV6_FREEBIND and IP_FREEBIND from anybody. Prints "sent", or what the kernel said. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int parse(const char *text, int port, struct sockaddr_storage *to)
{
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
    struct sockaddr_in *four = (struct sockaddr_in *)to;

    memset(to, 0, sizeof(*to));
    to->ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    six->sin6_port = htons((unsigned short)port); /* sin_port lies at the same place */
    return to->ss_family == AF_INET6 ? inet_pton(AF_INET6, text, &six->sin6_addr)
                                     : inet_pton(AF_INET, text, &four->sin_addr);
}

int main(int argc, char **argv)
{
    struct sockaddr_storage from, to;
    int one = 1, fd;

    if (argc != 5 || parse(argv[1], 0, &from) != 1 || parse(argv[2], atoi(argv[3]), &to) != 1)
        return 2;
    fd = socket(from.ss_family, SOCK_DGRAM, 0);
    if (setsockopt(fd, from.ss_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP,
                   from.ss_family == AF_INET6 ? IPV6_FREEBIND : IP_FREEBIND, &one, sizeof(one)) < 0 ||
        bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
        sendto(fd, argv[4], strlen(argv[4]), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
        puts(strerror(errno));
    else
        puts("sent");
    return 0;
}
