/* The control channel's golden messages (proto/control.golden), both ways. Runs in the project's
 * root.
 */
#include "base/cleanup.h"
#include "base/hex.h"
#include "control.pb-c.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define GOLDEN  "proto/control.golden"
#define TEXT(s) ((char *)(uintptr_t)(s))

/* Each builds its message in static memory: what the golden line says, written down a second time.
 */
static const ProtobufCMessage *hello(void)
{
    static Rouse__Control__V1__Hello__LabelsEntry zone =
        ROUSE__CONTROL__V1__HELLO__LABELS_ENTRY__INIT;
    static Rouse__Control__V1__Hello__LabelsEntry *labels[] = {&zone};
    static Rouse__Control__V1__RuntimeInfo python = ROUSE__CONTROL__V1__RUNTIME_INFO__INIT;
    static Rouse__Control__V1__RuntimeInfo *runtimes[] = {&python};
    static Rouse__Control__V1__Resources allocatable = ROUSE__CONTROL__V1__RESOURCES__INIT;
    static Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT;
    static Rouse__Control__V1__InstanceStatus instance = ROUSE__CONTROL__V1__INSTANCE_STATUS__INIT;
    static Rouse__Control__V1__InstanceStatus *instances[] = {&instance};
    static Rouse__Control__V1__Hello h = ROUSE__CONTROL__V1__HELLO__INIT;
    static Rouse__Control__V1__AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    zone.key = TEXT("zone");
    zone.value = TEXT("a");
    python.name = TEXT("python3");
    python.digest = TEXT("sha256:00");
    allocatable.memory = 1ull << 34;
    allocatable.cpu = 2000;
    epoch.incarnation = 7;
    epoch.sequence = 300;
    instance.id = TEXT("i1");
    instance.function_key = TEXT("default/hello");
    instance.revision = TEXT("r1");
    instance.state = ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_READY;
    instance.slots = 1;
    h.protocol = 1;
    h.node = TEXT("node-1");
    h.incarnation = 0x0102030405060708;
    h.architecture = TEXT("amd64");
    h.n_labels = h.n_runtimes = h.n_instances = 1;
    h.labels = labels;
    h.allocatable = &allocatable;
    h.runtimes = runtimes;
    h.gateway_address = TEXT("tcp://10.1.0.2:8080");
    h.peer_address = TEXT("tcp://10.1.0.2:8081");
    h.instances = instances;
    h.desired = &epoch;
    h.version = TEXT("0.1");
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO;
    m.hello = &h;
    return &m.base;
}

static const ProtobufCMessage *failed_instance(void)
{
    static Rouse__Control__V1__PhaseTimes phases = ROUSE__CONTROL__V1__PHASE_TIMES__INIT;
    static Rouse__Control__V1__InstanceStatus s = ROUSE__CONTROL__V1__INSTANCE_STATUS__INIT;
    static Rouse__Control__V1__AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    phases.fetch = 1;
    phases.sandbox = 200;
    phases.runtime = 30000;
    s.id = TEXT("i2");
    s.function_key = TEXT("default/caf\xc3\xa9");
    s.revision = TEXT("r2");
    s.state = ROUSE__CONTROL__V1__INSTANCE_STATE__INSTANCE_FAILED;
    s.reason = TEXT("OOMKilled");
    s.exit_code = -1;
    s.signal = 9;
    s.phases = &phases;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_INSTANCE_STATUS;
    m.instance_status = &s;
    return &m.base;
}

static const ProtobufCMessage *ticket(void)
{
    static Rouse__Control__V1__Ticket t = ROUSE__CONTROL__V1__TICKET__INIT;
    static Rouse__Control__V1__AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    t.id = UINT64_MAX;
    t.method = TEXT("GET");
    t.host = TEXT("localhost");
    t.path = TEXT("/hello/serverless");
    t.deadline_in_ms = 30000;
    t.held_bytes = 65536;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_TICKET;
    m.ticket = &t;
    return &m.base;
}

