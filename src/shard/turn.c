/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn from its begin to its end, and what the end means: commit or restore, reply, clean-ups,
 * statistics. Parking is in park.c, what follows failures in supervise.c, the calls that methods
 * make in calls.c and reply.c.
 *
 * Invariants
 * 1. A failing turn leaves the state's bytes of its last commit point: its begin, or the end of its
 * last park where others may have run meanwhile (types that restore).
 * 2. An ask is answered exactly once: here, or when its message is failed unstarted
 * (tp_message_answer).
 * 3. Clean-ups run last registered first, before the reply leaves.
 */
#include "shard/context.h"
#include "shard/durable.h"
#include "shard/wake.h"
#include "shard/words.h"

#include "base/text.h"

#include <stdarg.h>

static inline void commit(troupe_turn *turn)
{
    tp_bytes_copy(turn->before, tp_activation_state(turn->actor), turn->actor->type->is.state_size);
}

void tp_turn_commit(troupe_turn *turn)
{
    if (turn->before != NULL)
        commit(turn);
}

static bool keep_in_block(troupe_turn *turn)
{
    turn->before = tp_pool_take(&turn->shard->pool, turn->actor->type->kept);
    if (turn->before == NULL)
        return false;
    turn->holds = true;
    commit(turn);
    return true;
}

__attribute__((always_inline)) static inline bool keep_state(troupe_turn *turn)
{
    uint32_t size = turn->actor->type->kept;
    if (TP_UNLIKELY(size > TP_SNAPSHOT))
        return keep_in_block(turn);
    if (size == 0)
        return true;
    turn->before = turn->snapshot;
    tp_bytes_copy(turn->snapshot, tp_activation_state(turn->actor), size);
    return true;
}

bool tp_turn_keep(troupe_turn *turn)
{
    return keep_state(turn);
}

static void restore_state(troupe_turn *turn)
{
    if (turn->before == NULL || TP_MUTANT(turn->shard, TP_MUTANT_NO_RESTORE))
        return;
    memcpy(tp_activation_state(turn->actor), turn->before, turn->actor->type->is.state_size);
}

/* Is this turn timed? If so `now` is read. */
static inline void begin_timing(troupe_turn *turn, bool is_next)
{
    tp_shard *shard = turn->shard;
    turn->timed = shard->times_all; /* where no thread moves its pulse */
    turn->sampled = false;
    if (TP_UNLIKELY(tp_is_timed(shard)))
        turn->sampled = turn->timed = true;
    if (TP_UNLIKELY(turn->timed && !(is_next && shard->times_all)))
        tp_clock_read(shard); /* else the end of the last turn has just read it */
    turn->began = shard->now;
}

static inline void take_message(troupe_turn *turn, tp_message *message)
{
    turn->message = message;
    turn->deadline = message->deadline;
    turn->chain = message->chain;
}

void tp_turn_init(troupe_turn *turn, tp_shard *shard, tp_activation *actor, tp_message *message,
    tp_turn_kind kind)
{
    memset(&turn->reply, 0, offsetof(troupe_turn, changes) - offsetof(troupe_turn, reply));
    turn->shard = shard;
    turn->actor = actor;
    turn->kind = (uint8_t)kind;
    if (message != NULL) {
        take_message(turn, message);
    } else {
        turn->message = NULL;
        turn->deadline = TP_NEVER;
        turn->chain = 0;
    }
    turn->read_only = false;
    if (TP_UNLIKELY(actor->type->commits)) {
        turn->commits = true;
        tp_fifo_init(&turn->changes);
        tp_fifo_init(&turn->held);
        tp_fifo_init(&turn->twins);
        turn->held_count = 0;
        turn->staged = 0;
        turn->remembered = false;
        turn->written = NULL;
    }
    begin_timing(turn, false);
}

