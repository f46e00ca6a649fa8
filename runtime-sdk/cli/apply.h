/* apply.h - what `rouse apply` and `rouse deploy` share. */
#pragma once
#include "cli/manifest.h"

/* Applies every document; what code.path names is packed and uploaded first, and the object changed
 * accordingly. Prints a line each; the worst exit status. */
int apply_manifest(const struct settings *s, const struct manifest *m);
