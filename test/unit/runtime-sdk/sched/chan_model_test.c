/* chan_model_test.c - channels and select against a reference that is a few arrays.
 *
 * A conductor has workers do one call each, one after the other, waits until the call has returned or waits,
 * and compares what returned with what the reference says: who waits, in which order, and what each one got. A
 * select of which several cases can go on may choose; the reference follows. */
#include "run.h"

enum { CHANNELS = 3, WORKERS = 8, CASES = 3, QUEUE = 64, STEPS = 4000 };

struct call {
    struct rouse_case cases[CASES];
    int items[CASES];
    int index[CASES]; /* of the channels */
    unsigned n;
    bool plain; /* send or receive instead of a select */
};
struct worker {
    struct rouse_chan *orders;
    struct call call;
    waiting_task self;
    atomic_bool returned, ended;
    bool busy;
    int r; /* the case, or -errno */
};
/* The reference. A worker waits in every channel of its call, in the order of arrival. */
struct reference {
    int buffer[CHANNELS][QUEUE], buffered[CHANNELS], capacity[CHANNELS];
    bool closed[CHANNELS];
    struct worker *waiting[WORKERS]; /* in order */
    int waiters;
};

static struct worker workers[WORKERS];
static struct rouse_chan *channels[CHANNELS];
static struct reference ref;
static unsigned seed;
static int next_item;

static void worker(void *arg)
{
    struct worker *w = arg;

    while (rouse_chan_receive(w->orders, NULL, ROUSE_NEVER) == 0) {
        struct call *c = &w->call;

        about_to_wait(&w->self);
        if (!c->plain)
            w->r = rouse_select(c->cases, c->n, ROUSE_NEVER);
        else if (c->cases[0].direction == ROUSE_SEND)
            w->r = rouse_chan_send(c->cases[0].chan, c->cases[0].item, ROUSE_NEVER);
        else
            w->r = rouse_chan_receive(c->cases[0].chan, c->cases[0].item, ROUSE_NEVER);
        if (c->plain) {
            c->cases[0].result = w->r;
            w->r = 0;
        }
        w->returned = true;
    }
    w->ended = true;
}

/* The first who waits on the other side; *ret_case is the first such case of it. */
static int find_waiter(int channel, enum rouse_direction direction, unsigned *ret_case)
{
    for (int i = 0; i < ref.waiters; i++) {
        struct call *c = &ref.waiting[i]->call;

        for (unsigned k = 0; k < c->n; k++) {
            if (c->index[k] == channel && c->cases[k].direction == direction) {
                *ret_case = k;
                return i;
            }
        }
    }
    return -1;
}

/* The one who waited must have returned with its case, or any other of that channel and side: which of a call's
 * equal cases was listed first is not promised. */
static void must_return(int waiter, unsigned k, int result, int item)
{
    struct worker *w = ref.waiting[waiter];
    struct call *c = &w->call;

    UNTIL(w->returned);
    MUST(w->r >= 0 && w->r < (int)c->n);
    MUST_BE(c->index[w->r], c->index[k]);
    MUST_BE(c->cases[w->r].direction, c->cases[k].direction);
    MUST_BE(c->cases[w->r].result, result);
    if (result == 0 && c->cases[k].direction == ROUSE_RECEIVE)
        MUST_BE(c->items[w->r], item);
    w->busy = w->returned = false;
    ref.waiters--;
    for (int i = waiter; i < ref.waiters; i++)
        ref.waiting[i] = ref.waiting[i + 1];
}

/* What it has sent: of the case that it returned with. */
static int item_of(int waiter)
{
    const struct worker *w = ref.waiting[waiter];

    UNTIL(w->returned);
    MUST(w->r >= 0 && w->r < (int)w->call.n);
    return w->call.items[w->r];
}

static bool can_go_on(int channel, enum rouse_direction direction)
{
    unsigned k;

    if (ref.closed[channel])
        return true;
    if (direction == ROUSE_SEND)
        return ref.buffered[channel] < ref.capacity[channel] ||
               find_waiter(channel, ROUSE_RECEIVE, &k) >= 0;
    return ref.buffered[channel] || find_waiter(channel, ROUSE_SEND, &k) >= 0;
}

static void after_send(int channel, int item, int result)
{
    unsigned k;
    int waiter;

    MUST_BE(result, ref.closed[channel] ? -EPIPE : 0);
    if (result < 0)
        return;
    waiter = find_waiter(channel, ROUSE_RECEIVE, &k);
    if (waiter >= 0)
        must_return(waiter, k, 0, item);
    else
        ref.buffer[channel][ref.buffered[channel]++] = item;
}

static void after_receive(int channel, int item, int result)
{
    unsigned k = 0;
    int waiter = find_waiter(channel, ROUSE_SEND, &k), *b = ref.buffer[channel];
    int sent = waiter >= 0 ? item_of(waiter) : 0;

    if (!ref.buffered[channel] && waiter < 0) {
        MUST(ref.closed[channel]);
        MUST_BE(result, -EPIPE);
        return;
    }
    MUST_BE(result, 0);
    if (ref.buffered[channel]) {
        MUST_BE(item, b[0]);
        ref.buffered[channel]--;
        for (int i = 0; i < ref.buffered[channel]; i++)
            b[i] = b[i + 1];
        if (waiter >= 0)
            b[ref.buffered[channel]++] = sent;
    } else {
        MUST_BE(item, sent);
    }
    if (waiter >= 0)
        must_return(waiter, k, 0, 0);
}