static troupe_status call_back(troupe_turn *turn)
{
    tp_callback *callback = turn->message->extra;
    tp_message *message = turn->message;
    troupe_answer answer = {.status = message->status, .outcome = (troupe_outcome)message->outcome};
    if (message->status == TROUPE_OK) {
        answer.payload = tp_message_payload(message);
        answer.content_type = tp_message_content_type(message);
    } else {
        answer.message = tp_message_payload(message);
    }
    tp_context_come(turn, (troupe_slice){callback->baggage, callback->baggage_size});
    callback->done(turn, tp_activation_state(turn->actor), &answer, callback->user);
    return TROUPE_OK;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* Not inlined: its words would lie in the frame below each parked turn. */
__attribute__((noinline, cold)) static void log_long(troupe_turn *turn, uint64_t milliseconds)
{
    tp_shard *shard = turn->shard;
    tp_count(&shard->counters.long_turns);
    TP_MARK(shard, "long turn");
    char actor[TP_ID_MAX + 1];
    troupe_id_print(tp_activation_id(turn->actor), actor, sizeof actor);
    TP_LOG(shard->shared->log, TROUPE_LOG_WARN, "turn_long",
        TP_FIELDS(tp_field_text("actor", troupe_str(actor)),
            tp_field_text("method", troupe_turn_method(turn)), tp_field_number("ms", milliseconds)),
        "a turn ran long without a park; others of its shard waited");
}

static void note_time(troupe_turn *turn, uint64_t time)
{
    tp_type_counters *counters = tp_counters_of(turn->shard, turn->actor->type);
    tp_histogram_record(&turn->shard->turn_time, time);
    tp_count(&counters->timed);
    tp_cell_add(&counters->time, time);
}

static void watch_time(troupe_turn *turn)
{
    tp_shard *shard = turn->shard;
    uint32_t pulses = tp_pulse(shard) - turn->pulse;
    const troupe_node_options *options = &shard->shared->options;
    if (TP_UNLIKELY(pulses != 0)) {
        shard->turns_left = 0; /* what is due has waited long enough */
        if ((uint64_t)pulses * TROUPE_MILLISECONDS(10) >= TP_LIVE_GET(options->long_turn))
            log_long(turn, (uint64_t)pulses * 10);
    }
    if (TP_LIKELY(!turn->timed) || (turn->parked_once && !shard->times_all))
        return;
    uint64_t now = tp_clock_read(shard), time = now - turn->began;
    if (now >= shard->runner.pass_until)
        shard->turns_left = 0;
    if (turn->parked_once)
        return;
    if (turn->sampled)
        note_time(turn, time);
    if (TP_UNLIKELY(shard->times_all && time >= TP_LIVE_GET(options->long_turn)))
        log_long(turn, time / TROUPE_MILLISECONDS(1));
}

static void unlink_turn(troupe_turn *turn)
{
    tp_activation *actor = turn->actor;
    troupe_turn **at = &actor->turns;
    while (*at != turn)
        at = &(*at)->next;
    *at = turn->next;
    actor->turn_count--;
}

/* Did nothing happen? Not if it parked (a commit point), sent messages, or wrote state that is not
 * restored. */
troupe_outcome tp_turn_outcome(const troupe_turn *turn)
{
    const tp_type *type = turn->actor->type;
    if (turn->refused)
        return TROUPE_NOT_DONE; /* whatever the filter did to find out */
    bool wrote = !turn->read_only && type->is.state_size != 0 && !type->restores &&
                 !type->gated; /* whose last commit is loaded again */
    bool parted = type->gated ? tp_turn_is_parted(turn) : turn->parked_once;
    return parted || turn->has_sent || wrote ? TROUPE_UNKNOWN_OUTCOME : TROUPE_NOT_DONE;
}

static void answer_run(tp_shard *shard, tp_message *message, troupe_status status,
    troupe_outcome outcome, const char *format, ...) TROUPE_PRINTF(5, 6);

/* How the method misused its reply, if that is why it ends with USAGE. */
__attribute__((noinline, cold)) static const char *misuse_of(
    const troupe_turn *turn, const tp_message *reply, troupe_status returned)
{
    if (reply != NULL && reply->status == TROUPE_OK)
        return "the method replied, and then replied again or failed";
    if (turn->failed)
        return "the method failed, and then replied or returned OK";
    return returned == TROUPE_OK ? "the method returned OK without a reply"
                                 : troupe_status_text(TROUPE_USAGE);
}

static inline troupe_outcome outcome_of(
    const troupe_turn *turn, const tp_message *message, troupe_status status)
{
    if (status == TROUPE_OK)
        return TROUPE_DONE;
    troupe_outcome outcome = tp_turn_outcome(turn);
    return message->flags & TP_MESSAGE_SLIP ? tp_once_outcome(turn, message, outcome) : outcome;
}

/* The answer of an ask that ends with this status. The staged reply is used if it says so. */
static void answer(troupe_turn *turn, troupe_status status, troupe_status returned)
{
    tp_shard *shard = turn->shard;
    tp_message *message = turn->message;
    tp_message *reply = turn->reply;
    turn->reply = NULL;
    const char *misuse =
        TP_UNLIKELY(status == TROUPE_USAGE) ? misuse_of(turn, reply, returned) : NULL;
    if (reply != NULL && reply->status != status) {
        tp_pool_give(&shard->pool, reply);
        reply = NULL;
    }
    turn->message = NULL;
    if (message->kind != TP_ASK) {
        if (reply != NULL)
            tp_pool_give(&shard->pool, reply);
        if (message->kind == TP_ANSWER) {
            tp_callback *callback = message->extra;
            tp_pool_give(&shard->pool, callback);
        }
        tp_pool_give(&shard->pool, message);
        return;
    }
    troupe_outcome outcome = outcome_of(turn, message, status);
    if (reply != NULL) {
        reply->outcome = (uint8_t)outcome;
        reply->from = message->from;
        uint32_t to = message->from_shard;
        tp_pool_give(&shard->pool, message);
        tp_reply_send(shard, to, reply);
        return;
    }
    answer_run(shard, message, status, outcome, "%s",
        misuse != NULL ? misuse : troupe_status_text(status));
}

static void run_defers(troupe_turn *turn)
{
    while (turn->defers != NULL) {
        tp_defer *defer = turn->defers;
        turn->defers = defer->next;
        defer->cleanup(defer->argument);
    }
}

/* What the method made of its call: OK only with exactly one reply if one was expected. */
static troupe_status judge(troupe_turn *turn, troupe_status status)
{
    if (!tp_turn_is_asked(turn))
        return status;
    if (turn->failed && status == TROUPE_OK)
        return TROUPE_USAGE;
    if (status == TROUPE_OK && turn->reply == NULL)
        return TROUPE_USAGE;
    return status;
}

/* Of a type that saves now and then only what an errand has done is waited for. */
static bool waits_for_commit(const troupe_turn *turn)
{
    const tp_slip *slip = tp_message_slip(turn->message);
    bool is_errand = slip != NULL && (slip->flags & TP_SLIP_ERRAND);
    return (turn->actor->type->gated || is_errand) && tp_durable_of(turn->actor) != NULL;
}

void tp_turn_end(troupe_turn *turn, troupe_status status)
{
    tp_shard *shard = turn->shard;
    tp_activation *actor = turn->actor;
    troupe_status returned = status;
    status = judge(turn, status);
    if (TP_UNLIKELY(actor->type->commits))
        status = tp_delivery_commit(turn, status);
    if (TP_UNLIKELY(status != TROUPE_OK))
        restore_state(turn);
    if (TP_UNLIKELY(turn->defers != NULL))
        run_defers(turn);
    watch_time(turn);
    TP_TRACE(shard, TP_TRACE_END, actor->hash ^ (uint32_t)status);
    unlink_turn(turn);
    tp_step_ends(shard);
    tp_count(&tp_counters_of(shard, actor->type)->turns);
    actor->processed++;
    bool is_tick = turn->message != NULL && turn->message->kind == TP_TICK;
    if (TP_LIKELY(!is_tick))
        actor->last_used = shard->now; /* a timer does not keep its actor */
    /* Loading alone changes nothing; on_activate may. */
    if (!turn->read_only && (turn->kind != TP_TURN_ACTIVATE || actor->type->is.on_activate != NULL))
        actor->flags |= TP_DIRTY;
    if (TP_UNLIKELY(turn->before != NULL && turn->before != turn->snapshot))
        tp_pool_give(&shard->pool, turn->before);
    if (TP_UNLIKELY(turn->arena != NULL))
        tp_arena_drop(shard, &turn->arena, &turn->arena_bytes);
    if (TP_UNLIKELY(status != TROUPE_OK)) {
        tp_count(&tp_counters_of(shard, actor->type)->failures);
        actor->errors++;
        if (!turn->refused)
            tp_supervise(shard, turn, status); /* may take the message for another delivery */
    } else if (actor->extras != NULL && turn->kind == TP_TURN_METHOD) {
        actor->extras->failures = 0; /* that it activates after a restart is no success yet */
    }
    if (TP_UNLIKELY(turn->message == NULL)) {
        if (turn->kind == TP_TURN_ACTIVATE) {
            tp_message *words = turn->reply;
            tp_activation_over(shard, actor, status, turn);
            if (words != NULL)
                tp_pool_give(&shard->pool, words);
            return;
        }
        if (turn->kind == TP_TURN_DEACTIVATE) {
            tp_deactivation_over(shard, actor, status);
            return;
        }
    } else {
        if (TP_UNLIKELY(turn->message->flags & TP_MESSAGE_SLIP))
            tp_delivery_over(turn, status);
        shard->gated = TP_UNLIKELY(actor->type->commits) && waits_for_commit(turn) ? turn : NULL;
        answer(turn, status, returned);
        shard->gated = NULL;
    }
    if (TP_UNLIKELY(actor->type->commits)) {
        tp_delivery_twins(turn);
        tp_durable_check(shard, actor);
    }
    if (TP_UNLIKELY(actor->flags & TP_TORN) && actor->turns == NULL)
        tp_supervise_torn(shard, actor);
    if (turn->parked_once || turn->left)
        tp_settle(shard, actor);
}

/* ---- from begin to end --------------------------------------------------------------------- */

static inline void link_turn(troupe_turn *turn)
{
    tp_activation *actor = turn->actor;
    turn->next = actor->turns;
    actor->turns = turn;
    actor->turn_count++;
    tp_step_begins(turn->shard, turn);
}

/* Never run, for want of memory for a snapshot. */
static troupe_status go_without(troupe_turn *turn)
{
    tp_count(&turn->shard->counters.no_memory);
    if (turn->message->kind == TP_TELL)
        tp_count(&turn->shard->counters.dead_letters);
    return TROUPE_NO_MEMORY;
}

__attribute__((noinline)) static troupe_status refuse_method(troupe_turn *turn)
{
    char words[TP_WORDS_MAX];
    (void)tp_no_method_words(words, turn->actor->type, tp_message_method_name(turn->message));
    return troupe_fail(turn, TROUPE_NO_METHOD, "%s", words);
}

/* Seldom, and not inlined: what it needs would lie in the frame below each parked turn. */
__attribute__((noinline)) static troupe_status run_otherwise(troupe_turn *turn)
{
    tp_activation *actor = turn->actor;
    const tp_slip *slip = tp_message_slip(turn->message);
    if (slip != NULL && (slip->flags & TP_SLIP_ERRAND))
        return tp_errand_run(turn, slip);
    /* A callback runs without a snapshot rather than never: should it panic, its actor restarts. */
    bool is_kept = keep_state(turn);
    if (turn->message->kind == TP_ANSWER)
        return call_back(turn);
    if (actor->type->is.otherwise == NULL) /* its sender knows another version of the type */
        return refuse_method(turn);
    return is_kept ? actor->type->is.otherwise(
                         turn, tp_activation_state(actor), tp_message_payload(turn->message))
                   : go_without(turn);
}

#ifdef NDEBUG
#define CHECKS_READS(shard) ((shard)->shared->hostile) /* in simulations */
#else
#define CHECKS_READS(shard) true
#endif

/* What a read-only method has written is found out, as long as nobody else ran meanwhile. */
__attribute__((noinline)) static troupe_status run_checked(
    troupe_turn *turn, const tp_method *method)
{
    tp_shard *shard = turn->shard;
    void *state = tp_activation_state(turn->actor);
    const troupe_slice bytes = {state, turn->actor->type->is.state_size};
    uint64_t before = tp_digest_of(bytes);
    troupe_status status = method->read(turn, state, tp_message_payload(turn->message));
    if (turn->parked_once || tp_digest_of(bytes) == before)
        return status;
    TP_MARK(shard, "a read-only method has written");
    TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "read_method_wrote",
        TP_FIELDS(tp_field_text("type", turn->actor->type->name),
            tp_field_text("key", tp_activation_key(turn->actor)),
            tp_field_text("method", method->name)),
        "a read-only method has changed the state; its caller gets USAGE");
    if (turn->reply != NULL)
        tp_pool_give(&shard->pool, turn->reply);
    turn->reply = NULL;
    turn->failed = false;
    return troupe_fail(turn, TROUPE_USAGE, "the method is read-only, and has changed the state");
}

