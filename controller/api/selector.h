/* selector.h - labelSelector and fieldSelector: which objects a list, a watch or a deletion means.
 */
#pragma once
#include "base/error.h"
#include "brain/object.h"

struct selector;
/* Either text may be NULL. -EINVAL with a message. */
int selector_parse(const char *labels, const char *fields, struct selector **ret, struct err *e);
struct selector *selector_free(struct selector *s);                      /* NULL is a no-op */
bool selector_matches(const struct selector *s, const struct object *o); /* NULL matches all */
/* metadata.name=X in the field selector: X, else NULL. */
const char *selector_name(const struct selector *s);
