/* brain_internal.h - the brain's own struct, for the brain*.c files. */
#pragma once
#include "brain/brain.h"
#include "brain/core.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"

struct brain {
    struct loop *loop;
    struct registry *registry;
    struct control_server *control; /* NULL until set: nothing is sent */
    struct core *core;
    uint64_t started; /* while the registry tells what there is: when that was; else 0 */
    struct prometheus *prometheus; /* NULL: external metrics are not asked for */
    struct actions actions;        /* of this turn */
    struct loop_deferred turn;     /* runs after the mail of a loop's turn */
    bool turn_due;
    struct mail drained;
    struct loop_timer timer; /* when the core wants to be asked again */
    uint64_t next_ticket;
    struct map tickets; /* the front's, by id */
    uint64_t next_log;
    struct map logs;             /* by the request's id */
    struct providers *providers; /* NULL: no pool has asked for anything */
    char *node_texts[4];         /* process, platform, hooks, control of struct brain_config */
};

/* Something happened: the core decides at the end of this turn. */
void brain_touch(struct brain *b);
int brain_send(struct brain *b, uint64_t peer, const ControllerMessage *m);

/* ---- brain_log.c */
void brain_log_chunk(struct brain *b, uint64_t peer, const LogChunk *m);
void brain_log_peer_gone(struct brain *b, uint64_t peer);
void brain_logs_done(struct brain *b);

/* ---- brain_provider.c */
int brain_provider_configure(struct brain *b, const struct brain_config *c);
void brain_provider_ask(struct brain *b, const struct provider_request *q);
void brain_provider_done(struct brain *b);

/* ---- brain_ticket.c */
void brain_ticket_answer(struct brain *b, uint64_t ticket, const struct grant *g);
void brain_tickets_done(struct brain *b);