/* Runs what the message asks for. */
__attribute__((always_inline)) static inline troupe_status run_message(
    troupe_turn *turn, tp_shard *shard, tp_activation *actor)
{
    const tp_message *message = turn->message;
    TP_TRACE(shard, TP_TRACE_TURN, actor->hash ^ message->method);
    if (TP_UNLIKELY(message->method == TP_METHOD_OTHER || message->kind == TP_ANSWER))
        return run_otherwise(turn);
    const tp_method *method = &actor->type->methods[message->method];
    turn->read_only = method->read != NULL;
    if (turn->read_only && TP_UNLIKELY(CHECKS_READS(shard)))
        return run_checked(turn, method);
    if (turn->read_only)
        return method->read(turn, tp_activation_state(actor), tp_message_payload(message));
    if (TP_UNLIKELY(!keep_state(turn)))
        return go_without(turn);
    return method->run(turn, tp_activation_state(actor), tp_message_payload(message));
}

/* A save hook writes on the turn's own stack, before its end. */
static troupe_status written(troupe_turn *turn, troupe_status status)
{
    return status == TROUPE_OK ? tp_commit_write(turn) : status;
}

void tp_turn_body(troupe_turn *turn)
{
    link_turn(turn);
    if (turn->message != NULL) {
        troupe_status status = run_message(turn, turn->shard, turn->actor);
        tp_turn_end(turn, turn->commits ? written(turn, status) : status);
        return;
    }
    TP_TRACE(turn->shard, TP_TRACE_TURN, turn->actor->hash ^ turn->kind);
    if (turn->kind == TP_TURN_ACTIVATE) {
        tp_activate_body(turn);
    } else {
        tp_deactivate_body(turn);
    }
}

