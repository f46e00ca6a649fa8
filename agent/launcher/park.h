/* park.h - who gets which sandbox: those that are parked, those that are being built, and who waits for one.
 *
 * Every sandbox is built first and taken then, by whoever of its kind has waited
 * longest: what is asked for with none parked waits for one that is built for
 * it. The others of a kind that is kept parked are built after those, a few at a
 * time, and each is used once. Launcher only. */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "cgroup/cgroup.h"
#include "launcher/launcher.h"
#include "reactor/loop.h"

struct server;
struct sandbox;
struct kind;

struct park {
    struct map kinds;     /* by their encoding */
    struct list order;    /* all kinds; the one that was built for last comes last */
    struct map wishes;    /* by instance id */
    unsigned building;    /* sandboxes */
    uint64_t quiet_until; /* takes come: nothing is built ahead so long */
    struct loop_timer timer;
    struct loop_timer news; /* the next word to the agent about what is parked */
    bool pumping;
    unsigned asked;   /* launcher_config.park_asked */
    unsigned learned; /* kinds that are kept ready for it */
};

void park_init(struct server *s);
void park_done(struct server *s);

struct message;
void park_set(struct server *s, const struct message *m); /* PARK */
/* CREATE: answers FAILED itself when it cannot. `bytes` is the message. */
void park_create(struct server *s, const struct message *m, const void *bytes, size_t size,
                 uint64_t arrived);
/* The same, of one whose parked sandbox was lost before anything ran in it. -errno */
int park_again(struct server *s, const char *id, const void *bytes, size_t size, uint64_t arrived);
bool park_cancel(struct server *s, const char *id); /* one that still waits */
void park_pump(struct server *s);                   /* builds what is due */
void park_on_timer(struct loop_timer *t);           /* the same */
/* Nothing is made ahead until then, after one of that kind was asked for; `before` is what held until now. */
uint64_t park_quiet_until(const struct kind *k, uint64_t before, uint64_t now);

/* ---- from sandboxes that are nobody's */
void park_box_ready(struct sandbox *b);
void park_box_gone(struct sandbox *b);                       /* with its error */
void park_build_failed(struct kind *k, const struct err *e); /* before it was one */

struct cgroup_limits limits_of(const struct sandbox_spec *spec);
