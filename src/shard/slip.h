/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What few messages carry beside their payload: the key of a call that is to happen once, the
 * number of an outbox message, where its answer goes, the request context. Written behind the
 * payload by tp_message_make_here, when its parts have one; TP_MESSAGE_SLIP tells.
 *
 * Threads: as the message.
 */
#ifndef TP_SHARD_SLIP_H
#define TP_SHARD_SLIP_H

#include "base/limits.h"
#include "store/rows.h"

enum {
    TP_SLIP_ONCE = 1,
    TP_SLIP_OUTBOX = 2,   /* `number` and `before` are set */
    TP_SLIP_THEN = 4,     /* the sender wants the answer as a turn of its own */
    TP_SLIP_ANSWER = 8,   /* it is such an answer: `status`, `outcome` */
    TP_SLIP_HERE = 16,    /* made on the sender's own shard, of an acknowledgement that answers */
    TP_SLIP_WAKE = 32,    /* only activates */
    TP_SLIP_REMIND = 64,  /* a reminder: `once` is its name, `number.version` and `expires` its due
                             number and moment; the rest of `remind` is set when its turn begins */
    TP_SLIP_ERRAND = 128, /* not for a method: `errand` */
    TP_SLIP_PERMIT = 256, /* to a sender: `number` is taken with this `permit` only */
    TP_SLIP_WANTED = 512, /* in an acknowledgement or answer: a farewell is wanted */
    TP_SLIP_FAREWELL = 1024, /* to a target: nothing up to `number` is left for it */
};

/* What a turn of an actor does to what is stored of it (errand.c). */
typedef enum tp_errand {
    TP_ERRAND_NONE,
    TP_ERRAND_RESTORE, /* the payload becomes the state */
    TP_ERRAND_DELETE,
    TP_ERRAND_REPLAY, /* the dead letter whose key is the payload is sent again */
    TP_ERRAND_DROP,   /* it goes */
    TP_ERRAND_CANCEL, /* the reminder of that name goes */
    /* Of these the payload is an appointment (appoint.h), of the last one the name of a timer. */
    TP_ERRAND_REMIND,
    TP_ERRAND_TIMER,
    TP_ERRAND_TIMER_END,
    TP_ERRANDS,
} tp_errand;

typedef struct tp_slip {
    uint32_t flags;
    troupe_status status;
    troupe_outcome outcome;
    tp_errand errand;
    uint64_t expires; /* of a once: wall clock, ns */
    /* The sender's number of it, and of the one before to the same target that may still be under
     * way (zeros: none). */
    tp_row_number number, before;
    uint64_t permit; /* of its target (senders.c); 0: none */
    struct {
        uint64_t missed;
        bool more; /* it will be due again: */
        uint64_t number, due;
    } remind;
    troupe_slice once;         /* the request id */
    troupe_slice done, failed; /* methods of the sender */
    troupe_slice context;
    troupe_slice baggage; /* the request context: baggage.h */
} tp_slip;

/* The bytes that it takes behind a message. */
static inline size_t tp_slip_size(const tp_slip *slip)
{
    return slip == NULL ? 0
                        : sizeof *slip + slip->once.size + slip->done.size + slip->failed.size +
                              slip->context.size + slip->baggage.size;
}

/* Writes it at `out`, 8-aligned; the copy's slices point behind it. */
void tp_slip_copy(const tp_slip *slip, void *out);

#endif
