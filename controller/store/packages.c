/* packages.c - uploads into temporaries, digests while streaming, names that appear only when
 * durable. */
#include "store/packages.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/random.h"
#include "package/package.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define UPLOAD_PREFIX ".upload-"

struct packages {
    int dir;
    _Atomic unsigned uploads;
};
struct package_upload {
    struct packages *packages;
    char temporary[32], hex[65];
    EVP_MD_CTX *sha;
    uint64_t size;
    int fd;
};

static const char *hex_of(const char *digest)
{
    return package_digest_valid(digest) ? digest + strlen("sha256:") : NULL;
}

static void remove_leftovers(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *de;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((de = readdir(d)))
        if (strncmp(de->d_name, UPLOAD_PREFIX, strlen(UPLOAD_PREFIX)) == 0)
            unlinkat(dir, de->d_name, 0);
    closedir(d);
}

int packages_open(const char *state_dir, struct packages **ret, struct err *e)
{
    cleanup_free char *path = NULL;
    struct packages *p;
    int r;

    if (asprintf(&path, "%s/packages", state_dir) < 0)
        return err_errno(e, ENOMEM, "packages");
    r = file_mkdirs(path, 0700);
    if (r < 0)
        return err_errno(e, -r, "cannot make %s", path);
    p = calloc(1, sizeof(*p));
    if (!p)
        return err_errno(e, ENOMEM, "packages");
    p->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->dir < 0) {
        r = err_errno(e, errno, "cannot open %s", path);
        free(p);
        return r;
    }
    remove_leftovers(p->dir);
    *ret = p;
    return 0;
}

struct packages *packages_free(struct packages *p)
{
    if (p) {
        close(p->dir);
        free(p);
    }
    return NULL;
}

bool packages_have(const struct packages *p, const char *digest)
{
    const char *hex = hex_of(digest);

    return hex && faccessat(p->dir, hex, R_OK, 0) == 0;
}

int packages_read(const struct packages *p, const char *digest, int *ret_fd, uint64_t *ret_size)
{
    const char *hex = hex_of(digest);
    cleanup_fd int fd = -1;
    struct stat st;

    if (!hex)
        return -EINVAL;
    fd = openat(p->dir, hex, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    *ret_size = (uint64_t)st.st_size;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int packages_upload(struct packages *p, const char *digest, struct package_upload **ret,
                    struct err *e)
{
    const char *hex = hex_of(digest);
    struct package_upload *u;
    char id[17];
    int r;

    if (!hex)
        return err_set(e, EINVAL,
                       "a package is named by sha256: and 64 lower-case hexadecimal digits");
    if (atomic_fetch_add(&p->uploads, 1) >= PACKAGES_UPLOADS_MAX) {
        atomic_fetch_sub(&p->uploads, 1);
        return err_set(e, EBUSY, "%d uploads are running already", PACKAGES_UPLOADS_MAX);
    }
    u = calloc(1, sizeof(*u));
    if (!u) {
        atomic_fetch_sub(&p->uploads, 1);
        return err_errno(e, ENOMEM, "upload");
    }
    u->packages = p;
    u->fd = -1;
    memcpy(u->hex, hex, sizeof(u->hex));
    u->sha = EVP_MD_CTX_new();
    if (!u->sha || EVP_DigestInit_ex(u->sha, EVP_sha256(), NULL) != 1) {
        package_upload_cancel(u);
        return err_errno(e, ENOMEM, "upload");
    }
    random_hex(id, 8);
    snprintf(u->temporary, sizeof(u->temporary), UPLOAD_PREFIX "%s", id);
    u->fd = openat(p->dir, u->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (u->fd < 0) {
        r = err_errno(e, errno, "cannot write the package");
        package_upload_cancel(u);
        return r;
    }
    *ret = u;
    return 0;
}

int package_upload_write(struct package_upload *u, const void *data, size_t n, struct err *e)
{
    const char *at = data;

    if (n > PACKAGE_SIZE_MAX - u->size)
        return err_set(e, EFBIG, "a package is at most %llu MiB", PACKAGE_SIZE_MAX >> 20);
    if (EVP_DigestUpdate(u->sha, data, n) != 1)
        return err_errno(e, ENOMEM, "digest");
    u->size += n;
    while (n > 0) {
        ssize_t w = write(u->fd, at, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return err_errno(e, errno, "cannot write the package");
        at += w;
        n -= (size_t)w;
    }
    return 0;
}

static int finish(struct package_upload *u, struct err *e)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char hex[65];

    if (EVP_DigestFinal_ex(u->sha, digest, &n) != 1 || n != 32)
        return err_errno(e, ENOMEM, "digest");
    hex_encode(hex, digest, n);
    if (strcmp(hex, u->hex) != 0)
        return err_set(e, EBADMSG, "the bytes have the digest sha256:%s, not sha256:%s", hex, u->hex);
    if (fsync(u->fd) < 0 || renameat(u->packages->dir, u->temporary, u->packages->dir, u->hex) < 0 ||
        fsync(u->packages->dir) < 0)
        return err_errno(e, errno, "cannot keep the package");
    u->temporary[0] = '\0';
    return 0;
}

int package_upload_finish(struct package_upload *u, struct err *e)
{
    int r = finish(u, e);

    package_upload_cancel(u);
    return r;
}

void package_upload_cancel(struct package_upload *u)
{
    if (!u)
        return;
    if (u->fd >= 0) {
        close(u->fd);
        if (u->temporary[0])
            unlinkat(u->packages->dir, u->temporary, 0);
    }
    EVP_MD_CTX_free(u->sha);
    atomic_fetch_sub(&u->packages->uploads, 1);
    free(u);
}
