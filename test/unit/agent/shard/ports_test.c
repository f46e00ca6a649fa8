/* What the launcher is told of the platform's ports, and when. */
#include "shard/ports.h"
#include "base/clock.h"
#include "launcher/launcher.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static char told[4096];
static unsigned times;
static struct loop *loop;
static bool running;

int launcher_ports(struct launcher *l, const char *const *addresses)
{
    (void)l;
    times++;
    *told = '\0';
    for (size_t i = 0; addresses[i]; i++) {
        strcat(told, addresses[i]);
        strcat(told, " ");
    }
    if (running)
        loop_stop(loop);
    return 0;
}

/* Its second is over now. */
static void run(struct ports *p)
{
    ck_assert(loop_timer_armed(&p->timer));
    loop_timer_set(loop, &p->timer, clock_monotonic_ns());
    running = true;
    loop_run(loop);
    running = false;
}

static bool has(const char *address)
{
    return strstr(told, address);
}

static void nodes(struct ports *p, bool all, const char *name, const char *gateway,
                  const char *peer, const char *removed)
{
    Rouse__Control__V1__Nodes m = ROUSE__CONTROL__V1__NODES__INIT;
    Rouse__Control__V1__NodeAddresses a = ROUSE__CONTROL__V1__NODE_ADDRESSES__INIT, *list = &a;
    char *gone = (char *)removed;

    a.node = (char *)name;
    a.gateway_address = (char *)gateway;
    a.peer_address = (char *)peer;
    m.all = all;
    m.nodes = &list;
    m.n_nodes = name ? 1 : 0;
    m.removed = &gone;
    m.n_removed = removed ? 1 : 0;
    ports_nodes(p, &m);
}

START_TEST(what_is_told)
{
    struct ports p;

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(ports_init(&p, loop, NULL, "tls://10.0.0.1:7082", "https://10.0.0.1/x", false),
                     0);
    ck_assert_uint_eq(times, 1);
    ck_assert_str_eq(told, "tcp://10.0.0.1:443 tcp://10.0.0.1:7082 ");
    ports_front(&p, "tcp://10.0.0.1:7081");
    nodes(&p, true, "n2", "tcp://10.0.0.2:8080", "tcp://10.0.0.2:8081", NULL);
    nodes(&p, false, "n3", "tcp://10.0.0.3:8080", "tcp://10.0.0.3:8081", NULL);
    ck_assert_uint_eq(times, 1); /* later, and together */
    run(&p);
    ck_assert_uint_eq(times, 2);
    ck_assert(has("10.0.0.1:7081") && has("10.0.0.2:8080") && has("10.0.0.2:8081") &&
              has("10.0.0.3:8080"));
    nodes(&p, false, "n2", "tcp://10.0.0.22:8080", "tcp://10.0.0.22:8081", "n3");
    run(&p);
    ck_assert(has("10.0.0.22:8081") && !has("10.0.0.2:8081") && !has("10.0.0.3"));
    nodes(&p, true, NULL, NULL, NULL, NULL);
    run(&p);
    ck_assert(!has("10.0.0.22") && has("10.0.0.1:7082"));
    ports_front(&p, "tcp://10.0.0.1:7081"); /* as before: nothing to tell */
    ck_assert(!loop_timer_armed(&p.timer));
    ports_done(&p);
    loop = loop_free(loop);
}
END_TEST

START_TEST(gateways_may_be_left_out)
{
    struct ports p;

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(
        ports_init(&p, loop, NULL, "tcp://[fd00::1]:7082", "http://[fd00::1]:7080", true), 0);
    ck_assert_str_eq(told, "tcp://[fd00::1]:7080 tcp://[fd00::1]:7082 ");
    ports_front(&p, "tcp://[fd00::1]:7081");
    nodes(&p, false, "n2", "tcp://10.0.0.2:8080", "tcp://10.0.0.2:8081", NULL);
    run(&p);
    ck_assert(has("10.0.0.2:8081") && !has(":8080") && !has(":7081"));
    ports_done(&p);
    loop = loop_free(loop);
}
END_TEST

START_TEST(too_many_nodes)
{
    struct ports p;

    ck_assert_int_eq(loop_new(&loop), 0);
    ck_assert_int_eq(ports_init(&p, loop, NULL, "tcp://10.0.0.1:7082", "http://10.0.0.1", false), 0);
    for (int i = 0; i < PORTS_NODES_MAX + 5; i++) {
        char name[16];

        snprintf(name, sizeof(name), "n%d", i);
        nodes(&p, false, name, "", "", NULL);
    }
    ck_assert_uint_eq(p.nodes.count, PORTS_NODES_MAX);
    ck_assert(p.full);
    ports_done(&p);
    loop = loop_free(loop);
}
END_TEST

UNIT_MAIN("ports", what_is_told, gateways_may_be_left_out, too_many_nodes)
