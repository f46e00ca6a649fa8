/* Node pools and nodes in the API: what admission says of a pool, and what may be done to a node. */
#include "api_world.h"

#define POOLS "/apis/rouse.dev/v1/nodepools"
static const char *pool_manifest(const char *name, const char *spec)
{
    static char text[1024];

    snprintf(text, sizeof(text),
             "{\"apiVersion\":\"rouse.dev/v1\",\"kind\":\"NodePool\",\"metadata\":{\"name\":\"%s\"},"
             "\"spec\":{%s}}",
             name, spec);
    return text;
}

START_TEST(node_pools)
{
    static const char plain[] =
        "\"provider\":\"process\",\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\"}";
    static const char hook[] = "\"provider\":\"hook\",\"hook\":{\"command\":\"cloud\"},"
                               "\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\"}";
    static const struct {
        const char *spec, *answer;
    } wrong[] = {
        {"\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\"}", "spec.provider"},
        {"\"provider\":\"process\"", "spec.template"},
        {"\"provider\":\"process\",\"template\":{\"memory\":\"1Gi\"}", "spec.template.cpu"},
        {"\"provider\":\"hook\",\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\"}", "spec.hook"},
        {"\"provider\":\"hook\",\"hook\":{\"command\":\"../x\"},\"template\":{\"memory\":\"1Gi\","
         "\"cpu\":\"2\"}",
         "spec.hook.command"},
        {"\"provider\":\"process\",\"hook\":{\"command\":\"x\"},\"template\":{\"memory\":\"1Gi\","
         "\"cpu\":\"2\"}",
         "spec.hook"},
        {"\"provider\":\"process\",\"min\":3,\"max\":2,\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\"}",
         "spec.max"},
        {"\"provider\":\"process\",\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\",\"labels\":{\"no "
         "blanks\":\"1\"}}",
         "spec.template.labels"},
        {"\"provider\":\"process\",\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\",\"taints\":[{\"key\":\"a\","
         "\"effect\":\"NoExecute\"}]}",
         "spec.template.taints[0].effect"},
        {"\"provider\":\"process\",\"template\":{\"memory\":\"1Gi\",\"cpu\":\"2\",\"taints\":[{\"key\":\"/\"}]}",
         "spec.template.taints"},
    };

    begin(NULL);
    ck_assert_int_eq(call("POST", POOLS, JSON, pool_manifest("big", plain)), 201);
    answered("\"delayAfterAdd\":\"10m\"");
    answered("\"status\":{\"nodes\":0,\"ready\":0,\"desired\":0}");
    ck_assert_ptr_null(strstr(answer, "namespace"));
    ck_assert_int_eq(call("POST", POOLS, JSON, pool_manifest("big", plain)), 409);
    ck_assert_int_eq(call("PATCH", POOLS "/big", MERGE, "{\"spec\":{\"max\":7}}"), 200);
    answered("\"max\":7");
    answered("\"generation\":2");
    ck_assert_int_eq(call("GET", POOLS, NULL, NULL), 200);
    answered("NodePoolList");
    ck_assert_int_eq(call("PATCH", POOLS "/big", MERGE,
                          "{\"spec\":{\"provider\":\"hook\",\"hook\":{\"command\":\"x\"}}}"),
                     422);
    answered("cannot be changed");
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        ck_assert_msg(call("POST", POOLS, JSON, pool_manifest("wrong", wrong[i].spec)) == 422,
                      "%s: %s", wrong[i].spec, answer);
        answered(wrong[i].answer);
    }
    ck_assert_int_eq(call("POST", POOLS, JSON, pool_manifest("hooked", hook)), 201);
    ck_assert_int_eq(call("DELETE", POOLS "/hooked", NULL, NULL), 200);
    answered("rouse.dev/nodes");
    ck_assert_int_eq(
        call("POST", POOLS, JSON,
             pool_manifest("a-name-of-more-than-fifty-bytes-is-too-long-for-a-pool", plain)),
        422);
    answered("names of its nodes");
    ck_assert_int_eq(call("GET", "/apis/rouse.dev/v1", NULL, NULL), 200);
    answered("{\"name\":\"nodepools/status\",\"singularName\":\"\",\"namespaced\":false");
    end();
    no_hooks = true;
    begin(NULL);
    ck_assert_int_eq(call("POST", POOLS, JSON, pool_manifest("hooked", hook)), 422);
    answered("--node-hooks");
    end();
}
END_TEST

