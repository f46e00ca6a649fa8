/* resolv.h - which name servers a sandbox is told of, from the node's resolv.conf. Pure, but for resolv_read(). */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#define RESOLV_TEXT_MAX    2048
#define RESOLV_SERVERS_MAX 3 /* resolv.conf(5) */

struct resolv {
    char text[RESOLV_TEXT_MAX]; /* what the sandbox gets; "" for none */
    struct in_addr four[RESOLV_SERVERS_MAX];
    struct in6_addr six[RESOLV_SERVERS_MAX];
    unsigned count4, count6;
    struct in_addr local; /* the node's resolver on loopback that `instead` stands for; 0: there is none */
};

/* Without the servers that a sandbox cannot reach: on the node's loopback, link-local ones, and those of IPv6
 * unless it has `six`. Where only one on IPv4's loopback is left, the sandbox is told of `instead`, an address
 * whose packets the node hands to it. */
void resolv_parse(const char *text, bool six, struct in_addr instead, struct resolv *ret);
/* Of the node's resolv.conf; of systemd-resolved's list of the servers behind it, if that has only the stub. */
void resolv_read(bool six, struct in_addr instead, struct resolv *ret);