static void check_call(struct worker *w)
{
    struct call *c = &w->call;
    bool ready = false;

    for (unsigned k = 0; k < c->n; k++)
        ready |= can_go_on(c->index[k], c->cases[k].direction);
    /* After a wait of this call, or of the next order. */
    UNTIL(w->returned || (!ready && is_waiting(&w->self)));
    MUST_BE(w->returned, ready);
    if (!ready) {
        ref.waiting[ref.waiters++] = w;
        return;
    }
    MUST(w->r >= 0 && w->r < (int)c->n);
    MUST(can_go_on(c->index[w->r], c->cases[w->r].direction));
    if (c->cases[w->r].direction == ROUSE_SEND)
        after_send(c->index[w->r], c->items[w->r], c->cases[w->r].result);
    else
        after_receive(c->index[w->r], c->items[w->r], c->cases[w->r].result);
    w->busy = w->returned = false;
}

static void order_call(struct worker *w)
{
    struct call *c = &w->call;

    c->n = 1 + next_random(&seed) % CASES;
    c->plain = c->n == 1 && next_random(&seed) % 4;
    for (unsigned k = 0; k < c->n; k++) {
        c->index[k] = (int)(next_random(&seed) % CHANNELS);
        c->items[k] = ++next_item;
        c->cases[k] =
            (struct rouse_case){.chan = channels[c->index[k]],
                                .direction = next_random(&seed) % 2 ? ROUSE_SEND : ROUSE_RECEIVE,
                                .item = &c->items[k]};
    }
    w->busy = true;
    atomic_store(&w->self, NULL);
    MUST_BE(rouse_chan_send(w->orders, NULL, ROUSE_NEVER), 0);
    check_call(w);
}

/* Everybody in it returns; it is replaced by a new one. */
static void close_one(void)
{
    int channel = (int)(next_random(&seed) % CHANNELS);
    unsigned k;
    int waiter;

    MUST_BE(rouse_chan_close(channels[channel]), 0);
    ref.closed[channel] = true;
    while ((waiter = find_waiter(channel, ROUSE_RECEIVE, &k)) >= 0 ||
           (waiter = find_waiter(channel, ROUSE_SEND, &k)) >= 0) {
        struct worker *w = ref.waiting[waiter];

        UNTIL(w->returned);
        MUST_BE(w->call.index[w->r], channel);
        must_return(waiter, (unsigned)w->r, -EPIPE, 0);
    }
    for (int i = 0; i < ref.buffered[channel]; i++) {
        int item;

        MUST_BE(rouse_chan_receive(channels[channel], &item, ROUSE_NEVER), 0);
        MUST_BE(item, ref.buffer[channel][i]);
    }
    MUST_BE(rouse_chan_receive(channels[channel], NULL, ROUSE_NEVER), -EPIPE);
    rouse_chan_free(channels[channel]);
    MUST_BE(rouse_chan_new(sizeof(int), (size_t)ref.capacity[channel], &channels[channel]), 0);
    ref.closed[channel] = false;
    ref.buffered[channel] = 0;
}

static void conduct(void *unused)
{
    (void)unused;
    memset(&ref, 0, sizeof(ref));
    memset(workers, 0, sizeof(workers));
    for (int c = 0; c < CHANNELS; c++) {
        ref.capacity[c] = c * 2;
        MUST_BE(rouse_chan_new(sizeof(int), (size_t)ref.capacity[c], &channels[c]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        MUST_BE(rouse_chan_new(0, 0, &workers[i].orders), 0);
        rouse_spawn(worker, &workers[i]);
    }
    for (int step = 0; step < STEPS; step++) {
        struct worker *w = &workers[next_random(&seed) % WORKERS];

        if (!w->busy)
            order_call(w);
        else if (ref.waiters > WORKERS - 2 || next_random(&seed) % 16 == 0)
            close_one();
        for (int c = 0; c < CHANNELS; c++)
            MUST_BE(rouse_chan_size(channels[c]), ref.buffered[c]);
        for (int i = 0; i < ref.waiters; i++)
            MUST(!ref.waiting[i]->returned);
    }
    while (ref.waiters)
        close_one();
    for (int i = 0; i < WORKERS; i++) {
        rouse_chan_close(workers[i].orders);
        UNTIL(workers[i].ended);
        rouse_chan_free(workers[i].orders);
    }
    for (int c = 0; c < CHANNELS; c++)
        rouse_chan_free(channels[c]);
}

START_TEST(as_the_reference_says)
{
    for (unsigned i = 1; i <= 5; i++) {
        seed = i * 2654435761u;
        run(conduct);
    }
}
END_TEST

UNIT_MAIN("chan_model", as_the_reference_says)
