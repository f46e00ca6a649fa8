/* validate_metadata.c - ObjectMeta: names, labels, annotations, finalizers. */
#include "api/validate.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { ANNOTATIONS_MAX = 256 << 10, FINALIZERS_MAX = 16 };

#define DNS_LABEL_HINT                                                                             \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "   \
    "must start and end "                                                                          \
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is " \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define NAME_HINT                                                                                  \
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "  \
    "with an alphanumeric "                                                                        \
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "        \
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define LABEL_HINT                                                                                 \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "    \
    "'.', and must start and "                                                                     \
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used " \
    "for validation is "                                                                           \
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"

static bool alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool label_chars(const char *s, size_t n)
{
    if (n == 0 || n > 63 || !alnum(s[0]) || !alnum(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!alnum(s[i]) && !strchr("-_.", s[i]))
            return false;
    return true;
}

bool validate_dns_label(const char *s)
{
    size_t n = strlen(s);

    if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!(alnum(s[i]) && !isupper((unsigned char)s[i])) && s[i] != '-')
            return false;
    return true;
}

bool validate_label_value(const char *s)
{
    return s[0] == '\0' || label_chars(s, strlen(s));
}

static bool dns_subdomain(const char *s, size_t n)
{
    char label[64];

    if (n == 0 || n > 253)
        return false;
    for (size_t at = 0; at <= n;) {
        const char *dot = memchr(s + at, '.', n - at);
        size_t size = dot ? (size_t)(dot - (s + at)) : n - at;

        if (size >= sizeof(label))
            return false;
        memcpy(label, s + at, size);
        label[size] = '\0';
        if (!validate_dns_label(label))
            return false;
        at += size + 1;
    }
    return true;
}

bool validate_qualified_name(const char *s)
{
    const char *slash = strchr(s, '/');

    if (slash && !dns_subdomain(s, (size_t)(slash - s)))
        return false;
    s = slash ? slash + 1 : s;
    return label_chars(s, strlen(s));
}

static void check_name(struct json_object *metadata, const char *field, struct problems *p)
{
    struct json_object *v = json_get(metadata, field);
    cleanup_free char *path = NULL;
    const char *name;

    if (asprintf(&path, "metadata.%s", field) < 0)
        abort();
    if (!v) {
        problems_add(p, PROBLEM_REQUIRED, path, "Required value: %s",
                     strcmp(field, "name") == 0 ? "name or generateName is required"
                                                : "namespace is required");
        return;
    }
    name = json_object_get_string(v);
    if (!json_object_is_type(v, json_type_string))
        problems_add(p, PROBLEM_TYPE, path, "Invalid value: must be a string");
    else if (strlen(name) > 63)
        problems_add(p, PROBLEM_INVALID, path,
                     "Invalid value: \"%.253s\": must be no more than 63 characters", name);
    else if (!validate_string(v) || !validate_dns_label(name))
        problems_add(p, PROBLEM_INVALID, path, "Invalid value: \"%s\": %s", name, DNS_LABEL_HINT);
}

static void check_labels(struct json_object *labels, struct problems *p)
{
    if (!json_object_is_type(labels, json_type_object)) {
        problems_add(p, PROBLEM_TYPE, "metadata.labels", "Invalid value: must be a map of strings");
        return;
    }
    json_object_object_foreach(labels, name, value)
    {
        if (!validate_qualified_name(name))
            problems_add(p, PROBLEM_INVALID, "metadata.labels", "Invalid value: \"%.100s\": %s",
                         name, NAME_HINT);
        if (!json_object_is_type(value, json_type_string))
            problems_add(p, PROBLEM_TYPE, "metadata.labels",
                         "Invalid value: the value of \"%.100s\" must be a string", name);
        else if (!validate_string(value) || !validate_label_value(json_object_get_string(value)))
            problems_add(p, PROBLEM_INVALID, "metadata.labels", "Invalid value: \"%.100s\": %s",
                         json_object_get_string(value), LABEL_HINT);
    }
}

static void check_annotations(struct json_object *annotations, struct problems *p)
{
    size_t size = 0;

    if (!json_object_is_type(annotations, json_type_object)) {
        problems_add(p, PROBLEM_TYPE, "metadata.annotations",
                     "Invalid value: must be a map of strings");
        return;
    }
    json_object_object_foreach(annotations, name, value)
    {
        if (!json_object_is_type(value, json_type_string)) {
            problems_add(p, PROBLEM_TYPE, "metadata.annotations",
                         "Invalid value: the value of \"%.100s\" must be a string", name);
            continue;
        }
        if (!validate_qualified_name(name) || !validate_string(value))
            problems_add(p, PROBLEM_INVALID, "metadata.annotations",
                         "Invalid value: \"%.100s\": %s", name, NAME_HINT);
        size += strlen(name) + (size_t)json_object_get_string_len(value);
    }
    if (size > ANNOTATIONS_MAX)
        problems_add(p, PROBLEM_TOO_LONG, "metadata.annotations",
                     "Too long: may not be more than %d bytes", ANNOTATIONS_MAX);
}

static void check_finalizers(struct json_object *list, struct problems *p)
{
    if (!json_object_is_type(list, json_type_array) ||
        json_object_array_length(list) > FINALIZERS_MAX) {
        problems_add(p, PROBLEM_INVALID, "metadata.finalizers",
                     "Invalid value: must be a list of at most %d names", FINALIZERS_MAX);
        return;
    }
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *v = json_object_array_get_idx(list, i);

        if (!json_object_is_type(v, json_type_string) || !validate_string(v) ||
            !validate_qualified_name(json_object_get_string(v)))
            problems_add(p, PROBLEM_INVALID, "metadata.finalizers", "Invalid value: \"%.100s\": %s",
                         json_object_get_string(v), NAME_HINT);
    }
}

void validate_metadata(struct json_object *metadata, bool namespaced, struct problems *p)
{
    struct json_object *v;

    check_name(metadata, "name", p);
    if (namespaced)
        check_name(metadata, "namespace", p);
    if ((v = json_get(metadata, "labels")))
        check_labels(v, p);
    if ((v = json_get(metadata, "annotations")))
        check_annotations(v, p);
    if ((v = json_get(metadata, "finalizers")))
        check_finalizers(v, p);
}

void validate_prune_metadata(struct json_object *metadata, struct field_list *unknown)
{
    static const char *const known[] = {"name",
                                        "generateName",
                                        "namespace",
                                        "selfLink",
                                        "uid",
                                        "resourceVersion",
                                        "generation",
                                        "creationTimestamp",
                                        "labels",
                                        "annotations",
                                        "ownerReferences",
                                        "finalizers",
                                        "managedFields",
                                        "deletionTimestamp",
                                        "deletionGracePeriodSeconds"};

    json_object_object_foreach(metadata, name, value)
    {
        bool found = false;

        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            found = found || strcmp(known[i], name) == 0;
        if (!found) {
            cleanup_free char *path = NULL;

            if (asprintf(&path, "metadata.%s", name) < 0)
                abort();
            field_list_add(unknown, path);
        }
        if (!found || !value)
            json_object_object_del(metadata, name);
    }
}
