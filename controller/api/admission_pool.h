/* admission_pool.h - what a NodePool must be beyond its schema. */
#pragma once
#include "api/admission.h"

/* a->spec and a->old are there, the schema has been kept. */
void admission_check_pool(struct admission *a, struct problems *p);
