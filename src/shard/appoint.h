/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An appointment: a reminder or timer that somebody outside sets for an actor, as the bytes that
 * its errand carries. appoint.c reads them in the actor's turn; src/node/gateway.c writes them.
 * What an actor sets for itself is in reminders.c and timers.c, which do the rest for both.
 *
 * Invariants: bytes of another form are refused, whatever they are; they may come from another
 * node.
 * Threads: pure.
 */
#ifndef TP_SHARD_APPOINT_H
#define TP_SHARD_APPOINT_H

#include "shard/slip.h"

typedef struct tp_appointment {
    troupe_slice name;
    troupe_slice method, other; /* the first of them that the type has */
    troupe_slice schedule;      /* of a reminder */
    troupe_slice content_type;  /* of a reminder */
    troupe_slice payload;
    uint64_t set;    /* of a reminder: wall, from when its due times count */
    uint64_t left;   /* of a timer: ns until it ticks first */
    uint64_t period; /* 0: once */
    uint64_t last;   /* of a timer: ns after which it does not tick any more; TP_NEVER: none */
    bool keeps;      /* one of that name stays: CONFLICT */
} tp_appointment;

size_t tp_appointment_size(const tp_appointment *appointment);
/* Writes so many bytes. */
void tp_appointment_put(const tp_appointment *appointment, void *out);
/* False: no appointment. It borrows from the bytes. */
bool tp_appointment_get(troupe_slice bytes, tp_appointment *ret_appointment);

#endif
