/* tickets_test.c - the table of open tickets against a fake controller. */
#include "router/tickets.h"
#include "base/clock.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SENT_MAX = 64 };
static struct {
    struct {
        bool gone;
        uint64_t id;
        char key[32], path[32];
        uint64_t waited_ms, deadline_in_ms;
        uint32_t held, attempt;
    } sent[SENT_MAX];
    size_t count;
    int result;
    size_t enough; /* the loop stops there */
} controller;
static struct loop *loop;

static int fake_send(void *user, const Rouse__Control__V1__AgentMessage *m)
{
    (void)user;
    if (controller.result < 0)
        return controller.result;
    ck_assert_uint_lt(controller.count, SENT_MAX);
    if (m->body_case == ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET_GONE) {
        for (size_t i = 0; i < m->ticket_gone->n_ids; i++) {
            ck_assert_uint_lt(controller.count, SENT_MAX);
            controller.sent[controller.count].gone = true;
            controller.sent[controller.count++].id = m->ticket_gone->ids[i];
        }
        if (controller.enough && controller.count >= controller.enough)
            loop_stop(loop);
        return 0;
    }
    ck_assert_int_eq(m->body_case, ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET);
    controller.sent[controller.count].gone = false;
    controller.sent[controller.count].id = m->ticket->id;
    controller.sent[controller.count].waited_ms = m->ticket->waited_ms;
    controller.sent[controller.count].deadline_in_ms = m->ticket->deadline_in_ms;
    controller.sent[controller.count].held = m->ticket->held_bytes;
    controller.sent[controller.count].attempt = m->ticket->attempt;
    strcpy(controller.sent[controller.count].key, m->ticket->function_key);
    strcpy(controller.sent[controller.count].path, m->ticket->path);
    controller.count++;
    if (controller.enough && controller.count >= controller.enough)
        loop_stop(loop);
    return 0;
}

/* ---------------------------------------------------------------- a request that waits */
static struct tickets *tickets;
static char told[256];

static void tell(const char *what, const struct ticket *t)
{
    ck_assert_ptr_null(t->owner);
    strcat(told, what);
    strcat(told, t->path);
    strcat(told, " ");
}
static void on_grant(struct ticket *t, const Rouse__Control__V1__Grant *g)
{
    ck_assert_str_eq(g->instance, "i1");
    tell("grant:", t);
}
static void on_refuse(struct ticket *t, const Rouse__Control__V1__Refuse *r)
{
    ck_assert_uint_eq(r->status, 404);
    tell("refuse:", t);
}
static void on_deadline(struct ticket *t)
{
    tell("deadline:", t);
    loop_stop(loop);
}
static const struct ticket_ops ops = {on_grant, on_refuse, on_deadline};

static struct ticket make(const char *key, const char *path, uint64_t age_ns, uint64_t deadline_ns)
{
    return (struct ticket){
        .ops = &ops,
        .function_key = key,
        .method = "GET",
        .host = "h",
        .path = path,
        .since_ns = loop_now(loop) - age_ns,
        .deadline_ns = loop_now(loop) + deadline_ns,
        .held_bytes = 100,
    };
}

static void start(unsigned limit, uint64_t held_limit)
{
    struct tickets_config c = {.limit = limit, .held_limit = held_limit, .send = fake_send};

    ck_assert_int_eq(loop_new(&loop), 0);
    c.loop = loop;
    ck_assert_int_eq(tickets_new(&c, &tickets), 0);
    memset(&controller, 0, sizeof(controller));
    told[0] = '\0';
}
static void stop(void)
{
    ck_assert_uint_eq(tickets_stats(tickets)->open, 0);
    ck_assert_uint_eq(tickets_stats(tickets)->held_bytes, 0);
    tickets_free(tickets);
    loop_free(loop);
}

