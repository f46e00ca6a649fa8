/* options_take.c - the values of rouse-agent's flags that are neither text nor a number within limits. */
#include "base/clock.h"
#include "base/quantity.h"
#include "invoke/target.h"
#include "router/capacity.h"
#include "router/options_internal.h"
#include "router/siblings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODE_NAME_MAX = 63,
    LABEL_MAX = 63,
    LABEL_NAME_MAX = 317,
    SUBNET_BITS_MIN = 8,
    SUBNET_BITS_MAX = 30
};
#define FREEZE_AFTER_MIN (10 * NS_PER_MS)
#define FREEZE_AFTER_MAX (3600 * NS_PER_S)

OPTION_TAKER(node)
{
    struct options *o = options;

    (void)f;
    if (strchr(value, '.') || !target_name_ok(str_of(value), NODE_NAME_MAX))
        return daemon_flag_bad(e, said, value, "is not a name of [a-z0-9-], 1 to 63 characters");
    o->node = value;
    return 0;
}

/* The characters of Kubernetes' labels; the controller holds them to the rest of its rules. */
static const char label_characters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./";

static bool label_ok(const char *name, const char *value)
{
    size_t n = strlen(name), v = strlen(value);

    return n && n <= LABEL_NAME_MAX && v <= LABEL_MAX && strspn(name, label_characters) == n &&
           strspn(value, label_characters) == v && !strchr(value, '/');
}

static int take_label(const char *said, char *value, struct options *o, struct err *e)
{
    char *equals = strchr(value, '=');

    if (o->label_count == OPTION_LABELS_MAX)
        return daemon_flag_bad(e, said, value, "is one too many; 64 labels at most");
    if (equals)
        *equals = '\0';
    if (!equals || !label_ok(value, equals + 1)) {
        if (equals)
            *equals = '=';
        return daemon_flag_bad(e, said, value,
                               "is not NAME=VALUE with [PREFIX/]NAME of [A-Za-z0-9-_.] and at most 63 "
                               "of them as VALUE");
    }
    o->labels[o->label_count++] = (struct session_label){value, equals + 1};
    return 0;
}

OPTION_TAKER(label)
{
    char *one;
    int r = 0;

    (void)f;
    while (r == 0 && (one = strsep(&value, ",")))
        r = take_label(said, one, options, e);
    return r;
}

static int take_taint(const char *said, char *text, struct options *o, struct err *e)
{
    char *colon = strrchr(text, ':'), *equals;
    const char *value = "";

    if (o->taint_count == OPTION_LABELS_MAX)
        return daemon_flag_bad(e, said, text, "is one too many; 64 taints at most");
    if (!colon || strcmp(colon + 1, "NoSchedule") != 0)
        return daemon_flag_bad(e, said, text,
                               "is not NAME[=VALUE]:NoSchedule, which is the only effect");
    *colon = '\0';
    equals = strchr(text, '=');
    if (equals) {
        *equals = '\0';
        value = equals + 1;
    }
    if (!label_ok(text, value))
        return daemon_flag_bad(e, said, text,
                               "must be [PREFIX/]NAME of [A-Za-z0-9-_.], with at most 63 of them as "
                               "VALUE");
    o->taints[o->taint_count++] = (struct session_label){text, value};
    return 0;
}

OPTION_TAKER(taint)
{
    char *one;
    int r = 0;

    (void)f;
    while (r == 0 && (one = strsep(&value, ",")))
        r = take_taint(said, one, options, e);
    return r;
}

OPTION_TAKER(cpu)
{
    struct options *o = options;
    uint32_t v;

    (void)f;
    if (quantity_cpu(value, &v) < 0 || !v)
        return daemon_flag_bad(e, said, value, "is not a number of cpus above 0, such as 4 or 500m");
    o->cpu_millis = v;
    return 0;
}

OPTION_TAKER(freeze_after)
{
    struct options *o = options;
    bool never = !strcmp(value, "never");
    uint64_t v = 0;

    (void)f;
    if (!never && (quantity_duration(value, &v) < 0 || v < FREEZE_AFTER_MIN || v > FREEZE_AFTER_MAX))
        return daemon_flag_bad(e, said, value, "is neither a duration between 10ms and 1h nor never");
    o->freeze_after_ns = v;
    return 0;
}

OPTION_TAKER(loops)
{
    struct options *o = options;
    char *end;
    long n;

    (void)f;
    errno = 0;
    n = strtol(value, &end, 10);
    if (!*value || *end || errno || n > LOOPS_MAX)
        return daemon_flag_bad(
            e, said, value, "is not a number of loops up to 64: 0 is one, negative is one per cpu");
    if (n < 0)
        n = capacity_cpus() < LOOPS_MAX ? (long)capacity_cpus() : LOOPS_MAX;
    o->loops = n ? (unsigned)n : 1;
    return 0;
}

/* Appends a list of blocks. */
static int take_blocks(const char *said, const char *value, struct cidr *to, size_t *count,
                       struct err *e)
{
    const char *bad_entry;
    size_t n;
    int r = cidr_list_parse(value, to + *count, OPTION_BLOCKS_MAX - *count, &bad_entry, &n);

    if (r >= 0) {
        *count += (size_t)r;
        return 0;
    }
    return err_set(e, EINVAL, "%s \"%.*s\": %s", said, n < 64 ? (int)n : 64, bad_entry,
                   r == -E2BIG    ? "is one too many; 256 blocks at most"
                   : r == -ERANGE ? "has a prefix of more than 32 bits, or 128 of IPv6"
                   : r == -EDOM   ? "has bits set beyond its prefix"
                                  : "is not a block such as 10.0.0.0/8 or fd00::/8");
}

OPTION_TAKER(deny)
{
    struct options *o = options;

    (void)f;
    return take_blocks(said, value, o->deny, &o->deny_count, e);
}

OPTION_TAKER(allow)
{
    struct options *o = options;

    (void)f;
    return take_blocks(said, value, o->allow, &o->allow_count, e);
}

OPTION_TAKER(subnet)
{
    struct options *o = options;
    struct cidr c;

    (void)f;
    if (!strchr(value, '/') || cidr_parse(value, strlen(value), &c) < 0 || c.six ||
        c.bits < SUBNET_BITS_MIN || c.bits > SUBNET_BITS_MAX)
        return daemon_flag_bad(e, said, value,
                               "is not a block of IPv4 addresses, /8 to /30, such as 100.64.0.0/18");
    o->instance_subnet = value;
    return 0;
}
