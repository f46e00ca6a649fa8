/* template_door.c - who connects to a template's socket while a child is awaited.
 *
 * Any process of the sandbox may. One is let in that says HELLO with the id of a child that was asked for, in its
 * first write; the bytes stay in the socket for the link that reads them when the child is an instance. The
 * others are sent away: at once, or when nobody is awaited any more. */
#include "pool/template.h"
#include "base/cleanup.h"
#include "wire/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HELLO_MAX = 1024, ACCEPTS_A_TURN = 16 };

static void door_shut(struct door *d)
{
    struct loop *loop = d->template->pool->loop;

    if (!d->watch.events)
        return;
    loop_watch_cancel(loop, &d->watch);
    close(d->watch.fd);
}

static void strange(struct template *t)
{
    if (++t->strangers == STRANGERS_MAX)
        template_failed(t, "too many connections that were no child's");
}

/* The id in {"fork":N}; 0 if there is none. */
static uint64_t token_of(const struct frame *f)
{
    struct json_tokener *t = json_tokener_new_ex(4);
    struct json_object *o, *v;
    uint64_t token = 0;

    o = t ? json_tokener_parse_ex(t, (const char *)f->payload, (int)f->length) : NULL;
    json_tokener_free(t);
    if (json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, "fork", &v) &&
        json_object_is_type(v, json_type_int) && json_object_get_int64(v) > 0)
        token = (uint64_t)json_object_get_int64(v);
    json_object_put(o);
    return token;
}

static void on_word(struct loop_watch *w, uint32_t events)
{
    struct door *d = container_of(w, struct door, watch);
    struct template *t = d->template;
    uint8_t bytes[FRAME_HEADER + HELLO_MAX];
    struct ucred who;
    socklen_t size = sizeof(who);
    struct frame f;
    size_t used;
    ssize_t n = recv(w->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
    uint64_t token = 0;

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && frame_parse(bytes, (size_t)n, &f, &used) == 1 && f.type == FRAME_HELLO)
        token = token_of(&f);
    if (token && getsockopt(w->fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) {
        int fd = w->fd;

        loop_watch_cancel(t->pool->loop, w);
        if (forked_arrived(t, token, fd, &who))
            return;
        close(fd);
    } else {
        door_shut(d);
    }
    strange(t);
}

static struct door *free_door(struct template *t)
{
    for (size_t i = 0; i < DOORS_MAX; i++)
        if (!t->doors[i].watch.events)
            return &t->doors[i];
    return NULL;
}

static void on_connect(struct loop_watch *w, uint32_t events)
{
    struct template *t = container_of(w, struct template, listen);

    (void)events;
    for (int k = 0; k < ACCEPTS_A_TURN && w->events && !t->ending; k++) {
        int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct door *d = free_door(t);

        if (fd < 0)
            return;
        if (d) {
            d->template = t;
            d->watch = (struct loop_watch){.fd = fd, .fn = on_word};
            if (loop_watch_set(t->pool->loop, &d->watch, LOOP_READ) == 0)
                continue;
            d->watch.events = 0;
        }
        close(fd);
        strange(t);
    }
}

int template_listen(struct template *t, int listen_fd)
{
    int flags = fcntl(listen_fd, F_GETFL);

    t->listen = (struct loop_watch){.fd = listen_fd, .fn = on_connect};
    return flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

void template_door_open(struct template *t)
{
    if (t->listen.fd >= 0 && !t->listen.events)
        loop_watch_set(t->pool->loop, &t->listen, LOOP_READ);
}

void template_door_shut(struct template *t)
{
    if (t->listen.events)
        loop_watch_cancel(t->pool->loop, &t->listen);
    for (size_t i = 0; i < DOORS_MAX; i++)
        if (t->doors[i].template)
            door_shut(&t->doors[i]);
}

void template_door_close(struct template *t)
{
    template_door_shut(t);
    if (t->listen.fd >= 0)
        close(t->listen.fd);
    t->listen.fd = -1;
}
