#include "brain/history_text.h"

#include "base/json.h"

#include <errno.h>
#include <stdlib.h>

int history_text(const struct idle_histogram *h, struct buffer *to)
{
    int r = buffer_printf(to, "{\"beyond\":%u,\"minutes\":{", h->beyond);
    const char *comma = "";

    for (int i = 0; i < IDLE_MINUTES && r == 0; i++) {
        if (!h->minutes[i])
            continue;
        r = buffer_printf(to, "%s\"%d\":%u", comma, i, h->minutes[i]);
        comma = ",";
    }
    return r < 0 ? r : buffer_append(to, "}}", 3);
}

/* A count, of which there are not more than a histogram has in all. */
static bool count(struct json_object *v, uint32_t *ret)
{
    int64_t n = json_object_get_int64(v);

    if (!json_object_is_type(v, json_type_int) || n < 0 || n > IDLE_TIMES_MAX)
        return false;
    *ret = (uint32_t)n;
    return true;
}

static bool take(struct json_object *o, struct idle_histogram *h)
{
    struct json_object *minutes = json_get(o, "minutes");

    if (!minutes || !json_object_is_type(minutes, json_type_object) ||
        !count(json_get(o, "beyond"), &h->beyond))
        return false;
    json_object_object_foreach(minutes, name, v)
    {
        char *end;
        unsigned long minute = strtoul(name, &end, 10);
        uint32_t n;

        if (*end || end == name || minute >= IDLE_MINUTES || !count(v, &n) || h->minutes[minute])
            return false;
        h->minutes[minute] = (uint16_t)n;
        h->within += n;
    }
    return h->within + h->beyond <= IDLE_TIMES_MAX;
}

int history_parse(const char *text, struct idle_histogram *ret)
{
    struct json_object *o = json_tokener_parse(text);
    struct idle_histogram h = {0};
    bool ok = take(o, &h);

    json_object_put(o);
    if (!ok)
        return -EINVAL;
    *ret = h;
    return 0;
}
