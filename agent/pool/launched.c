/* launched.c - what the launcher says, and of whom: an instance, a template, or a template's child. */
#include "pool/internal.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <unistd.h>

static void refuse(const struct sandbox_started *s)
{
    close(s->stdout_fd);
    close(s->stderr_fd);
    if (s->frames_listen_fd >= 0)
        close(s->frames_listen_fd);
    if (s->api_listen_fd >= 0)
        close(s->api_listen_fd);
}

static void on_started(void *user, const char *id, const struct sandbox_started *s)
{
    struct instance *i;

    if (forked_started(user, id, s))
        return;
    i = instance_find(user, id);
    if (i && i->state == STATE_CREATING) {
        instance_started(i, s);
        return;
    }
    refuse(s);
    if (i)
        instance_stop(i, 0);
}

static void on_failed(void *user, const char *id, const struct err *e)
{
    struct instance *i;

    if (forked_failed(user, id, e))
        return;
    i = instance_find(user, id);
    if (i)
        instance_never_was(i, e);
}

static void on_exit_of(void *user, const char *id, const struct sandbox_exit *e)
{
    struct instance *i;
    bool forked;

    if (template_told(user, id)) {
        template_exited(user, id);
        return;
    }
    i = forked_exited(user, id, &forked);
    if (!forked)
        i = instance_find(user, id);
    if (i)
        instance_gone(i, e);
}

static void on_lost(void *user)
{
    struct pool *p = user;

    log_error("the launcher ended: so does the agent");
    loop_stop(p->loop);
}

const struct launcher_ops pool_launcher_ops = {
    .on_started = on_started, .on_failed = on_failed, .on_exit = on_exit_of, .on_lost = on_lost};
