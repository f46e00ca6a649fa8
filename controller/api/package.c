/* package.c - PUT, GET and HEAD /packages/sha256:HEX, and packing for admission. What waits for the
 * disk runs on the disk thread; reads come from files that are complete, a piece at a time as the
 * client takes them. */
#include "api/api_internal.h"

#include "base/cleanup.h"
#include "package/package.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = 128 << 10 };

/* ---------------------------------------------------------------- the disk thread */
struct job {
    struct mail mail;
    struct request *request;
    struct package_upload *upload; /* to finish; or... */
    struct packages *packages;     /* ...to write whole */
    char digest[PACKAGE_DIGEST_TEXT];
    struct buffer archive;
    void (*on_stored)(struct request *r, int error, const char *message);
    int error;
    struct err e;
};

static void on_job_done(struct mail *m)
{
    struct job *j = container_of(m, struct job, mail);

    j->on_stored(j->request, j->error, j->e.message);
    request_release(j->request);
    buffer_done(&j->archive);
    free(j);
}

static void on_job(struct mail *m)
{
    struct job *j = container_of(m, struct job, mail);
    struct package_upload *u = j->upload;

    if (!u) {
        j->error = packages_upload(j->packages, j->digest, &u, &j->e);
        if (j->error == 0)
            j->error =
                package_upload_write(u, buffer_bytes(&j->archive), buffer_size(&j->archive), &j->e);
    }
    if (j->error == 0)
        j->error = package_upload_finish(u, &j->e);
    else
        package_upload_cancel(u);
    j->mail.fn = on_job_done;
    loop_post(j->request->api->loop, &j->mail);
}

static void post_job(struct request *r, struct job *j)
{
    j->request = request_hold(r);
    j->packages = r->api->c.packages;
    j->mail.fn = on_job;
    loop_post(r->api->disk, &j->mail);
}

void package_store(struct request *r, const char *digest, struct buffer *archive,
                   void (*on_stored)(struct request *r, int error, const char *message))
{
    struct job *j = calloc(1, sizeof(*j));

    if (!j) {
        on_stored(r, -ENOMEM, "out of memory");
        return;
    }
    snprintf(j->digest, sizeof(j->digest), "%s", digest);
    j->archive = *archive;
    *archive = (struct buffer){0};
    j->on_stored = on_stored;
    post_job(r, j);
}

/* ---------------------------------------------------------------- PUT */
struct transfer {
    struct package_upload *upload;
    uint8_t head[PACKAGE_HEAD];
    size_t head_size;
    int fd;
    uint64_t left;
};

static void transfer_free(void *p)
{
    struct transfer *t = p;

    package_upload_cancel(t->upload);
    if (t->fd >= 0)
        close(t->fd);
    free(t);
}

static void fail(struct request *r, int error, const char *message)
{
    cleanup_failure struct failure f = {0};

    if (error == -EFBIG)
        failure_set(&f, 413, "RequestEntityTooLarge", "%s", message);
    else if (error == -EBADMSG || error == -EINVAL)
        failure_bad_request(&f, "%s", message);
    else if (error == -EBUSY) {
        f.retry_after_s = 1;
        failure_set(&f, 429, "TooManyRequests", "%s", message);
    } else if (error == -ENOENT)
        failure_set(&f, 404, "NotFound", "%s", message);
    else
        failure_errno(&f, error, message);
    respond_failure(r, &f);
}

static void on_stored(struct request *r, int error, const char *message)
{
    if (error)
        fail(r, error, message);
    else
        respond_text(r, 201, "");
}

