/* Admission: every bound and every refused field with its path, strictness, defaults, revisions,
 * the deletion mark. */
#include "api/admission.h"
#include "base/cleanup.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define BASE                                                                                       \
    "\"runtime\":\"python3\",\"handler\":\"index.handler\",\"code\":{\"inline\":{\"index.py\":"    \
    "\"def handler(e,c): "                                                                         \
    "pass\"}}"
#define SCALING(text) BASE ",\"scaling\":{" text "}"
#define SERVER(handler)                                                                            \
    "\"runtime\":\"python3\",\"port\":8080,\"handler\":\"" handler                                 \
    "\",\"code\":{\"inline\":{\"bin/server\":\"#!/bin/sh\\n\"}}"

static struct schema_set *schema;

static void load(void)
{
    struct err e = {0};

    if (!schema)
        ck_assert_msg(schema_load(&schema, &e) == 0, "%s", e.message);
}

static struct json_object *object(const char *metadata, const char *spec)
{
    char text[8192];
    struct json_object *o;

    snprintf(text, sizeof(text),
             "{\"apiVersion\":\"rouse.dev/v1\",\"kind\":\"Function\",\"metadata\":%s,\"spec\":{%s}}",
             metadata, spec);
    o = json_tokener_parse(text);
    ck_assert_msg(o != NULL, "%s", text);
    return o;
}

static int check_fields(struct json_object *o, enum field_validation fields, struct failure *f)
{
    cleanup_admission struct admission a = {.schema = schema,
                                            .kind = &schema->kinds[KIND_FUNCTION],
                                            .ns = "default",
                                            .body = o,
                                            .manager = "test",
                                            .fields = fields,
                                            .no_external = true,
                                            .now_ms = 1000};

    return admission_check(&a, f);
}

static void refused(const char *metadata, const char *spec, const char *field, const char *message)
{
    cleanup_failure struct failure f = {0};
    struct json_object *o = object(metadata, spec);
    bool found = false;

    load();
    ck_assert_msg(check_fields(o, FIELDS_STRICT, &f) == -1, "taken: %s", spec);
    ck_assert_msg(f.code == 422, "%s: %d %s", spec, f.code, f.message);
    for (size_t i = 0; i < f.problems.count; i++)
        found = found || (strcmp(f.problems.items[i].field, field) == 0 &&
                          strstr(f.problems.items[i].message, message));
    ck_assert_msg(found, "%s: wanted %s: %s, got %s", spec, field, message, f.message);
    json_object_put(o);
}

static void taken(const char *metadata, const char *spec)
{
    cleanup_failure struct failure f = {0};
    struct json_object *o = object(metadata, spec);

    load();
    ck_assert_msg(check_fields(o, FIELDS_STRICT, &f) == 0, "%s: %s", spec, f.message);
    json_object_put(o);
}

