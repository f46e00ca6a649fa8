/* Egress for real, in a network of the test's own: the "node" is a network namespace with an uplink
 * to an "outside" namespace, where a server tells each client its address. */
#include "agent/launcher/bench.h"

#include <arpa/inet.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#define NODE    "192.0.2.1"
#define OUTSIDE "192.0.2.2"
#define PORT    5353

static int listen_any(void)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    return fd;
}

static void serve_addresses(int listener)
{
    for (;;) {
        struct sockaddr_in6 peer;
        socklen_t n = sizeof(peer);
        int fd = accept(listener, (struct sockaddr *)&peer, &n);
        char text[64];

        inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof(text));
        strcat(text, "\n");
        if (fd < 0 || write(fd, text, strlen(text)) < 0)
            _exit(1);
        close(fd);
    }
}

/* A server of names on `address`: answers every question with 192.0.2.53 until it is killed. */
static pid_t serve_names(const char *address)
{
    static const uint8_t answer[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 53};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53)}, from;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(from);
    uint8_t b[512];
    ssize_t n;
    pid_t pid;

    inet_pton(AF_INET, address, &at.sin_addr);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    pid = fork();
    if (pid) {
        close(fd);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while ((n = recvfrom(fd, b, sizeof(b) - sizeof(answer), 0, (struct sockaddr *)&from, &size)) >
           12) {
        bool a = b[n - 3] == 1; /* of type A */

        b[2] |= 0x80;
        b[7] = a;
        memset(b + 8, 0, 4);
        if (a)
            memcpy(b + n, answer, sizeof(answer));
        sendto(fd, b, (size_t)n + (a ? sizeof(answer) : 0), 0, (struct sockaddr *)&from, size);
    }
    _exit(1);
}

/* A process in a network namespace of its own that is linked to this one, whose default routes lead there. Its
 * pid; it says on a pipe when it has its namespace, and hears when its link is there. */
static pid_t start_outside(bool six)
{
    int ready[2], go[2];
    char byte;
    pid_t pid;

    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(go), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "r", 1) != 1 || read(go[0], &byte, 1) != 1 ||
            shell("for a in " OUTSIDE
                  "/24 192.0.2.65/32 192.0.2.66/32 10.0.0.53/32 169.254.169.254/32; do "
                  "ip addr add $a dev out0 || exit 1; done; ip link set out0 up; "
                  "for a in 2001:db8::2/64 2001:db8::66/128 64:ff9b::c000:242/128; do "
                  "ip addr add $a dev out0 nodad; done; true"))
            _exit(1);
        close(ready[0]);
        serve_names("10.0.0.53");
        int listener = listen_any();
        if (write(ready[1], "s", 1) != 1)
            _exit(1);
        serve_addresses(listener);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    {
        char command[512];

        snprintf(command, sizeof(command),
                 "ip link set lo up && ip link add up0 mtu 1400 type veth peer name out0 mtu 1400 netns %d && "
                 "ip addr add " NODE "/24 dev up0 && ip link set up0 up && "
                 "ip route add default via " OUTSIDE " && "
                 "if %s; then ip addr add 2001:db8::1/64 dev up0 nodad && "
                 "ip route add default via 2001:db8::2; fi",
                 pid, six ? "true" : "false");
        ck_assert_int_eq(shell(command), 0);
    }
    ck_assert_int_eq(write(go[1], "g", 1), 1);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    return pid;
}

/* A socket for datagrams to port 5454, in that process's network namespace. */
static int outside_datagrams(pid_t outside)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(5454)};
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there, fd;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/net", outside);
    there = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(setns(there, CLONE_NEWNET), 0);
    fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(setns(home, CLONE_NEWNET), 0);
    close(there);
    close(home);
    return fd;
}

/* This machine's resolv.conf, for this process and its children. */
static void set_resolv_conf(const char *text)
{
    char path[] = "/tmp/rouse-resolv-XXXXXX";
    int fd = mkstemp(path);

    ck_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert_int_eq(mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL), 0);
    unlink(path);
}

/* This process is the node then, and the pid is that of the outside; 0: skipped. */
static pid_t begin(bool six)
{
    const char *why = missing();

    if (!why && shell("ip -V >/dev/null 2>&1 && nft -v >/dev/null 2>&1"))
        why = "no ip or nft";
    if (why) {
        printf("skipped: %s\n", why);
        return 0;
    }
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    return start_outside(six);
}

