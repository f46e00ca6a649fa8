/* bootstrap.c - JSON in, JSON out: the sum and the mean of the numbers in an event.
 *
 * main() loads nothing; init() and idle() are the hooks that function.yaml names. Build it with -ljson-c. */
#include <rouse/json.h>
#include <rouse/rouse.h>

#include <json-c/json.h>

static int64_t limit;

static int init(struct rouse_context *ctx)
{
    limit = 1000;
    rouse_log(ctx, "%s takes %lld numbers", rouse_function_name(ctx), (long long)limit);
    return 0;
}

/* {"numbers": [1, 2, 3], "title": "three"}; fields of another type fail with a message that names them. */
static struct json_object *sum(struct json_object *event, struct rouse_context *ctx)
{
    struct json_object *numbers = rouse_json_at(event, "numbers"), *answer;
    const char *title;
    double all = 0;
    size_t n;

    if (rouse_json_string(event, "title", "untitled", &title) < 0)
        return NULL;
    if (!json_object_is_type(numbers, json_type_array)) {
        rouse_fail(ctx, "InvalidEvent", "numbers: wanted an array");
        return NULL;
    }
    n = json_object_array_length(numbers);
    if ((int64_t)n > limit) {
        rouse_fail(ctx, "TooMany", "%zu numbers, more than %lld", n, (long long)limit);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        all += json_object_get_double(json_object_array_get_idx(numbers, i));
    answer = json_object_new_object();
    json_object_object_add(answer, "title", json_object_new_string(title));
    json_object_object_add(answer, "sum", json_object_new_double(all));
    json_object_object_add(answer, "mean", n ? json_object_new_double(all / (double)n) : NULL);
    return answer;
}

/* Until the next event there is no CPU: a real function sends its figures, and lets go of connections that
 * would be stale by then. */
static int idle(struct rouse_context *ctx)
{
    rouse_log(ctx, "%s goes to sleep", rouse_function_name(ctx));
    return 0;
}

int main(void)
{
    return rouse_hook("init", init) < 0 || rouse_hook("idle", idle) < 0 || rouse_start(sum) < 0;
}
