/* traffic_test.c - every item that was sent arrives once, whatever else happens to those who send and receive:
 * selects in both directions, deadlines, cancelled scopes, a close in the middle of it.
 *
 * ROUSE_TRAFFIC_ROUNDS: how often; ROUSE_TRAFFIC_SEED. */
#include "run.h"

enum { CHANNELS = 4, TASKS = 24, ITEMS = 300, CASES = 6 };

struct item {
    uint32_t id, check;
};
struct traffic {
    struct rouse_chan *ch[CHANNELS];
    struct rouse_scope *scope;
    unsigned seed;
    atomic_uint next_id;
    atomic_uchar sent[TASKS * ITEMS], arrived[TASKS * ITEMS];
    atomic_int canceled, timedout, closed;
};

static unsigned rounds, first_seed;

static struct item new_item(struct traffic *t)
{
    uint32_t id = atomic_fetch_add(&t->next_id, 1);

    return (struct item){id, ~id};
}
static void was_sent(struct traffic *t, const struct item *i)
{
    MUST_BE(t->sent[i->id]++, 0);
}
static void has_arrived(struct traffic *t, const struct item *i)
{
    MUST_BE(i->check, ~i->id);
    MUST_BE(t->arrived[i->id]++, 0);
}

static int64_t some_deadline(unsigned *seed)
{
    switch (next_random(seed) % 4) {
    case 0:
        return 0;
    case 1:
        return rouse_after((int64_t)(next_random(seed) % 100) * ROUSE_US);
    default:
        return rouse_after(2 * ROUSE_MS);
    }
}

/* False: it is over for this task. */
static bool go_on(struct traffic *t, int r)
{
    if (r == -ETIMEDOUT)
        t->timedout++;
    else if (r == -EPIPE)
        t->closed++;
    else if (r == -ECANCELED)
        t->canceled++;
    else
        MUST_BE(r, 0);
    return r == 0 || r == -ETIMEDOUT;
}

static bool send_one(struct traffic *t, unsigned *seed)
{
    struct item i = new_item(t);
    int r = rouse_chan_send(t->ch[next_random(seed) % CHANNELS], &i, some_deadline(seed));

    if (r == 0)
        was_sent(t, &i);
    return go_on(t, r);
}
static bool receive_one(struct traffic *t, unsigned *seed)
{
    struct item i;
    int r = rouse_chan_receive(t->ch[next_random(seed) % CHANNELS], &i, some_deadline(seed));

    if (r == 0)
        has_arrived(t, &i);
    return go_on(t, r);
}
static bool select_one(struct traffic *t, unsigned *seed)
{
    struct rouse_case cases[CASES];
    struct item items[CASES], out = new_item(t);
    unsigned n = 1 + next_random(seed) % CASES;
    int k;

    for (unsigned i = 0; i < n; i++) {
        cases[i].chan = next_random(seed) % 8 ? t->ch[next_random(seed) % CHANNELS] : NULL;
        cases[i].direction = next_random(seed) % 2 ? ROUSE_SEND : ROUSE_RECEIVE;
        items[i] = out;
        cases[i].item = &items[i];
    }
    k = rouse_select(cases, n, some_deadline(seed));
    if (k < 0)
        return go_on(t, k);
    if (cases[k].result == 0 && cases[k].direction == ROUSE_SEND)
        was_sent(t, &out);
    else if (cases[k].result == 0)
        has_arrived(t, &items[k]);
    return go_on(t, cases[k].result);
}

static void traveller(void *arg)
{
    struct traffic *t = arg;
    unsigned seed = t->seed + (unsigned)rouse_task_id() * 7919;
    bool more = true;

    for (int i = 0; more && i < ITEMS; i++) {
        switch (next_random(&seed) % 3) {
        case 0:
            more = send_one(t, &seed);
            break;
        case 1:
            more = receive_one(t, &seed);
            break;
        default:
            more = select_one(t, &seed);
        }
    }
}

/* What is left in the channels arrives here. */
static void drain(struct traffic *t)
{
    for (int c = 0; c < CHANNELS; c++) {
        struct item i;

        rouse_chan_close(t->ch[c]);
        while (rouse_chan_receive(t->ch[c], &i, ROUSE_NEVER) == 0)
            has_arrived(t, &i);
        rouse_chan_free(t->ch[c]);
    }
}

static void round_of(void *arg)
{
    unsigned seed = *(unsigned *)arg, end = seed % 4;
    struct traffic *t = calloc(1, sizeof(*t));
    struct rouse_scope *half;
    unsigned sent = 0;

    t->seed = seed;
    for (int c = 0; c < CHANNELS; c++)
        MUST_BE(rouse_chan_new(sizeof(struct item), c == 3 ? 64 : (size_t)c, &t->ch[c]), 0);
    MUST_BE(rouse_scope_open(ROUSE_NEVER, &t->scope), 0);
    MUST_BE(rouse_scope_open(end == 1 ? rouse_after(ROUSE_MS) : ROUSE_NEVER, &half), 0);
    for (int i = 0; i < TASKS; i++)
        rouse_scope_spawn(i % 2 ? half : t->scope, traveller, t);
    while (atomic_load(&t->next_id) < TASKS * 20 && end)
        rouse_sleep(50 * ROUSE_US);
    if (end == 2)
        rouse_scope_cancel(half);
    else if (end == 3)
        rouse_chan_close(t->ch[seed % CHANNELS]);
    rouse_scope_wait(half, ROUSE_NEVER);
    rouse_scope_close(half);
    rouse_scope_wait(t->scope, ROUSE_NEVER);
    rouse_scope_close(t->scope);
    drain(t);
    for (unsigned i = 0; i < TASKS * ITEMS; i++) {
        MUST_BE(t->arrived[i], t->sent[i]);
        sent += t->sent[i];
    }
    MUST(sent > 0);
    free(t);
}

static void traffic(const char *procs)
{
    for (unsigned i = 0; i < rounds; i++) {
        unsigned seed = first_seed + i;

        alarm(50); /* a round that hangs */
        run_on(procs, round_of, &seed);
    }
}

START_TEST(on_one_processor)
{
    traffic("1");
}
END_TEST
START_TEST(on_two)
{
    traffic("2");
}
END_TEST
START_TEST(on_eight)
{
    traffic("8");
}
END_TEST

static void __attribute__((constructor)) parameters(void)
{
    const char *n = getenv("ROUSE_TRAFFIC_ROUNDS"), *seed = getenv("ROUSE_TRAFFIC_SEED");

    rounds = n ? (unsigned)atoi(n) : 12;
    first_seed = seed ? (unsigned)atoi(seed) : (unsigned)rouse_now();
    printf("ROUSE_TRAFFIC_SEED=%u\n", first_seed);
}

UNIT_MAIN("traffic", on_one_processor, on_two, on_eight)