static const ProtobufCMessage *report(void)
{
    static Rouse__Control__V1__FunctionLoad load = ROUSE__CONTROL__V1__FUNCTION_LOAD__INIT;
    static Rouse__Control__V1__FunctionLoad *loads[] = {&load};
    static Rouse__Control__V1__Report r = ROUSE__CONTROL__V1__REPORT__INIT;
    static Rouse__Control__V1__AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    load.function_key = TEXT("default/hello");
    load.concurrency = 0.5;
    load.requests = 12;
    r.interval_ms = 1000;
    r.n_functions = 1;
    r.functions = loads;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_REPORT;
    m.report = &r;
    return &m.base;
}

static const ProtobufCMessage *log_chunk(void)
{
    static uint8_t text[] = {'a', '\n', 0x00, 0xff};
    static Rouse__Control__V1__LogChunk l = ROUSE__CONTROL__V1__LOG_CHUNK__INIT;
    static Rouse__Control__V1__AgentMessage m = ROUSE__CONTROL__V1__AGENT_MESSAGE__INIT;

    l.request = 3;
    l.text.data = text;
    l.text.len = sizeof(text);
    l.last = 1;
    m.body_case = ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_LOG_CHUNK;
    m.log_chunk = &l;
    return &m.base;
}

static const ProtobufCMessage *desired(void)
{
    static Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT,
                                     since = ROUSE__CONTROL__V1__EPOCH__INIT;
    static Rouse__Control__V1__EnvVar var = ROUSE__CONTROL__V1__ENV_VAR__INIT;
    static Rouse__Control__V1__EnvVar *env[] = {&var};
    static Rouse__Control__V1__RevisionSpec spec = ROUSE__CONTROL__V1__REVISION_SPEC__INIT;
    static Rouse__Control__V1__Lifecycle lifecycle = ROUSE__CONTROL__V1__LIFECYCLE__INIT;
    static Rouse__Control__V1__RevisionSpec *specs[] = {&spec};
    static Rouse__Control__V1__DesiredInstance instance = ROUSE__CONTROL__V1__DESIRED_INSTANCE__INIT;
    static Rouse__Control__V1__DesiredInstance *instances[] = {&instance};
    static char *removed[] = {TEXT("i1"), TEXT("i2")};
    static Rouse__Control__V1__Desired d = ROUSE__CONTROL__V1__DESIRED__INIT;
    static Rouse__Control__V1__ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    epoch.incarnation = since.incarnation = 7;
    epoch.sequence = 301;
    since.sequence = 300;
    var.name = TEXT("GREETING");
    var.value = TEXT("hi");
    spec.function_key = TEXT("default/hello");
    spec.revision = TEXT("r1");
    spec.runtime = TEXT("python3");
    spec.handler = TEXT("index.handler");
    spec.package = TEXT("sha256:00");
    spec.memory = 128u << 20;
    spec.cpu = 500;
    spec.timeout_ms = 3000;
    spec.concurrency = 1;
    spec.n_env = 1;
    spec.env = env;
    spec.network_none = 1;
    spec.port = 8080;
    lifecycle.initializer = TEXT("index.init");
    lifecycle.initializer_timeout_ms = 10000;
    lifecycle.pre_freeze = TEXT("index.freeze");
    lifecycle.pre_stop = TEXT("index.stop");
    lifecycle.after_fork = TEXT("index.after");
    spec.lifecycle = &lifecycle;
    spec.fork = 1;
    instance.id = TEXT("i3");
    instance.function_key = TEXT("default/hello");
    instance.revision = TEXT("r1");
    d.epoch = &epoch;
    d.since = &since;
    d.n_revisions = d.n_instances = 1;
    d.revisions = specs;
    d.instances = instances;
    d.n_removed = 2;
    d.removed = removed;
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_DESIRED;
    m.desired = &d;
    return &m.base;
}

