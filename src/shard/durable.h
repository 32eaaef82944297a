/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an activation has whose state is committed while it lives (persist every turn, or every so
 * many turns): its commits, and its output gate. Between turn.c, which says when a turn ends or
 * parks, and the store's port.
 *
 * An actor goes on with its next turns while a commit is under way. What they change gathers in one
 * *pending* commit, which goes out when the first is done: at most one commit of an actor is under
 * way, and the turns that came meanwhile share the next. Each commit has a number; what leaves the
 * actor carries the number of the last commit that it may rest on, and waits in the gate until that
 * one is durable (P5).
 *
 * Invariants
 * 1. durable <= sent <= begun: the last commit that is durable, that went to the store, that has
 * anything in it.
 * 2. The gate is in the order in which its entries were made; their numbers do not fall.
 * 3. While the outcome of a commit is unknown the actor does not run, does not leave, and the same
 * commit is sent again (PROTOCOLS section 3).
 * 4. After a commit that failed nothing leaves that rests on it, and the activation is made anew
 * from the store before it runs again.
 *
 * Threads: a shard's own. A commit under way belongs to the store until its `done`.
 */
#ifndef TP_SHARD_DURABLE_H
#define TP_SHARD_DURABLE_H

#include "base/outcome.h"
#include "shard/shard.h"
#include "store/rows.h"

typedef struct tp_commit tp_commit;

#define TP_ROW_KINDS (TROUPE_ROW_DEAD + 1)
typedef struct tp_beside tp_beside;
typedef struct tp_early tp_early; /* early.c */
typedef struct tp_addressee tp_addressee;
typedef struct tp_addressees tp_addressees; /* addressees.c */

/* A row beside the state, and a change of one. */
typedef struct tp_entry {
    tp_fifo_node node; /* staged in a turn, then in the commit that carries it */
    tp_link link;      /* in memory, by kind */
    uint64_t hash;
    uint32_t kind;
    uint32_t holders;
    bool remove;
    bool answered;           /* of an outbox: a turn with its answer waits in the mailbox */
    bool retired;            /* in memory, but a removal of it is on its way into a commit */
    bool farewell;           /* of an outbox: its target wants to hear when none is left for it */
    bool forgettable;        /* of a sender: in the list of those */
    bool fired;              /* a reminder whose message is in the mailbox, or whose turn runs */
    tp_addressee *to;        /* of an outbox, in memory */
    tp_link mate;            /* among those to the same */
    troupe_slice key, value; /* behind the struct */
    tp_row row;              /* once it is in memory: borrows from value */
} tp_entry;

/* A row of an outbox by its link among those to the same. */
static inline tp_entry *tp_entry_of_mate(const tp_link *link)
{
    return TP_CONTAINER((tp_link *)(uintptr_t)link, tp_entry, mate);
}

struct tp_durable {
    tp_activation *actor;
    uint64_t seed; /* of the checksums of its records */
    uint64_t begun, sent, durable;
    tp_commit *under_way; /* NULL: none */
    tp_commit *pending;   /* NULL: nothing has changed since */
    tp_fifo_node node;    /* in the shard's list of those with something to send */
    bool is_listed;
    bool unknown;     /* the outcome of the commit under way */
    bool reload;      /* to be made anew from the store as soon as nothing is under way */
    bool broken;      /* what it has in memory rests on a commit that failed, or was replaced */
    bool fenced;      /* the writer's row is closed: nothing of it counts any more */
    uint32_t turns;   /* that wrote since the last commit */
    uint32_t commits; /* since the last one that was kept as a snapshot */
    uint32_t held;    /* entries of the gate */
    uint64_t digest;  /* of the last bytes that a save hook wrote; 0: none */
    tp_fifo gate;
    tp_fifo resting;   /* turns whose park is over, and that may not run yet */
    tp_beside *beside; /* NULL: it had no row yet */
};

_Static_assert(sizeof(tp_durable) <= 144, "it is a fifth of what an idle actor with state takes");

/* What an actor has once there was a row beside its state: most never have one, and the record of
 * an actor is what its activation costs. It stays as long as tp_durable does. */
