/* rtnl.h - the few rtnetlink requests that links of sandboxes need, over libmnl.
 *
 * Each opens no socket of its own: a `struct rtnl` is one, in the network
 * namespace it was opened in. Blocking, answered by the kernel at once. */
#pragma once
#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>

struct mnl_socket;
struct rtnl {
    struct mnl_socket *socket;
    uint32_t sequence;
};

int rtnl_init(struct rtnl *n); /* -errno, as all of these */
void rtnl_done(struct rtnl *n);

/* A veth pair: `name` here, `peer` in the network namespace of `pid`. */
int rtnl_veth(struct rtnl *n, const char *name, const char *peer, pid_t pid);
int rtnl_delete(struct rtnl *n, const char *name);
int rtnl_up(struct rtnl *n, const char *name);
int rtnl_address(struct rtnl *n, const char *name, struct in_addr address, unsigned bits);
int rtnl_default_route(struct rtnl *n, struct in_addr gateway);