/* Does its deadline let it start? Else it is answered, and gone. */
static bool may_start(tp_shard *shard, tp_message *message)
{
    if (message->deadline > tp_clock(shard) || TP_MUTANT(shard, TP_MUTANT_START_EXPIRED))
        return true;
    tp_count(&shard->counters.expired);
    TP_MARK(shard, "expired before its turn");
    if (message->kind == TP_TICK)
        tp_tick_taken(shard, message);
    tp_message_answer(
        shard, message, TROUPE_EXPIRED, TROUPE_NOT_DONE, "its deadline passed before it started");
    return false;
}

__attribute__((noinline)) static void note_arrived(tp_shard *shard, uint64_t arrived)
{
    uint64_t now = tp_clock_read(shard);
    tp_histogram_record(&shard->queue_time, now > arrived ? now - arrived : 0);
}

static inline void note_queue_time(tp_shard *shard, const tp_message *message)
{
    if (TP_UNLIKELY(message->flags & TP_MESSAGE_TIMED))
        note_arrived(shard, message->arrived);
}

/* The counts of a turn that ended well. */
static inline void count_plain(
    troupe_turn *turn, tp_shard *shard, tp_activation *actor, uint32_t *left)
{
    if (TP_UNLIKELY(turn->timed || tp_pulse(shard) != turn->pulse)) {
        watch_time(turn);
        if (shard->turns_left <= 0)
            *left = 0;
    }
    TP_TRACE(shard, TP_TRACE_END, actor->hash ^ TROUPE_OK);
    tp_count(&tp_counters_of(shard, actor->type)->turns);
    actor->processed++;
    actor->last_used = shard->now;
    if (TP_LIKELY(!turn->read_only))
        actor->flags |= TP_DIRTY;
    if (TP_UNLIKELY(actor->extras != NULL))
        actor->extras->failures = 0;
}