static void grant(uint64_t id)
{
    Rouse__Control__V1__Grant g = ROUSE__CONTROL__V1__GRANT__INIT;

    g.ticket = id;
    g.instance = (char *)"i1";
    tickets_grant(tickets, &g);
}
static void refuse(uint64_t id)
{
    Rouse__Control__V1__Refuse r = ROUSE__CONTROL__V1__REFUSE__INIT;

    r.ticket = id;
    r.status = 404;
    tickets_refuse(tickets, &r);
}

START_TEST(granted_and_refused)
{
    struct ticket a, b;

    start(0, 0);
    a = make("default/f", "/a", 5 * NS_PER_S, 30 * NS_PER_S);
    b = make("", "/b", 0, NS_PER_S);
    b.attempt = 2;
    ck_assert_int_eq(tickets_submit(tickets, &a), 0);
    ck_assert_int_eq(tickets_submit(tickets, &b), 0);
    ck_assert_uint_eq(controller.count, 2);
    ck_assert_str_eq(controller.sent[0].key, "default/f");
    ck_assert_uint_ge(controller.sent[0].waited_ms, 5000);
    ck_assert_uint_le(controller.sent[0].deadline_in_ms, 30000);
    ck_assert_uint_gt(controller.sent[0].deadline_in_ms, 5000);
    ck_assert_uint_eq(controller.sent[0].held, 100);
    ck_assert_str_eq(controller.sent[1].key, "");
    ck_assert_str_eq(controller.sent[1].path, "/b");
    ck_assert_uint_eq(controller.sent[1].attempt, 2);
    ck_assert_uint_ne(controller.sent[0].id, controller.sent[1].id);
    refuse(controller.sent[1].id);
    grant(controller.sent[0].id);
    grant(controller.sent[0].id);
    ck_assert_str_eq(told, "refuse:/b grant:/a ");
    ck_assert_uint_eq(tickets_stats(tickets)->unknown_grants, 1);
    stop();
}
END_TEST

START_TEST(a_client_that_leaves_is_told_at_once)
{
    struct ticket a;

    start(0, 0);
    a = make("default/f", "/a", 0, NS_PER_S);
    ck_assert_int_eq(tickets_submit(tickets, &a), 0);
    tickets_cancel(&a);
    tickets_cancel(&a);
    ck_assert_uint_eq(controller.count, 2);
    ck_assert(controller.sent[1].gone);
    ck_assert_uint_eq(controller.sent[1].id, controller.sent[0].id);
    grant(controller.sent[0].id);
    ck_assert_str_eq(told, "");
    stop();
}
END_TEST

START_TEST(limits_in_count_and_bytes)
{
    struct ticket t[3];

    start(2, 0);
    for (int i = 0; i < 3; i++)
        t[i] = make("default/f", "/a", 0, NS_PER_S);
    ck_assert_int_eq(tickets_submit(tickets, &t[0]), 0);
    ck_assert_int_eq(tickets_submit(tickets, &t[1]), 0);
    ck_assert_int_eq(tickets_submit(tickets, &t[2]), -ENOBUFS);
    ck_assert_uint_eq(tickets_stats(tickets)->refused_count, 1);
    tickets_cancel(&t[0]);
    ck_assert_int_eq(tickets_submit(tickets, &t[2]), 0);
    tickets_cancel(&t[1]);
    tickets_cancel(&t[2]);
    stop();
    start(0, 250);
    for (int i = 0; i < 3; i++)
        t[i] = make("default/f", "/a", 0, NS_PER_S);
    ck_assert_int_eq(tickets_submit(tickets, &t[0]), 0);
    ck_assert_int_eq(tickets_submit(tickets, &t[1]), 0);
    ck_assert_int_eq(tickets_submit(tickets, &t[2]), -EDQUOT);
    ck_assert_uint_eq(tickets_stats(tickets)->refused_bytes, 1);
    tickets_cancel(&t[0]);
    tickets_cancel(&t[1]);
    stop();
}
END_TEST