static void on_part(struct request *r, const uint8_t *data, size_t n, bool last)
{
    struct transfer *t = r->work;
    struct err e = {0};
    struct job *j;
    int x;

    if (r->answered || !t->upload)
        return;
    if (t->head_size < sizeof(t->head)) {
        size_t more = sizeof(t->head) - t->head_size;

        more = n < more ? n : more;
        memcpy(t->head + t->head_size, data, more);
        t->head_size += more;
    }
    x = package_upload_write(t->upload, data, n, &e);
    if (x == 0 && last && !package_kind(t->head, t->head_size))
        x = err_set(&e, EINVAL,
                    "a package is a zip, or a tar: plain, or compressed by gzip, xz or zstd");
    if (x < 0) {
        package_upload_cancel(TAKE_PTR(t->upload));
        fail(r, x, e.message);
        return;
    }
    if (!last)
        return;
    j = calloc(1, sizeof(*j));
    if (!j) {
        fail(r, -ENOMEM, "out of memory");
        return;
    }
    j->upload = TAKE_PTR(t->upload);
    j->on_stored = on_stored;
    post_job(r, j);
}

static void put(struct request *r, const char *digest)
{
    struct transfer *t;
    struct err e = {0};
    int x;

    if (packages_have(r->api->c.packages, digest)) {
        respond_text(r, 200, "");
        return;
    }
    if (http_head(r->x)->content_length > (int64_t)PACKAGE_SIZE_MAX) {
        fail(r, -EFBIG, "a package is at most 256 MiB");
        return;
    }
    t = calloc(1, sizeof(*t));
    if (!t) {
        fail(r, -ENOMEM, "out of memory");
        return;
    }
    t->fd = -1;
    r->work = t;
    r->work_free = transfer_free;
    x = packages_upload(r->api->c.packages, digest, &t->upload, &e);
    if (x < 0) {
        fail(r, x, e.message);
        return;
    }
    r->on_body_part = on_part;
    if (http_has_body(r->x))
        http_read_body(r->x, 0);
    else
        on_part(r, (const uint8_t *)"", 0, true);
}

/* ---------------------------------------------------------------- GET */
static void send_more(struct request *r)
{
    struct transfer *t = r->work;
    uint8_t piece[PIECE];

    while (r->x && !r->gone && t->left && !http_congested(r->x)) {
        ssize_t n = read(t->fd, piece, sizeof(piece));

        if (n <= 0) {
            http_abort(r->x);
            return;
        }
        t->left -= (uint64_t)n < t->left ? (uint64_t)n : t->left;
        http_respond_write(r->x, piece, (size_t)n);
    }
    if (r->x && !r->gone && t->fd >= 0 && !t->left) {
        close(t->fd);
        t->fd = -1;
        http_respond_end(r->x, NULL);
    }
}

static void on_drained(struct request *r)
{
    request_hold(r);
    send_more(r);
    request_release(r);
}

static void get(struct request *r, const char *digest)
{
    struct transfer *t = calloc(1, sizeof(*t));
    uint64_t size;
    int x;

    if (!t) {
        fail(r, -ENOMEM, "out of memory");
        return;
    }
    t->fd = -1;
    r->work = t;
    r->work_free = transfer_free;
    x = packages_read(r->api->c.packages, digest, &t->fd, &size);
    if (x < 0) {
        fail(r, x,
             x == -ENOENT ? "no such package"
                          : "a package is named by sha256: and 64 hexadecimal digits");
        return;
    }
    t->left = size;
    r->answered = true;
    r->on_drained = on_drained;
    stats_count(&r->api->stats, r->verb, r->resource, 200, 0);
    http_respond_start(r->x, 200, "Content-Type: application/octet-stream\r\n", (int64_t)size);
    send_more(r);
}

void package_answer(struct request *r)
{
    const char *digest = r->segments[1];
    cleanup_failure struct failure f = {0};

    if (request_method(r, "PUT")) {
        r->verb = "update";
        put(r, digest);
    } else if (request_method(r, "GET")) {
        get(r, digest);
    } else if (request_method(r, "HEAD")) {
        if (packages_have(r->api->c.packages, digest))
            respond(r, 200, "Content-Type: application/octet-stream\r\n", "", 0);
        else
            fail(r, -ENOENT, "no such package");
    } else {
        failure_set(&f, 405, "MethodNotAllowed", "packages take PUT, GET and HEAD");
        respond_failure(r, &f);
    }
}
