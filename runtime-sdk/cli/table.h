/* table.h - the API's Table objects as columns, the way kubectl prints them. Pure. */
#pragma once
#include "base/buffer.h"

#include <json-c/json.h>
#include <stdbool.h>

enum { TABLE_COLUMNS_MAX = 32 };
struct table { /* zero-initialise; remembers its columns between the objects of a watch */
    bool wide, namespaces, header_done;
    bool shown[TABLE_COLUMNS_MAX];
    size_t column_count, width[TABLE_COLUMNS_MAX + 1];
    char title[TABLE_COLUMNS_MAX][64];
};
/* Appends the rows (and, the first time, the header). -EINVAL: that is no Table. */
int table_print(struct table *t, struct json_object *o, struct buffer *ret);
