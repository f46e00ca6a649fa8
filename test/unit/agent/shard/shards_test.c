/* shards_test.c - what crosses between the loops of an agent: states, slots, requests, logs, the end. */
#include "agent/shard/fixture.h"

/* ---------------------------------------------------------------- Desired, acks, Hello */
START_TEST(a_state_is_split_and_acknowledged_by_all)
{
    unsigned loads[3] = {0};
    static const char *const ids[] = {"i1", "i2", "i3", "i4", "i5", "i6"};

    begin(3);
    connect_controller();
    ck_assert(!hello_desired && !hello_routes);
    ck_assert_int_eq(desire(1, 0, PACKAGE, "i1 i2 i3 i4 i5 i6", ""), 0);
    expect_sent("ack desired 1\n");
    for (size_t i = 0; i < 6; i++) {
        wait_for(box_made, (void *)ids[i]);
        loads[loop_of(ids[i])]++;
    }
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(loads[i], 2);
    ck_assert_int_eq(route(1, 0), 0);
    expect_sent("ack routes 1\n");
    /* A delta: one goes, one comes. */
    ck_assert_int_eq(desire(2, 1, PACKAGE, "i7", "i2"), 0);
    expect_sent("ack desired 2\n");
    expect_sent("status i2 Draining");
    wait_for(box_made, (void *)"i7");
    ck_assert_uint_eq(loop_of("i7"), 1);
    ck_assert_uint_eq(count_sent("ack desired"), 2);
    ck_assert_uint_eq(count_sent("ack routes"), 1);
    ck_assert_int_eq(desire(9, 5, PACKAGE, "", ""), -ESTALE);
    ck_assert_int_eq(route(9, 5), -ESTALE);
    end();
}
END_TEST

START_TEST(hello_is_gathered)
{
    begin(3);
    connect_controller();
    ck_assert_uint_eq(hello_instances, 0);
    desire(1, 0, PACKAGE, "i1 i2 i3 i4", "");
    route(1, 0);
    expect_sent("ack desired 1\n");
    expect_sent("ack routes 1\n");
    for (const char *id = "i1\0i2\0i3\0i4\0"; *id; id += 3)
        wait_for(box_made, (void *)id);
    lose_controller();
    connect_controller();
    ck_assert_uint_eq(hello_instances, 4);
    ck_assert(hello_desired && hello_routes);
    /* What follows fits onto it. */
    ck_assert_int_eq(desire(2, 1, PACKAGE, "", "i1 i2 i3 i4"), 0);
    expect_sent("ack desired 2\n");
    end();
}
END_TEST

static bool is_set(void *user)
{
    return atomic_load((atomic_bool *)user);
}

struct flag {
    struct letter letter;
    atomic_bool *set;
};
static void set_flag(struct letter *l, bool late)
{
    (void)late;
    atomic_store(((struct flag *)l)->set, true);
}
/* That shard has handled all that was posted to it; the main loop does not turn meanwhile. */
static void let_shard_catch_up(unsigned index)
{
    struct flag *f = letter_make(sizeof(*f));
    const struct timespec pause = {.tv_nsec = 1000000};
    atomic_bool set = false;

    f->set = &set;
    letter_post(&shard_at(all, index)->box, &f->letter, set_flag);
    for (int i = 0; i < 20000 && !is_set(&set); i++)
        nanosleep(&pause, NULL);
    ck_assert(is_set(&set));
}

static bool mail_taken(void *user)
{
    return is_set(user);
}
/* What a shard had posted until then has been handled here. */
static void take_mail(void)
{
    struct flag *f = letter_make(sizeof(*f));
    atomic_bool set = false;

    f->set = &set;
    letter_post(&all->box, &f->letter, set_flag);
    wait_for(mail_taken, &set);
}

START_TEST(an_end_that_was_lost_on_its_way_is_told_again)
{
    struct err e;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    wait_for(box_made, (void *)"i2");
    ck_assert_uint_eq(loop_of("i2"), 1);
    /* Shard 1 says so to a connection that ends before the main loop looks at its mail. */
    err_set(&e, EPERM, "no");
    the_launcher.ops->on_failed(the_launcher.user, "i2", &e);
    let_shard_catch_up(1);
    lose_controller();
    sent[0] = '\0';
    connect_controller();
    expect_sent("status i2 Failed");
    end();
}
END_TEST

