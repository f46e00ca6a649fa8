/* forked.c - a template's child, from FORK until it is an instance or is not needed.
 *
 * Asked -> Attaching (it has connected and said its id; the launcher gives it a cgroup of its own) -> Parked
 * (frozen, in its bootstrap, waiting for FORK with its outputs) -> Taken: its connection is the instance's link, and
 * what the launcher tells of it goes to the instance. */
#include "pool/template.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "invoke/text.h"
#include "wire/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---------------------------------------------------------------- the end */
void forked_free(struct forked *f)
{
    if (!f)
        return;
    loop_timer_cancel(f->pool->loop, &f->late);
    list_del(&f->link);
    if (f->id[0])
        map_del(&f->pool->forks, &f->node);
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

void forked_drop(struct forked *f)
{
    enum forked_state was = f->state;

    loop_timer_cancel(f->pool->loop, &f->late);
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    list_del(&f->link);
    f->template = NULL;
    f->instance = NULL;
    if (was == FORKED_ASKED) { /* the launcher has never heard of it */
        forked_free(f);
        return;
    }
    f->state = FORKED_ENDING; /* until the launcher says that it is gone */
    if (was == FORKED_PARKED) /* behind its freeze, which may still be on its way */
        launcher_freeze(f->pool->config.launcher, f->cgroup, false);
    if (was != FORKED_ENDING)
        outside_stop(f->pool, f->id, 0);
}

/* ---------------------------------------------------------------- asked */
static void on_late(struct loop_timer *t)
{
    struct forked *f = container_of(t, struct forked, late);

    template_failed(f->template, "a child that was asked for did not come in time");
}

int forked_ask(struct template *t)
{
    struct runtime_link *link = t->host ? t->host->link : t->link_to;
    struct forked *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return -ENOMEM;
    *f = (struct forked){.pool = t->pool, .template = t, .fd = -1, .late.fn = on_late};
    list_init(&f->link);
    template_wake(t);
    r = runtime_link_fork(link, &f->token);
    if (r < 0) {
        free(f);
        return r;
    }
    list_push_back(&t->children, &f->link);
    loop_timer_set(t->pool->loop, &f->late, clock_monotonic_ns() + FORK_TIME_NS);
    template_door_open(t);
    return 0;
}

unsigned forked_awaited(const struct template *t)
{
    unsigned n = 0;

    list_for_each(it, &t->children)
    {
        const struct forked *f = list_entry(it, struct forked, link);

        n += f->state == FORKED_ASKED || f->state == FORKED_ATTACHING;
    }
    return n;
}

struct forked *forked_parked(struct template *t)
{
    list_for_each(it, &t->children)
    {
        struct forked *f = list_entry(it, struct forked, link);

        if (f->state == FORKED_PARKED)
            return f;
    }
    return NULL;
}

bool forked_arrived(struct template *t, uint64_t token, int fd, const struct ucred *who)
{
    const Rouse__Control__V1__RevisionSpec *s = t->revision->spec;
    struct forked *f = NULL;
    int r;

    list_for_each(it, &t->children)
    {
        struct forked *c = list_entry(it, struct forked, link);

        if (c->state == FORKED_ASKED && c->token == token)
            f = c;
    }
    if (!f)
        return false;
    snprintf(f->id, sizeof(f->id), "fork-%llx", (unsigned long long)++t->pool->last_slot);
    f->pid = who->pid;
    r = map_put(&t->pool->forks, &f->node, f->id, strlen(f->id));
    if (r == 0) {
        r = outside_adopt(
            t->pool,
            &(struct sandbox_adoption){
                .id = f->id, .of = t->id, .pid = f->pid, .memory = s->memory, .cpu_millis = s->cpu});
        if (r < 0)
            map_del(&t->pool->forks, &f->node);
    }
    if (r < 0) { /* then it is late */
        f->id[0] = '\0';
        return false;
    }
    f->fd = fd;
    f->state = FORKED_ATTACHING;
    t->strangers = 0;
    return true;
}

/* ---------------------------------------------------------------- an instance */
/* The function may open /dev/stderr anew, whoever it is outside; nobody else has a way to the pipe. */
static int make_output(int ret_pipe[2])
{
    return pipe2(ret_pipe, O_CLOEXEC) < 0 || fchmod(ret_pipe[1], 0666) < 0 ? -errno : 0;
}

static int send_outputs(const struct forked *f, const struct instance *i, const int fds[2])
{
    union {
        char bytes[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } beside = {0};
    cleanup_buffer struct buffer text = {0}, b = {0};
    struct iovec iov;
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &beside,
                       .msg_controllen = sizeof(beside.bytes)};
    int r = buffer_puts(&text, "{\"environment\":{\"ROUSE_INSTANCE\":");

    r = r < 0 ? r : json_string_append(&text, i->id, strlen(i->id));
    r = r < 0 ? r : buffer_puts(&text, ",\"AWS_LAMBDA_LOG_STREAM_NAME\":");
    r = r < 0 ? r : json_string_append(&text, i->id, strlen(i->id));
    r = r < 0 ? r : buffer_puts(&text, "}}");
    if (r == 0)
        r = frame_append(&b, FRAME_FORK, 0, f->token, buffer_bytes(&text), buffer_size(&text));
    if (r < 0)
        return r;
    iov = (struct iovec){.iov_base = (void *)buffer_bytes(&b), .iov_len = buffer_size(&b)};
    beside.align.cmsg_level = SOL_SOCKET;
    beside.align.cmsg_type = SCM_RIGHTS;
    beside.align.cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(&beside.align), fds, 2 * sizeof(int));
    /* The first bytes on this socket: a buffer that does not take them all is a child's that plays with it. */
    return sendmsg(f->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)iov.iov_len ? 0 : -EPIPE;
}

