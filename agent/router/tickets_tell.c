/* tickets_tell.c - what the controller is told of tickets: at once, or what need not be together with others.
 * On the agent's loop. */
#include "router/tickets_internal.h"
#include "base/cleanup.h"

typedef Rouse__Control__V1__AgentMessage AgentMessage;

void ticket_send(struct tickets *ts, const struct ticket *t)
{
    Rouse__Control__V1__Ticket m = ROUSE__CONTROL__V1__TICKET__INIT;
    AgentMessage a = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;
    uint64_t now = loop_now(ts->config.loop);

    m.id = t->id;
    m.function_key = (char *)t->function_key;
    m.method = (char *)t->method;
    m.host = (char *)t->host;
    m.path = (char *)t->path;
    m.waited_ms = now > t->since_ns ? (now - t->since_ns) / NS_PER_MS : 0;
    m.deadline_in_ms = t->deadline_ns > now ? (t->deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS : 1;
    m.held_bytes = t->held_bytes;
    m.attempt = t->attempt;
    a.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET;
    a.ticket = &m;
    ts->config.send(ts->config.user, &a);
}

void tickets_send_gone(struct tickets *ts, uint64_t *ids, size_t n)
{
    Rouse__Control__V1__TicketGone m = ROUSE__CONTROL__V1__TICKET_GONE__INIT;
    AgentMessage a = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    m.ids = ids;
    m.n_ids = n;
    a.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE;
    a.ticket_gone = &m;
    ts->config.send(ts->config.user, &a);
}

void tickets_tell(struct tickets *ts)
{
    loop_timer_cancel(ts->config.loop, &ts->later);
    if (ts->gone_count)
        tickets_send_gone(ts, ts->gone, ts->gone_count);
    ts->gone_count = ts->untold_count = 0;
    for (struct list *l; (l = list_pop_front(&ts->untold));)
        ticket_send(ts, list_entry(l, struct ticket, untold_link));
}

void tickets_on_later(struct loop_timer *timer)
{
    tickets_tell(container_of(timer, struct tickets, later));
}

void tickets_tell_later(struct tickets *ts)
{
    if (ts->gone_count == TICKETS_LATER || ts->untold_count == TICKETS_LATER)
        tickets_tell(ts);
    else if (ts->gone_count + ts->untold_count == 1)
        loop_timer_set(ts->config.loop, &ts->later, loop_now(ts->config.loop) + TICKETS_LATER_NS);
}