/* A sandbox that writes its address, and listens. */
static void start_victim(struct bench *b, const char *script, char address[64])
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct sandbox_spec s = spec_of(b, argv);

    s.id = "victim";
    s.kind.network = SANDBOX_NETWORK_EGRESS;
    ck_assert_int_eq(launcher_create(b->launcher, &s), 0);
    run_until(b, 's');
    fcntl(b->at.stdout_fd, F_SETFL, 0);
    memset(address, 0, 64);
    ck_assert_int_gt(read(b->at.stdout_fd, address, 63), 4);
    address[strcspn(address, "\n")] = '\0';
    close(b->at.stdout_fd);
    close(b->at.stderr_fd);
}

static struct cidr block(const char *text)
{
    struct cidr c;

    ck_assert_int_eq(cidr_parse(text, strlen(text), &c), 0);
    return c;
}

/* For each "ADDRESS,PORT" of the list, "yes" or "no"; all at once, since a "no" takes a second. */
static void ask(struct bench *b, struct sandbox_spec *s, const char *list, const char *want)
{
    char script[1500], *out;

    snprintf(script, sizeof(script),
             "k=100; for a in %s; do k=$((k + 1)); { nc -w 1 ${a%%,*} ${a#*,} </dev/null >/dev/null 2>&1 "
             "&& echo -n 'yes ' || echo -n 'no '; } >/tmp/$k & done; wait; cat /tmp/*",
             list);
    out = run_script(b, s, script);
    ck_assert_msg(!strcmp(out, want), "%s: \"%s\", not \"%s\"", list, out, want);
    free(out);
}

/* The table's sets have, or have not, that text. */
static void await_table(const char *text, bool there)
{
    const uint64_t patience = clock_monotonic_ns() + 20 * NS_PER_S;
    char command[128];

    snprintf(command, sizeof(command), "nft list ruleset | grep -q '%s'", text);
    while ((shell(command) == 0) != there && clock_monotonic_ns() < patience)
        ;
    ck_assert_int_eq(shell(command) == 0, there);
}

static bool no_network(const struct bench *b)
{
    const char *why = launcher_warning(b->launcher);

    if (!why || !strstr(why, "loopback"))
        return false;
    printf("skipped: %s\n", why);
    return true;
}

static void end_outside(pid_t outside)
{
    ck_assert_int_ne(shell("ip -o link | grep -q ' r[0-9a-f]*@'"), 0);
    ck_assert_int_eq(shell("test -z \"$(nft list tables)\""), 0);
    kill(outside, SIGKILL);
    waitpid(outside, NULL, 0);
}

START_TEST(egress_and_nothing_else)
{
    char script[1024], address[64], *out;
    struct bench b;
    struct sandbox_spec s;
    struct names names;
    int node_service;
    pid_t outside;

    outside = begin(false);
    if (!outside)
        return;
    node_service = listen_any();
    bench_open(&b);
    if (no_network(&b))
        goto end;
    start_victim(&b, "ip -4 -o addr show eth0 | sed 's/.*inet //;s,/.*,,'; exec nc -l -p 5353",
                 address);
    /* What it listens on is not there for the node's processes: neither taken nor refused. */
    snprintf(script, sizeof(script), "timeout 1 bash -c '</dev/tcp/%s/5353' 2>/dev/null", address);
    ck_assert_int_eq(shell(script), 124);
    snprintf(script, sizeof(script),
             "nc -w 5 " OUTSIDE " 5353 </dev/null || echo no-outside\n"
             "g=$(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p')\n"
             "for a in " NODE " $g %s 169.254.169.254 127.0.0.1; do\n"
             "  nc -w 1 $a 5353 </dev/null 2>/dev/null && echo reached $a &\n"
             "done\n"
             "wait\n"
             "ip addr add 10.9.8.7/32 dev eth0 2>/dev/null || echo no-admin\n"
             "ip link | grep -c '^[0-9]'; ip -6 addr show eth0 | wc -l\n"
             "echo end\n",
             address);
    s = spec_of(&b, NULL);
    s.id = "attacker";
    s.kind.network = SANDBOX_NETWORK_EGRESS;
    out = run_script(&b, &s, script);
    ck_assert_str_eq(out, "::ffff:" NODE "\nno-admin\n2\n0\nend\n");
    free(out);
    /* The node itself is reached by others as before: the rules are about instances alone. */
    {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        inet_pton(AF_INET, NODE, &at.sin_addr);
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
        close(fd);
    }
    s.id = "lonely";
    s.kind.network = SANDBOX_NETWORK_NONE;
    out = run_script(
        &b, &s, "ip link | grep -c '^[0-9]'; nc -w 1 " OUTSIDE " 5353 2>/dev/null || echo alone");
    ck_assert_str_eq(out, "1\nalone\n");
    free(out);
    ck_assert_int_eq(names_init(b.state, &names), 0);
end:
    bench_close(&b);
    close(node_service);
    end_outside(outside);
}
END_TEST