START_TEST(the_deadline_closes_it)
{
    struct ticket a;

    start(0, 0);
    a = make("default/f", "/a", 0, 1);
    ck_assert_int_eq(tickets_submit(tickets, &a), 0);
    loop_run(loop);
    ck_assert_str_eq(told, "deadline:/a ");
    ck_assert_uint_eq(controller.count, 2);
    ck_assert(controller.sent[1].gone);
    stop();
}
END_TEST

START_TEST(submitted_again_oldest_first_with_age)
{
    struct ticket a, b, c;

    start(0, 0);
    controller.result = -ENOTCONN;
    a = make("default/f", "/a", 10 * NS_PER_S, NS_PER_S);
    b = make("default/g", "/b", 30 * NS_PER_S, NS_PER_S);
    c = make("default/f", "/c", 20 * NS_PER_S, NS_PER_S);
    ck_assert_int_eq(tickets_submit(tickets, &a), 0);
    ck_assert_int_eq(tickets_submit(tickets, &b), 0);
    ck_assert_int_eq(tickets_submit(tickets, &c), 0);
    controller.result = 0;
    tickets_resubmit(tickets);
    ck_assert_uint_eq(controller.count, 3);
    ck_assert_str_eq(controller.sent[0].path, "/b");
    ck_assert_uint_ge(controller.sent[0].waited_ms, 30000);
    ck_assert_str_eq(controller.sent[1].path, "/c");
    ck_assert_str_eq(controller.sent[2].path, "/a");
    ck_assert_ptr_eq(tickets_oldest(tickets, "default/f"), &c);
    ck_assert_ptr_eq(tickets_oldest(tickets, "default/g"), &b);
    ck_assert_ptr_null(tickets_oldest(tickets, "default/h"));
    tickets_cancel(&b);
    ck_assert_ptr_null(tickets_oldest(tickets, "default/g"));
    tickets_cancel(&a);
    tickets_cancel(&c);
    stop();
}
END_TEST

static void cancel_and_submit(void *user, struct ticket *oldest)
{
    (void)user;
    tell("", &(struct ticket){.path = oldest->path});
    tickets_cancel(oldest);
    ck_assert_int_eq(tickets_submit(tickets, oldest), 0);
}

START_TEST(each_function_once_even_if_it_comes_back)
{
    enum { COUNT = 20 }; /* more than a map's first table */
    char keys[COUNT][24];
    struct ticket t[COUNT], unknown;

    start(0, 0);
    controller.result = -ENOTCONN;
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "default/f%d", i);
        t[i] = make(keys[i], "/", 0, NS_PER_S);
        ck_assert_int_eq(tickets_submit(tickets, &t[i]), 0);
    }
    unknown = make("", "/unknown", 0, NS_PER_S);
    ck_assert_int_eq(tickets_submit(tickets, &unknown), 0);
    tickets_each_function(tickets, cancel_and_submit, NULL);
    ck_assert_uint_eq(strlen(told), COUNT * 2);
    for (int i = 0; i < COUNT; i++)
        tickets_cancel(&t[i]);
    tickets_cancel(&unknown);
    stop();
}
END_TEST

static void taken(void *user, struct ticket *t)
{
    (void)user;
    tell("", t);
}

START_TEST(taken_all)
{
    struct ticket a, b;

    start(0, 0);
    a = make("default/f", "/a", 0, NS_PER_S);
    b = make("", "/b", NS_PER_S, NS_PER_S);
    ck_assert_int_eq(tickets_submit(tickets, &a), 0);
    ck_assert_int_eq(tickets_submit(tickets, &b), 0);
    tickets_take_all(tickets, taken, NULL);
    ck_assert_str_eq(told, "/b /a ");
    stop();
}
END_TEST

/* ---------------------------------------------------------------- a crowd that is served here */
static struct ticket crowd[2 * TICKETS_LATER + 8];

static void come(int from, int to)
{
    for (int i = from; i < to; i++) {
        crowd[i] = make("default/f", "/", 0, NS_PER_S);
        ck_assert_int_eq(tickets_submit(tickets, &crowd[i]), 0);
    }
}

