/* core_history.c - what is known of when functions are called outlives the controller: it is given to the store
 * once a minute, some in a turn, and when the controller ends; so much may be lost with a crash. */
#include "brain/core_internal.h"
#include "brain/history_text.h"

enum { AT_ONCE = 256 }; /* in a turn: each is a text and a write */
#define HISTORY_NS (60 * NS_PER_S)
#define PART_NS    (100 * NS_PER_MS)

static void keep(struct core *c, const char *key, const struct idle_histogram *h)
{
    cleanup_buffer struct buffer text = {0};
    struct action *a;

    if (h && history_text(h, &text) < 0)
        return;
    a = actions_add(c->out, ACTION_HISTORY);
    a->history.key = actions_strdup(c->out, key);
    a->history.text = h ? actions_strdup(c->out, (const char *)buffer_bytes(&text)) : NULL;
}

void history_changed(struct core *c, struct fn *f)
{
    f->history_new = true;
    if (!c->histories_due)
        c->histories_due = c->now + HISTORY_NS;
}

void history_drop(struct core *c, struct fn *f)
{
    if (!f->history)
        return;
    free(f->history);
    f->history = NULL;
    f->history_new = false;
    keep(c, f->spec->key, NULL);
}

static void later(struct core *c, uint64_t at)
{
    if (!c->histories_due || at < c->histories_due)
        c->histories_due = at;
}

/* Who has a history is always sampled. One that has just been kept waits for its minute, or the first ones of the
 * list would have all the turns. */
static void keep_some(struct core *c, size_t most, uint64_t pause)
{
    c->histories_due = 0;
    list_for_each(it, &c->active)
    {
        struct fn *f = list_entry(it, struct fn, active_link);

        if (!f->history_new)
            continue;
        if (c->now - f->history_at < pause) {
            later(c, f->history_at + pause);
        } else if (!most) {
            later(c, c->now + PART_NS);
            return;
        } else {
            f->history_new = false;
            f->history_at = c->now;
            most--;
            keep(c, f->spec->key, f->history);
        }
    }
}

void histories_tick(struct core *c)
{
    if (c->histories_due && c->now >= c->histories_due)
        keep_some(c, AT_ONCE, HISTORY_NS);
}

void core_histories(struct core *c, uint64_t now, struct actions *out)
{
    c->now = now;
    c->out = out;
    keep_some(c, SIZE_MAX, 0);
}

void core_history(struct core *c, uint64_t now, const char *key, const char *text, struct actions *out)
{
    struct fn *f = fn_find(c, key);
    struct idle_histogram h;

    c->now = now;
    c->out = out;
    if (f && f->history && history_parse(text, &h) == 0)
        *f->history = h;
    else
        keep(c, key, NULL); /* nobody's any more */
}
