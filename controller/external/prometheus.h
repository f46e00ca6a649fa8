/* prometheus.h - asks a Prometheus what external metrics say, in a thread of its own.
 *
 * Questions come by mail and wait for the one before: they all go to the same
 * server, so that it is slow or silent for all of them. Answers go by mail to
 * the asker's loop. Bounded: PROMETHEUS_WAITING questions, a time and a size
 * for each answer. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct loop;
struct prometheus;

enum { PROMETHEUS_WAITING = 1024, PROMETHEUS_ANSWER_MAX = 1 << 20, PROMETHEUS_TIMEOUT_MS = 5000 };

struct prometheus_answer { /* good until the callback returns */
    const char *key, *query;
    uint32_t metric;
    double value;
    const char *why; /* there is none; NULL: there is */
};
struct prometheus_config {
    const char *url;   /* "http://HOST:PORT", with the prefix of its paths if it has one */
    struct loop *loop; /* the asker's; it outlives this, and takes in its mail */
    void (*on_answer)(void *user, const struct prometheus_answer *a); /* on that loop */
    void *user;
};

int prometheus_new(const struct prometheus_config *c, struct prometheus **ret); /* starts its thread */
/* On the asker's thread. What cannot be asked is never answered, only counted. What has no
 * number is answered with why, and logged when it begins and when it ends: a silent server once, and
 * each metric it has no number for. key and query are copied. */
void prometheus_ask(struct prometheus *p, const char *key, uint32_t metric, const char *query);
/* The questions so far by what became of them; on the asker's thread. */
void prometheus_metrics(const struct prometheus *p, struct buffer *out);
/* Joins its thread; the answers that are left are mail to the asker's loop, which needs `p` still.
 * NULL is a no-op. */
void prometheus_stop(struct prometheus *p);
struct prometheus *prometheus_free(struct prometheus *p); /* NULL is a no-op */

/* The sum of an instant query's answer: a vector or a scalar, each value 0 or more.
 * -EBADMSG, -ENODATA (an empty vector, or not a number), with the reason in `why`. */
enum { PROMETHEUS_WHY_MAX = 160 };
int prometheus_parse(const char *text, size_t n, double *ret, char why[PROMETHEUS_WHY_MAX]);