struct tp_beside {
    tp_durable *owner;
    tp_fifo later;    /* tp_entry: changes that no turn has made; they go with the next commit */
    tp_alarm lazy;    /* or by themselves */
    bool has_rows;    /* rows and lists are there */
    tp_moment remind; /* the next reminder that has not fired */
    tp_index rows;
    tp_list by_kind[TP_ROW_KINDS];
    uint32_t counts[TP_ROW_KINDS];
    tp_list forgettable; /* senders, in place of their list above */
    uint32_t forgettable_count;
    bool forgets;              /* until few are known */
    uint64_t permit;           /* the version of the commit that forgot last; 0: none did */
    tp_fifo farewells;         /* tp_message: into the gate once their commit has its number */
    tp_early *early;           /* NULL: nobody waited yet */
    tp_addressees *addressees; /* NULL: there was no row of the outbox yet */
    tp_list burying;           /* tp_addressee: whose dead letters are not durable yet, by number */
};

/* Whom rows of an outbox are for. */
struct tp_addressee {
    tp_durable *owner;
    tp_link link;          /* among those of its owner */
    uint64_t hash;         /* of its id */
    tp_list open, handled; /* tp_entry: those that are not acknowledged, and those that are */
    uint64_t since;        /* when the first of the open ones became that */
    uint64_t expires;      /* wall clock: none of the open ones is given up before it */
    tp_alarm again;        /* sends them again */
    uint64_t wait;
    tp_row_number last; /* where sending again is to go on; 0: at the first */
    tp_link grave;      /* while a dead letter of it is not durable */
    uint64_t buries;    /* the number of the commit with the newest of those */
    bool at_once;       /* they are sent again by the next alarm, however young they are */
};

static inline uint32_t tp_rows_count(const tp_durable *self, uint32_t kind)
{
    return self->beside != NULL ? self->beside->counts[kind] : 0;
}
/* Changes that no turn has made wait for a commit. */
static inline bool tp_rows_wait(const tp_durable *self)
{
    return self->beside != NULL && !tp_fifo_is_empty(&self->beside->later);
}

/* At most so many outputs wait in one gate before the actor pauses. */
#define TP_GATE_MAX 4096

/* [turn's begin] Of types that commit while they live; NULL: no memory. */
TROUPE_CHECK tp_durable *tp_durable_get(tp_shard *shard, tp_activation *actor);
static inline tp_durable *tp_durable_of(const tp_activation *actor)
{
    return actor->extras != NULL ? actor->extras->durable : NULL;
}
/* May a part of the turn, committed in its middle, be durable? Not if that commit has failed. */
static inline bool tp_turn_is_parted(const troupe_turn *turn)
{
    const tp_durable *self = tp_durable_of(turn->actor);
    return turn->parted != 0 && self != NULL && turn->parted <= self->begun;
}
void tp_durable_free(tp_shard *shard, tp_activation *actor);
/* The shard goes, and what is still under way with it. */
void tp_durable_abandon(tp_shard *shard, tp_activation *actor);
/* Nothing is under way, pending or held. */
bool tp_durable_is_quiet(const tp_durable *self);

/* writer.c: what a save hook writes */
struct troupe_writer {
    const troupe_allocator *allocator;
    char *data;
    size_t size, capacity;
    bool failed; /* no memory: what is there is not all */
};
void tp_writer_init(troupe_writer *writer, const troupe_allocator *allocator);
void tp_writer_deinit(troupe_writer *writer);
void tp_writer_clear(troupe_writer *writer);
static inline troupe_slice tp_writer_bytes(const troupe_writer *writer)
{
    return (troupe_slice){writer->data != NULL ? writer->data : "", writer->size};
}

/* commit.c */
uint64_t tp_digest_of(troupe_slice bytes); /* never 0 */
/* [of an activation that is made] These bytes are stored. */
void tp_commit_found(const tp_activation *actor, troupe_slice bytes);
/* [of an activation that is made] What it begins with is what is stored. */
TROUPE_CHECK troupe_status tp_commit_loaded(tp_shard *shard, tp_activation *actor);
/* The pending commit puts these bytes, or with `erase` nothing, in place of what the actor has. The
 * caller sees that it is loaded anew. */
TROUPE_CHECK troupe_status tp_commit_replace(troupe_turn *turn, bool erase, troupe_slice bytes);
uint64_t tp_commit_next_version(const tp_durable *self); /* that the pending commit will make */
/* The turn is at a commit point: what it changed goes into the pending commit, what it sent to the
 * gate. NO_MEMORY: nothing of it did. */
