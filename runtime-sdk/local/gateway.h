/* gateway.h - the function over HTTP, at the addresses that it has on a platform: its triggers' paths,
 * /function/NAMESPACE/NAME/... and Lambda's invocations. On one loop. */
#pragma once
#include "base/error.h"
#include "local/instance.h"

struct gateway;

/* -EINVAL: a trigger's path or host is no pattern; -EEXIST: two triggers have the same. `e` says which. */
int gateway_new(struct loop *loop, const struct local_function *f, struct instance *i,
                const struct console *console, struct gateway **ret, struct err *e);
/* "tcp://127.0.0.1:8000", "unix:///path"; the port that was taken is in *ret_port (0 of a Unix one). */
int gateway_listen(struct gateway *g, const char *address, uint16_t *ret_port);
struct gateway *gateway_free(struct gateway *g); /* cuts what is left */