START_TEST(what_is_lost_with_a_hello_under_way_is_told_again)
{
    struct err e;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    wait_for(box_made, (void *)"i1");
    wait_for(box_made, (void *)"i2");
    lose_controller();
    shards_session_ops.on_open(all); /* shard 0's part is there, shard 1's is not */
    err_set(&e, EPERM, "no");
    the_launcher.ops->on_failed(the_launcher.user, "i1", &e);
    ck_assert_uint_eq(hellos, 1);
    lose_controller();
    sent[0] = '\0';
    connect_controller();
    wait_for(has_sent, (void *)"i1 Failed");
    end();
}
END_TEST

START_TEST(what_follows_a_part_waits_for_the_whole)
{
    struct err e;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    wait_for(box_made, (void *)"i1");
    wait_for(box_made, (void *)"i2");
    lose_controller();
    shards_session_ops.on_open(all);
    err_set(&e, EPERM, "no");
    the_launcher.ops->on_failed(the_launcher.user, "i1", &e);
    ck_assert(!has_sent((void *)"status i1 Failed"));
    expect_sent("status i1 Failed");
    ck_assert_ptr_nonnull(strstr(sent, "hello i1 Creating"));
    ck_assert(strstr(sent, "hello i1") < strstr(sent, "status i1 Failed"));
    end();
}
END_TEST

struct stall {
    struct letter letter;
    atomic_bool *until;
};
static void stall(struct letter *l, bool late)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    (void)late;
    while (!is_set(((struct stall *)l)->until))
        nanosleep(&pause, NULL);
}
/* That shard does nothing more until *go. */
static void stall_shard(unsigned index, atomic_bool *go)
{
    struct stall *s = letter_make(sizeof(*s));

    s->until = go;
    letter_post(&shard_at(all, index)->box, &s->letter, stall);
}

START_TEST(no_change_is_lost_while_others_are_waited_for)
{
    atomic_bool go = false;

    begin(3);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2 i3", "");
    wait_for(box_made, (void *)"i1");
    wait_for(box_made, (void *)"i2");
    wait_for(box_made, (void *)"i3");
    take_mail();
    lose_controller();
    stall_shard(2, &go);
    shards_session_ops.on_open(all);
    let_shard_catch_up(1);
    take_mail(); /* its part is here */
    box_start("i2");
    let_shard_catch_up(1);
    take_mail();
    ck_assert_uint_eq(hellos, 1);
    atomic_store(&go, true);
    expect_sent("status i2 Initializing");
    ck_assert_ptr_nonnull(strstr(sent, "hello i2 Creating"));
    end();
}
END_TEST

START_TEST(failures_to_start_find_their_instance)
{
    begin(2);
    connect_controller();
    create_result = -EMSGSIZE;
    desire(1, 0, PACKAGE, "i1 i2", "");
    expect_sent("status i1 Failed");
    expect_sent("status i2 Failed");
    create_result = 0;
    desire(2, 0, NOWHERE, "i1 i2", ""); /* told again: they have been */
    end();
}
END_TEST

START_TEST(a_package_that_is_not_there)
{
    begin(2);
    connect_controller();
    desire(1, 0, NOWHERE, "i1 i2", "");
    expect_sent("status i1 Failed");
    expect_sent("status i2 Failed");
    ck_assert_uint_eq(box_count, 0);
    end();
}
END_TEST

START_TEST(nobody_waits_for_the_package_any_more)
{
    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    desire(2, 1, PACKAGE, "", "i1 i2");
    expect_sent("status i1 Stopped");
    expect_sent("status i2 Stopped");
    end(); /* which sees that nothing is held */
}
END_TEST

/* ---------------------------------------------------------------- slots, siblings */
static bool free_at(void *user)
{
    unsigned place = slot_hint_place(FUNCTION, "r1");

    return slot_hint_get(all->hints[*(unsigned *)user], place) == 1;
}
static bool hinted_nowhere(void *user)
{
    unsigned place = slot_hint_place(FUNCTION, "r1");

    (void)user;
    return !slot_hint_get(all->hints[0], place) && !slot_hint_get(all->hints[1], place);
}

START_TEST(slots_are_offered_once)
{
    unsigned one = 1;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    box_ready("i1", 1);
    box_ready("i2", 1);
    wait_for(free_at, &one);
    want_slots(1);
    /* Shard 0's came first; shard 1's goes back, not when its lease is over but at once. */
    let_shard_catch_up(1);
    ck_assert(!free_at(&one));
    take_mail();
    let_shard_catch_up(1);
    ck_assert(free_at(&one));
    ck_assert_uint_eq(offers, 1);
    expect_sent("slot i1");
    ck_assert_uint_eq(loop_of_id(slots_offered[0]), 0);
    /* Two more than there are: both are offered, under ids of their shards. */
    sent[0] = '\0';
    want_slots(0);
    want_slots(4);
    expect_sent("slot i1");
    expect_sent("slot i2");
    wait_for(hinted_nowhere, NULL);
    end();
}
END_TEST

