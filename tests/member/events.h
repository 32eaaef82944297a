/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to happen in a world of tests/member, in order of true time, then of arrival. For
 * world.c.
 *
 * Threads: the test's one.
 */
#ifndef TEST_MEMBER_EVENTS_H
#define TEST_MEMBER_EVENTS_H

#include "member/perform.h"

typedef enum event_kind {
    TICK,
    LAND,   /* a call reaches the store */
    ANSWER, /* its outcome reaches the node */
    PROBED, /* a probe reaches `node` */
    REACHED,
    VOTE,
    JOIN,
    PEER_VIEW,
    CHANGED,
    PASS, /* shards */
    EMPTIED,
    START,
    MISHAP,
} event_kind;

typedef struct event {
    uint64_t at, order, sent;
    event_kind kind;
    size_t node;
    uint64_t life; /* of the process it is for; 0: whoever is there */
    uint64_t a, b; /* LAND: 1: nobody hears of it; when its sender gives it up */
    tp_member_effect call;
    tp_member_outcome *outcome;
    const tp_view *view;
} event;

typedef struct events {
    event *heap;
    size_t count, room;
    uint64_t order;
} events;

/* An event that was taken and is put again keeps its order among those of its moment. */
void events_put(events *self, event what);
/* When the next one is; UINT64_MAX: there is none. */
uint64_t events_next(const events *self);
event events_take(events *self); /* there must be one */
void events_deinit(events *self);
/* Gives back what it holds. */
void event_drop(event *what);

#endif
