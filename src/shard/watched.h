/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a simulated world sees of a shard beyond its env: named situations, the trace, and planted
 * mistakes. Part of shard.h, which includes it.
 *
 * Threads: the shard's own.
 */
#ifndef TP_SHARD_WATCHED_H
#define TP_SHARD_WATCHED_H

/* The world may look, choose, trace: no-ops in the real one. */
#define TP_MARK(shard, situation)                          \
    do {                                                   \
        if (TP_UNLIKELY((shard)->simulated))               \
            (shard)->env->mark((shard)->env, (situation)); \
    } while (0)
#define TP_TRACE(shard, what, detail)                                                \
    do {                                                                             \
        if (TP_UNLIKELY((shard)->simulated))                                         \
            (shard)->env->trace((shard)->env, (uint32_t)(what), (uint64_t)(detail)); \
    } while (0)
#define TP_MUTANT(shard, bit) \
    (TP_UNLIKELY((shard)->simulated) && (((shard)->env->mutants >> (bit)) & 1))
#define TP_ENV_MUTANT(env, bit) TP_UNLIKELY(((env)->mutants >> (bit)) & 1)

/* What is folded into a world's trace hash. */
enum tp_trace {
    TP_TRACE_TURN = 1,
    TP_TRACE_END,
    TP_TRACE_ARRIVE,
    TP_TRACE_PARK,
    TP_TRACE_RESUME,
    TP_TRACE_LEAVE,
    TP_TRACE_REPLY,
    TP_TRACE_ALARM
};

/* Planted mistakes: each must be seen by a seed (testkit). */
enum tp_mutant {
    TP_MUTANT_LOST_REPLY,     /* now and then a reply is dropped */
    TP_MUTANT_DOUBLE_TURN,    /* a second turn may start while one is parked */
    TP_MUTANT_OVERTAKE,       /* requests go ahead of those that arrived before them */
    TP_MUTANT_NO_RESTORE,     /* a failed turn keeps its bytes */
    TP_MUTANT_STALE_SLOT,     /* generations of slots are not compared */
    TP_MUTANT_NO_SAVE,        /* a state is dropped at eviction */
    TP_MUTANT_FREE_EARLY,     /* messages that came during deactivation are lost */
    TP_MUTANT_ONE_ROUND,      /* a probe's first closing is believed */
    TP_MUTANT_NO_PROBE,       /* cycles are not looked for */
    TP_MUTANT_START_EXPIRED,  /* work whose caller gave up is started */
    TP_MUTANT_DROP_FULL,      /* messages past the mailbox limit are dropped in silence */
    TP_MUTANT_DOUBLE_REPLY,   /* an ask that timed out is answered again */
    TP_MUTANT_FORGET_WAITING, /* the overflow of a link is not sent */
    TP_MUTANT_NO_BACKOFF,     /* a restart comes at once */
    TP_MUTANT_CANCEL_RUNS,    /* a withdrawn message runs all the same */
    TP_MUTANT_RUN_TWICE,      /* a call that is to happen once runs again */
    TP_MUTANT_NO_GATE,        /* a reply leaves before what it rests on is durable */
    TP_MUTANT_ANY_WRITER,     /* the store lets commits of closed writers in (testkit/vault.c) */
    TP_MUTANT_UNKNOWN_FAILS,  /* a commit of unknown outcome is taken for one that failed */
    TP_MUTANT_CONFLICT_DONE,  /* any conflict is taken for an own commit that was done */
    TP_MUTANT_ACK_EARLY,      /* an outbox message is acknowledged before it is durable */
    TP_MUTANT_NO_DEDUP,       /* an outbox message that comes again runs again */
    TP_MUTANT_NO_WAKE,        /* owners of outboxes and reminders are not woken */
    TP_MUTANT_NO_SYNC,        /* a disk says that it synced, and did not (testkit/vault_disk.c) */
    TP_MUTANT_SYNC_LATE,      /* a store answers commits before they are synced (the same) */
    TP_MUTANT_RING_TWICE,     /* that a reminder fired is not committed with its turn */
    TP_MUTANT_RING_EACH,      /* due times that were missed are not counted as one firing */
    TP_MUTANT_NO_RELOAD,      /* an actor goes on with the state that was deleted or replaced */
    TP_MUTANT_NO_PRUNE,       /* old snapshots stay */
    TP_MUTANT_RUN_UNKNOWN,    /* parked turns go on while it is unknown what became of a commit */
    TP_MUTANT_PARTS_EARLY,    /* on_deactivate asks before what it did is stored */
    TP_MUTANT_FORGET_KEY,     /* NOT_DONE is said of a call once without a look for its key */
    TP_MUTANT_PASS_EARLY,     /* an outbox message begins before the one before it has ended */
    TP_MUTANT_FORGET_EARLY,   /* senders are forgotten without their farewell */
    TP_MUTANT_FAREWELL_EARLY, /* a farewell goes out before it is durable that nothing is left */
    TP_MUTANT_NO_PERMIT,      /* who has forgotten senders takes old copies of theirs for new */
    TP_MUTANT_PLAIN_FIRST,    /* what a turn sends plain passes its outbox messages */
    TP_MUTANT_NO_LEASE,       /* a node whose lease has run out goes on */
    TP_MUTANT_OPEN_WRITER,    /* writers of the gone are not closed */
    TP_MUTANT_NO_RESEND,      /* what was on a connection that broke is not sent again */
    TP_MUTANT_TAKE_AGAIN,     /* what was sent again is taken again */
    TP_MUTANT_LEAVE_EARLY,    /* who leaves does not wait for what others have sent */
    TP_MUTANT_NO_GRANT,       /* an actor is made without the word of its home */
    TP_MUTANT_NO_FLOOR,       /* grants from before a survey are good after it */
    TP_MUTANT_FIRST_ANSWER,   /* a survey ends with the first answer */
    TP_MUTANT_RUN_FIRST,      /* the target of a move runs before the home has switched */
    TP_MUTANT_ANY_WAY,        /* letters of one sender go several ways at once */
    TP_MUTANT_NO_REPEAT,      /* an open request is not repeated */
    TP_MUTANT_PASS_ANY_WAY,   /* letters that are passed on go several ways at once */
    TP_MUTANT_LEAVE_UNHEARD,  /* a release does not wait for the home's word that it knows */
    TP_MUTANT_OWN_WORD,       /* the source of a move takes its actor back by itself */
    TP_MUTANT_NO_RESCAN,      /* who may have more to wake does not look for it */
    TP_MUTANT_COUNT
};

#endif
