#include "http/secret.h"

#include <string.h>

bool secret_equals(struct str shown, const char *secret)
{
    size_t n = secret ? strlen(secret) : 0;
    volatile unsigned char differs = 0;

    if (!n || shown.n != n)
        return false;
    for (size_t i = 0; i < n; i++)
        differs = (unsigned char)(differs | (unsigned char)(shown.at[i] ^ secret[i]));
    return !differs;
}

bool http_shows_token(const struct http_head *h, const char *token)
{
    static const char bearer[] = "Bearer ";
    const struct str *s = http_head_get(h, "Authorization");
    size_t n = sizeof(bearer) - 1;

    return s && s->n > n && str_ieq((struct str){s->at, n}, bearer) &&
           secret_equals((struct str){s->at + n, s->n - n}, token);
}
