/* name.h - which names and link targets a package may hold. Pure.
 *
 * The rule for links makes unpacking safe by induction: entries are created
 * in real directories only, and a target climbs (".." first, names after) no
 * further than the root, so a chain of links can never leave it. */
#pragma once
#include "package/package.h"

/* The limits with defaults filled in; `l` may be NULL. */
struct package_limits package_limits_or_default(const struct package_limits *l);
/* Cleans "./a//b/" to "a/b" in `ret` (empty for the root itself). Refuses absolute names, "..",
 * control characters, invalid UTF-8 and what is over the limits. */
int package_name_clean(const char *name, const struct package_limits *l, struct buffer *ret,
                       struct err *e);
/* May a link whose own (cleaned) name is `name` point to `target`? */
int package_link_check(const char *name, const char *target, const struct package_limits *l,
                       struct err *e);
