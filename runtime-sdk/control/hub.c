#include "control/hub.h"
#include "control/many.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const lws_retry_bo_t hub_idle_policy = {.secs_since_valid_ping = 3, .secs_since_valid_hangup = 8};

static void lws_to_log(int level, const char *line)
{
    size_t n = strlen(line);

    (void)level;
    log_debug("lws: %.*s", (int)(n && line[n - 1] == '\n' ? n - 1 : n), line);
}

static void init_once(void)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, lws_to_log);
}

int hub_new(struct loop *loop, void *owner, void (*on_event)(void *owner, const struct event *e),
            struct hub **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct hub *h = calloc(1, sizeof(*h));

    if (!h)
        return -ENOMEM;
    pthread_once(&once, init_once);
    atomic_init(&h->refs, 1);
    atomic_init(&h->stopping, false);
    pthread_mutex_init(&h->lock, NULL);
    list_init(&h->dirty);
    h->poller = h->bell = -1;
    h->loop = loop;
    h->owner = owner;
    h->on_event = on_event;
    *ret = h;
    return 0;
}

struct hub *hub_unref(struct hub *h)
{
    if (!h || atomic_fetch_sub(&h->refs, 1) != 1)
        return NULL;
    many_done(h);
    pthread_mutex_destroy(&h->lock);
    free(h);
    return NULL;
}

int hub_context(struct hub *h, struct lws_context_creation_info *info)
{
    info->options |= LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info->gid = -1;
    info->uid = -1;
    info->user = h->owner;
    info->pt_serv_buf_size = 64 << 10;
    h->context = lws_create_context(info);
    return h->context ? 0 : -EIO;
}

static void *hub_main(void *arg)
{
    struct hub *h = arg;

    while (!atomic_load(&h->stopping) && (h->many ? many_turn(h) : lws_service(h->context, 0)) >= 0)
        ;
    return NULL;
}

int hub_start(struct hub *h)
{
    int r = thread_start(&h->thread, hub_main, h);

    h->running = r == 0;
    return r;
}

void hub_stop(struct hub *h)
{
    h->left = true;
    atomic_store(&h->stopping, true);
    if (h->running) {
        hub_wake(h);
        pthread_join(h->thread, NULL);
        h->running = false;
    }
    if (h->context)
        lws_context_destroy(TAKE_PTR(h->context));
}

void hub_wake(struct hub *h)
{
    bool woken, many;

    pthread_mutex_lock(&h->lock);
    woken = h->woken;
    many = h->many;
    h->woken = true;
    pthread_mutex_unlock(&h->lock);
    if (woken)
        return;
    if (many)
        many_ring(h);
    else
        lws_cancel_service(h->context);
}