bool forked_give(struct forked *f, struct instance *i)
{
    struct template *t = f->template;
    struct sandbox_started s = {.pid = f->pid, .api_listen_fd = -1};
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    int r = make_output(out);

    if (r == 0)
        r = make_output(err);
    if (r == 0) {
        launcher_freeze(t->pool->config.launcher, f->cgroup, false);
        r = send_outputs(f, i, (int[]){out[1], err[1]});
    }
    close_fd(&out[1]);
    close_fd(&err[1]);
    if (r < 0) {
        close_fd(&out[0]);
        close_fd(&err[0]);
        forked_drop(f);
        return false;
    }
    f->state = FORKED_TAKEN;
    f->instance = i;
    list_del(&f->link);
    list_push_back(&t->taken, &f->link);
    memcpy(s.cgroup, f->cgroup, sizeof(s.cgroup));
    s.stdout_fd = out[0];
    s.stderr_fd = err[0];
    s.frames_listen_fd = TAKE_FD(f->fd);
    i->forked = f;
    instance_forked(i, &s);
    return true;
}

const char *forked_id(const struct forked *f)
{
    return f->id;
}

/* ---------------------------------------------------------------- what the launcher says */
static struct forked *find(struct pool *p, const char *id)
{
    struct map_node *n = map_get_str(&p->forks, id);

    return n ? map_entry(n, struct forked, node) : NULL;
}

bool forked_started(struct pool *p, const char *id, const struct sandbox_started *s)
{
    struct forked *f = find(p, id);
    struct template *t = f ? f->template : NULL;

    if (!f || f->state != FORKED_ATTACHING)
        return f != NULL;
    loop_timer_cancel(p->loop, &f->late);
    memcpy(f->cgroup, s->cgroup, sizeof(f->cgroup));
    f->state = FORKED_PARKED;
    if (t->host)
        template_stand(t);
    else
        launcher_freeze(p->config.launcher, f->cgroup, true);
    template_step(t->revision);
    return true;
}

/* It never was, or is no more. */
static void gone(struct forked *f)
{
    struct template *t = f->template;
    bool failed = f->state == FORKED_ATTACHING || f->state == FORKED_PARKED;

    forked_free(f);
    if (failed)
        template_failed(t, "a child ended before it was used");
    else if (t)
        template_returned(t);
}

bool forked_failed(struct pool *p, const char *id, const struct err *e)
{
    struct forked *f = find(p, id);

    if (!f)
        return false;
    log_warn("%s of %s: %s", f->id,
             f->template ? f->template->revision->function_key : "a template", e->message);
    gone(f);
    return true;
}

struct instance *forked_exited(struct pool *p, const char *id, bool *ret_ours)
{
    struct forked *f = find(p, id);
    struct instance *i = f ? f->instance : NULL;

    *ret_ours = f != NULL;
    if (i)
        i->forked = NULL;
    if (f)
        gone(f);
    return i;
}
