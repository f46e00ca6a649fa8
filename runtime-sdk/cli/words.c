#include "cli/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add(struct words *w, const char *word, size_t n)
{
    char **more;

    if (w->count == WORDS_MAX)
        return -E2BIG;
    more = reallocarray(w->all, w->count + 2, sizeof(*more));
    if (!more)
        return -ENOMEM;
    w->all = more;
    more[w->count] = strndup(word, n);
    if (!more[w->count])
        return -ENOMEM;
    more[++w->count] = NULL;
    return 0;
}

int words_add(struct words *w, const char *word)
{
    return add(w, word, strlen(word));
}

int words_add_all(struct words *w, const char *const *all)
{
    int r = 0;

    for (; *all && r == 0; all++)
        r = words_add(w, *all);
    return r;
}

int words_split(struct words *w, const char *text)
{
    static const char space[] = " \t\r\n";
    int r = 0;

    for (text += strspn(text, space); *text && r == 0; text += strspn(text, space)) {
        size_t n = strcspn(text, space);

        r = add(w, text, n);
        text += n;
    }
    return r;
}

const char *const *words_all(const struct words *w)
{
    static const char *const none[] = {NULL};

    return w->all ? (const char *const *)w->all : none;
}

void words_done(struct words *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->all[i]);
    free(w->all);
    *w = (struct words){0};
}