static inline void close_plain(troupe_turn *turn, tp_shard *shard)
{
    unlink_turn(turn);
    tp_step_ends(shard);
}

/* An ask that was answered well, of which else nothing is left. */
static inline void answer_plainly(troupe_turn *turn, tp_shard *shard)
{
    tp_message *message = turn->message, *reply = turn->reply;
    uint32_t to = message->from_shard;
    reply->outcome = TROUPE_DONE;
    reply->from = message->from;
    tp_pool_give(&shard->pool, message);
    tp_reply_home(shard, to, reply);
}

/* The next message, if nothing but the method has to be run for it. */
static inline tp_message *next_plain(const troupe_turn *turn, tp_shard *shard, tp_activation *actor)
{
    tp_fifo_node *head = actor->mailbox.head;
    if (head == NULL || turn->next != NULL)
        return NULL;
    const tp_message *message = tp_message_of(head);
    if (message->kind > TP_ASK || TP_UNLIKELY(message->flags & TP_MESSAGE_SLIP) ||
        TP_UNLIKELY(message->deadline <= tp_clock(shard)))
        return NULL;
    return tp_mailbox_take(shard, actor);
}

/* The turn is as a new one, linked to its actor: what is here is all that a plain turn has
 * touched. */
static inline void begin_next(troupe_turn *turn, tp_shard *shard, tp_message *message)
{
    turn->before = NULL;
    turn->has_sent = false;
    take_message(turn, message);
    note_queue_time(shard, message);
    begin_timing(turn, true);
    turn->pulse = tp_pulse(shard);
    tp_step_next(shard, message);
}

