/* package.h - code packages: deterministic archives, digests, safe unpacking.
 *
 * A package is a zip or a tar (plain, or by gzip, xz or zstd where libarchive
 * has them) named by "sha256:" + 64 hex digits of its bytes. Packing the same
 * files gives the same bytes on every machine: a plain tar, sorted names, mtime
 * 0, owner 0, modes 0644/0755. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"

enum { PACKAGE_DIGEST_TEXT = 72 }; /* "sha256:" + 64 + NUL */
enum { PACKAGE_HEAD = 512 };       /* bytes that package_kind() wants to see */
struct package_limits {            /* 0: the default in brackets */
    uint64_t packed_size;          /* 256 MiB */
    uint64_t unpacked_size;        /* 512 MiB */
    uint32_t ratio;                /* 200 unpacked for one packed, counted beyond 32 MiB */
    uint32_t files;                /* 20,000 */
    uint32_t depth;                /* 32 path components */
    uint32_t name;                 /* 1024 bytes a path */
};
struct package_file {
    const char *name; /* relative, no "..", no leading '/' */
    const void *data;
    size_t size;
    bool executable;
};

void package_digest(const void *data, size_t n, char ret[PACKAGE_DIGEST_TEXT]);
int package_digest_file(int fd, char ret[PACKAGE_DIGEST_TEXT]); /* from offset 0; -errno */
bool package_digest_valid(const char *text); /* "sha256:" and 64 lower-case hex */
/* Inline files. `name: bootstrap` is made executable by the caller's flag. */
int package_pack_files(const struct package_file *files, size_t n, struct buffer *ret, struct err *e);
/* A directory; skips .git; follows no symlink out of it; keeps the executable bit. */
int package_pack_dir(const char *dir, const struct package_limits *l, struct buffer *ret,
                     struct err *e);
/* "tar", "zip", "gzip", "xz" or "zstd" by the first bytes, NULL for what no package begins with. */
const char *package_kind(const void *head, size_t n);
/* Unpacks below `dir_fd` (must be empty). Refused, naming the entry: absolute and ".." names, a name that
 * is there twice (a directory may be), links that are absolute or leave, hard links to anything but a file
 * before them, devices, pipes and sockets, what is encrypted, and what is over a limit. Names that differ
 * in case are two names. Modes become 0644 or 0755. Half-unpacked remains are the caller's to remove. */
int package_unpack(int archive_fd, int dir_fd, const struct package_limits *l, struct err *e);
