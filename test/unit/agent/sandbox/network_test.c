/* Egress for real, in a network of the test's own: the "node" is a network namespace with an uplink
 * to an "outside" namespace, where a server tells each client its address. */
#include "agent/sandbox/bench.h"

#include <arpa/inet.h>
#include <sys/prctl.h>

#define NODE    "192.0.2.1"
#define OUTSIDE "192.0.2.2"
#define PORT    5353

static int listen_any(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    return fd;
}

static void serve_addresses(int listener)
{
    for (;;) {
        struct sockaddr_in peer;
        socklen_t n = sizeof(peer);
        int fd = accept(listener, (struct sockaddr *)&peer, &n);
        char text[32];

        inet_ntop(AF_INET, &peer.sin_addr, text, sizeof(text));
        strcat(text, "\n");
        if (fd < 0 || write(fd, text, strlen(text)) < 0)
            _exit(1);
        close(fd);
    }
}

/* Its pid; it says on a pipe when it has its namespace, and hears when its link is there. */
static pid_t start_outside(void)
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
            shell("ip addr add " OUTSIDE "/24 dev out0 && ip addr add 169.254.169.254/32 dev out0 && "
                  "ip link set out0 up"))
            _exit(1);
        close(ready[0]);
        int listener = listen_any();
        if (write(ready[1], "s", 1) != 1)
            _exit(1);
        serve_addresses(listener);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    {
        char command[256];

        snprintf(command, sizeof(command),
                 "ip link set lo up && ip link add up0 type veth peer name out0 netns %d && "
                 "ip addr add " NODE "/24 dev up0 && ip link set up0 up && "
                 "ip route add default via " OUTSIDE,
                 pid);
        ck_assert_int_eq(shell(command), 0);
    }
    ck_assert_int_eq(write(go[1], "g", 1), 1);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    return pid;
}

START_TEST(egress_and_nothing_else)
{
    static const char *const victim[] = {"/bin/sh", "-c",
                                         "ip -4 -o addr show eth0 | sed 's/.*inet //;s,/.*,,';"
                                         "exec nc -l -p 5353",
                                         NULL};
    char script[1024], address[32] = "", *out;
    struct bench b;
    struct sandbox_spec s;
    struct names names;
    int node_service;
    pid_t outside;

    NEED();
    if (shell("ip -V >/dev/null 2>&1 && nft -v >/dev/null 2>&1")) {
        printf("skipped: no ip or nft\n");
        return;
    }
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    outside = start_outside();
    node_service = listen_any();
    bench_open(&b);
    if (launcher_warning(b.launcher) && strstr(launcher_warning(b.launcher), "loopback")) {
        printf("skipped: %s\n", launcher_warning(b.launcher));
        goto end;
    }
    s = spec_of(&b, victim);
    s.id = "victim";
    s.kind.network = SANDBOX_NETWORK_EGRESS;
    ck_assert_int_eq(launcher_create(b.launcher, &s), 0);
    run_until(&b, 's');
    fcntl(b.at.stdout_fd, F_SETFL, 0);
    ck_assert_int_gt(read(b.at.stdout_fd, address, sizeof(address) - 1), 8);
    address[strcspn(address, "\n")] = '\0';
    close(b.at.stdout_fd);
    close(b.at.stderr_fd);

    /* What it listens on is not there for the node's processes: neither taken nor refused. */
    snprintf(script, sizeof(script), "timeout 2 bash -c '</dev/tcp/%s/5353' 2>/dev/null", address);
    ck_assert_int_eq(shell(script), 124);
    snprintf(script, sizeof(script),
             "nc -w 5 " OUTSIDE " 5353 </dev/null || echo no-outside\n"
             "g=$(ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p')\n"
             "for a in " NODE " $g %s 169.254.169.254 127.0.0.1; do\n"
             "  nc -w 1 $a 5353 </dev/null 2>/dev/null && echo reached $a\n"
             "done\n"
             "ip addr add 10.9.8.7/32 dev eth0 2>/dev/null || echo no-admin\n"
             "ip link | grep -c '^[0-9]'; ip -6 addr show eth0 | wc -l\n"
             "echo end\n",
             address);
    s.id = "attacker";
    out = run_script(&b, &s, script);
    ck_assert_str_eq(out, NODE "\nno-admin\n2\n0\nend\n");
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
    ck_assert_int_ne(shell("ip -o link | grep -q ' r[0-9a-f]*@'"), 0);
    ck_assert_int_eq(shell("test -z \"$(nft list tables)\""), 0);
    kill(outside, SIGKILL);
    waitpid(outside, NULL, 0);
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
    ck_assert_int_eq(shell("test $(nft list ruleset | grep masquerade | sort -u | wc -l) = 2"), 0);
    bench_close(&b);
    ck_assert_int_eq(shell("test $(nft list tables | wc -l) = 1"), 0);
    bench_close(&a);
    ck_assert_int_eq(shell("test $(nft list tables | wc -l) = 0"), 0);
}
END_TEST

UNIT_MAIN("network", egress_and_nothing_else, two_platforms)