TROUPE_CHECK troupe_status tp_commit_point(troupe_turn *turn, bool with_state);
/* The turn failed: what it sent is dropped. State behind hooks is loaded anew. */
void tp_commit_drop(troupe_turn *turn);
/* After that: if what it wrote cannot be put back here, the actor is loaded again. */
void tp_commit_spoil(troupe_turn *turn);
void tp_commits_flush(tp_shard *shard); /* to the store */
/* Everything of this activation that is not durable fails with `status`; it is made anew. */
void tp_durable_break(tp_shard *shard, tp_activation *actor, troupe_status status,
    troupe_outcome outcome, const char *words);
/* Before a load: true, and all is forgotten, once no commit is pending or under way. */
bool tp_commits_are_over(tp_shard *shard, tp_activation *actor);
/* wake.c: when somebody must wake the actor, wall clock; 0: never. `wall`: if its outbox holds
 * anything. */
uint64_t tp_wake_of(const tp_durable *self, uint64_t wall);
/* Soon what waits in `later` goes to the store. */
void tp_commit_later(tp_shard *shard, tp_durable *self);
/* The same, in the commit that goes out at the end of this pass. */
void tp_commit_now(tp_shard *shard, tp_durable *self);
/* A parked turn is about to go on. True: not before it is known what became of the commit that is
 * under way; it is made ready again then. */
bool tp_durable_rests(tp_shard *shard, troupe_turn *turn);
void tp_durable_rested(tp_shard *shard, tp_durable *self); /* those that rest are made ready */
/* Halts the actor, lets it go on, or makes it anew, as is due. */
void tp_durable_check(tp_shard *shard, tp_activation *actor);

/* loading.c */
/* Without a turn, of types that load alone: ends by tp_activation_over. */
void tp_load_begin(tp_shard *shard, tp_activation *actor);
/* Before a load: what it is put into. */
TROUPE_CHECK troupe_status tp_load_prepare(tp_shard *shard, tp_activation *actor);
/* What a load found becomes the activation's; releases it. `turn` is for a load hook. */
TROUPE_CHECK troupe_status tp_load_take(
    tp_shard *shard, tp_activation *actor, troupe_store_op *op, troupe_turn *turn);
/* A state that was never stored has the defaults of its table. */
TROUPE_CHECK troupe_status tp_load_anew(tp_activation *actor);
/* A state as it was stored, or sealed for a move, becomes the actor's. `turn` may be NULL for types
 * without hooks. */
TROUPE_CHECK troupe_status tp_load_install(
    tp_shard *shard, tp_activation *actor, troupe_slice stored, troupe_turn *turn);
void tp_loads_abandon(tp_shard *shard); /* the shard goes */
/* [in `done`] An answer of the store comes to the shard. */
void tp_store_answer(tp_shard *shard, tp_inbound *inbound);
/* Is there anything for the store, or from it? */
static inline bool tp_store_waits(const tp_shard *shard)
{
    return !tp_fifo_is_empty(&shard->commits) || shard->loads != NULL || shard->answers != NULL;
}
/* [step] What the pass has for the store goes to it; what was answered at once is taken in. */
void tp_store_flush(tp_shard *shard);

/* rows.c */
TROUPE_CHECK troupe_status tp_rows_init(tp_shard *shard, tp_durable *self); /* `beside` is there */
tp_entry *tp_rows_find(const tp_durable *self, uint32_t kind, troupe_slice key);
tp_entry *tp_rows_first(const tp_durable *self, uint32_t kind); /* oldest first; NULL: none */
tp_entry *tp_rows_next(const tp_durable *self, const tp_entry *entry);
void tp_rows_last(tp_durable *self, tp_entry *entry); /* behind the others of its kind */
/* The next of this kind to be looked at, which goes behind the others; of those apart, or of all
 * but those. NULL: none. */
tp_entry *tp_rows_turn(tp_durable *self, uint32_t kind, bool forgettable);
void tp_rows_forgettable(tp_durable *self, tp_entry *entry);
/* Staged in the turn: counts, and is found, from its next commit point. USAGE: against the rules of
 * store/rows.h. The key of an outbox row is TP_ROW_NUMBER_BYTES of anything: its commit gives it.
 */