#define LIST_SIZE(list) (sizeof(list) / sizeof(list[0]))

/* What an operator denies, but for the exceptions; what no function ever gets; and what of it is the platform's own. */
START_TEST(denied)
{
    struct cidr deny[] = {block("192.0.2.64/26"), block("2001:db8::66")};
    struct cidr allow[] = {block("192.0.2.65"), block("192.0.2.0/30")};
    const char *const ports[] = {"tcp://" OUTSIDE ":5353", "tcp://[2001:db8::2]:5353", NULL};
    const char *const none[] = {NULL};
    struct sandbox_spec s;
    struct bench b;
    pid_t outside;

    outside = begin(true);
    if (!outside)
        return;
    bench_make(&b);
    b.network = (struct network_config){
        .deny = deny, .deny_count = LIST_SIZE(deny), .allow = allow, .allow_count = LIST_SIZE(allow)};
    bench_launch(&b, false, &bench_ops);
    if (no_network(&b))
        goto end;
    s = spec_of(&b, NULL);
    s.kind.network = SANDBOX_NETWORK_EGRESS;
    ask(&b, &s, OUTSIDE ",5353 192.0.2.65,5353 192.0.2.66,5353 169.254.169.254,5353",
        "yes yes no no ");
    /* The platform's ports, exceptions or not. */
    ck_assert_int_eq(launcher_ports(b.launcher, ports), 0);
    await_table("2001:db8::2 . 5353", true);
    ask(&b, &s, OUTSIDE ",5353 192.0.2.65,5353", "no yes ");
    ck_assert_int_eq(launcher_ports(b.launcher, none), 0);
    await_table(" . 5353", false);
    ask(&b, &s, OUTSIDE ",5353", "yes ");
end:
    bench_close(&b);
    end_outside(outside);
}
END_TEST

/* IPv6 as IPv4, where the node has it. */
START_TEST(six)
{
    struct cidr deny[] = {block("192.0.2.64/26"), block("2001:db8::66")};
    const char *const ports[] = {"tcp://[2001:db8::2]:5353", NULL};
    char address[64], list[256], *out;
    struct sandbox_spec s;
    struct bench b;
    int node_service;
    pid_t outside;

    outside = begin(true);
    if (!outside)
        return;
    node_service = listen_any();
    bench_make(&b);
    b.network = (struct network_config){.deny = deny, .deny_count = LIST_SIZE(deny)};
    bench_launch(&b, false, &bench_ops);
    if (no_network(&b))
        goto end;
    start_victim(
        &b, "ip -6 -o addr show eth0 scope global | sed 's/.*inet6 //;s,/.*,,'; exec nc -l -p 5353",
        address);
    ck_assert_int_eq(strncmp(address, "fd72:", 5), 0);
    s = spec_of(&b, NULL);
    s.id = "attacker";
    s.kind.network = SANDBOX_NETWORK_EGRESS;
    /* Outside, denied, denied by NAT64's address, the node by its two addresses, the other instance, metadata. */
    snprintf(
        list, sizeof(list),
        "2001:db8::2,5353 2001:db8::66,5353 64:ff9b::c000:242,5353 2001:db8::1,5353 "
        "$(ip -6 route | sed -n 's/default via \\([0-9a-f:]*\\).*/\\1/p'),5353 %s,5353 fd00:ec2::254,5353",
        address);
    ask(&b, &s, list, "yes no no no no no no ");
    out = run_script(&b, &s,
                     "nc -w 5 2001:db8::2 5353 </dev/null; cat /sys/class/net/eth0/mtu 2>/dev/null;"
                     "ip link show eth0 | sed -n 's/.* mtu \\([0-9]*\\).*/\\1/p';"
                     "ip -6 addr show eth0 scope link | wc -l");
    ck_assert_str_eq(out, "2001:db8::1\n1400\n0\n");
    free(out);
    ck_assert_int_eq(launcher_ports(b.launcher, ports), 0);
    await_table("2001:db8::2 . 5353", true);
    ask(&b, &s, "2001:db8::2,5353", "no ");
end:
    bench_close(&b);
    close(node_service);
    end_outside(outside);
}
END_TEST

