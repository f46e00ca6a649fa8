/* platform.h - STATE/platform.json: where the platform that `rouse up` started is to be found. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>

enum { NODES_MAX = 64, URL_MAX = 64, NODE_FLAGS_MAX = 2048 };

struct platform_node {
    char name[64];
    char gateway[URL_MAX], metrics[URL_MAX], peer[URL_MAX]; /* "http://127.0.0.1:8080" */
    char netns[64];                                         /* "": the host's own network */
    char pool[64];                                          /* "": it was started by `rouse up` */
    char flags[NODE_FLAGS_MAX]; /* of its agent, beside those that all have: a word a line */
    bool leaving;               /* it is being deleted: nobody starts its agent again */
};
struct platform {
    char id[16]; /* derived from the state directory */
    char api[URL_MAX], front[URL_MAX], control[URL_MAX];
    char local_api[URL_MAX]; /* on loopback, where no token is asked; `api` itself on one node */
    char bridge[16];         /* "": nodes live on the host's own network */
    char runtimes[4096], bin[4096];
    struct platform_node nodes[NODES_MAX];
    unsigned node_count;
};

int platform_text(const struct platform *p, struct buffer *ret);      /* as JSON */
int platform_parse(const char *json, size_t n, struct platform *ret); /* -EINVAL */
int platform_load(const char *state, struct platform *ret); /* -ENOENT: none was started */
/* Its index, or -1. */
int platform_node_index(const struct platform *p, const char *name);
int platform_save(const char *state, const struct platform *p);
/* /var/lib/rouse as root, else $XDG_STATE_HOME/rouse, else ~/.local/state/rouse. */
int platform_default_state(char *out, size_t size);
/* Eight hexadecimal digits that name this directory; what `up` makes carries them. */
void platform_id(const char *state, char out[16]);