TROUPE_CHECK troupe_status tp_rows_put(troupe_turn *turn, const tp_row *row, troupe_slice key);
TROUPE_CHECK troupe_status tp_rows_remove(troupe_turn *turn, uint32_t kind, troupe_slice key);
void tp_rows_drop(troupe_turn *turn);
/* Between turns: a removal, or a row (false: no memory), that goes with the next commit, or soon by
 * itself. */
void tp_rows_retire(tp_shard *shard, tp_durable *self, tp_entry *entry);
tp_entry *tp_rows_removal(tp_shard *shard, const tp_entry *entry); /* NULL: no memory */
bool tp_rows_add(tp_shard *shard, tp_durable *self, const tp_row *row, troupe_slice key);
TROUPE_CHECK troupe_status tp_rows_load(
    tp_shard *shard, tp_durable *self, const troupe_store_item *item, const char **ret_reason);
void tp_rows_clear(tp_shard *shard, tp_durable *self);
void tp_rows_free(tp_shard *shard, tp_durable *self);
TROUPE_CHECK troupe_status tp_rows_apply(tp_shard *shard, tp_durable *self, tp_entry *entry);
void tp_rows_number(tp_durable *self, tp_entry *entry, tp_row_number number);
/* The row that says that senders were forgotten gets the version of its commit. */
void tp_rows_permit(tp_durable *self, tp_entry *entry, uint64_t version);
void tp_entry_release(tp_shard *shard, tp_entry *entry);

/* gate.c */
/* A request of a running turn: held until the turn's next commit point. Takes the message on OK. */
TROUPE_CHECK troupe_status tp_gate_hold(troupe_turn *turn, uint32_t to, tp_message *message);
/* Leaves when all that the actor has begun is durable; `parted`: a failure cannot take all back. */
void tp_gate_push(tp_shard *shard, tp_durable *self, uint32_t to, tp_message *message, bool parted);
/* The same of the reply of a turn that has ended. */
void tp_gate_reply(troupe_turn *turn, uint32_t to, tp_message *reply);
/* What a turn held joins the gate, up to what it sent behind more than `staged` of the outbox. */
void tp_gate_join(troupe_turn *turn, tp_durable *self, uint32_t staged);
void tp_gate_open(tp_shard *shard, tp_durable *self); /* lets out what is durable */
/* Fails what rests on a later commit than the one numbered `above`. */
void tp_gate_fail(tp_shard *shard, tp_durable *self, uint64_t above, troupe_status status,
    troupe_outcome outcome, const char *words);
/* Takes an ask that waits here out again; it was never sent. False: it is not here. */
bool tp_gate_withdraw(tp_shard *shard, tp_durable *self, tp_call call);
/* The shard goes: what waits here is given back. */
void tp_gate_abandon(tp_shard *shard, tp_durable *self);
/* Drops what a failed turn held. */
void tp_gate_drop(troupe_turn *turn);

/* Of a call's options; then's context. */
#define TP_CONTEXT_MAX 4096

/* once.c */
/* [any thread] USAGE: the type does not persist every turn, or the key is too long. */
TROUPE_CHECK troupe_status tp_once_slip(const tp_shared *shared, const tp_type *type,
    troupe_slice key, uint64_t deadline, tp_slip *ret_slip);
/* May it run? Else it was answered, or waits. */
bool tp_once_begins(
    tp_shard *shard, tp_activation *actor, tp_message *message, const tp_slip *slip);
/* Of one that has not run, here: may an earlier one with its key have taken effect, or do so yet?
 * False also of calls without a key. */
bool tp_once_may_be_done(tp_shard *shard, const tp_message *message);
/* What a turn that fails says of its call: not NOT_DONE if another one with its key waits. */
troupe_outcome tp_once_outcome(
    const troupe_turn *turn, const tp_message *message, troupe_outcome outcome);
/* While no row of a commit that failed has gone: does one wait whose key has run? */
bool tp_once_comes_again(const tp_durable *self);
/* Before something leaves in its middle: that it has begun. */
TROUPE_CHECK troupe_status tp_once_parks(troupe_turn *turn, const tp_slip *slip);
TROUPE_CHECK troupe_status tp_once_ends(
    troupe_turn *turn, const tp_slip *slip, troupe_status status);