#define SPOOF_SOURCE "test/unit/agent/launcher/spoof_program.c"

/* A datagram with another's source does not leave: neither one of another instance, nor a stranger's. */
START_TEST(sources)
{
    char command[256], script[600], *out;
    struct timeval patience = {.tv_sec = 1};
    struct sandbox_spec s;
    struct bench b;
    pid_t outside;
    int heard, k = 0;
    char bytes[32];

    outside = begin(true);
    if (!outside)
        return;
    bench_open(&b);
    snprintf(command, sizeof(command), "cc -O1 -D_GNU_SOURCE -static -o %s/spoof " SPOOF_SOURCE,
             b.code);
    if (no_network(&b) || shell(command) != 0) {
        printf("skipped: no network, or no compiler for a static program\n");
        goto end;
    }
    /* Sockets of the outside's: one hears all datagrams. */
    heard = outside_datagrams(outside);
    ck_assert_int_eq(setsockopt(heard, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    s = spec_of(&b, NULL);
    s.kind.network = SANDBOX_NETWORK_EGRESS;
    /* Past the node's own masquerading there is only who answers: the last one is honest. */
    snprintf(script, sizeof(script),
             "a=$(ip -6 -o addr show eth0 scope global | sed 's/.*inet6 //;s,/.*,,')\n"
             "p=${a%%::*}\n"
             "for f in 2001:db8::77 $p::abcd fd00::1 2001:db8::1 ::1; do /var/task/spoof $f 2001:db8::2 5454 false; done\n"
             "for f in 198.51.100.7 " NODE " 127.0.0.1; do /var/task/spoof $f " OUTSIDE
             " 5454 false; done\n"
             "/var/task/spoof $a 2001:db8::2 5454 honest\n");
    out = run_script(&b, &s, script);
    ck_assert_msg(!strncmp(out, "sent\nsent\nsent\n", 15), "the kernel lets nobody try: %s", out);
    free(out);
    while (recv(heard, bytes, sizeof(bytes), 0) > 0) {
        ck_assert_int_eq(strncmp(bytes, "honest", 6), 0);
        k++;
    }
    ck_assert_int_eq(k, 1);
    close(heard);
end:
    bench_close(&b);
    end_outside(outside);
}
END_TEST

/* The node's way out comes after its agent: sandboxes made from then on have it, and IPv6. */
START_TEST(a_way_out_that_comes_late)
{
    const uint64_t patience = clock_monotonic_ns() + 30 * NS_PER_S;
    char *out = NULL;
    struct sandbox_spec s;
    struct bench b;
    pid_t outside;

    outside = begin(true);
    if (!outside)
        return;
    ck_assert_int_eq(shell("ip route del default && ip -6 route del default"), 0);
    ck_assert_int_eq(shell("echo 0 >/proc/sys/net/ipv4/conf/up0/forwarding"), 0);
    bench_open(&b);
    if (no_network(&b))
        goto end;
    s = spec_of(&b, NULL);
    s.kind.network = SANDBOX_NETWORK_EGRESS;
    out = run_script(&b, &s, "ip -6 addr show eth0 | wc -l");
    ck_assert_str_eq(out, "0\n");
    ck_assert_int_eq(
        shell("ip route add default via " OUTSIDE " && ip route add default via 2001:db8::2"), 0);
    do {
        free(out);
        out = run_script(&b, &s,
                         "nc -w 1 " OUTSIDE " 5353 </dev/null; nc -w 1 2001:db8::2 5353 </dev/null");
    } while (strcmp(out, "::ffff:" NODE "\n2001:db8::1\n") != 0 && clock_monotonic_ns() < patience);
    ck_assert_str_eq(out, "::ffff:" NODE "\n2001:db8::1\n");
    free(out);
end:
    bench_close(&b);
    end_outside(outside);
}
END_TEST

/* A server of names in a denied range is asked nevertheless, and for nothing but names. */
START_TEST(names_of_a_denied_range)
{
    struct cidr deny = block("10.0.0.0/8");
    struct sandbox_spec s;
    struct bench b;
    pid_t outside;
    char *out;

    outside = begin(false);
    if (!outside)
        return;
    set_resolv_conf("nameserver 10.0.0.53\n");
    bench_make(&b);
    b.network = (struct network_config){.deny = &deny, .deny_count = 1};
    bench_launch(&b, false, &bench_ops);
    if (no_network(&b))
        goto end;
    s = spec_of(&b, NULL);
    s.kind.network = SANDBOX_NETWORK_EGRESS;
    out = run_script(
        &b, &s, "cat /etc/resolv.conf; nslookup -type=a some.name 10.0.0.53 | grep -c 192.0.2.53");
    ck_assert_str_eq(out, "nameserver 10.0.0.53\n1\n");
    free(out);
    ask(&b, &s, "10.0.0.53,5353 " OUTSIDE ",5353", "no yes ");
end:
    bench_close(&b);
    end_outside(outside);
}
END_TEST

/* The node's resolver is on its loopback: instances reach that and nothing else there. */
START_TEST(names_from_loopback)
{
    struct sandbox_spec s;
    struct bench b;
    pid_t outside, server, other;
    char *out;

    outside = begin(false);
    if (!outside)
        return;
    set_resolv_conf("nameserver 127.0.0.1\nsearch lan\n");
    server = serve_names("127.0.0.1");
    other = serve_names("127.0.0.2");
    int service = listen_any();
    bench_open(&b);
    if (no_network(&b))
        goto end;
    s = spec_of(&b, NULL);
    s.kind.network = SANDBOX_NETWORK_EGRESS;
    out = run_script(&b, &s,
                     "grep -c nameserver /etc/resolv.conf; grep search /etc/resolv.conf\n"
                     "r=$(sed -n 's/nameserver //p' /etc/resolv.conf)\n"
                     "nslookup -type=a some.name $r | grep -c 192.0.2.53\n"
                     "timeout 1 nslookup -type=a some.name 127.0.0.2 2>&1 | grep -c 192.0.2.53\n"
                     "nc -w 1 $r 5353 </dev/null && echo reached\n"
                     "ip route get $r | grep -c eth0\n");
    ck_assert_str_eq(out, "1\nsearch lan\n1\n0\n1\n");
    free(out);
end:
    bench_close(&b);
    close(service);
    kill(server, SIGKILL);
    kill(other, SIGKILL);
    waitpid(server, NULL, 0);
    waitpid(other, NULL, 0);
    end_outside(outside);
}
END_TEST

/* This node's gateway is for instances where the operator says so. */
START_TEST(gateway)
{
    struct sandbox_spec s;
    struct bench b;
    pid_t outside, service;
    int listener;

    outside = begin(false);
    if (!outside)
        return;
    listener = listen_any();
    service = fork();
    if (service == 0)
        serve_addresses(listener);
    close(listener);
    bench_make(&b);
    b.network = (struct network_config){.gateway = "tcp://" NODE ":5353"};
    bench_launch(&b, false, &bench_ops);
    if (no_network(&b))
        goto end;
    s = spec_of(&b, NULL);
    s.kind.network = SANDBOX_NETWORK_EGRESS;
    ask(&b, &s, NODE ",5353 $(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p'),5353",
        "yes no ");
end:
    bench_close(&b);
    kill(service, SIGKILL);
    waitpid(service, NULL, 0);
    end_outside(outside);
}
END_TEST

/* Two platforms on one node get different addresses, and the end of one leaves the other's table.
 */
START_TEST(two_platforms)
{
    struct bench a, b;

    NEED();
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    ck_assert_int_eq(shell("ip link set lo up"), 0);
    bench_open(&a);
    if (launcher_warning(a.launcher)) {
        printf("skipped: %s\n", launcher_warning(a.launcher));
        bench_close(&a);
        return;
    }
    bench_open(&b);
    ck_assert_int_eq(shell("test $(nft list tables | wc -l) = 2"), 0);
    ck_assert_int_eq(
        shell("test $(nft list ruleset | grep 'ip saddr.*masquerade' | sort -u | wc -l) = 2"), 0);
    bench_close(&b);
    ck_assert_int_eq(shell("test $(nft list tables | wc -l) = 1"), 0);
    bench_close(&a);
    ck_assert_int_eq(shell("test $(nft list tables | wc -l) = 0"), 0);
}
END_TEST

UNIT_MAIN("network", egress_and_nothing_else, denied, six, sources, a_way_out_that_comes_late,
          names_of_a_denied_range, names_from_loopback, gateway, two_platforms)
