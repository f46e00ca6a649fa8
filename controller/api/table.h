/* table.h - meta.k8s.io/v1 Table: the columns of the schema file, computed from an object's JSON.
 */
#pragma once
#include "api/schema.h"
#include "base/buffer.h"
#include "brain/object.h"

enum table_include { TABLE_METADATA, TABLE_OBJECT, TABLE_NONE };

/* {"kind":"Table","apiVersion":...,"metadata":{...},"columnDefinitions":[...],"rows":[ - up to the
 * first row. `metadata` is a JSON object; `columns` false leaves the definitions out (later events
 * of a watch). */
int table_begin(const struct schema_kind *k, const char *metadata, bool columns, struct buffer *out);
int table_row(const struct schema_kind *k, const struct object *o, enum table_include include,
              uint64_t now_s, struct buffer *out);
int table_end(struct buffer *out);
/* "5m", "3d4h": as kubectl shows ages. */
void table_age(uint64_t seconds, char out[24]);
/* The part of JSONPath that columns use: .a.b[0], [?(@.k=="v")]. NULL: nothing there. */
struct json_object *table_path(struct json_object *o, const char *path);
