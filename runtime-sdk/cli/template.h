/* template.h - the files of a new function. Pure. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"

struct template_language {
    const char *name, *alias; /* as a person types them; alias may be NULL */
    const char *runtime;
    const char *source;                 /* the file to edit */
    const char *text, *http_text;       /* what it begins as */
    const char *handler, *http_handler; /* of the spec */
    bool http_port;                     /* with --http it is a server on spec.port */
    const char *code;                   /* of spec.code.path, with what is to be said of it */
    const char *memory, *concurrency, *http_concurrency, *ignore;
};
extern const struct template_language template_all[]; /* the last one's name is NULL */
enum { TEMPLATE_FILES_MAX = 8, TEMPLATE_NAME_MAX = 63 };
struct template_file {
    const char *name;
    struct buffer text;
};

/* By name or alias; NULL. */
const struct template_language *template_language(const char *name);
const char *template_languages(void); /* "c, python3, nodejs" */
/* What the API asks of metadata.name, and of a namespace; -EINVAL and the limit that it breaks. */
int template_name_check(const char *name, struct err *e);
/* `http`: the function takes HTTP as it is, and no events. Returns how many files; -ENOMEM. */
int template_files(const struct template_language *l, const char *name, bool http,
                   struct template_file ret[TEMPLATE_FILES_MAX]);
void template_files_done(struct template_file *files, int n);
