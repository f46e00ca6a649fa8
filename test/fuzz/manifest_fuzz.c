/* module: controller/api */
/* manifest_fuzz.c - any bytes as a function's manifest: JSON, admission, and again what came out of
 * it.
 *
 * What is admitted must be admitted again unchanged, with the same revision. */
#include "api/admission.h"
#include "api/patch.h"
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct schema_set *schema;

static int admit(struct json_object *body, const struct object *old, bool *changed,
                 struct content **ret)
{
    cleanup_failure struct failure f = {0};
    cleanup_admission struct admission a = {.schema = schema,
                                            .kind = &schema->kinds[KIND_FUNCTION],
                                            .ns = "default",
                                            .body = body,
                                            .manager = "fuzz",
                                            .fields = FIELDS_IGNORE,
                                            .old = old,
                                            .now_ms = 1000};
    int r = admission_check(&a, &f);

    if (r < 0 && (!f.code || !f.reason || !f.message[0]))
        abort();
    if (r == 0) {
        *changed = a.changed;
        r = admission_content(&a, ret, &f);
    }
    return r;
}

static void again(const struct content *c)
{
    cleanup_content struct content *second = NULL;
    cleanup_object struct object *o = NULL;
    struct json_object *tree;
    bool changed;

    if (object_new(KIND_FUNCTION, 1, 1, (struct content *)c, "{}", &o) < 0 ||
        admission_tree(o, &tree) < 0)
        abort();
    if (admit(tree, o, &changed, &second) < 0 || changed ||
        strcmp(second->function->revision, c->function->revision) != 0)
        abort();
    json_object_put(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    cleanup_failure struct failure f = {0};
    cleanup_content struct content *c = NULL;
    struct json_object *body, *target = NULL;
    bool changed;

    if (!schema && schema_load(&schema, NULL) < 0)
        abort();
    if (admission_parse(data, n, &body, &f) < 0)
        return 0;
    /* As a patch of a small document, too: it must only stay in bounds. */
    target = json_tokener_parse("{\"a\":{\"b\":[1,2,{\"c\":\"d\"}]}}");
    patch_json(&target, body, NULL);
    json_object_put(target);
    target = json_tokener_parse("{\"a\":{\"b\":1}}");
    patch_merge(&target, body);
    json_object_put(target);
    if (admit(body, NULL, &changed, &c) == 0)
        again(c);
    json_object_put(body);
    return 0;
}