/* The first arrival, if nobody but its actor has anything to do. The turn goes over to that. */
static inline tp_message *next_arrival(troupe_turn *turn, tp_shard *shard)
{
    const tp_activation *last = turn->actor;
    if (!tp_arrivals_wait(shard) || shard->turns_left <= 0 ||
        !tp_fifo_is_empty(&shard->run_queue) || !tp_fifo_is_empty(&shard->ready) ||
        TP_UNLIKELY(turn->next != NULL) || tp_needs_settling(last))
        return NULL;
    tp_message *message;
    tp_activation *actor = tp_arrivals_take(shard, &message);
    if (actor == NULL)
        return NULL;
    unlink_turn(turn);
    turn->actor = actor;
    actor->turns = turn;
    actor->turn_count++;
    atomic_store_explicit(&shard->watched, actor, memory_order_release);
    return message;
}

__attribute__((always_inline)) static inline bool run_on(
    troupe_turn *turn, tp_shard *shard, uint32_t *left, bool arrives)
{
    link_turn(turn);
    for (;;) {
        tp_activation *actor = turn->actor;
        troupe_status status = run_message(turn, shard, actor);
        bool is_plain = status == TROUPE_OK && turn->special == 0;
        if (is_plain && turn->message->kind == TP_ASK && turn->reply != NULL &&
            turn->reply->status == TROUPE_OK) {
            count_plain(turn, shard, actor, left);
            close_plain(turn, shard);
            answer_plainly(turn, shard);
            return true;
        }
        if (TP_UNLIKELY(!is_plain || turn->message->kind != TP_TELL)) {
            tp_turn_end(turn, turn->commits ? written(turn, status) : status);
            return !turn->parked_once;
        }
        /* Nothing is left of a tell; the turn stays linked, for the next message. */
        count_plain(turn, shard, actor, left);
        tp_pool_give(&shard->pool, turn->message);
        if (*left == 0)
            break;
        tp_message *message = next_plain(turn, shard, actor);
        if (message == NULL && arrives)
            message = next_arrival(turn, shard);
        if (message == NULL)
            break;
        --*left;
        shard->turns_left--;
        begin_next(turn, shard, message);
    }
    close_plain(turn, shard);
    return true;
}