/* Who joins it, and who was served, is told of together; who is served before that never was. */
START_TEST(a_crowd_is_told_together)
{
    struct ticket other;

    start(0, 0);
    come(0, 3);
    ck_assert_uint_eq(controller.count, 3); /* nobody knows yet how fast they are served */
    tickets_served(&crowd[0]);
    come(3, 6);
    tickets_served(&crowd[3]);
    tickets_cancel(&crowd[4]); /* its client left: it was never there */
    ck_assert_uint_eq(controller.count, 3);
    other = make("default/g", "/", 0, NS_PER_S); /* a cold start waits for nobody */
    ck_assert_int_eq(tickets_submit(tickets, &other), 0);
    ck_assert_uint_eq(controller.count, 4);
    controller.enough = 6;
    loop_run(loop);
    ck_assert_uint_eq(controller.count, 6);
    ck_assert(controller.sent[4].gone);
    ck_assert_uint_eq(controller.sent[4].id, crowd[0].id);
    ck_assert(!controller.sent[5].gone);
    ck_assert_uint_eq(controller.sent[5].id, crowd[5].id);
    ck_assert_uint_eq(tickets_stats(tickets)->untold, 1);
    /* All have gone: the next one comes to an empty place. */
    tickets_cancel(&crowd[1]);
    tickets_cancel(&crowd[2]);
    controller.count = 0;
    tickets_served(&crowd[5]);
    ck_assert_uint_eq(controller.count, 1); /* at once: what is offered for it would stand idle */
    ck_assert(controller.sent[0].gone);
    controller.count = 0;
    come(0, 1);
    ck_assert_uint_eq(controller.count, 1);
    ck_assert(!controller.sent[0].gone);
    tickets_cancel(&crowd[0]);
    tickets_cancel(&other);
    stop();
}
END_TEST

START_TEST(so_many_are_told_at_once)
{
    start(0, 0);
    come(0, 2);
    tickets_served(&crowd[0]);
    controller.count = 0;
    come(2, 1 + TICKETS_LATER);
    ck_assert_uint_eq(controller.count, 0);
    come(1 + TICKETS_LATER, 2 + TICKETS_LATER);
    ck_assert_uint_eq(controller.count, 1 + TICKETS_LATER);
    ck_assert(controller.sent[0].gone);
    for (int i = 0; i < TICKETS_LATER; i++)
        ck_assert_uint_eq(controller.sent[1 + i].id, crowd[2 + i].id);
    controller.count = 0;
    for (int i = 1; i < TICKETS_LATER; i++)
        tickets_served(&crowd[i]);
    ck_assert_uint_eq(controller.count, 0);
    tickets_served(&crowd[TICKETS_LATER]);
    ck_assert_uint_eq(controller.count, TICKETS_LATER);
    tickets_cancel(&crowd[1 + TICKETS_LATER]);
    stop();
}
END_TEST

/* The controller comes back: it is told of all that wait, once, with what was about to be told. */
START_TEST(a_crowd_submitted_again)
{
    start(0, 0);
    come(0, 2);
    tickets_served(&crowd[0]);
    come(2, 4);
    controller.count = 0;
    tickets_resubmit(tickets);
    ck_assert_uint_eq(controller.count, 3);
    controller.enough = 4;
    loop_run(loop);
    ck_assert_uint_eq(controller.count, 4);
    ck_assert(controller.sent[3].gone);
    for (int i = 1; i < 4; i++)
        tickets_cancel(&crowd[i]);
    ck_assert_uint_eq(controller.count, 7);
    stop();
}
END_TEST

UNIT_MAIN("tickets", granted_and_refused, a_client_that_leaves_is_told_at_once,
          limits_in_count_and_bytes, the_deadline_closes_it, submitted_again_oldest_first_with_age,
          each_function_once_even_if_it_comes_back, taken_all, a_crowd_is_told_together,
          so_many_are_told_at_once, a_crowd_submitted_again)
