/* selector.h - labelSelector and fieldSelector: which objects a list, a watch or a deletion means.
 */
#pragma once
#include "base/error.h"
#include "brain/object.h"

struct selector;
/* Either text may be NULL. -EINVAL with a message. */
int selector_parse(const char *labels, const char *fields, struct selector **ret, struct err *e);
/* The same with these fields instead of metadata.name and metadata.namespace; NULL ends them. */
int selector_parse_of(const char *labels, const char *fields, const char *const *known,
                      struct selector **ret, struct err *e);
struct selector *selector_free(struct selector *s);                      /* NULL is a no-op */
bool selector_matches(const struct selector *s, const struct object *o); /* NULL matches all */
/* Of something without labels, whose fields field() tells. */
bool selector_matches_of(const struct selector *s,
                         const char *(*field)(const void *of, const char *name), const void *of);
/* metadata.name=X in the field selector: X, else NULL. */
const char *selector_name(const struct selector *s);
