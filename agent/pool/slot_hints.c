#include "pool/slot_hints.h"
#include "base/map.h"

#include <string.h>

unsigned slot_hint_place(const char *function_key, const char *revision)
{
    /* Revisions are hashes already, of everything but the name. */
    return (map_hash(function_key, strlen(function_key)) ^ map_hash(revision, strlen(revision))) %
           SLOT_HINTS;
}
