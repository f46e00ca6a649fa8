/* Random events and agents that keep the slots' rules, whose messages take their time: when all are delivered, no slot
 * stands idle beside a request that waits for it. */
#include "wake.h"

enum { SEEDS = 40, STEPS = 1500 };

static void end(struct agent *a, struct fake_instance *i, enum instance_state state)
{
    char id[64];

    memcpy(id, i->id, sizeof(id));
    i->state = state;
    say_of(a, SAID_STATE, 0, i);
    slot_of(a, id)->state = SLOT_FREE;
    agent_forget(a, id);
}

static void do_instance(struct agent *a)
{
    struct fake_instance *i = a->count ? &a->instances[dice((unsigned)a->count)] : NULL;

    if (!i)
        return;
    if (i->state == STATE_PENDING) {
        i->state = STATE_READY;
        say_of(a, SAID_STATE, 0, i);
        offer_free(a, i->key, i->revision);
    } else if (i->state == STATE_DRAINING && slot_of(a, i->id)->state == SLOT_FREE) {
        end(a, i, STATE_STOPPED);
    } else if (i->state == STATE_READY && !dice(40)) {
        end(a, i, STATE_FAILED);
    }
}

static void do_finish(struct agent *a)
{
    for (size_t k = 0; k < slot_count; k++)
        if (slots[k].at == a && slots[k].state == SLOT_BUSY && dice(2)) {
            offer_again(&slots[k]);
            return;
        }
}

static void do_leave_queue(struct agent *a)
{
    struct call *c = oldest(a, keys[dice(FUNCTIONS)]);

    if (!c)
        return;
    c->open = false;
    say(a, SAID_GONE, c->ticket);
}

static void do_agent(size_t at)
{
    struct agent *a = &w->agents[at];

    if (a->peer) {
        said_count[at] = 0;
        leave(w, a);
        a->level_count = 0;
        return;
    }
    if (a->incarnation && !dice(3)) {
        a->count = 0;
        a->incarnation++;
        a->desired = a->routes = 0;
        for (size_t k = 0; k < call_count; k++)
            calls[k].open = calls[k].open && calls[k].at != a;
        for (size_t k = 0; k < slot_count; k++)
            slots[k].state = slots[k].at == a ? SLOT_FREE : slots[k].state;
    }
    join(w, (int)at, 640 * MI);
    for (size_t k = 0; k < call_count; k++)
        if (calls[k].open && calls[k].at == a)
            snprintf(say(a, SAID_TICKET, calls[k].ticket)->key, 64, "%s", keys[calls[k].function]);
}

static void do_apply(unsigned n)
{
    char revision[8];
    struct function *f;

    snprintf(revision, sizeof(revision), "r%u", dice(8) ? 1 : dice(3));
    f = make_function(keys[n], revision);
    f->scaling.min = dice(3);
    f->scaling.max = f->scaling.min + 1 + dice(4);
    f->scaling.idle_timeout_ns = S(1);
    apply(w, NULL, f);
}

static void deliver_all(void)
{
    bool more;

    do {
        more = false;
        settle(w);
        for (size_t k = 0; k < NODES; k++) {
            more = more || said_count[k];
            hear(k);
        }
    } while (more);
}

static bool is_routed(struct agent *a, const char *id)
{
    for (size_t k = 0; k < a->endpoint_count; k++)
        if (!strcmp(a->endpoints[k], id))
            return true;
    return false;
}

static void none_is_idle_of(struct agent *a, const char *key, bool nor_leased)
{
    for (size_t k = 0; a->peer && k < a->count; k++) {
        const struct fake_instance *i = &a->instances[k];
        const struct slot *s = slot_of(a, i->id);

        if (i->state == STATE_READY && !strcmp(i->key, key) &&
            !strcmp(i->revision, routed(a, key)) && is_routed(a, i->id))
            ck_assert_msg(s->state == SLOT_BUSY || (s->state == SLOT_LEASED && !nor_leased),
                          "%u of %s wait while %s on %s is %s", counts(w, key).waiting, key, i->id,
                          a->name, s->state == SLOT_FREE ? "free" : "leased");
    }
}

static void none_is_idle(bool nor_leased)
{
    for (unsigned n = 0; n < FUNCTIONS; n++) {
        unsigned open = 0, waiting = counts(w, keys[n]).waiting;

        for (size_t k = 0; k < call_count; k++)
            open += calls[k].open && calls[k].at->peer && calls[k].function == n;
        ck_assert_uint_eq(open, waiting);
        for (size_t k = 0; waiting && k < NODES; k++)
            none_is_idle_of(&w->agents[k], keys[n], nor_leased);
    }
}

static void check(void)
{
    deliver_all();
    none_is_idle(false);
    for (int k = 0; k < 12; k++) { /* longer than any lease */
        pass(w, MS(10));
        leases_over();
        deliver_all();
    }
    none_is_idle(true);
}

static void step(void)
{
    struct agent *a = &w->agents[dice(NODES)];
    unsigned what = dice(1000);

    if (what < 120)
        come(a, dice(FUNCTIONS));
    else if (what < 320)
        do_finish(a);
    else if (what < 420)
        do_instance(a);
    else if (what < 440)
        do_leave_queue(a);
    else if (what < 444)
        do_agent(index_of(a));
    else if (what < 448)
        do_apply(dice(FUNCTIONS));
    else if (what < 450)
        a->silent = !a->silent;
    else if (what < 480)
        pass(w, MS(1 + dice(30)));
    else if (what < 482)
        pass(w, MS(dice(15000)));
    else if (what < 600)
        settle(w);
    else
        hear(index_of(a));
    leases_over();
}

static void run(uint64_t s)
{
    seed = s;
    slot_count = call_count = 0;
    memset(said_count, 0, sizeof(said_count));
    world_init(w, NULL);
    w->on_message = on_message;
    for (size_t k = 0; k < NODES; k++)
        do_agent(k);
    for (unsigned n = 0; n < FUNCTIONS; n++)
        do_apply(n);
    for (int k = 1; k <= STEPS; k++) {
        step();
        if (k % 50 == 0)
            check();
    }
    world_done(w);
}

START_TEST(no_slot_is_idle_beside_who_waits)
{
    for (uint64_t s = 1; s <= SEEDS; s++)
        run(s * 7919);
}
END_TEST

UNIT_MAIN("core_wake", no_slot_is_idle_beside_who_waits)
