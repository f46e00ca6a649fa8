/* csv.h - tables of numbers and names: lines of fields between commas, without quotes, after a line of their names. An
 * error names the file, the line and the column. One thread. */
#pragma once
#include "base/error.h"
#include <stdint.h>
#include <stdio.h>

enum { CSV_COLUMNS_MAX = 1600, CSV_LINE_MAX = 64 << 10 };

struct csv {
    FILE *file;
    const char *path;
    unsigned line;
    char *text, *names; /* of this line; of the first */
    char *fields[CSV_COLUMNS_MAX], *columns[CSV_COLUMNS_MAX];
    size_t count; /* of columns, and of the fields of every line */
};

/* Reads the names. `path` must outlive it. -EINVAL, -errno, with the error set. */
int csv_open(struct csv *c, const char *path, struct err *e);
void csv_close(struct csv *c); /* also of one that is all zero */
/* The column's place; -EINVAL: there is none. */
int csv_column(const struct csv *c, const char *name, struct err *e);
int csv_next(struct csv *c, struct err *e); /* 1: a line; 0: the end; -EINVAL */
/* Of this line; 0 to `max`. */
int csv_integer(const struct csv *c, size_t column, uint64_t max, uint64_t *ret, struct err *e);
int csv_number(const struct csv *c, size_t column, double max, double *ret, struct err *e);
int csv_name(const struct csv *c, size_t column, const char **ret, struct err *e); /* 1 to 128 bytes */
/* Refuses a field of this line. */
int csv_refuse(const struct csv *c, size_t column, struct err *e, const char *why);