START_TEST(what_this_version_refuses)
{
    static const struct {
        const char *spec, *field, *message;
    } cases[] = {
        {BASE ",\"layers\":[\"sha256:00\"]", "spec.layers", "Forbidden: layers are not mounted"},
        {"\"runtime\":\"python3\",\"handler\":\"a.b\",\"code\":{\"archive\":{\"url\":\"s3://a/"
         "b\"}}",
         "spec.code.archive", "Forbidden"},
        {"\"runtime\":\"python3\",\"handler\":\"a.b\",\"code\":{\"image\":\"x\"}",
         "spec.code.image", "Forbidden"},
        {"\"runtime\":\"python3\",\"handler\":\"a.b\",\"code\":{\"path\":\"./d\"}",
         "spec.code.path", "rouse apply"},
        {BASE ",\"lifecycle\":{\"preFreeze\":\"a b\"}", "spec.lifecycle.preFreeze", "Invalid value"},
        {BASE ",\"port\":8080,\"lifecycle\":{\"preFreeze\":\"index.freeze\"}", "spec.lifecycle",
         "Forbidden: a program that listens on spec.port"},
        {BASE ",\"port\":8080,\"lifecycle\":{\"initializer\":\"index.init\"}", "spec.lifecycle",
         "Forbidden: a program that listens on spec.port"},
        {BASE ",\"port\":8080,\"lifecycle\":{\"preStop\":\"index.stop\"}", "spec.lifecycle",
         "Forbidden: a program that listens on spec.port"},
        {"\"runtime\":\"nodejs\",\"handler\":\"a.b\",\"code\":{\"inline\":{\"a.js\":\"\"}},"
         "\"start\":\"fork\"",
         "spec.start", "Forbidden: instances of the runtime nodejs cannot be forked"},
        {BASE ",\"port\":8080,\"start\":\"fork\"", "spec.start",
         "Forbidden: a program that listens on spec.port"},
        {BASE ",\"lifecycle\":{\"afterFork\":\"index.after\"}", "spec.lifecycle.afterFork",
         "Forbidden: it is called with spec.start: fork only"},
        {BASE ",\"start\":\"exec\",\"lifecycle\":{\"afterFork\":\"index.after\"}",
         "spec.lifecycle.afterFork", "Forbidden: it is called with spec.start: fork only"},
        {BASE ",\"placement\":{\"nodeSelector\":{\"-a\":\"b\"}}", "spec.placement.nodeSelector",
         "Invalid value: \"-a\": a key must be"},
        {BASE ",\"placement\":{\"nodeSelector\":{\"a\":\"b c\"}}", "spec.placement.nodeSelector",
         "Invalid value: \"b c\": a value must be"},
        {BASE ",\"placement\":{\"tolerations\":[{\"value\":\"x\"}]}",
         "spec.placement.tolerations[0]", "operator must be Exists"},
        {BASE
         ",\"placement\":{\"tolerations\":[{\"key\":\"a\",\"operator\":\"Exists\",\"value\":\"x\"}]}",
         "spec.placement.tolerations[0]", "no value with operator Exists"},
        {BASE ",\"placement\":{\"tolerations\":[{\"key\":\"a\",\"effect\":\"NoExecute\"}]}",
         "spec.placement.tolerations[0].effect", "supported values: \"NoSchedule\""},
        {BASE ",\"placement\":{\"policy\":\"random\"}", "spec.placement.policy",
         "supported values: \"spread\", \"pack\""},
        {BASE ",\"triggers\":[{\"cron\":{\"schedule\":\"* * * * *\"}}]", "spec.triggers[0].cron",
         "Forbidden"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a\",\"auth\":{\"type\":\"token\"}}}]",
         "spec.triggers[0].http.auth.type",
         "Unsupported value: \"token\": supported values: \"none\""},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        refused("{\"name\":\"f\"}", cases[i].spec, cases[i].field, cases[i].message);
}
END_TEST

START_TEST(bounds_and_types)
{
    static const struct {
        const char *spec, *field, *message;
    } cases[] = {
        {"\"runtime\":\"python3\",\"code\":{\"inline\":{\"a\":\"b\"}}", "spec.handler",
         "Required value"},
        {"\"handler\":\"a.b\",\"code\":{\"inline\":{\"a\":\"b\"}}", "spec.runtime", "Required value"},
        {"\"runtime\":\"python3\",\"handler\":\"a.b\"", "spec.code", "Required value"},
        {"\"runtime\":\"python3\",\"handler\":\"a.b\",\"code\":{}", "spec.code",
         "at least 1 property"},
        {"\"runtime\":\"python3\",\"handler\":\"a.b\",\"code\":{\"inline\":{\"a\":\"b\"},"
         "\"package\":\"sha256:00\"}",
         "spec.code", "at most 1 property"},
        {"\"runtime\":\"python3\",\"handler\":\"a.b\",\"code\":{\"package\":\"sha256:00\"}",
         "spec.code.package", "should match"},
        {"\"runtime\":\"python3\",\"handler\":\"a.b\",\"code\":{\"inline\":{\"../x\":\"b\"}}",
         "spec.code.inline", "names must be relative"},
        {"\"runtime\":\"python3\",\"handler\":\"a.b\",\"code\":{\"inline\":{\"x\":7}}",
         "spec.code.inline[x]", "must be of type string: \"integer\""},
        {"\"runtime\":\"Python 3\",\"handler\":\"a.b\",\"code\":{\"inline\":{\"a\":\"b\"}}",
         "spec.runtime", "should match"},
        {BASE ",\"memory\":\"31Mi\"", "spec.memory", "greater than or equal to 32Mi"},
        {BASE ",\"memory\":\"2Ti\"", "spec.memory", "less than or equal to 1Ti"},
        {BASE ",\"memory\":\"99999999999999999999Gi\"", "spec.memory", "less than or equal to 1Ti"},
        {BASE ",\"memory\":\"lots\"", "spec.memory", "should match"},
        {BASE ",\"memory\":100", "spec.memory", "greater than or equal to 32Mi"},
        {BASE ",\"memory\":true", "spec.memory", "must be of type number,string: \"boolean\""},
        {BASE ",\"memory\":1.5", "spec.memory", "greater than or equal to 32Mi"},
        {BASE ",\"memory\":1e9", "spec.memory", "should match"},
        {BASE ",\"cpu\":0.009", "spec.cpu", "greater than or equal to 10m"},
        {BASE ",\"cpu\":\"1m\"", "spec.cpu", "greater than or equal to 10m"},
        {BASE ",\"timeout\":\"99ms\"", "spec.timeout", "greater than or equal to 100ms"},
        {BASE ",\"timeout\":\"61m\"", "spec.timeout", "less than or equal to 1h"},
        {BASE ",\"timeout\":\"3\"", "spec.timeout", "should match"},
        {BASE ",\"timeout\":3", "spec.timeout", "must be of type string: \"integer\""},
        {BASE ",\"concurrency\":0", "spec.concurrency", "greater than or equal to 1"},
        {BASE ",\"concurrency\":1001", "spec.concurrency", "less than or equal to 1000"},
        {BASE ",\"concurrency\":1.5", "spec.concurrency", "must be of type integer: \"number\""},
        {BASE ",\"concurrency\":\"1\"", "spec.concurrency", "must be of type integer: \"string\""},
        {BASE ",\"network\":\"host\"", "spec.network", "supported values: \"egress\", \"none\""},
        {BASE ",\"port\":1023", "spec.port", "greater than or equal to 1024"},
        {BASE ",\"port\":65536", "spec.port", "less than or equal to 65535"},
        {BASE ",\"port\":\"8080\"", "spec.port", "must be of type integer: \"string\""},
        {BASE ",\"port\":80.5", "spec.port", "must be of type integer: \"number\""},
        {BASE ",\"start\":\"spoon\"", "spec.start",
         "Unsupported value: \"spoon\": supported values: \"exec\", \"fork\""},
        {BASE ",\"start\":\"fork\",\"lifecycle\":{\"afterFork\":\"a b\"}",
         "spec.lifecycle.afterFork", "should match"},
        {BASE ",\"lifecycle\":{\"initializer\":\"\"}", "spec.lifecycle.initializer",
         "at least 1 chars"},
        {BASE ",\"lifecycle\":{\"preStop\":\"a b\"}", "spec.lifecycle.preStop", "should match"},
        {BASE ",\"lifecycle\":{\"initializer\":\"a.b\",\"initializerTimeout\":\"99ms\"}",
         "spec.lifecycle.initializerTimeout", "greater than or equal to 100ms"},
        {BASE ",\"lifecycle\":{\"initializer\":\"a.b\",\"initializerTimeout\":\"601s\"}",
         "spec.lifecycle.initializerTimeout", "less than or equal to 10m"},
        {BASE ",\"lifecycle\":{\"initializer\":7}", "spec.lifecycle.initializer",
         "must be of type string: \"integer\""},
        {SERVER("/bin/sh"), "spec.handler", "path below the code"},
        {SERVER("../bootstrap"), "spec.handler", "path below the code"},
        {SERVER("bin/./server"), "spec.handler", "path below the code"},
        {SERVER("bin//server"), "spec.handler", "path below the code"},
        {SERVER("bin/"), "spec.handler", "path below the code"},
        {BASE ",\"scaling\":{\"min\":5,\"max\":2}", "spec.scaling.max",
         "must not be less than spec.scaling.min"},
        {BASE ",\"scaling\":{\"min\":-1}", "spec.scaling.min", "greater than or equal to 0"},
        {BASE ",\"scaling\":{\"idleTimeout\":\"25h\"}", "spec.scaling.idleTimeout",
         "less than or equal to 24h"},
        {SCALING("\"metrics\":[{\"type\":\"Resource\"}]"), "spec.scaling.metrics[0].resource",
         "Required value: with type Resource"},
        {SCALING(
             "\"metrics\":[{\"type\":\"Pods\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\",\"averageUtilization\":5}}}]"),
         "spec.scaling.metrics[0].resource", "Forbidden: only with type Resource"},
        {SCALING("\"metrics\":[{\"type\":\"Object\"}]"), "spec.scaling.metrics[0].type",
         "Unsupported value"},
        {SCALING(
             "\"metrics\":[{\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\",\"averageUtilization\":5}}}]"),
         "spec.scaling.metrics[0].type", "Required value"},
        {SCALING(
             "\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"disk\",\"target\":{\"type\":\"Utilization\",\"averageUtilization\":5}}}]"),
         "spec.scaling.metrics[0].resource.name", "Unsupported value"},
        {SCALING(
             "\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\"}}}]"),
         "spec.scaling.metrics[0].resource.target.averageUtilization",
         "Required value: with type Utilization"},
        {SCALING(
             "\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\",\"averageUtilization\":50,\"averageValue\":\"1\"}}}]"),
         "spec.scaling.metrics[0].resource.target.averageValue",
         "Forbidden: only with type AverageValue"},
        {SCALING(
             "\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"0\"}}}]"),
         "spec.scaling.metrics[0].resource.target.averageValue", "must be positive"},
        {SCALING(
             "\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"x\"}}}]"),
         "spec.scaling.metrics[0].resource.target.averageValue", "should match"},
        {SCALING(
             "\"metrics\":[{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"Own\"},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"1\"}}}]"),
         "spec.scaling.metrics[0].pods.metric.name", "should match '^[a-z_][a-z0-9_]{0,62}$'"},
        {SERVER("bin/server") ",\"scaling\":{\"metrics\":[{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"own\"},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"1\"}}}]}",
         "spec.scaling.metrics[0].pods.metric.name",
         "a program that listens on spec.port reports no metrics of its own"},
        {SCALING(
             "\"metrics\":[{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"concurrency\"},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"1\"}}},{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"concurrency\"},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"2\"}}}]"),
         "spec.scaling.metrics[1].pods.metric.name", "Duplicate value"},
        {SCALING(
             "\"metrics\":[{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"q\",\"query\":\"q\"},\"target\":{\"type\":\"Value\",\"value\":\"1\"}}}]"),
         "spec.scaling.metrics[0].external", "--prometheus"},
        {SCALING(
             "\"metrics\":[{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"q\"},\"target\":{\"type\":\"Value\",\"value\":\"1\"}}}]"),
         "spec.scaling.metrics[0].external.metric.query", "Required value"},
        {SCALING("\"behavior\":{\"scaleUp\":{\"stabilizationWindowSeconds\":3601}}"),
         "spec.scaling.behavior.scaleUp.stabilizationWindowSeconds", "less than or equal to 3600"},
        {SCALING(
             "\"behavior\":{\"scaleUp\":{\"policies\":[{\"type\":\"Pods\",\"value\":0,\"periodSeconds\":1}]}}"),
         "spec.scaling.behavior.scaleUp.policies[0].value", "greater than or equal to 1"},
        {SCALING("\"behavior\":{\"scaleUp\":{\"policies\":[{\"type\":\"Pods\",\"value\":1}]}}"),
         "spec.scaling.behavior.scaleUp.policies[0].periodSeconds", "Required value"},
        {SCALING(
             "\"behavior\":{\"scaleDown\":{\"policies\":[{\"type\":\"Some\",\"value\":1,\"periodSeconds\":1}]}}"),
         "spec.scaling.behavior.scaleDown.policies[0].type", "Unsupported value"},
        {SCALING("\"behavior\":{\"scaleDown\":{\"selectPolicy\":\"max\"}}"),
         "spec.scaling.behavior.scaleDown.selectPolicy", "Unsupported value"},
        {SCALING("\"behavior\":{\"scaleDown\":{\"tolerance\":1.05}}"),
         "spec.scaling.behavior.scaleDown.tolerance",
         "Invalid value: \"1.05\": must be less than or equal to 1"},
        {SCALING("\"behavior\":{\"scaleDown\":{\"tolerance\":\"2\"}}"),
         "spec.scaling.behavior.scaleDown.tolerance", "less than or equal to 1"},
        {SCALING("\"initial\":101"), "spec.scaling.initial", "must not be more than spec.scaling.max"},
        {SCALING("\"max\":5,\"activation\":6"), "spec.scaling.activation",
         "must not be more than spec.scaling.max"},
        {SCALING("\"scaleDownDelay\":\"2h\""), "spec.scaling.scaleDownDelay",
         "less than or equal to 1h"},
        {SCALING("\"window\":\"5s\""), "spec.scaling.window", "greater than or equal to 6s"},
        {SCALING("\"window\":\"10s\",\"panicWindow\":\"11s\""), "spec.scaling.panicWindow",
         "must not be longer than spec.scaling.window"},
        {SCALING("\"average\":\"mean\""), "spec.scaling.average", "Unsupported value"},
        {SCALING("\"predictive\":1"), "spec.scaling.predictive", "must be of type boolean"},
        {SCALING("\"provisioned\":[{\"start\":\"0 8 * * *\",\"end\":\"0 25 * * *\",\"min\":1}]"),
         "spec.scaling.provisioned[0].end", "field 2 is not a hour"},
        {SCALING("\"provisioned\":[{\"start\":\"0 8 * * MON\",\"end\":\"0 8 * * 1\",\"min\":1}]"),
         "spec.scaling.provisioned[0].end",
         "Invalid value: \"0 8 * * 1\": must not be the same as start"},
        {SCALING("\"provisioned\":[{\"start\":\"0 0 30 2 *\",\"end\":\"0 8 * * *\",\"min\":1}]"),
         "spec.scaling.provisioned[0].start", "never comes"},
        {SCALING("\"provisioned\":[{\"start\":\"0 8 * * *\",\"end\":\"0 9 * * *\",\"min\":101}]"),
         "spec.scaling.provisioned[0].min", "must not be more than spec.scaling.max"},
        {SCALING("\"provisioned\":[{\"start\":\"0 8 * * *\",\"end\":\"0 9 * * *\"}]"),
         "spec.scaling.provisioned[0].min", "Required value"},
        {BASE ",\"scaling\":[]", "spec.scaling", "must be of type object: \"array\""},
        {BASE ",\"env\":[{\"name\":\"1A\"}]", "spec.env[0].name", "should match"},
        {BASE ",\"env\":[{\"value\":\"x\"}]", "spec.env[0].name", "Required value"},
        {BASE ",\"env\":[{\"name\":\"A\"},{\"name\":\"A\"}]", "spec.env[1]",
         "Duplicate value: {\"name\":\"A\"}"},
        {BASE ",\"env\":[{\"name\":\"A\",\"value\":\"a\\u0000b\"}]", "spec.env[0].value", "NUL"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"no-slash\"}}]", "spec.triggers[0].http.path",
         "Invalid value: \"no-slash\": a path begins with /"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a?b\"}}]", "spec.triggers[0].http.path",
         "escape it as %XX"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"\"}}]", "spec.triggers[0].http.path",
         "begins with /"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/{id}/{id}\"}}]", "spec.triggers[0].http.path",
         "Invalid value: \"/{id}/{id}\": two parameters are called \"id\""},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a/{id\"}}]", "spec.triggers[0].http.path",
         "\"{id\" is not closed"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a/*/b\"}}]", "spec.triggers[0].http.path",
         "* is not the last segment"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a//b\"}}]", "spec.triggers[0].http.path",
         "an empty segment"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a/../b\"}}]", "spec.triggers[0].http.path",
         ". or .."},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/%66unction/x\"}}]",
         "spec.triggers[0].http.path", "platform's own"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a\",\"hosts\":[\"A.b\"]}}]",
         "spec.triggers[0].http.hosts[0]", "Invalid value: \"A.b\": a host name is lower-case"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a\",\"hosts\":[\"a.*.b\"]}}]",
         "spec.triggers[0].http.hosts[0]", "whole first label only"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a\",\"hosts\":[\"a:80\"]}}]",
         "spec.triggers[0].http.hosts[0]", "without a port"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a\",\"hosts\":[\"a.b\",\"a.b\"]}}]",
         "spec.triggers[0].http.hosts[1]", "Duplicate value"},
        {BASE
         ",\"triggers\":[{\"http\":{\"path\":\"/a\",\"hosts\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]}}]",
         "spec.triggers[0].http.hosts", "at most 16"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/function/x\"}}]", "spec.triggers[0].http.path",
         "platform's own"},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a\",\"methods\":[\"get\"]}}]",
         "spec.triggers[0].http.methods[0]", "Unsupported value: \"get\""},
        {BASE ",\"triggers\":[{\"http\":{\"path\":\"/a\",\"methods\":[\"GET\",\"GET\"]}}]",
         "spec.triggers[0].http.methods[1]", "Duplicate value"},
        {BASE ",\"triggers\":[{}]", "spec.triggers[0]", "at least 1 property"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        refused("{\"name\":\"f\"}", cases[i].spec, cases[i].field, cases[i].message);
}
END_TEST

START_TEST(metadata_is_checked)
{
    refused("{}", BASE, "metadata.name", "Required value: name or generateName is required");
    refused("{\"name\":\"Upper\"}", BASE, "metadata.name", "RFC 1123");
    refused("{\"name\":\"a.b\"}", BASE, "metadata.name", "RFC 1123");
    refused("{\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", BASE,
            "metadata.name", "no more than 63");
    refused("{\"name\":\"f\",\"labels\":{\"a\":\"b c\"}}", BASE, "metadata.labels", "a valid label");
    refused("{\"name\":\"f\",\"labels\":{\"/\":\"b\"}}", BASE, "metadata.labels", "name part");
    refused("{\"name\":\"f\",\"labels\":{\"a\":1}}", BASE, "metadata.labels", "must be a string");
    refused("{\"name\":\"f\",\"finalizers\":[\"no spaces\"]}", BASE, "metadata.finalizers",
            "name part");
    refused("{\"name\":\"f\",\"annotations\":{\"a\":[]}}", BASE, "metadata.annotations",
            "must be a string");
    taken("{\"generateName\":\"f-\"}", BASE);
    taken("{\"name\":\"f\"}",
          BASE ",\"lifecycle\":{\"initializer\":\"a.b\",\"initializerTimeout\":\"10m\","
               "\"preStop\":\"c\"}");
    taken("{\"name\":\"f\"}", BASE ",\"port\":8080,\"lifecycle\":{}");
    taken("{\"name\":\"f\"}", BASE ",\"port\":8080,\"start\":\"exec\"");
    taken("{\"name\":\"f\"}", BASE ",\"start\":\"fork\",\"concurrency\":8,"
                                   "\"lifecycle\":{\"afterFork\":\"index.after\"}");
    taken("{\"name\":\"f\",\"labels\":{\"x.dev/a\":\"\"},\"annotations\":{\"k\":\"any thing\"}}",
          BASE);
}
END_TEST

/* What is published as a regular expression for others takes at least what we take. */
START_TEST(paths_and_hosts_that_are_taken)
{
    static const char *const paths[] = {
        "/",        "/*",          "/a/",      "/users/{id}", "/{a}/{b}/*",
        "/a:b@c;d", "/caf%C3%A9/", "/x.y-z~_", "/[a]^|",      "/.well-known/*"};
    static const char *const hosts[] = {"localhost", "*.example.com", "a-b.c0", "10.0.0.1"};
    char spec[512];

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        snprintf(spec, sizeof(spec), BASE ",\"triggers\":[{\"http\":{\"path\":\"%s\"}}]", paths[i]);
        taken("{\"name\":\"f\"}", spec);
    }
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        snprintf(spec, sizeof(spec),
                 BASE ",\"triggers\":[{\"http\":{\"path\":\"/a\",\"hosts\":[\"%s\"]}}]", hosts[i]);
        taken("{\"name\":\"f\"}", spec);
    }
}
END_TEST

/* As in a Pod or a HorizontalPodAutoscaler. */
START_TEST(a_quantity_may_be_a_number)
{
    taken("{\"name\":\"f\"}", BASE ",\"cpu\":0.5,\"memory\":134217728.0");
    taken("{\"name\":\"f\"}", BASE ",\"scaling\":{\"behavior\":{\"scaleUp\":{\"tolerance\":0.05}}}");
}
END_TEST

START_TEST(the_designs_example_is_taken)
{
    taken("{\"name\":\"hello\",\"namespace\":\"default\"}", BASE
          ",\"layers\":[],\"memory\":\"128Mi\",\"cpu\":\"500m\",\"timeout\":\"3s\",\"concurrency\":1,"
          "\"env\":[{\"name\":\"GREETING\",\"value\":\"hi\"}],\"scaling\":{\"min\":0,\"max\":100,"
          "\"idleTimeout\":\"60s\",\"metrics\":[],\"behavior\":{}},\"triggers\":[{\"http\":{\"path\":"
          "\"/hello/serverless\",\"methods\":[\"GET\"],\"auth\":{\"type\":\"none\"}}}]");
    taken("{\"name\":\"f\"}",
          BASE ",\"memory\":33554432,\"cpu\":2,\"scaling\":{\"idleTimeout\":\"0\"},\"env\":null");
}
END_TEST

START_TEST(unknown_fields)
{
    cleanup_failure struct failure f = {0};
    struct json_object *o = object("{\"name\":\"f\",\"bogus\":1}",
                                   BASE ",\"bogus\":1,\"env\":[{\"name\":\"A\",\"x\":1}]");

    load();
    ck_assert_int_eq(check_fields(o, FIELDS_STRICT, &f), -1);
    ck_assert_int_eq(f.code, 400);
    ck_assert_str_eq(f.message,
                     "Function in version \"v1\" cannot be handled as a Function: strict decoding error: "
                     "unknown field \"spec.bogus\", unknown field \"spec.env[0].x\", unknown field "
                     "\"metadata.bogus\"");
    json_object_put(o);
    o = object("{\"name\":\"f\"}", BASE ",\"bogus\":1");
    f.code = 0;
    ck_assert_int_eq(check_fields(o, FIELDS_WARN, &f), 0);
    ck_assert_ptr_null(strstr(json_object_to_json_string(o), "bogus"));
    json_object_put(o);
}
END_TEST

static struct content *admit(const char *spec, const struct object *old, bool *changed)
{
    cleanup_failure struct failure f = {0};
    struct json_object *o = object("{\"name\":\"f\"}", spec);
    cleanup_admission struct admission a = {.schema = schema,
                                            .kind = &schema->kinds[KIND_FUNCTION],
                                            .ns = "default",
                                            .body = o,
                                            .manager = "test",
                                            .old = old,
                                            .now_ms = 1000};
    struct content *c = NULL;

    ck_assert_msg(admission_check(&a, &f) == 0, "%s", f.message);
    if (changed)
        *changed = a.changed;
    ck_assert_int_eq(admission_content(&a, &c, &f), 0);
    json_object_put(o);
    return c;
}

START_TEST(values_generations_and_revisions)
{
    cleanup_content struct content *a = NULL, *b = NULL, *c = NULL;
    cleanup_object struct object *first = NULL;
    const struct function *f;
    bool changed;

    load();
    a = admit(BASE ",\"timeout\":\"1m30s\",\"env\":[{\"name\":\"A\"}]", NULL, NULL);
    f = a->function;
    ck_assert_str_eq(f->key, "default/f");
    ck_assert_uint_eq(f->memory, 128u << 20);
    ck_assert_uint_eq(f->cpu_millis, 500);
    ck_assert_uint_eq(f->timeout_ms, 90000);
    ck_assert_uint_eq(f->scaling.max, 100);
    ck_assert_uint_eq(f->scaling.idle_timeout_ns, 60000000000ull);
    ck_assert_str_eq(f->env[0].value, "");
    ck_assert_uint_eq(strlen(f->revision), 16);
    ck_assert_uint_eq(strlen(f->package), 71);
    ck_assert_int_eq(object_new(KIND_FUNCTION, 1, 1, a, "{}", &first), 0);

    b = admit(BASE ",\"timeout\":\"1m30s\",\"env\":[{\"name\":\"A\"}]", first, &changed);
    ck_assert(!changed);
    ck_assert_str_eq(b->function->revision, f->revision);
    ck_assert_str_eq(b->uid, a->uid);
    /* Scaling and triggers: a new generation, the same revision. */
    c = admit(BASE ",\"timeout\":\"1m30s\",\"env\":[{\"name\":\"A\"}],\"scaling\":{\"max\":5},"
                   "\"triggers\":[{\"http\":{\"path\":\"/x/{id}\",\"hosts\":[\"a.b\",\"*.c\"]}}]",
              first, &changed);
    ck_assert(changed);
    ck_assert_int_eq((int)c->function->generation, 2);
    ck_assert_str_eq(c->function->revision, f->revision);
    ck_assert_str_eq(c->function->triggers[0].path, "/x/{id}");
    ck_assert_uint_eq(c->function->triggers[0].host_count, 2);
    ck_assert_str_eq(c->function->triggers[0].hosts[1], "*.c");
    content_unref(c);
    c = admit(BASE ",\"timeout\":\"1m30s\",\"env\":[{\"name\":\"A\",\"value\":\"b\"}]", first,
              &changed);
    ck_assert_str_ne(c->function->revision, f->revision);
}
END_TEST

START_TEST(a_server_and_its_program)
{
    cleanup_content struct content *a = NULL, *b = NULL, *c = NULL;

    load();
    a = admit(SERVER("bin/server"), NULL, NULL);
    ck_assert_uint_eq(a->function->port, 8080);
    b = admit(SERVER("bin/server") ",\"port\":8081", NULL, NULL);
    ck_assert_uint_eq(b->function->port, 8081);
    ck_assert_str_ne(a->function->revision, b->function->revision);
    ck_assert_str_eq(a->function->package, b->function->package);
    /* What handler names can be executed, though nothing said so. */
    c = admit(SERVER("bin/other"), NULL, NULL);
    ck_assert_str_ne(a->function->package, c->function->package);
}
END_TEST

START_TEST(the_mark_of_deletion)
{
    cleanup_failure struct failure f = {0};
    cleanup_content struct content *a = NULL, *m = NULL;
    cleanup_object struct object *o = NULL;

    load();
    a = admit(BASE, NULL, NULL);
    ck_assert_int_eq(object_new(KIND_FUNCTION, 1, 1, a, "{}", &o), 0);
    ck_assert_int_eq(admission_mark(o, 5000, &m, &f), 0);
    ck_assert(m->deleting && m->function->deleting && !m->finalizers);
    ck_assert_ptr_nonnull(strstr(m->metadata, "\"deletionTimestamp\":\"1970-01-01T00:00:05Z\""));
    ck_assert_ptr_nonnull(strstr(m->metadata, "rouse.dev/unroute"));
    ck_assert_str_eq(m->function->revision, a->function->revision);
    ck_assert_str_eq(m->function->package, a->function->package);
}
END_TEST

START_TEST(json_is_bounded)
{
    static const char *const bad[] = {"",    "{",          "{}x", "[1,]", "{\"a\":\"\xff\"}",
                                      "nul", "{\"a\":1}{}"};
    cleanup_buffer struct buffer deep = {0};
    cleanup_failure struct failure f = {0};
    struct json_object *o = NULL;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(admission_parse(bad[i], strlen(bad[i]), &o, &f) == -1, "%s", bad[i]);
    for (int i = 0; i < 70; i++)
        buffer_puts(&deep, "[");
    for (int i = 0; i < 70; i++)
        buffer_puts(&deep, "]");
    ck_assert_int_eq(admission_parse(buffer_bytes(&deep), buffer_size(&deep), &o, &f), -1);
    ck_assert_int_eq(admission_parse("{\"a\":[1]} ", 10, &o, &f), 0);
    json_object_put(o);
}
END_TEST

UNIT_MAIN("admission", what_this_version_refuses, bounds_and_types, metadata_is_checked,
          paths_and_hosts_that_are_taken, a_quantity_may_be_a_number, the_designs_example_is_taken,
          unknown_fields, values_generations_and_revisions, a_server_and_its_program,
          the_mark_of_deletion, json_is_bounded)
