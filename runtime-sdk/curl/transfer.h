/* transfer.h - one transfer, between the task that asked for it and the one that drives them all.
 *
 * On public calls alone: librouse-curl.a is linked beside librouse.a, whose other names are its own. */
#pragma once
#include "rouse/curl.h"

#include "base/list.h"

#include <stdatomic.h>

struct transfer;

struct request {
    struct request *next;
    struct transfer *transfer;
    bool stop; /* else: start */
};

struct transfer {
    CURL *easy;
    void *private; /* the caller's CURLOPT_PRIVATE */
    struct request start, stop;
    struct rouse_wait_group ended;
    _Atomic bool over;  /* it has ended, and the driver is behind with `easy` */
    _Atomic int owners; /* the asking task, the driver, and a request to stop */
    int result;         /* valid when it is over */
    struct list link;   /* the driver's, while it runs */
};

void transfer_unref(struct transfer *t);
/* The driver. Nobody touches `easy` any more. */
void transfer_over(struct transfer *t, int result);

/* ---- inbox.c: from any task to the driver */
void inbox_put(struct request *r);
struct request *inbox_take(void); /* all, the oldest first */
bool inbox_empty(void);
int inbox_fd(void); /* an eventfd, readable once something is put; -errno. Lives as long as the process */
void inbox_seen(void);

/* ---- driver.c: the task */
void driver_main(void *unused);
/* Starts it if it does not run. What it cannot start fails. */
void driver_start(void);