static const ProtobufCMessage *routes(void)
{
    static Rouse__Control__V1__Epoch epoch = ROUSE__CONTROL__V1__EPOCH__INIT,
                                     since = ROUSE__CONTROL__V1__EPOCH__INIT;
    static char *methods[] = {TEXT("GET"), TEXT("POST")};
    static char *hosts[] = {TEXT("api.example.com"), TEXT("*.example.org")};
    static Rouse__Control__V1__HttpTrigger users = ROUSE__CONTROL__V1__HTTP_TRIGGER__INIT,
                                           rest = ROUSE__CONTROL__V1__HTTP_TRIGGER__INIT;
    static Rouse__Control__V1__HttpTrigger *triggers[] = {&users, &rest};
    static Rouse__Control__V1__Route route = ROUSE__CONTROL__V1__ROUTE__INIT;
    static Rouse__Control__V1__Route *list[] = {&route};
    static Rouse__Control__V1__Routes r = ROUSE__CONTROL__V1__ROUTES__INIT;
    static Rouse__Control__V1__ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    epoch.incarnation = since.incarnation = 7;
    epoch.sequence = 301;
    since.sequence = 300;
    users.path = TEXT("/users/{id}");
    users.methods = methods;
    users.n_methods = 2;
    users.hosts = hosts;
    users.n_hosts = 2;
    rest.path = TEXT("/static/*");
    route.function_key = TEXT("default/hello");
    route.revision = TEXT("r1");
    route.timeout_ms = 3000;
    route.concurrency = 1;
    route.triggers = triggers;
    route.n_triggers = 2;
    r.epoch = &epoch;
    r.since = &since;
    r.routes = list;
    r.n_routes = 1;
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_ROUTES;
    m.routes = &r;
    return &m.base;
}

static const ProtobufCMessage *grant(void)
{
    static Rouse__Control__V1__Grant g = ROUSE__CONTROL__V1__GRANT__INIT;
    static Rouse__Control__V1__ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    g.ticket = UINT64_MAX;
    g.function_key = TEXT("default/hello");
    g.revision = TEXT("r1");
    g.instance = TEXT("i3");
    g.node = TEXT("node-1");
    g.peer_address = TEXT("tcp://10.1.0.2:8081");
    g.slot = 9;
    g.timeout_ms = 3000;
    g.body_limit = 6u << 20;
    g.route = TEXT("GET /users/{id}");
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_GRANT;
    m.grant = &g;
    return &m.base;
}

static const ProtobufCMessage *refuse(void)
{
    static Rouse__Control__V1__Refuse r = ROUSE__CONTROL__V1__REFUSE__INIT;
    static Rouse__Control__V1__ControllerMessage m = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__INIT;

    r.ticket = 1;
    r.status = 405;
    r.reason = TEXT("MethodNotAllowed");
    r.allow = TEXT("GET");
    m.body_case = ROUSE__CONTROL__V1__CONTROLLER_MESSAGE__BODY_REFUSE;
    m.refuse = &r;
    return &m.base;
}

static const struct {
    const char *name;
    const ProtobufCMessage *(*build)(void);
} expected[] = {
    {"agent-hello", hello},         {"agent-failed-instance", failed_instance},
    {"agent-ticket", ticket},       {"agent-report", report},
    {"agent-log-chunk", log_chunk}, {"controller-desired", desired},
    {"controller-routes", routes},  {"controller-grant", grant},
    {"controller-refuse", refuse},
};
enum { EXPECTED = sizeof(expected) / sizeof(expected[0]) };

struct line {
    char name[64];
    uint8_t bytes[2048];
    size_t size;
};

static size_t read_golden(struct line *lines, size_t max)
{
    FILE *f = fopen(GOLDEN, "re");
    static char text[8192], hex[8192];
    size_t n = 0;

    ck_assert_ptr_nonnull(f);
    while (fgets(text, sizeof(text), f)) {
        if (text[0] == '#' || text[0] == '\n')
            continue;
        ck_assert_uint_lt(n, max);
        ck_assert_int_eq(sscanf(text, "%63s %8191s", lines[n].name, hex), 2);
        lines[n].size = strlen(hex) / 2;
        ck_assert_uint_le(lines[n].size, sizeof(lines[n].bytes));
        ck_assert_int_eq(hex_decode(lines[n].bytes, hex, lines[n].size), 0);
        n++;
    }
    fclose(f);
    return n;
}