START_TEST(a_request_finds_the_sibling_that_has_the_slot)
{
    struct peer clients[24];
    unsigned before;

    begin(3);
    connect_controller();
    route(1, 0);
    desire(1, 0, PACKAGE, "i1", "");
    expect_sent("ack routes 1\n");
    box_ready("i1", 64);
    for (int i = 0; i < 24; i++) {
        ask(&clients[i]);
        expect_answer(&clients[i], "i1");
    }
    ck_assert_uint_eq(served, 24);
    ck_assert_uint_eq(count_sent("ticket"), 0);
    /* The kernel spreads connections: some came to loops without the instance. */
    before = shows;
    shards_collect_metrics(all);
    while (shows == before)
        ck_assert(turn_until(has_sent, (void *)"ack"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_gateway_requests_total 24\n"));
    ck_assert_ptr_nonnull(strstr(shown, "code=\"200\"} 24\n"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_gateway_dispatched_total{way=\"sibling\"}"));
    ck_assert_ptr_null(strstr(shown, "rouse_gateway_dispatched_total{way=\"sibling\"} 0\n"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_gateway_functions 1\n"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_loop_turns_total{loop=\"2\"}"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_loop_info{loop=\"2\",backend=\""));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_http_client_calls_total{client=\"gateway\"}"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_http_client_calls_total{client=\"peer\"} 0\n"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_peer_timeouts_total 0\n"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_agent_sandboxes_parked{runtime=\"python3\"} 3\n"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_agent_sandbox_starts_total{from=\"pool\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(shown, "rouse_agent_sandbox_starts_total{from=\"new\"} 0\n"));
    shards_session_ops.on_report(all);
    expect_sent("report instances=1\nload " FUNCTION " requests=24\n");
    end();
}
END_TEST

static void grant(uint64_t slot)
{
    Rouse__Control__V1__Grant g = ROUSE__CONTROL__V1__GRANT__INIT;
    ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    g.ticket = last_ticket;
    g.function_key = (char *)FUNCTION;
    g.revision = (char *)"r1";
    g.node = (char *)"n1";
    g.peer_address = (char *)"tcp://127.0.0.1:1";
    g.slot = slot;
    g.timeout_ms = 10000;
    m.grant = &g;
    tell(&m, ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_GRANT);
}

START_TEST(a_slot_goes_back_to_its_loop)
{
    unsigned one = 1;
    Rouse__Control__V1__SlotBack b = ROUSE__CONTROL__V1__SLOT_BACK__INIT;
    ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    box_ready("i1", 1);
    box_ready("i2", 1);
    wait_for(free_at, &one);
    want_slots(2);
    expect_sent("slot i1");
    expect_sent("slot i2");
    ck_assert(!free_at(&one));
    b.slot = slots_offered[loop_of_id(slots_offered[1]) == 1];
    m.slot_back = &b;
    want_slots(0);
    tell(&m, ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_SLOT_BACK);
    let_shard_catch_up(1);
    ck_assert(free_at(&one));
    end();
}
END_TEST

START_TEST(leases_end_with_the_connection)
{
    unsigned one = 1;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    box_ready("i1", 1);
    box_ready("i2", 1);
    wait_for(free_at, &one);
    want_slots(2);
    expect_sent("slot i1");
    expect_sent("slot i2");
    ck_assert(!free_at(&one));
    lose_controller();
    let_shard_catch_up(1);
    ck_assert(free_at(&one));
    end();
}
END_TEST

static void grant_to_nobody(unsigned at, uint64_t slot)
{
    last_ticket = ((uint64_t)at << LOOP_SHIFT) + 999;
    grant(slot);
    let_shard_catch_up(1);
    let_shard_catch_up(1); /* loop 0's word may have come behind the first */
}

START_TEST(a_slot_granted_to_nobody_goes_back_to_its_loop)
{
    unsigned one = 1;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    box_ready("i2", 1);
    for (unsigned at = 0; at < 2; at++) {
        wait_for(free_at, &one);
        want_slots(1);
        expect_sent("slot i2");
        ck_assert(!free_at(&one));
        grant_to_nobody(at, slots_offered[(offers - 1) % 16]);
        ck_assert(free_at(&one));
        /* Others wait, of whom this agent knows but the number: it is theirs now. */
        sent[0] = '\0';
        want_slots(1);
        expect_sent("slot i2");
        want_slots(1);
        sent[0] = '\0';
        grant_to_nobody(at, slots_offered[(offers - 1) % 16]);
        expect_sent("slot i2");
        want_slots(0);
        sent[0] = '\0';
    }
    end();
}
END_TEST

START_TEST(a_grant_finds_its_ticket_and_its_slot)
{
    unsigned zero = 0, one = 1;

    begin(2);
    connect_controller();
    route(1, 0);
    desire(1, 0, PACKAGE, "i1 i2", "");
    expect_sent("ack routes 1\n");
    box_ready("i1", 1);
    box_ready("i2", 1);
    /* Both ways round: tickets of either loop, slots of either loop. */
    for (int i = 0; i < 12; i++) {
        struct peer client;
        unsigned had = offers;

        wait_for(free_at, &zero);
        wait_for(free_at, &one);
        sent[0] = '\0';
        want_slots(2);
        expect_sent("slot i1");
        expect_sent("slot i2");
        ck_assert_uint_eq(offers, had + 2);
        ask(&client);
        expect_sent("ticket");
        for (unsigned k = 0; k < 2; k++)
            if (loop_of_id(slots_offered[(had + k) % 16]) == (unsigned)i % 2)
                grant(slots_offered[(had + k) % 16]);
        want_slots(0);
        expect_answer(&client, i % 2 ? "i2" : "i1");
    }
    end();
}
END_TEST

START_TEST(a_busy_shard_delays_nobody)
{
    atomic_bool go = false;

    begin(2);
    connect_controller();
    route(1, 0);
    desire(1, 0, PACKAGE, "i1 i2", "");
    box_ready("i1", 1);
    box_ready("i2", 1);
    expect_sent("ack routes 1\n");
    shards_session_ops.on_report(all);
    expect_sent("report instances=2\n");
    stall_shard(1, &go);
    /* Told in time, with what is known of the other; so are metrics, and what is for shard 0 alone. */
    sent[0] = '\0';
    shards_session_ops.on_report(all);
    expect_sent("report instances=2\n");
    shards_collect_metrics(all);
    want_slots(1);
    expect_sent("slot i1");
    ck_assert_ptr_null(strstr(sent, "slot i2"));
    route(2, 1);
    ck_assert(!has_sent((void *)"ack routes 2"));
    atomic_store(&go, true);
    expect_sent("ack routes 2\n");
    sent[0] = '\0';
    shards_session_ops.on_report(all);
    expect_sent("report instances=2\n");
    end();
}
END_TEST

/* ---------------------------------------------------------------- logs */
static void ask_logs(uint64_t id, uint32_t tail, bool follow, bool cancel)
{
    Rouse__Control__V1__LogRequest r = ROUSE__CONTROL__V1__LOG_REQUEST__INIT;
    ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    r.id = id;
    r.function_key = (char *)FUNCTION;
    r.tail_lines = tail;
    r.follow = follow;
    r.cancel = cancel;
    m.log_request = &r;
    tell(&m, ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_LOG_REQUEST);
}

static void print(struct box *b, const char *line)
{
    ck_assert_int_eq(write(b->out, line, strlen(line)), (ssize_t)strlen(line));
}

START_TEST(logs_of_all_are_one_text)
{
    struct box *a, *b;

    begin(2);
    connect_controller();
    desire(1, 0, PACKAGE, "i1 i2", "");
    a = box_ready("i1", 1);
    b = box_ready("i2", 1);
    ask_logs(1, 10, true, false);
    print(a, "of one\n");
    expect_sent("- of one\n");
    print(b, "of two\n");
    expect_sent("- of two\n");
    print(a, "again of one\n");
    expect_sent("- again of one\n");
    ask_logs(1, 0, false, true);
    sent[0] = '\0';
    ask_logs(2, 2, false, false);
    expect_sent("chunk 2 last:");
    ck_assert_uint_eq(count_sent("chunk 2"), 2);
    ck_assert_ptr_null(strstr(sent, "- of one\n"));
    ck_assert_ptr_nonnull(strstr(sent, "- of two\n"));
    ck_assert_ptr_nonnull(strstr(strstr(sent, "- of two\n"), "- again of one\n"));
    end();
}
END_TEST

/* ---------------------------------------------------------------- the end */
static bool drained;
static void on_drained(void *user)
{
    (void)user;
    drained = true;
}
static bool all_drained(void *user)
{
    (void)user;
    serve_all();
    return drained;
}
static bool invoked(void *user)
{
    struct box *b = user;

    peer_read(&b->rt);
    return buffer_size(&b->rt.in) > 0;
}

START_TEST(a_drain_finishes_what_runs)
{
    struct peer client;
    struct box *b;

    begin(3);
    connect_controller();
    route(1, 0);
    desire(1, 0, PACKAGE, "i1", "");
    expect_sent("ack routes 1\n");
    b = box_ready("i1", 64);
    ask(&client);
    wait_for(invoked, b);
    shards_drain(all, clock_monotonic_ns() + 20 * NS_PER_S, on_drained, NULL);
    for (unsigned i = 0; i < 4; i++) { /* what is told at the end of a turn has come, too */
        let_shard_catch_up(1 + i % 2);
        take_mail();
    }
    ck_assert(!drained);
    wait_for(all_drained, NULL);
    expect_answer(&client, "i1");
    end();
}
END_TEST

START_TEST(an_end_with_everything_under_way)
{
    begin(4);
    connect_controller();
    route(1, 0);
    desire(1, 0, PACKAGE, "i1 i2 i3 i4 i5 i6 i7 i8", "");
    box_ready("i2", 1);
    box_start("i3");
    shards_session_ops.on_report(all);
    shards_collect_metrics(all);
    ask_logs(1, 0, true, false);
    take_down_all(); /* what the cache gave to a loop that had ended stays held: the cache goes, too */
}
END_TEST

START_TEST(one_loop_is_as_ever)
{
    struct peer client;

    begin(1);
    connect_controller();
    ck_assert_uint_eq(hellos, 1);
    route(1, 0);
    desire(1, 0, PACKAGE, "i1", "");
    expect_sent("ack desired 1\n");
    box_ready("i1", 1);
    ask(&client);
    expect_answer(&client, "i1");
    shards_session_ops.on_report(all);
    expect_sent("report instances=1\nload " FUNCTION " requests=1\n");
    shards_collect_metrics(all);
    ck_assert_uint_eq(shows, 1);
    want_slots(1);
    expect_sent("slot i1");
    end();
}
END_TEST

START_TEST(a_failure_to_start_names_the_loop)
{
    struct shards_config c = {.count = 2,
                              .launcher = &the_launcher,
                              .code = (struct code_cache *)&the_cache,
                              .state_dir = state,
                              .node = "n1",
                              .gateway_address = gateway,
                              .peer_address = "tcp://127.0.0.1:0",
                              .controller = "tcp://127.0.0.1:7082",
                              .api = "http://127.0.0.1:7080",
                              .queue_deadline_ns = NS_PER_S};
    struct shards *other = NULL;
    struct err e = {0};

    begin(2);
    /* Its port is another agent's, although both would share theirs among their loops. */
    c.loop = loop;
    c.runtimes = the_runtimes;
    ck_assert_int_eq(shards_new(&c, &other, &e), -EADDRINUSE);
    expect_text(e.message, "--gateway-address tcp://127.0.0.1:");
    shards_end(other);
    shards_free(other);
    /* So are its sockets. */
    c.gateway_address = "tcp://127.0.0.1:0";
    other = NULL;
    ck_assert_int_eq(shards_new(&c, &other, &e), -EADDRINUSE);
    expect_text(e.message, "loop 0: its socket ");
    shards_end(other);
    shards_free(other);
    end();
}
END_TEST

UNIT_MAIN("shards", a_state_is_split_and_acknowledged_by_all, hello_is_gathered,
          an_end_that_was_lost_on_its_way_is_told_again,
          what_is_lost_with_a_hello_under_way_is_told_again, what_follows_a_part_waits_for_the_whole,
          no_change_is_lost_while_others_are_waited_for, failures_to_start_find_their_instance,
          a_package_that_is_not_there, nobody_waits_for_the_package_any_more,
          slots_are_offered_once, a_request_finds_the_sibling_that_has_the_slot,
          a_slot_goes_back_to_its_loop, leases_end_with_the_connection,
          a_slot_granted_to_nobody_goes_back_to_its_loop, a_grant_finds_its_ticket_and_its_slot,
          a_busy_shard_delays_nobody, logs_of_all_are_one_text, a_drain_finishes_what_runs,
          an_end_with_everything_under_way, one_loop_is_as_ever, a_failure_to_start_names_the_loop)
