/* fetch.c - one package: libcurl into a temporary, digest, unpacking, rename. Blocking, on a worker
 * thread. */
#include "code/fetch.h"
#include "code/shelf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "package/package.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    DOWNLOAD_MAX = 256 << 20, /* package_limits' own default */
    CONNECT_TIMEOUT_S = 5,
    STALL_S = 15, /* under 1 KiB/s for that long */
    TOTAL_S = 300,
    ATTEMPTS = 3,
    UNPACK_TIME_MS = 120000,
    UNPRIVILEGED = 65534,
};

struct download {
    int fd;
    uint64_t size;
    int error; /* a positive errno of the write */
};

static size_t on_bytes(char *data, size_t unit, size_t n, void *user)
{
    struct download *d = user;
    size_t left = unit * n;

    if (d->size + left > DOWNLOAD_MAX) {
        d->error = EFBIG;
        return 0;
    }
    while (left) {
        ssize_t w = write(d->fd, data, left);

        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            d->error = errno;
            return 0;
        }
        data += w;
        left -= (size_t)w;
        d->size += (uint64_t)w;
    }
    return unit * n;
}

static bool stopped(const struct fetch_source *s)
{
    struct pollfd p = {.fd = s->stop_fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up)
{
    const struct fetch_source *s = user;

    (void)total, (void)now, (void)up_total, (void)up;
    return stopped(s);
}

static void easy_free(CURL **c)
{
    curl_easy_cleanup(*c);
}
static void slist_free(struct curl_slist **l)
{
    curl_slist_free_all(*l);
}

/* -EAGAIN: it may work if asked again (the server is away or said 5xx). */
static int download_once(const struct fetch_source *s, const char *hex, int fd, struct err *e)
{
    __attribute__((cleanup(easy_free))) CURL *c = curl_easy_init();
    __attribute__((cleanup(slist_free))) struct curl_slist *headers = NULL;
    struct download d = {.fd = fd};
    char url[1024], bearer[1200], why[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURLcode code;

    if (!c)
        return err_set(e, ENOMEM, "curl: out of memory");
    if (snprintf(url, sizeof(url), "%s/packages/sha256:%s", s->api_url, hex) >= (int)sizeof(url))
        return err_set(e, ENAMETOOLONG, "the API's URL is too long");
    if (s->token) {
        if (snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s", s->token) >=
            (int)sizeof(bearer))
            return err_set(e, ENAMETOOLONG, "the token is too long");
        headers = curl_slist_append(NULL, bearer);
    }
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1024L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)TOTAL_S);
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, s);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &d);
    code = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK)
        return 0;
    if (stopped(s))
        return err_set(e, ECANCELED, "the agent stops");
    if (d.error == EFBIG)
        return err_set(e, EFBIG, "over the limit of %d bytes", DOWNLOAD_MAX);
    if (d.error)
        return err_errno(e, d.error, "write");
    if (status >= 400 && status < 500)
        return err_set(e, status == 404 ? ENOENT : EACCES, "%s: HTTP status %ld", url, status);
    return err_set(e, EAGAIN, "%s: %s", url, *why ? why : curl_easy_strerror(code));
}

static int download(const struct fetch_source *s, const char *hex, int fd, struct err *e)
{
    int r = 0;

    for (int i = 0; i < ATTEMPTS; i++) {
        struct timespec pause = {.tv_nsec = (100 << i) * (long)NS_PER_MS};

        if (i)
            nanosleep(&pause, NULL);
        if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
            return err_errno(e, errno, "download file");
        r = download_once(s, hex, fd, e);
        if (r != -EAGAIN)
            return r;
    }
    return r;
}

static int check_digest(int fd, const char *hex, struct err *e)
{
    char digest[PACKAGE_DIGEST_TEXT];
    int r = package_digest_file(fd, digest);

    if (r < 0)
        return err_errno(e, -r, "digest");
    if (strcmp(digest + strlen("sha256:"), hex))
        return err_set(e, EBADMSG, "what was downloaded has the digest %s", digest);
    return lseek(fd, 0, SEEK_SET) < 0 ? err_errno(e, errno, "seek") : 0;
}

static int unpack_into(const struct fetch_source *s, int archive_fd, const char *dir, struct err *e)
{
    cleanup_fd int dir_fd = -1;

    if (mkdir(dir, 0755) < 0)
        return err_errno(e, errno, "mkdir %s", dir);
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir_fd < 0)
        return err_errno(e, errno, "open %s", dir);
    if (geteuid() == 0 && fchown(dir_fd, UNPRIVILEGED, UNPRIVILEGED) < 0)
        return err_errno(e, errno, "chown %s", dir);
    return fetch_unpack(s->unpack_program, archive_fd, dir_fd, s->stop_fd, UNPACK_TIME_MS, e);
}

/* Its place has its size in the name: known once all is unpacked. */
static int shelve(const struct fetch_source *s, const char *hex, const char *tmp,
                  uint64_t *ret_size, struct err *e)
{
    char name[SHELF_NAME_MAX], final[PATH_MAX];
    uint64_t size;
    int r = shelf_seal(tmp, &size);

    if (r < 0)
        return err_errno(e, -r, "take over %s", tmp);
    shelf_name(name, hex, size);
    if (snprintf(final, sizeof(final), "%s/%s", s->cache_dir, name) >= (int)sizeof(final))
        return err_set(e, ENAMETOOLONG, "the cache's path is too long");
    if (rename(tmp, final) < 0)
        return err_errno(e, errno, "rename to %s", final);
    *ret_size = size;
    return 0;
}

int fetch_package(const struct fetch_source *s, const char *hex, uint64_t *ret_size, struct err *e)
{
    char salt[17], archive[PATH_MAX], tmp[PATH_MAX];
    cleanup_fd int fd = -1;
    int r;

    random_hex(salt, 8);
    if (snprintf(archive, sizeof(archive), "%s/%s.tmp.%s.archive", s->cache_dir, hex, salt) >=
            (int)sizeof(archive) ||
        snprintf(tmp, sizeof(tmp), "%s/%s.tmp.%s", s->cache_dir, hex, salt) >= (int)sizeof(tmp))
        return err_set(e, ENAMETOOLONG, "the cache's path is too long");
    fd = open(archive, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "open %s", archive);
    unlink(archive);
    r = download(s, hex, fd, e);
    if (r == 0)
        r = check_digest(fd, hex, e);
    if (r == 0)
        r = unpack_into(s, fd, tmp, e);
    if (r == 0)
        r = shelve(s, hex, tmp, ret_size, e);
    if (r < 0) {
        file_remove_tree(tmp);
        return err_wrap(e, "package sha256:%s", hex);
    }
    return 0;
}
