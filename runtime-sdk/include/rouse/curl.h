/* curl.h - libcurl for tasks: a transfer that waits without a thread.
 *
 *     CURL *easy = curl_easy_init();
 *     int r;
 *
 *     curl_easy_setopt(easy, CURLOPT_URL, "https://example.com/");
 *     r = rouse_curl_perform(easy, rouse_after(5 * ROUSE_SECOND));
 *     if (r)
 *         fprintf(stderr, "%s\n", r > 0 ? curl_easy_strerror((CURLcode)r) : strerror(-r));
 *     curl_easy_cleanup(easy);
 *
 * Link librouse-curl.a and libcurl: `pkg-config --libs rouse-curl`. For a plain
 * request there is rouse/fetch.h.
 *
 * One task drives all transfers of the process on one multi handle, so idle
 * connections are used again by whoever comes next (at most 256 are kept), and a
 * thousand tasks that wait for a slow server cost one thread. Names of hosts are
 * looked up as libcurl was built to: Debian's takes a thread for each look-up
 * while it lasts. */
#pragma once
#include "rouse/sched.h"

#include <curl/curl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* curl_easy_perform() for tasks. 0; a CURLcode, which is positive; -ETIMEDOUT or -ECANCELED, the transfer
 * is stopped then; -EPERM: not a task; -EBUSY: `easy` is in use; -ENOMEM, -EMFILE.
 * The handle is the caller's again when it returns. Meanwhile its callbacks run on the driving task, those
 * of all transfers one after another: they must not wait. CURLOPT_PRIVATE is taken for so long, and
 * CURLOPT_NOSIGNAL stays set. SIGPIPE is ignored from the first call on, if its disposition was the
 * default: TLS libraries write without regard to it. */
int rouse_curl_perform(CURL *easy, int64_t deadline);

#ifdef __cplusplus
}
#endif