/* outbox.c */
/* After so long a message is given up. */
#define TP_OUTBOX_LIFE TROUPE_HOURS(24 * 14)
/* Stages a message of this turn. USAGE: the type does not persist every turn, or the turn only
 * reads. BUSY: outbox_limit. */
TROUPE_CHECK troupe_status tp_outbox_send(troupe_turn *turn, troupe_id id, troupe_slice method,
    troupe_slice payload, const troupe_call_options *options, const troupe_then *then);
void tp_outbox_leaves(tp_shard *shard, tp_durable *self, tp_entry *entry); /* its commit begins */
/* The first that was open to that one is so no more. */
void tp_outbox_advances(tp_shard *shard, tp_addressee *to);
uint64_t tp_outbox_wait(const tp_durable *self); /* until something of it is sent again, at least */
uint64_t tp_outbox_expires(const tp_durable *self); /* wall clock: none is given up before it */
void tp_outbox_loaded(tp_shard *shard, tp_durable *self); /* what is left of before */
/* An acknowledgement leaves, to one of this shard with the next pass; takes it. */
void tp_outbox_ack(tp_shard *shard, uint32_t to, tp_message *acked);
void tp_outbox_acks_drain(tp_shard *shard);               /* [step] */
void tp_outbox_acked(tp_shard *shard, tp_message *acked); /* it has come to the sender's; takes */
void tp_outbox_acked_at(tp_shard *shard, tp_activation *actor, tp_message *acked); /* takes */
void tp_outbox_ack_begins(tp_shard *shard, tp_activation *actor, tp_message *acked); /* takes */
/* What `actor` lets another one know of a message. NULL: no memory, or there is no such type. */
tp_message *tp_outbox_make_acked(tp_shard *shard, const tp_activation *actor, troupe_id to,
    const tp_slip *slip, troupe_slice words);
void tp_outbox_push_acked(tp_shard *shard, tp_durable *self, tp_message *acked); /* to the gate */
tp_entry *tp_outbox_row(const tp_durable *self, tp_row_number number); /* NULL: it is gone */
void tp_outbox_buried(tp_shard *shard, tp_durable *self); /* up to the last that is durable */
/* A removal of the oldest dead letter, if there are too many, for the commit that is built. */
tp_entry *tp_outbox_overflow(tp_shard *shard, const tp_durable *self);
/* No commit has what the turn of its answer did: it is sent again, and answered again. */
void tp_outbox_unanswered(tp_shard *shard, tp_durable *self, tp_row_number number);
/* A row of this turn's commit. BUSY: outbox_limit, but for answers. */
TROUPE_CHECK troupe_status tp_outbox_stage(troupe_turn *turn, tp_row *row, bool is_answer);
/* A row of it goes with the commit that is built. */
void tp_outbox_goes(tp_shard *shard, tp_durable *self, const tp_entry *entry);
void tp_outbox_farewells(tp_shard *shard, tp_durable *self); /* that commit has its number */

/* outbox_target.c */
/* Tells a sender what became of its message; of this actor's commits. */
void tp_outbox_tell(tp_shard *shard, tp_activation *actor, troupe_id sender, const tp_slip *told,
    troupe_slice words);
bool tp_outbox_begins(
    tp_shard *shard, tp_activation *actor, tp_message *message, const tp_slip *slip);
TROUPE_CHECK troupe_status tp_outbox_ends(
    troupe_turn *turn, const tp_slip *slip, troupe_status status);
void tp_outbox_over(troupe_turn *turn, const tp_slip *slip, troupe_status status); /* tells */

/* addressees.c */
/* NULL: no row is for it. */
tp_addressee *tp_addressees_find(const tp_shard *shard, const tp_durable *self, troupe_id id);
tp_addressee *tp_addressees_first(const tp_durable *self); /* NULL: none */
tp_addressee *tp_addressees_next(const tp_addressee *of);
TROUPE_CHECK troupe_status tp_addressees_add(tp_shard *shard, tp_durable *self, tp_entry *entry);
void tp_addressees_handled(tp_shard *shard, tp_entry *entry);
void tp_addressees_remove(tp_shard *shard, tp_entry *entry);
void tp_addressees_clear(tp_shard *shard, tp_beside *beside);

/* early.c */
/* A turn of its sender runs, at that number: it waits for that one's end, or comes again. Takes the
 * message. */