bool tp_turn_run(tp_shard *shard, tp_activation *actor, tp_message *message, uint32_t *left)
{
    if (TP_UNLIKELY(message->deadline <= tp_clock(shard)) && !may_start(shard, message))
        return true;
    note_queue_time(shard, message);
    if (TP_UNLIKELY(message->flags & TP_MESSAGE_SLIP) && !tp_delivery_begins(shard, actor, message))
        return true;
    if (TP_UNLIKELY(actor->type->is.stack_size != 0)) {
        tp_turn_on_own_fiber(shard, actor, message);
        return false;
    }
    if (TP_UNLIKELY(message->kind == TP_TICK))
        tp_tick_begins(shard, message);
    troupe_turn turn;
    tp_turn_init(&turn, shard, actor, message,
        message->kind == TP_ANSWER ? TP_TURN_CALLBACK : TP_TURN_METHOD);
    if (TP_UNLIKELY(message->flags & TP_MESSAGE_SLIP)) {
        turn.holds = true; /* its end is not a plain one */
        tp_context_come(&turn, tp_message_slip(message)->baggage);
    }
    return run_on(&turn, shard, left, false);
}

void tp_turn_run_now(tp_shard *shard, tp_activation *actor, tp_message *message)
{
    uint32_t left = TP_LIVE_GET(actor->type->is.batch) - 1;
    shard->turns_left--;
    note_queue_time(shard, message);
    troupe_turn turn;
    tp_turn_init(&turn, shard, actor, message, TP_TURN_METHOD);
    if (run_on(&turn, shard, &left, true) && TP_UNLIKELY(tp_needs_settling(turn.actor)))
        tp_settle(shard, turn.actor);
}

/* ---- failing what never ran ---------------------------------------------------------------- */

static void dead_letter(tp_shard *shard, tp_message *message, const char *why)
{
    tp_count(&shard->counters.dead_letters);
    TP_LOG(shard->shared->log, TROUPE_LOG_WARN, "dead_letter",
        TP_FIELDS(tp_field_text("type", message->type->name),
            tp_field_text("method", tp_message_method_name(message))),
        "a tell found nobody: %s", why);
    tp_pool_give(&shard->pool, message);
}

/* "type/key method: ". A message that went straight to its actor carries no key. */
static void print_target(tp_shard *shard, const tp_message *message, tp_text *text)
{
    troupe_id id = {message->type->name, tp_message_partition(message), tp_message_key(message)};
    const tp_activation *actor =
        id.key.size == 0 ? tp_index_peek(&shard->table, message->hash) : NULL;
    if (actor != NULL && actor->type == message->type)
        id = tp_activation_id(actor);
    char name[TP_ID_MAX + 1];
    troupe_id_print(id, name, sizeof name);
    tp_text_printf(text, "%s %.*s: ", name, TROUPE_ARG(tp_message_method_name(message)));
}

