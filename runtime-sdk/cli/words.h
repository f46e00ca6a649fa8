/* words.h - a command's words, copied; NULL-terminated for exec(2). */
#pragma once
#include <stddef.h>

enum { WORDS_MAX = 4096 };
struct words { /* zero-initialise */
    char **all;
    size_t count;
};
/* -E2BIG past WORDS_MAX, -ENOMEM. */
int words_add(struct words *w, const char *word);
int words_add_all(struct words *w, const char *const *all);
int words_split(struct words *w, const char *text);  /* at white space */
const char *const *words_all(const struct words *w); /* NULL-terminated, also of none */
static inline size_t words_count(const struct words *w)
{
    return w->count;
}
void words_done(struct words *w);
static inline void cleanup_words_done(struct words *w)
{
    words_done(w);
}
#define cleanup_words __attribute__((cleanup(cleanup_words_done)))
