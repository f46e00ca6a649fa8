/* json_check.c - is it JSON, and how much of it? Peers' texts pass here before a parser spends
 * memory on them: six MiB of "[0,0,..." make a tree of two hundred. Pure. */
#include "base/utf8.h"
#include "invoke/text.h"

#include <errno.h>
#include <string.h>

enum { DEPTH_MAX = 512 };

struct scan {
    const uint8_t *at, *end;
    unsigned depth, limit;
    struct json_facts facts;
    bool object[DEPTH_MAX]; /* what each level is */
};

static void skip_space(struct scan *s)
{
    while (s->at < s->end && memchr(" \t\r\n", *s->at, 4))
        s->at++;
}

static bool take(struct scan *s, uint8_t c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool take_hex(struct scan *s)
{
    for (int i = 0; i < 4; i++, s->at++)
        if (s->at == s->end || !*s->at || !strchr("0123456789abcdefABCDEF", *s->at))
            return false;
    return true;
}

static bool take_string(struct scan *s)
{
    if (!take(s, '"'))
        return false;
    while (s->at < s->end) {
        uint8_t c = *s->at++;

        if (c == '"')
            return true;
        if (c < ' ')
            return false;
        if (c != '\\')
            continue;
        if (s->at == s->end || !*s->at || !strchr("\"\\/bfnrtu", *s->at))
            return false;
        if (*s->at++ == 'u' && !take_hex(s))
            return false;
    }
    return false;
}

static bool take_digits(struct scan *s)
{
    const uint8_t *from = s->at;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > from;
}

static bool take_number(struct scan *s)
{
    take(s, '-');
    if (!take(s, '0') && !take_digits(s))
        return false;
    if (take(s, '.') && !take_digits(s))
        return false;
    if (!take(s, 'e') && !take(s, 'E'))
        return true;
    if (!take(s, '+'))
        take(s, '-');
    return take_digits(s);
}

static bool take_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
        return false;
    s->at += n;
    return true;
}

static bool take_scalar(struct scan *s)
{
    switch (s->at < s->end ? *s->at : 0) {
    case '"':
        return take_string(s);
    case 't':
        return take_word(s, "true");
    case 'f':
        return take_word(s, "false");
    case 'n':
        return take_word(s, "null");
    default:
        return take_number(s);
    }
}

static bool take_key(struct scan *s)
{
    static const char status_code[] = "\"statusCode\"";
    const uint8_t *from;

    skip_space(s);
    from = s->at;
    if (!take_string(s))
        return false;
    if (s->depth == 1 && (size_t)(s->at - from) == sizeof(status_code) - 1 &&
        !memcmp(from, status_code, sizeof(status_code) - 1))
        s->facts.status_code = true;
    skip_space(s);
    return take(s, ':');
}

/* After a value: closes what ends here. True: another value follows, or (depth 0) all is said. */
static bool take_ends(struct scan *s)
{
    while (s->depth) {
        bool object = s->object[s->depth - 1];

        skip_space(s);
        if (take(s, ','))
            return !object || take_key(s);
        if (!take(s, object ? '}' : ']'))
            return false;
        s->depth--;
    }
    return true;
}

/* An opened and not at once closed array or object leads to its first value: *ret_inside. */
static int take_open(struct scan *s, bool object, bool *ret_inside)
{
    if (s->depth == s->limit)
        return -E2BIG;
    s->object[s->depth++] = object;
    skip_space(s);
    *ret_inside = !take(s, object ? '}' : ']');
    if (!*ret_inside)
        s->depth--;
    return *ret_inside && object && !take_key(s) ? -EINVAL : 0;
}

int json_check(const uint8_t *text, size_t n, unsigned depth, struct json_facts *ret)
{
    struct scan s = {.at = text, .end = text + n, .limit = depth < DEPTH_MAX ? depth : DEPTH_MAX};

    do {
        bool object, inside = false;
        int r;

        skip_space(&s);
        s.facts.values++;
        object = take(&s, '{');
        if (object || take(&s, '[')) {
            r = take_open(&s, object, &inside);
            if (r < 0)
                return r;
        } else if (!take_scalar(&s)) {
            return -EINVAL;
        }
        if (!inside && !take_ends(&s))
            return -EINVAL;
    } while (s.depth);
    skip_space(&s);
    if (s.at != s.end || !utf8_valid(text, n))
        return -EINVAL;
    *ret = s.facts;
    return 0;
}
