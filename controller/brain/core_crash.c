/* core_crash.c - crash loops: what a failure means to its revision, and to who waits. */
#include "brain/core_internal.h"

bool revision_backing_off(const struct core *c, const struct revision *r)
{
    return r->retry_at > c->now;
}

void revision_settle(struct revision *r)
{
    r->start_failures = r->crashes = 0;
    r->backoff_ns = r->retry_at = 0;
    r->init_failed = false;
    list_del(&r->backoff_link);
}

static void back_off(struct core *c, struct revision *r)
{
    if (revision_backing_off(c, r))
        return;
    r->backoff_ns = !r->backoff_ns                        ? BACKOFF_NS
                    : r->backoff_ns >= BACKOFF_MAX_NS / 2 ? BACKOFF_MAX_NS
                                                          : 2 * r->backoff_ns;
    r->retry_at = c->now + r->backoff_ns;
    if (list_empty(&r->backoff_link))
        list_push_back(&c->backoff, &r->backoff_link);
    note_fn(c, r->fn, true, "BackOff", "no other instance is tried for %u s",
            (unsigned)(r->backoff_ns / NS_PER_S));
}

/* What a failure means: the function's own initialisation says the same again, so nobody waits for
 * a second try; a fetch or a sandbox is tried three times; an instance that dies soon after it was
 * ready, five times. */
void instance_failed(struct core *c, struct instance *i, enum instance_state was)
{
    enum { START_TRIES = 3, CRASH_TRIES = 5 };
    struct revision *r = i->rev;
    bool on_purpose = i->leaving != LEAVING_NOT || !fn_live(r->fn);
    bool init = was == STATE_INITIALIZING;
    struct tally t;

    if (on_purpose)
        return;
    core_log(c, true, "instance %s on %s failed: %s %.200s", i->id, i->host->name, i->reason,
             i->message);
    copy_text(r->reason, sizeof(r->reason), *i->reason ? i->reason : init ? "InitFailed" : "Error");
    copy_text(r->message, sizeof(r->message), i->message);
    note_fn(c, r->fn, true, revision_reason(r), "an instance on %s%s%.400s", i->host->name,
            *i->message ? ": " : " failed", i->message);
    if (was == STATE_READY || was == STATE_FROZEN) {
        r->crashes = c->now - i->ready_ns < SETTLED_NS ? r->crashes + 1 : 0;
        if (r->crashes >= CRASH_TRIES)
            back_off(c, r);
    } else {
        r->start_failures++;
        r->init_failed = r->init_failed || init;
        if (init || r->start_failures >= START_TRIES)
            back_off(c, r);
    }
    fn_status_dirty(c, r->fn, true);
    t = revision_tally(c, r);
    if (!revision_backing_off(c, r) || t.ready || r != r->fn->active)
        return;
    if (!t.counted)
        scale_to(c, r->fn, r->fn->spec->scaling.min, REASON_CRASH_LOOP);
    if (init)
        tickets_refuse_all(c, r->fn, REFUSED_INIT_FAILED,
                           "the function could not be initialised; its Degraded condition says more");
    else if (!t.counted)
        tickets_refuse_all(c, r->fn, REFUSED_CRASH_LOOP,
                           "the function's instances fail; its Degraded condition says more");
}
