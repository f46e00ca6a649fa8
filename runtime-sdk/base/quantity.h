/* quantity.h - the units of a manifest: memory "128Mi", cpu "500m", duration "3s".
 *
 * Each parser takes the whole string, returns 0 and sets *ret, or returns
 * -EINVAL (not that shape) or -ERANGE (does not fit). */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Bytes. Suffixes Ki Mi Gi Ti, k M G T, or none; a fraction ("1.5Gi") is taken. */
int quantity_memory(const char *s, uint64_t *ret);
/* Thousandths of a cpu: "500m", "2", "0.5". */
int quantity_cpu(const char *s, uint32_t *ret);
/* Thousandths of a plain number: "100", "0.5", "250m", and with the suffixes of memory. */
int quantity_number(const char *s, uint64_t *ret);
/* Nanoseconds: numbers with h m s ms us ns, as Go's ParseDuration ("1m30s"), and a bare "0". */
int quantity_duration(const char *s, uint64_t *ret);
/* "128Mi": the largest binary unit that divides; the buffer holds 24 bytes. */
void quantity_memory_text(uint64_t bytes, char out[24]);
