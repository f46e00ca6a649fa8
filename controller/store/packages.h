/* packages.h - code packages on disk: STATE/packages/HEX, named by the SHA-256 of their bytes.
 *
 * An upload goes to a temporary file while its digest is computed; finishing
 * it checks the digest, makes file and name durable, and is then the package.
 * Blocking: writes and reads are short, packages_upload_finish() waits for the
 * disk and is for a thread that may. The directory may be used from any
 * thread, one upload from one thread at a time. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACKAGES_UPLOADS_MAX = 64 };
#define PACKAGE_SIZE_MAX (256ull << 20)

struct packages;
/* Makes the directory; removes what uploads of an earlier life left. */
int packages_open(const char *state_dir, struct packages **ret, struct err *e);
struct packages *packages_free(struct packages *p);

/* "sha256:HEX". false for what is not a digest, too. */
bool packages_have(const struct packages *p, const char *digest);
/* A descriptor to read and the size; -ENOENT, -EINVAL. */
int packages_read(const struct packages *p, const char *digest, int *ret_fd, uint64_t *ret_size);

struct package_upload;
int packages_upload(struct packages *p, const char *digest, struct package_upload **ret,
                    struct err *e);
int package_upload_write(struct package_upload *u, const void *data, size_t n,
                         struct err *e); /* -EFBIG past the limit */
/* 0 or -EBADMSG (other bytes than the digest says), -ENOSPC, ... Frees the upload in any case. */
int package_upload_finish(struct package_upload *u, struct err *e);
void package_upload_cancel(struct package_upload *u); /* NULL is a no-op */
