/* write_internal.h - one write on its way: from what the client sent to the object that is stored. */
#pragma once
#include "api/api_internal.h"

enum write_kind { WRITE_CREATE, WRITE_REPLACE, WRITE_MERGE, WRITE_JSON, WRITE_APPLY };

struct write {
    enum write_kind kind;
    struct json_object *input;
    char manager[128];
    bool dry_run, force, versioned; /* versioned: the client named a resourceVersion */
    struct object *old;
    struct json_object *body, *owners;
    struct admission a;
    struct content *content;
};

/* write_make.c: w->body (and, for apply, w->owners) from w->old and w->input. -1 with the failure. */
int write_make(struct request *r, struct failure *f);