static const ProtobufCMessageDescriptor *descriptor_of(const char *name)
{
    return strncmp(name, "agent-", 6) == 0 ? &rouse__control__v1__agent_message__descriptor
                                           : &rouse__control__v1__controller_message__descriptor;
}

static struct line lines[64];

START_TEST(packs_to_the_golden_bytes)
{
    size_t n = read_golden(lines, 64), found = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < EXPECTED; k++) {
            uint8_t packed[2048];
            const ProtobufCMessage *m;

            if (strcmp(lines[i].name, expected[k].name) != 0)
                continue;
            m = expected[k].build();
            ck_assert_uint_le(protobuf_c_message_get_packed_size(m), sizeof(packed));
            ck_assert_uint_eq(protobuf_c_message_pack(m, packed), lines[i].size);
            ck_assert_msg(memcmp(packed, lines[i].bytes, lines[i].size) == 0, "%s", lines[i].name);
            found++;
        }
    ck_assert_uint_eq(found, EXPECTED);
}
END_TEST

/* Every line that is not bad survives unpacking and packing, those of later versions too. */
START_TEST(unpacks_and_survives)
{
    size_t n = read_golden(lines, 64);

    for (size_t i = 0; i < n; i++) {
        ProtobufCMessage *m = protobuf_c_message_unpack(descriptor_of(lines[i].name), NULL,
                                                        lines[i].size, lines[i].bytes);
        uint8_t packed[2048];

        if (strstr(lines[i].name, "-bad-")) {
            ck_assert_msg(!m, "%s", lines[i].name);
            continue;
        }
        ck_assert_msg(m != NULL, "%s", lines[i].name);
        ck_assert_uint_eq(protobuf_c_message_get_packed_size(m), lines[i].size);
        protobuf_c_message_pack(m, packed);
        ck_assert_msg(memcmp(packed, lines[i].bytes, lines[i].size) == 0, "%s", lines[i].name);
        protobuf_c_message_free_unpacked(m, NULL);
    }
}
END_TEST

START_TEST(says_what_it_should)
{
    size_t n = read_golden(lines, 64), seen = 0;

    for (size_t i = 0; i < n; i++) {
        Rouse__Control__V1__AgentMessage *a;

        if (strcmp(lines[i].name, "agent-later-member") == 0) {
            a = rouse__control__v1__agent_message__unpack(NULL, lines[i].size, lines[i].bytes);
            ck_assert_ptr_nonnull(a);
            ck_assert_int_eq(a->body_case, ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY__NOT_SET);
            ck_assert_uint_eq(a->base.n_unknown_fields, 1);
            rouse__control__v1__agent_message__free_unpacked(a, NULL);
            seen++;
        }
        if (strcmp(lines[i].name, "agent-later-field") == 0) {
            a = rouse__control__v1__agent_message__unpack(NULL, lines[i].size, lines[i].bytes);
            ck_assert_ptr_nonnull(a);
            ck_assert_int_eq(a->body_case, ROUSE__CONTROL__V1__AGENT_MESSAGE__BODY_HELLO);
            ck_assert_str_eq(a->hello->node, "n");
            ck_assert_uint_eq(a->hello->base.n_unknown_fields, 1);
            rouse__control__v1__agent_message__free_unpacked(a, NULL);
            seen++;
        }
        if (strcmp(lines[i].name, "agent-later-state") == 0) {
            a = rouse__control__v1__agent_message__unpack(NULL, lines[i].size, lines[i].bytes);
            ck_assert_ptr_nonnull(a);
            ck_assert_int_eq((int)a->instance_status->state, 77);
            rouse__control__v1__agent_message__free_unpacked(a, NULL);
            seen++;
        }
    }
    ck_assert_uint_eq(seen, 3);
}
END_TEST

UNIT_MAIN("golden", packs_to_the_golden_bytes, unpacks_and_survives, says_what_it_should)
