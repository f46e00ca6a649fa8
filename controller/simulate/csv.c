#include "simulate/csv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 128 };

/* The commas of `text` become ends. How many fields; 0: too many. */
static size_t split(char *text, char **fields)
{
    size_t n = 0;

    for (char *at = text; at; n++) {
        if (n == CSV_COLUMNS_MAX)
            return 0;
        fields[n] = at;
        at = strchr(at, ',');
        if (at)
            *at++ = '\0';
    }
    return n;
}

static int refuse_line(const struct csv *c, struct err *e, const char *why)
{
    return err_set(e, EINVAL, "%s:%u: %s", c->path, c->line, why);
}

/* Up to its end, and no further than one byte too many: what it is given may have no end. */
static size_t read_bytes(struct csv *c)
{
    size_t n = 0;
    int byte = 0;

    while (n <= CSV_LINE_MAX && byte != '\n' && (byte = getc_unlocked(c->file)) != EOF)
        c->text[n++] = (char)byte;
    c->text[n] = '\0';
    return n;
}

/* 1: a line that is not empty. */
static int read_line(struct csv *c, struct err *e)
{
    size_t n;

    if (!c->text && !(c->text = malloc(CSV_LINE_MAX + 2)))
        return err_errno(e, ENOMEM, "%s", c->path);
    do {
        n = read_bytes(c);
        c->line++;
        if (ferror(c->file))
            return err_errno(e, errno, "%s", c->path);
        if (!n)
            return 0;
        if (n > CSV_LINE_MAX)
            return refuse_line(c, e, "the line is longer than 65536 bytes");
        if (strlen(c->text) != n)
            return refuse_line(c, e, "the line has a NUL byte");
        c->text[strcspn(c->text, "\r\n")] = '\0';
    } while (!c->text[0]);
    return 1;
}

int csv_open(struct csv *c, const char *path, struct err *e)
{
    int r;

    *c = (struct csv){.path = path, .file = fopen(path, "re")};
    if (!c->file)
        return err_errno(e, errno, "%s", path);
    r = read_line(c, e);
    if (r < 0)
        return r;
    if (!r)
        return refuse_line(c, e, "there is no line with the names of columns");
    c->names = c->text;
    c->text = NULL;
    c->count = split(c->names, c->columns);
    return c->count ? 0 : refuse_line(c, e, "there are more than 1600 columns");
}

void csv_close(struct csv *c)
{
    if (c->file)
        fclose(c->file);
    free(c->text);
    free(c->names);
    *c = (struct csv){0};
}

int csv_column(const struct csv *c, const char *name, struct err *e)
{
    for (size_t k = 0; k < c->count; k++)
        if (!strcmp(c->columns[k], name))
            return (int)k;
    return err_set(e, EINVAL, "%s:1: there is no column \"%s\"", c->path, name);
}

int csv_next(struct csv *c, struct err *e)
{
    int r = read_line(c, e);
    size_t n;

    if (r <= 0)
        return r;
    n = split(c->text, c->fields);
    if (!n)
        return refuse_line(c, e, "there are more than 1600 columns");
    if (n != c->count)
        return err_set(e, EINVAL, "%s:%u: the line has %zu columns, the first one has %zu", c->path,
                       c->line, n, c->count);
    return 1;
}

int csv_refuse(const struct csv *c, size_t column, struct err *e, const char *why)
{
    return err_set(e, EINVAL, "%s:%u: column %zu (%.40s): \"%.40s\" %s", c->path, c->line,
                   column + 1, c->columns[column], c->fields[column], why);
}

static int out_of_range(const struct csv *c, size_t column, struct err *e, double max)
{
    char why[64];

    snprintf(why, sizeof(why), "is no number of 0 to %.0f", max);
    return csv_refuse(c, column, e, why);
}

int csv_integer(const struct csv *c, size_t column, uint64_t max, uint64_t *ret, struct err *e)
{
    const char *at = c->fields[column];
    uint64_t v = 0;

    for (; *at >= '0' && *at <= '9' && v <= max; at++)
        v = v * 10 + (uint64_t)(*at - '0');
    if (*at || at == c->fields[column] || v > max)
        return out_of_range(c, column, e, (double)max);
    *ret = v;
    return 0;
}

int csv_number(const struct csv *c, size_t column, double max, double *ret, struct err *e)
{
    const char *text = c->fields[column];
    char *end;
    double v = strtod(text, &end);

    if (!*text || strspn(text, "0123456789.eE+-") != strlen(text) || *end || !(v >= 0 && v <= max))
        return out_of_range(c, column, e, max);
    *ret = v;
    return 0;
}

int csv_name(const struct csv *c, size_t column, const char **ret, struct err *e)
{
    size_t n = strlen(c->fields[column]);

    if (!n || n > NAME_MAX_BYTES)
        return csv_refuse(c, column, e, "is no name of 1 to 128 bytes");
    *ret = c->fields[column];
    return 0;
}
