#include "http/secret.h"
#include "unit.h"

START_TEST(secrets)
{
    ck_assert(secret_equals(STR("abc"), "abc"));
    ck_assert(!secret_equals(STR("abd"), "abc"));
    ck_assert(!secret_equals(STR("ab"), "abc"));
    ck_assert(!secret_equals(STR("abcd"), "abc"));
    ck_assert(!secret_equals(STR(""), ""));
    ck_assert(!secret_equals(STR(""), NULL));
}
END_TEST

START_TEST(bearer_tokens)
{
    static const struct {
        struct str value;
        bool good;
    } rows[] = {
        {STR("Bearer t0k"), true},   {STR("bearer t0k"), true}, {STR("Bearer t0"), false},
        {STR("Bearer "), false},     {STR("Basic t0k"), false}, {STR("t0k"), false},
        {STR("Bearer  t0k"), false}, {STR("Bearert0k"), false},
    };
    struct http_head h = {.header_count = 1, .headers = {{.name = STR("authorization")}}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        h.headers[0].value = rows[i].value;
        ck_assert_msg(http_shows_token(&h, "t0k") == rows[i].good, "row %zu", i);
    }
    h.header_count = 0;
    ck_assert(!http_shows_token(&h, "t0k"));
}
END_TEST

UNIT_MAIN("secret", secrets, bearer_tokens)
