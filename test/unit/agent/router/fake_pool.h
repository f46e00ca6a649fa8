/* fake_pool.h - a pool for the router's tests: it takes, refuses or keeps exchanges as it is told. */
#pragma once
#include "pool/pool.h"
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum fake_mode { FAKE_ANSWER, FAKE_HOLD, FAKE_COUNT_BODY };
struct pool {
    const char *name;
    int result; /* of pool_invoke(): 0 or -errno */
    enum fake_mode mode;
    int status; /* of the answer; 0: 200 */
    bool has_slot;
    unsigned soon_free, wanted;
    struct fake_invocation *held; /* the last one that was kept */
    unsigned invoked, gone;
    uint64_t slot; /* of the last invocation */
    uint64_t body_limit;
    uint32_t timeout_ms;
};
struct fake_invocation {
    struct pool *pool;
    struct http_exchange *x;
    struct invoke_outcome outcome;
    void (*on_done)(void *user, const struct invoke_outcome *o);
    void *user;
    char text[512];
    size_t body;
};

static void fake_gone(struct http_exchange *x, int error)
{
    struct fake_invocation *i = http_user(x);

    (void)error;
    i->outcome.client_gone = true;
    i->pool->gone++;
}
static void fake_done(struct http_exchange *x)
{
    struct fake_invocation *i = http_user(x);

    if (i->pool->held == i)
        i->pool->held = NULL;
    i->on_done(i->user, &i->outcome);
    free(i);
}
static void fake_answer(struct fake_invocation *i)
{
    i->pool->held = NULL;
    http_respond(i->x, i->outcome.status, NULL, i->text, strlen(i->text));
}
static void fake_body(struct http_exchange *x, const uint8_t *data, size_t n, bool last)
{
    struct fake_invocation *i = http_user(x);

    (void)data;
    i->body += n;
    if (!last)
        return;
    snprintf(i->text, sizeof(i->text), "body of %zu bytes", i->body);
    fake_answer(i);
}
static const struct http_exchange_ops fake_ops = {
    .on_body = fake_body, .on_gone = fake_gone, .on_done = fake_done};

int pool_invoke(struct pool *p, struct http_exchange *x, const struct invoke_params *params,
                void (*on_done)(void *user, const struct invoke_outcome *o), void *user)
{
    struct fake_invocation *i;

    if (p->result < 0)
        return p->result;
    i = calloc(1, sizeof(*i));
    ck_assert_ptr_nonnull(i);
    p->invoked++;
    p->slot = params->slot;
    p->body_limit = params->body_limit;
    p->timeout_ms = params->timeout_ms;
    i->pool = p;
    i->x = x;
    i->on_done = on_done;
    i->user = user;
    i->outcome.status = p->status ? p->status : 200;
    snprintf(i->text, sizeof(i->text), "%s ran %s@%s %.*s shape=%d client=%s trusted=%d id=%s",
             p->name, params->function_key, params->revision, (int)params->raw_path.n,
             params->raw_path.at, params->shape, params->client_ip, params->trusted,
             params->request_id);
    if (params->route.n)
        snprintf(i->text + strlen(i->text), sizeof(i->text) - strlen(i->text), " route=%s %.*s;",
                 params->route_any ? "ANY" : "one", (int)params->route.n, params->route.at);
    http_set_owner(x, &fake_ops, i);
    if (p->mode == FAKE_HOLD)
        p->held = i;
    else if (p->mode == FAKE_COUNT_BODY)
        http_read_body(x, params->body_limit);
    else
        fake_answer(i);
    return 0;
}
bool pool_has_slot(const struct pool *p, const char *function_key, const char *revision)
{
    (void)function_key, (void)revision;
    return p->has_slot;
}
unsigned pool_soon_free(const struct pool *p, const char *function_key, const char *revision,
                        uint64_t within_ns, unsigned *ret_wanted)
{
    (void)function_key, (void)revision, (void)within_ns;
    *ret_wanted = p->wanted;
    return p->soon_free;
}
