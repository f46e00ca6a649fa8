/* notes_json.h - a note as an Event of core/v1, and as a row of the table that Kubernetes makes of
 * them. Pure but for the ages of a row. */
#pragma once
#include "api/api_internal.h"

enum { NOTE_NAME = 300 };
/* Its metadata.name: the object's and a part of its uid. */
void note_name(const struct note *n, char out[NOTE_NAME]);
void note_json(const struct note *n, struct buffer *b);
/* {"kind":"Table",...,"rows":[ */
void note_table_begin(struct buffer *b, uint64_t rv, bool columns);
void note_row(enum table_include include, const struct note *n, struct buffer *b);
