/* problems.h - what is wrong with an object: the causes of an Invalid Status, field by field. */
#pragma once
#include "base/buffer.h"
#include <stdbool.h>
#include <stddef.h>

enum { PROBLEMS_MAX = 32 };

struct problem {
    const char *reason; /* static: FieldValueRequired, FieldValueInvalid... */
    char *field, *message;
};
struct problems { /* zero-initialised is empty; more than PROBLEMS_MAX are counted only */
    struct problem items[PROBLEMS_MAX];
    size_t count, dropped;
};
#define PROBLEM_REQUIRED    "FieldValueRequired"
#define PROBLEM_INVALID     "FieldValueInvalid"
#define PROBLEM_UNSUPPORTED "FieldValueNotSupported"
#define PROBLEM_DUPLICATE   "FieldValueDuplicate"
#define PROBLEM_FORBIDDEN   "FieldValueForbidden"
#define PROBLEM_TOO_LONG    "FieldValueTooLong"
#define PROBLEM_TOO_MANY    "FieldValueTooMany"
#define PROBLEM_TYPE        "FieldValueTypeInvalid"

void problems_add(struct problems *p, const char *reason, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void problems_done(struct problems *p);
#define cleanup_problems __attribute__((cleanup(problems_done)))

/* A list of field paths: unknown fields. */
struct field_list {
    char *items[PROBLEMS_MAX];
    size_t count, dropped;
};
void field_list_add(struct field_list *l, const char *field);
void field_list_done(struct field_list *l);
#define cleanup_field_list __attribute__((cleanup(field_list_done)))
