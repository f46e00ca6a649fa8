#include "brain/brain_entry.h"
#include "base/cleanup.h"
#include "brain/brain.h"

#include <stdlib.h>
#include <string.h>

/* On the front's loop. */
static void back(struct mail *m)
{
    struct front_ticket *t = container_of(m, struct front_ticket, mail);

    t->on_answer(t);
}

static void released(struct mail *m)
{
    struct front_ticket *t = container_of(m, struct front_ticket, cancel_mail);

    t->on_released(t);
}

static const struct grant no_memory = {.status = 503,
                                       .reason = "NoMemory",
                                       .message = "the controller is out of memory",
                                       .retry_after_s = 1};

/* On the brain's. */
static void send_back(struct front_ticket *t)
{
    t->answered = true;
    t->mail.fn = back;
    loop_post(t->home, &t->mail);
}

static void on_grant(void *user, uint64_t id, const struct grant *g)
{
    struct front_ticket *t = user;

    (void)id;
    t->grant = *g;
    t->grant.route = t->route = strdup(g->route ? g->route : "");
    if (!t->route)
        t->grant = no_memory;
    send_back(t);
}

static void submit(struct mail *m)
{
    struct front_ticket *t = container_of(m, struct front_ticket, mail);

    t->id = brain_ticket_submit(t->carrier, t->function_key, t->method, t->host, t->path, t->held,
                                t->waited_ns, t->attempt, on_grant, t);
    if (t->id)
        return;
    t->grant = no_memory;
    send_back(t);
}

/* Mail is first in, first out: the ticket was submitted before, and an answer is back before its
 * release. Who cancels does not use what it says. */
static void cancel(struct mail *m)
{
    struct front_ticket *t = container_of(m, struct front_ticket, cancel_mail);

    if (!t->answered)
        brain_ticket_cancel(t->carrier, t->id);
    else if (t->grant.granted)
        brain_slot_unused(t->carrier, t->grant.instance, t->grant.slot);
    t->cancel_mail.fn = released;
    loop_post(t->home, &t->cancel_mail);
}

void brain_entry_submit(void *brain, struct front_ticket *t)
{
    t->carrier = brain;
    t->mail.fn = submit;
    loop_post(brain_loop(brain), &t->mail);
}

void brain_entry_cancel(void *brain, struct front_ticket *t)
{
    t->cancel_mail.fn = cancel;
    loop_post(brain_loop(brain), &t->cancel_mail);
}
