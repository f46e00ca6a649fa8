/* admission_function.h - what a Function must be beyond its schema; packs its inline code. */
#pragma once
#include "api/admission.h"

/* a->spec is there, the schema has been kept. */
void admission_check_function(struct admission *a, struct problems *p);