#define NODE "/apis/rouse.dev/v1/nodes/node-1"

START_TEST(nodes_are_cordoned_by_a_patch)
{
    static const char *const wrong[] = {
        "{\"spec\":{\"unschedulable\":1}}",
        "{\"spec\":{\"other\":true}}",
        "{\"spec\":{\"taints\":[{\"key\":\"a\",\"effect\":\"NoExecute\"}]}}",
        "{\"status\":{\"state\":\"Lost\"}}",
        "{\"metadata\":{\"labels\":{\"zone\":\"b\"}}}",
        "{\"spec\":null}",
        "[1]",
    };

    begin(NULL);
    ck_assert_int_eq(call("PATCH", NODE, MERGE, "{\"spec\":{\"unschedulable\":true}}"), 200);
    answered("\"spec\":{\"unschedulable\":true,\"drain\":false}");
    answered("\"zone\":\"a\"");
    ck_assert_int_eq(node_wanted, 1);
    ck_assert_int_eq(call("PATCH", NODE, "Content-Type: application/json-patch+json\r\n",
                          "[{\"op\":\"replace\",\"path\":\"/spec/drain\",\"value\":true}]"),
                     200);
    ck_assert_int_eq(node_wanted, 3);
    ck_assert_int_eq(call("PATCH", NODE "?dryRun=All", MERGE, "{\"spec\":{\"drain\":null}}"), 200);
    answered("\"spec\":{\"unschedulable\":true,\"drain\":false}");
    ck_assert_int_eq(call("GET", NODE, NULL, NULL), 200);
    answered("\"spec\":{\"unschedulable\":true,\"drain\":true}");
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        ck_assert_msg(call("PATCH", NODE, MERGE, wrong[i]) == 422, "%s: %s", wrong[i], answer);
    ck_assert_int_eq(call("PATCH", NODE, MERGE, "{\"metadata\":{\"resourceVersion\":\"1\"}}"), 409);
    ck_assert_int_eq(call("PATCH", NODE, JSON, "{}"), 415);
    ck_assert_int_eq(call("PATCH", NODE, MERGE, "{"), 400);
    ck_assert_int_eq(call("PATCH", NODE "x", MERGE, "{\"spec\":{\"drain\":true}}"), 404);
    ck_assert_int_eq(call("PUT", NODE, JSON, "{}"), 405);
    ck_assert_int_eq(node_wanted, 3);
    end();
}
END_TEST

/* "node-1" is the one whose agent is gone once it is cordoned (on_node_delete()). */
START_TEST(a_node_is_deleted_when_its_agent_is_gone)
{
    begin(NULL);
    ck_assert_int_eq(call("DELETE", NODE, NULL, NULL), 409);
    answered("rouse drain node-1");
    ck_assert_int_eq(call("DELETE", NODE "?dryRun=All", NULL, NULL), 409);
    ck_assert_int_eq(call("DELETE", NODE "x", NULL, NULL), 404);
    ck_assert_int_eq(call("DELETE", "/apis/rouse.dev/v1/nodes", NULL, NULL), 405);
    ck_assert_int_eq(call("PATCH", NODE, MERGE, "{\"spec\":{\"unschedulable\":true}}"), 200);
    ck_assert_int_eq(call("DELETE", NODE "?dryRun=All", NULL, NULL), 200);
    ck_assert_int_eq(call("DELETE", NODE, JSON, "{\"preconditions\":{\"resourceVersion\":\"1\"}}"),
                     409);
    ck_assert_int_eq(call("GET", NODE, NULL, NULL), 200);
    ck_assert_int_eq(node_wanted, 1);
    ck_assert_int_eq(call("DELETE", NODE, NULL, NULL), 200);
    answered("\"name\":\"node-1\"");
    ck_assert_int_eq(call("GET", NODE, NULL, NULL), 404);
    ck_assert_int_eq(node_wanted, 0); /* the next of that name is not cordoned */
    ck_assert_int_eq(call("DELETE", NODE, NULL, NULL), 404);
    end();
}
END_TEST

UNIT_MAIN("api_node", node_pools, nodes_are_cordoned_by_a_patch,
          a_node_is_deleted_when_its_agent_is_gone)