void tp_early_wait(
    tp_shard *shard, tp_activation *actor, tp_message *message, tp_row_number running);
/* No turn of this sender runs: the next of it that waits goes to the front of the mailbox. */
void tp_early_next(tp_shard *shard, tp_activation *actor, troupe_id sender);
void tp_early_clear(tp_shard *shard, tp_beside *beside);

/* senders.c */
tp_entry *tp_senders_find(const tp_durable *self, troupe_id sender); /* NULL: not known */
bool tp_senders_are_many(const tp_shard *shard, const tp_durable *self);
/* Is there no room for one more? */
bool tp_senders_are_full(const tp_shard *shard, const tp_durable *self);
/* May this one begin, whose sender is not known? Else that was told what it lacks, or tries again.
 */
bool tp_senders_let_in(tp_shard *shard, tp_activation *actor, const tp_message *message);
/* Stages that this was the last of its sender; others may be forgotten. */
TROUPE_CHECK troupe_status tp_senders_note(
    troupe_turn *turn, const tp_slip *slip, troupe_status refused, bool is_answer);
void tp_senders_farewell(tp_shard *shard, tp_durable *self, const tp_message *message);

/* reminders.c */
void tp_reminders_arm(tp_shard *shard, tp_durable *self); /* after a load, or a change of rows */
bool tp_reminder_begins(
    tp_shard *shard, tp_activation *actor, tp_message *message, const tp_slip *slip);
TROUPE_CHECK troupe_status tp_reminder_ends(troupe_turn *turn, const tp_slip *slip);
void tp_reminder_over(troupe_turn *turn, const tp_slip *slip);
#define TP_REMINDERS_NEED "only types that persist every turn, or every N, have reminders"
/* [in a turn of a type that commits] Stages `wanted`, its `due` not set yet, in place of the one of
 * that name. USAGE: `words` say what is wrong with its schedule. TOO_LARGE, BUSY, NO_MEMORY. */
TROUPE_CHECK troupe_status tp_reminder_set(troupe_turn *turn, troupe_slice name,
    const tp_row_reminder *wanted, char *words, size_t words_size);

/* A dead letter is sent once more, with a new number; its row goes. */
TROUPE_CHECK troupe_status tp_outbox_replay(troupe_turn *turn, const tp_entry *dead);

/* lifecycle.c [in a turn, of types that save at deactivation]: stores these bytes, or with `erase`
 * nothing, in place of what is stored. Parks. */
TROUPE_CHECK troupe_status tp_lifecycle_replace(troupe_turn *turn, bool erase, troupe_slice bytes);

/* prune.c: while the shard is made; after it has ended. */
TROUPE_CHECK troupe_status tp_prune_start(tp_shard *shard);
void tp_prune_stop(tp_shard *shard);

/* errand.c: instead of a method; at the commit point of its turn; behind it. */
troupe_status tp_errand_run(troupe_turn *turn, const tp_slip *slip);
TROUPE_CHECK troupe_status tp_errand_ends(troupe_turn *turn, const tp_slip *slip);
void tp_errand_over(troupe_turn *turn, const tp_slip *slip);

/* appoint.c: the errands with an appointment; the name of a timer */
troupe_status tp_appoint_reminder(troupe_turn *turn, troupe_slice bytes);
troupe_status tp_appoint_timer(troupe_turn *turn, troupe_slice bytes);
troupe_status tp_appoint_timer_end(troupe_turn *turn, troupe_slice name);

/* delivery.c: the same for any message with a slip */
__attribute__((noinline)) bool tp_delivery_begins(
    tp_shard *shard, tp_activation *actor, tp_message *message);
TROUPE_CHECK troupe_status tp_delivery_parks(troupe_turn *turn);
/* The turn's end: what it did, or that it failed, and what must be known of it, is committed. */
troupe_status tp_delivery_commit(troupe_turn *turn, troupe_status status);
/* Behind the commit: acknowledgements, and those that waited for this turn. */
void tp_delivery_over(troupe_turn *turn, troupe_status status);
/* Those that waited for this turn go back to the mailbox. */
void tp_delivery_twins(troupe_turn *turn);

/* lifecycle.c: a commit of it is durable; to those that want to know. */
void tp_lifecycle_committed(tp_shard *shard, const tp_activation *actor);

#endif