static void answer_in_words(tp_shard *shard, tp_message *message, troupe_status status,
    troupe_outcome outcome, const char *format, va_list arguments)
{
    char words[TP_ID_MAX + 2560]; /* the path of a cycle is the longest text */
    tp_text text;
    tp_text_init(&text, words, sizeof words);
    if (message->type != NULL)
        print_target(shard, message, &text);
    tp_text_vprintf(&text, format, arguments);
    if (message->flags & TP_MESSAGE_TOUCHED)
        outcome = TROUPE_UNKNOWN_OUTCOME;
    if (message->kind == TP_ANSWER) { /* its actor is gone */
        tp_pool_give(&shard->pool, message->extra);
        tp_pool_give(&shard->pool, message);
        return;
    }
    if (message->kind != TP_ASK) {
        const tp_slip *slip = tp_message_slip(message);
        uint32_t flags = slip != NULL ? slip->flags : 0;
        if (flags & (TP_SLIP_WAKE | TP_SLIP_REMIND)) {
            tp_wake_failed(shard, message, status);
        } else if (message->kind == TP_TELL && !(flags & (TP_SLIP_OUTBOX | TP_SLIP_HERE))) {
            dead_letter(shard, message, words);
        } else {
            tp_pool_give(&shard->pool, message);
        }
        return;
    }
    tp_message_parts parts = {.content_type = TROUPE_TEXT, .payload = tp_text_slice(&text)};
    tp_message *reply = tp_message_make(&shard->pool, &parts);
    if (reply == NULL) { /* replies are never refused: the message itself carries the status home,
                            without words */
        reply = message;
        reply->payload_size = 0;
        reply->content = TP_CONTENT_BYTES;
        reply->flags &= (uint8_t)~TP_MESSAGE_SLIP;
    }
    uint32_t to = message->from_shard;
    reply->kind = TP_REPLY;
    reply->from = message->from;
    reply->status = status;
    reply->outcome = (uint8_t)outcome;
    if (reply != message)
        tp_pool_give(&shard->pool, message);
    tp_reply_send(shard, to, reply);
}

void tp_message_answer(tp_shard *shard, tp_message *message, troupe_status status,
    troupe_outcome outcome, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    bool maybe = TP_UNLIKELY(message->flags & TP_MESSAGE_SLIP) && outcome == TROUPE_NOT_DONE &&
                 tp_once_may_be_done(shard, message);
    answer_in_words(
        shard, message, status, maybe ? TROUPE_UNKNOWN_OUTCOME : outcome, format, arguments);
    va_end(arguments);
}

/* The same of one that has run, of which the turn knows all. */
static void answer_run(tp_shard *shard, tp_message *message, troupe_status status,
    troupe_outcome outcome, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    answer_in_words(shard, message, status, outcome, format, arguments);
    va_end(arguments);
}

/* ---- arenas -------------------------------------------------------------------------------- */

typedef struct arena_block {
    struct arena_block *next;
    uint32_t used, capacity; /* of what follows */
} arena_block;

#define ARENA_BLOCK 1024
#define ARENA_MOST  (UINT32_MAX - ARENA_BLOCK) /* in one block */

void *tp_arena_take(tp_shard *shard, void **arena, size_t *bytes, size_t limit, size_t size)
{
    if (size > ARENA_MOST)
        return NULL;
    size = (size + 15) & ~(size_t)15;
    arena_block *block = *arena;
    if (size > limit || *bytes > limit - size)
        return NULL;
    if (block == NULL || block->capacity - block->used < size) {
        size_t capacity = size > ARENA_BLOCK - sizeof *block ? size : ARENA_BLOCK - sizeof *block;
        block = tp_pool_take(&shard->pool, sizeof *block + capacity);
        if (block == NULL)
            return NULL;
        *block = (arena_block){*arena, 0, (uint32_t)capacity};
        *arena = block;
    }
    void *taken = (char *)(block + 1) + block->used;
    block->used += (uint32_t)size;
    *bytes += size;
    return taken;
}

void tp_arena_drop(tp_shard *shard, void **arena, size_t *bytes)
{
    arena_block *block = *arena;
    while (block != NULL) {
        arena_block *next = block->next;
        tp_pool_give(&shard->pool, block);
        block = next;
    }
    *arena = NULL;
    *bytes = 0;
}
