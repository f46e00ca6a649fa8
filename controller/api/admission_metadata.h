/* admission_metadata.h - the server's part of metadata: what it gives, what it keeps, what it drops. */
#pragma once
#include "api/admission.h"

void admission_normalise(struct json_object *metadata);
void admission_begin_life(struct admission *a); /* of a new object */
/* Of one that there is: keeps what is the server's, counts the generation, sets a->changed. -1 with the failure. */
int admission_go_on(struct admission *a, struct failure *f);
/* A deleted object keeps it until the core takes it away by erasing it. */
void admission_keep_finalizer(struct json_object *metadata, enum object_kind kind);
