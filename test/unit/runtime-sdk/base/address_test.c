#include "base/address.h"
#include "base/cleanup.h"
#include "unit.h"

#include <string.h>

START_TEST(whose_it_is)
{
    static const struct {
        const char *text;
        bool local, any;
    } rows[] = {
        {"tcp://127.0.0.1:80", true, false},   {"tcp://127.9.9.9:80", true, false},
        {"tcp://[::1]:80", true, false},       {"unix:///tmp/s", true, false},
        {"tcp://0.0.0.0:80", false, true},     {"tcp://[::]:80", false, true},
        {"tcp://128.0.0.1:80", false, false},  {"tcp://[fd00::1]:80", false, false},
        {"tcp://10.0.0.127:80", false, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sockaddr_storage sa;
        socklen_t size;

        ck_assert_int_eq(address_parse(rows[i].text, &sa, &size), 0);
        ck_assert_msg(address_is_local(&sa) == rows[i].local && address_is_any(&sa) == rows[i].any,
                      "%s", rows[i].text);
    }
}
END_TEST

UNIT_MAIN("address", whose_it_is)
