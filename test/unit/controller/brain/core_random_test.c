/* Random events, many seeds: whatever happens, a slot is granted once, a ticket is answered once,
 * what is requested stays within scaling.min and max, and the core's state never contradicts
 * itself. */
#include "world.h"

enum { STEPS = 500, SEEDS = 25, FUNCTIONS = 3, TICKETS = 4096 };

static struct world world, *w = &world;
static uint64_t seed;

static unsigned dice(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

struct sent {
    uint64_t id, peer;
    bool gone;
};
static struct sent sent[TICKETS];
static size_t sent_count;
static struct function *applied[FUNCTIONS];
static const char *const keys[FUNCTIONS] = {"default/one", "default/two", "other/one"};

static struct agent *some_agent(void)
{
    struct agent *a = &w->agents[dice(4)];

    return a->peer ? a : NULL;
}

static void do_apply(unsigned n)
{
    char revision[8];
    struct function *f;

    snprintf(revision, sizeof(revision), "r%u", dice(3));
    f = make_routed(keys[n], revision, dice(2) ? "/same" : keys[n] + 6, dice(2) ? "GET" : NULL);
    f->scaling.min = dice(4) ? 0 : dice(3);
    f->scaling.max = f->scaling.min + 1 + dice(6);
    f->scaling.idle_timeout_ns = S(1 + dice(20));
    f->concurrency = 1 + dice(3);
    f->created_ms = n;
    if (applied[n] && applied[n]->deleting) {
        function_unref(f);
        return;
    }
    apply(w, applied[n], function_ref(f));
    function_unref(applied[n]);
    applied[n] = f;
}

static void do_delete(unsigned n)
{
    struct function *mark;

    if (!applied[n] || applied[n]->deleting)
        return;
    mark = make_function(keys[n], applied[n]->revision);
    mark->deleting = true;
    apply(w, applied[n], function_ref(mark));
    function_unref(applied[n]);
    applied[n] = mark;
}

static void finalize(void)
{
    for (size_t k = 0; k < w->finalized_count; k++) {
        for (unsigned n = 0; n < FUNCTIONS; n++) {
            struct actions out = {0};

            if (!applied[n] || !applied[n]->deleting || strcmp(w->finalized[k], keys[n]))
                continue;
            core_function(w->core, w->now, applied[n], NULL, &out);
            take_actions(w, &out);
            function_unref(applied[n]);
            applied[n] = NULL;
        }
    }
    w->finalized_count = 0;
}

static void do_ticket(void)
{
    struct agent *a = some_agent();

    if (!a || sent_count == TICKETS)
        return;
    sent[sent_count].peer = a->peer;
    sent[sent_count].gone = false;
    sent[sent_count++].id = dice(3) ? ticket(w, a, keys[dice(FUNCTIONS)])
                                    : ticket_on(w, a, NULL, "GET", "/same", dice(2000), dice(2));
}

static void do_gone(void)
{
    struct sent *s = sent_count ? &sent[dice((unsigned)sent_count)] : NULL;

    if (!s || !world_agent_of(w, s->peer) || answer_of(w, s->id))
        return;
    s->gone = true;
    tickets_gone(w, s->peer, &s->id, 1);
}

static void do_instance(void)
{
    struct agent *a = some_agent();
    struct fake_instance *i = a && a->count ? &a->instances[dice((unsigned)a->count)] : NULL;

    if (!i)
        return;
    switch (i->state) {
    case STATE_PENDING:
        tell(w, a, i, dice(3) ? STATE_INITIALIZING : STATE_READY);
        break;
    case STATE_INITIALIZING:
        if (dice(8))
            tell(w, a, i, STATE_READY);
        else
            tell_why(w, a, i, STATE_FAILED, "InitFailed", "no");
        break;
    case STATE_READY:
        if (dice(12))
            offer(w, a, i);
        else if (dice(2))
            tell(w, a, i, STATE_FROZEN);
        else
            tell_why(w, a, i, STATE_FAILED, "OOMKilled", "");
        break;
    case STATE_FROZEN:
        tell(w, a, i, STATE_READY);
        break;
    default:
        tell(w, a, i, STATE_STOPPED);
    }
}

static void do_agent(void)
{
    int at = (int)dice(4);
    struct agent *a = &w->agents[at];

    if (a->peer) {
        leave(w, a);
    } else {
        if (a->incarnation && !dice(3)) { /* its process is a new one */
            a->count = 0;
            a->incarnation++;
            a->desired = a->routes = 0;
        }
        join(w, at, (256 + 128 * dice(8)) * MI);
    }
}

static void do_node(void)
{
    const unsigned k = dice(4);
    struct actions out = {0};
    char name[16];

    snprintf(name, sizeof(name), "node-%u", k);
    core_node(w->core, w->now, name, &(struct node_wanted){!dice(3), !dice(4)}, &out);
    take_actions(w, &out);
}

/* What an instance has to do by its node's report. */
static void do_load(void)
{
    struct agent *a = some_agent();
    const struct fake_instance *i;
    uint32_t in_flight;

    if (!a || !a->count)
        return;
    i = &a->instances[dice((unsigned)a->count)];
    in_flight = dice(2);
    report_instance(w, a, i, in_flight, in_flight ? 0 : 1 + dice(1000));
}

static void check(void)
{
    for (unsigned n = 0; n < FUNCTIONS; n++) {
        struct core_counts have;

        if (!applied[n] || applied[n]->deleting)
            continue;
        have = counts(w, keys[n]);
        ck_assert_uint_ge(have.requested, applied[n]->scaling.min);
        ck_assert_uint_le(have.requested, applied[n]->scaling.max);
    }
}

static void answered_once(void)
{
    for (size_t k = 0; k < w->answer_count; k++) {
        const struct answer *x = &w->answers[k];

        for (size_t j = 0; j < k; j++) {
            ck_assert_msg(w->answers[j].ticket != x->ticket, "ticket %lu answered twice",
                          (unsigned long)x->ticket);
            ck_assert_msg(!x->granted || !w->answers[j].granted || w->answers[j].slot != x->slot,
                          "slot %lu granted twice", (unsigned long)x->slot);
        }
    }
    for (size_t k = 0; k < sent_count; k++) {
        const struct answer *x = answer_of(w, sent[k].id);

        if (world_agent_of(w, sent[k].peer) && !sent[k].gone)
            ck_assert_msg(x, "ticket %lu was never answered", (unsigned long)sent[k].id);
        ck_assert(!x || x->peer == sent[k].peer);
        ck_assert(!x || !sent[k].gone);
    }
}

static void run(uint64_t s)
{
    seed = s;
    sent_count = 0;
    world_init(w, NULL);
    do_agent();
    for (unsigned n = 0; n < FUNCTIONS; n++)
        do_apply(n);
    for (int step = 0; step < STEPS; step++) {
        unsigned what = dice(100);

        if (what < 30)
            do_ticket();
        else if (what < 33)
            do_gone();
        else if (what < 75)
            do_instance();
        else if (what < 78)
            do_agent();
        else if (what < 79)
            do_node();
        else if (what < 83)
            do_apply(dice(FUNCTIONS));
        else if (what < 84)
            do_delete(dice(FUNCTIONS));
        else if (what < 87)
            do_load();
        else if (what < 90)
            load_reports(w, dice(5), keys[dice(FUNCTIONS)]);
        else
            pass(w, MS(dice(1500)));
        if (dice(3))
            settle(w);
        finalize();
        settle(w);
        check();
    }
    pass(w, S(35));
    answered_once();
    for (unsigned n = 0; n < FUNCTIONS; n++)
        applied[n] = function_unref(applied[n]);
    world_done(w);
}

START_TEST(any_order_of_events)
{
    for (uint64_t s = 1; s <= SEEDS; s++)
        run(s * 7919);
}
END_TEST

UNIT_MAIN("core_random", any_order_of_events)
