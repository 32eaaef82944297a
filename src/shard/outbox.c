/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that survive a crash of their sender (P7): a row of the sender's outbox is committed
 * with the turn that sent it, and is sent until its target has acknowledged it. A target that
 * persists every turn commits the last number that it has seen of a sender together with what the
 * message did, so it takes effect exactly once; others acknowledge after the turn: at least once.
 *
 * `troupe_ask_then` is the same with an answer: a persistent target sends it by an outbox message
 * of its own, in the commit of the turn that answered; from others it comes with the
 * acknowledgement.
 *
 * Invariants
 * 1. Of one sender to one target, messages are handled in the order of their numbers, none twice: a
 * message names the one before it that may still be under way, and is dropped, and comes again,
 * until that one was handled; while any of that sender runs, given up or not, it waits (early.c).
 * An answer may pass others that did not begin: senders.c.
 * 2. A row stays until its acknowledgement has come; that it was removed goes with the sender's
 * next commit, or a short while later by itself.
 * 3. A message that is TP_OUTBOX_LIFE old is given up. A target remembers a sender for longer than
 * that, or until that says that it has nothing left for it (senders.c).
 * 4. A message that its target refuses for good (an error of a tell) becomes a dead letter of the
 * sender: kept, listed, replayed. A request that is given up runs its `failed` method; its row goes
 * with the turn of its answer, and an answer whose request is gone is dropped.
 */
#include "shard/context.h"
#include "shard/durable.h"
#include "shard/workers.h"

#include "base/id.h"

#define AGAIN_FIRST   TROUPE_SECONDS(1) /* until what is not acknowledged is sent again */
#define AGAIN_CAP     TROUPE_SECONDS(30)
#define PAUSE         TROUPE_MILLISECONDS(10) /* between SEND_AT_ONCE of them */
#define SEND_AT_ONCE  256
#define DEAD_MAX      1000

static uint64_t hash_of(tp_shard *shard, troupe_id id, const tp_type **ret_type)
{
    *ret_type = tp_type_known(shard->shared, id.type);
    return *ret_type != NULL
               ? tp_type_hash(&shard->shared->types, *ret_type, id.partition, id.key)
               : 0;
}

/* ---- the sender's side: staging ------------------------------------------------------------- */

troupe_status tp_outbox_stage(troupe_turn *turn, tp_row *row, bool is_answer)
{
    static const char no_number[TP_ROW_NUMBER_BYTES] = {0};
    tp_shard *shard = turn->shard;
    const tp_durable *self = tp_durable_of(turn->actor);
    uint32_t count = tp_rows_count(self, TROUPE_ROW_OUTBOX) + turn->staged;
    if (!is_answer && count >= TP_LIVE_GET(shard->shared->options.outbox_limit)) {
        tp_count(&shard->counters.busy_outbox);
        return TROUPE_BUSY;
    }
    row->kind = TROUPE_ROW_OUTBOX;
    row->outbox.created = shard->env->wall(shard->env);
    TROUPE_TRY(tp_rows_put(turn, row, (troupe_slice){no_number, sizeof no_number}));
    turn->staged++;
    return TROUPE_OK;
}

troupe_status tp_outbox_send(troupe_turn *turn, troupe_id id, troupe_slice method,
    troupe_slice payload, const troupe_call_options *options, const troupe_then *then)
{
    tp_shard *shard = turn->shard;
    if (!turn->actor->type->gated || turn->read_only || turn->kind == TP_TURN_DEACTIVATE)
        return TROUPE_USAGE; /* there is no commit that could carry it */
    if (payload.size > shard->shared->options.max_message) {
        tp_count(&shard->counters.too_large);
        return TROUPE_TOO_LARGE;
    }
    const char *content = options != NULL ? options->content_type : NULL;
    tp_row row = {.outbox = {.target = id,
                      .method = method,
                      .content_type = troupe_str(content),
                      .payload = payload}};
    uint64_t life = options != NULL && options->timeout != 0 && options->timeout < TP_OUTBOX_LIFE
                        ? options->timeout
                        : TP_OUTBOX_LIFE;
    row.outbox.expires = shard->env->wall(shard->env) + life;
    if (then != NULL) {
        row.outbox.flags = TP_SLIP_THEN;
        row.outbox.then_done = troupe_str(then->done);
        row.outbox.then_failed = troupe_str(then->failed);
        row.outbox.then_context = then->context;
    }
    void *block;
    TROUPE_TRY(tp_context_merge(turn, options, &block, &row.outbox.baggage));
    troupe_status status = tp_outbox_stage(turn, &row, false);
    if (block != NULL)
        tp_pool_give(&shard->pool, block);
    if (status == TROUPE_OK)
        tp_count(&shard->counters.outbox_sent);
    return status;
}

troupe_status tp_outbox_replay(troupe_turn *turn, const tp_entry *dead)
{
    tp_row row = {.outbox = dead->row.dead.message};
    row.outbox.attempts = 0;
    row.outbox.expires = turn->shard->env->wall(turn->shard->env) + TP_OUTBOX_LIFE;
    TROUPE_TRY(tp_outbox_stage(turn, &row, false));
    TROUPE_TRY(tp_rows_remove(turn, TROUPE_ROW_DEAD, dead->key));
    tp_count(&turn->shard->counters.outbox_sent);
    return TROUPE_OK;
}

/* ---- the sender's side: sending ------------------------------------------------------------- */

/* 0: not a number. */
static tp_row_number number_of(const tp_entry *entry)
{
    tp_row_number none = {0, 0}, number;
    return tp_row_number_of(entry->key, &number) == TROUPE_OK ? number : none;
}

/* The one before it to the same target that is not acknowledged. */
static tp_row_number before_of(const tp_entry *entry)
{
    const tp_link *before = entry->mate.previous;
    bool is_first = entry->retired || before == &entry->to->open.head;
    return is_first ? (tp_row_number){0, 0} : number_of(tp_entry_of_mate(before));
}

/* NULL: no memory, or there is no such target any more (`*ret_refused`). */
static tp_message *make(tp_shard *shard, const tp_durable *self, const tp_entry *entry,
    uint64_t permit, troupe_status *ret_refused)
{
    const tp_row_outbox *row = &entry->row.outbox;
    const tp_activation *actor = self->actor;
    tp_slip slip = {.flags = row->flags | TP_SLIP_OUTBOX,
        .status = row->status,
        .outcome = row->outcome,
        .before = before_of(entry),
        .permit = permit,
        .done = row->then_done,
        .failed = row->then_failed,
        .context = row->then_context,
        .baggage = row->baggage};
    if (tp_row_number_of(entry->key, &slip.number) != TROUPE_OK)
        return NULL;
    tp_message_head head = {.kind = TP_TELL,
        .deadline = TP_NEVER,
        .caller_type = actor->type,
        .from_shard = (uint16_t)shard->number,
        .caller_key_size = actor->key_size,
        .caller_partition_size = actor->partition_size};
    head.hash = hash_of(shard, row->target, &head.type);
    /* In a cluster who hosts it may join later: it is sent again. */
    *ret_refused = head.type == NULL && shard->away == NULL ? TROUPE_NO_TYPE : TROUPE_OK;
    if (head.type == NULL)
        return NULL;
    if (tp_type_has_workers(head.type))
        head.hash = tp_worker_of(shard, head.type, row->target.partition, row->target.key);
    int32_t method = tp_type_method(head.type, row->method);
    *ret_refused = method < 0 ? TROUPE_NO_METHOD : TROUPE_OK;
    if (method < 0)
        return NULL;
    head.method = (uint16_t)method;
    char content[UINT8_MAX + 1];
    size_t size = row->content_type.size <= UINT8_MAX ? row->content_type.size : 0;
    memcpy(content, row->content_type.data, size);
    content[size] = 0;
    tp_message_parts parts = {.caller = actor + 1,
        .key = row->target.key,
        .partition = row->target.partition,
        .method = method == TP_METHOD_OTHER ? row->method : (troupe_slice){NULL, 0},
        .content_type = size != 0 ? content : NULL,
        .payload = row->payload,
        .slip = &slip};
    return tp_message_make_here(&shard->pool, &parts, &head);
}

tp_message *tp_outbox_make_acked(tp_shard *shard, const tp_activation *actor, troupe_id to,
    const tp_slip *slip, troupe_slice words)
{
    tp_message_head head = {.kind = TP_ACKED,
        .deadline = TP_NEVER,
        .method = TP_METHOD_OTHER,
        .caller_type = actor->type,
        .from_shard = (uint16_t)shard->number,
        .caller_key_size = actor->key_size,
        .caller_partition_size = actor->partition_size};
    head.hash = hash_of(shard, to, &head.type);
    const tp_message_parts parts = {.caller = actor + 1,
        .key = to.key,
        .partition = to.partition,
        .payload = words,
        .slip = slip};
    return head.type != NULL ? tp_message_make_here(&shard->pool, &parts, &head) : NULL;
}

/* A target that has taken a later message takes the one that it refused for handled, should a crash
 * bring that back: those behind a dead letter wait until it is durable. */
static bool is_burying(const tp_addressee *to)
{
    return tp_link_is_linked(&to->grave);
}

static void bury(tp_shard *shard, tp_durable *self, tp_entry *entry, troupe_status reason,
    troupe_outcome outcome, troupe_slice words);
static void send_again(tp_shard *shard, tp_alarm *alarm);

/* At `due`, or when one of them is to be given up, if that is sooner. What could not be given up in
 * time is sent again, and given up then. */
static void arm(tp_shard *shard, tp_addressee *to, uint64_t due)
{
    uint64_t wall = shard->env->wall(shard->env);
    if (to->expires > wall) {
        uint64_t over = tp_time_after(shard->now, to->expires - wall);
        due = over < due ? over : due;
    }
    tp_alarm_set(shard, &to->again, due, send_again);
}

static void watch(tp_shard *shard, tp_addressee *to, const tp_entry *entry)
{
    bool is_set = tp_link_is_linked(&to->again.timer.link);
    if (is_set && entry->row.outbox.expires != to->expires)
        return; /* another one is given up sooner */
    if (!is_set)
        to->wait = AGAIN_FIRST;
    arm(shard, to, is_set ? to->again.timer.due : tp_time_after(shard->now, AGAIN_FIRST));
}

/* Into the gate, behind what was sent before; on its way at once if all is durable. */
void tp_outbox_leaves(tp_shard *shard, tp_durable *self, tp_entry *entry)
{
    troupe_status refused = TROUPE_OK;
    tp_message *message = make(shard, self, entry, 0, &refused);
    watch(shard, entry->to, entry);
    if (message != NULL) {
        tp_gate_push(
            shard, self, tp_hash_shard(message->hash, shard->shared->shard_count), message, false);
    } else if (refused != TROUPE_OK) {
        bury(shard, self, entry, refused, TROUPE_NOT_DONE, troupe_str(troupe_status_text(refused)));
    }
}

/* False: it waits for something else, and need not be sent. */
static bool is_open(const tp_durable *self, const tp_entry *entry, tp_row_number *ret_number)
{
    if (entry->retired || entry->answered || tp_row_number_of(entry->key, ret_number) != TROUPE_OK)
        return false;                                           /* handled */
    return ret_number->version <= self->actor->extras->version; /* else it is in the gate */
}

/* True: its time was over, and it was given up. */
static bool lapses(tp_shard *shard, tp_durable *self, tp_entry *entry, uint64_t wall)
{
    uint64_t expires = entry->row.outbox.expires;
    if (expires == 0 || expires > wall)
        return false;
    bury(shard, self, entry, TROUPE_EXPIRED, TROUPE_UNKNOWN_OUTCOME,
        troupe_str("its time was over"));
    return true;
}

/* False: it was given up. */
static bool send_one(
    tp_shard *shard, tp_durable *self, tp_entry *entry, uint64_t permit, uint64_t wall)
{
    if (lapses(shard, self, entry, wall))
        return false;
    troupe_status refused = TROUPE_OK;
    tp_message *message = make(shard, self, entry, permit, &refused);
    if (refused != TROUPE_OK) {
        bury(shard, self, entry, refused, TROUPE_NOT_DONE, troupe_str(troupe_status_text(refused)));
        return false;
    }
    if (message == NULL)
        return true;
    uint32_t to = tp_hash_shard(message->hash, shard->shared->shard_count);
    /* To take arrivals in might send this actor away. */
    bool is_full = to == shard->number && shard->arrived - shard->taken_in >= TP_ARRIVALS - 1;
    if (is_full || tp_send_room(shard, to, message->hash, true) != TROUPE_OK) {
        tp_pool_give(&shard->pool, message);
        return true;
    }
    TP_MARK(shard, "outbox message sent again");
    tp_count(&shard->counters.outbox_again);
    tp_send_request(shard, to, message);
    return true;
}

/* NULL: it is gone. */
tp_entry *tp_outbox_row(const tp_durable *self, tp_row_number number)
{
    char key[TP_ROW_NUMBER_BYTES];
    tp_row_number_key(number, key);
    return tp_rows_find(self, TROUPE_ROW_OUTBOX, (troupe_slice){key, sizeof key});
}

/* Behind those of the last time: many are sent with a pause in between. */
static tp_link *first_again(const tp_addressee *to)
{
    tp_link *link = to->open.head.next;
    while (to->last.version != 0 && link != &to->open.head &&
           tp_row_number_compare(number_of(tp_entry_of_mate(link)), to->last) <= 0)
        link = link->next;
    return link;
}

/* False: one was buried, and those behind it wait. */
static bool send_some(tp_shard *shard, tp_durable *self, tp_addressee *to)
{
    uint64_t wall = shard->env->wall(shard->env);
    tp_link *next = first_again(to);
    for (uint32_t i = 0; next != &to->open.head && i < SEND_AT_ONCE; i++) {
        tp_entry *entry = tp_entry_of_mate(next);
        next = next->next;
        tp_row_number number;
        to->last = number_of(entry); /* also of those that are handled, or still in the gate */
        if (!is_open(self, entry, &number))
            continue;
        if (!send_one(shard, self, entry, 0, wall) && is_burying(to))
            return false;
    }
    if (next == &to->open.head)
        to->last = (tp_row_number){0, 0};
    return true;
}

/* Those whose time is over, however long it is until they are sent again. False: there are more. */
static bool give_up_late(tp_shard *shard, tp_durable *self, tp_addressee *to)
{
    uint64_t wall = shard->env->wall(shard->env), first = TP_NEVER;
    if (to->expires > wall)
        return true;
    uint32_t left = SEND_AT_ONCE;
    for (tp_link *next = to->open.head.next; next != &to->open.head;) {
        tp_entry *entry = tp_entry_of_mate(next);
        tp_row_number number;
        next = next->next;
        uint64_t expires = entry->row.outbox.expires;
        if (is_open(self, entry, &number) && lapses(shard, self, entry, wall)) {
            if (--left == 0)
                return false;
        } else if (expires != 0 && expires < first) {
            first = expires;
        }
    }
    to->expires = first;
    return true;
}

static void send_again(tp_shard *shard, tp_alarm *alarm)
{
    tp_addressee *to = TP_CONTAINER(alarm, tp_addressee, again);
    tp_durable *self = to->owner;
    if (self->actor->phase != TP_ACTIVE || self->reload) {
        arm(shard, to, shard->now + AGAIN_FIRST);
        return;
    }
    if (is_burying(to))
        return;
    bool all = give_up_late(shard, self, to);
    if (is_burying(to) || tp_list_is_empty(&to->open))
        return;
    if (!all) {
        arm(shard, to, tp_time_after(shard->now, PAUSE));
        return;
    }
    uint64_t due = tp_time_after(to->since, to->wait);
    if (due > shard->now && !to->at_once && to->last.version == 0) {
        arm(shard, to, due);
        return;
    }
    to->at_once = false;
    if (!send_some(shard, self, to))
        return;
    uint64_t pause = PAUSE;
    if (to->last.version == 0)
        pause = to->wait = to->wait < AGAIN_CAP / 2 ? to->wait * 2 : AGAIN_CAP;
    arm(shard, to, tp_time_after(shard->now, pause));
}

/* Whatever they are, they are sent again then. */
static void send_soon(tp_shard *shard, tp_addressee *to, uint64_t pause)
{
    to->at_once = true;
    to->last = (tp_row_number){0, 0};
    to->wait = AGAIN_FIRST / 2;
    arm(shard, to, tp_time_after(shard->now, pause));
}

/* What did not get through lately may do so now: nobody waits for longer than at the first time. */
void tp_outbox_advances(tp_shard *shard, tp_addressee *to)
{
    to->since = shard->now;
    if (to->wait <= AGAIN_FIRST)
        return;
    to->wait = AGAIN_FIRST;
    if (to->again.timer.due > tp_time_after(shard->now, AGAIN_FIRST))
        arm(shard, to, tp_time_after(shard->now, AGAIN_FIRST));
}

uint64_t tp_outbox_wait(const tp_durable *self)
{
    uint64_t least = AGAIN_CAP;
    const tp_addressee *to = tp_addressees_first(self);
    if (to == NULL)
        return AGAIN_FIRST;
    for (; to != NULL; to = tp_addressees_next(to))
        least = to->wait < least ? to->wait : least;
    return least > AGAIN_FIRST ? least : AGAIN_FIRST;
}

uint64_t tp_outbox_expires(const tp_durable *self)
{
    uint64_t least = TP_NEVER;
    const tp_addressee *to = tp_addressees_first(self);
    for (; to != NULL; to = tp_addressees_next(to))
        least = to->expires < least ? to->expires : least;
    return least;
}

void tp_outbox_loaded(tp_shard *shard, tp_durable *self)
{
    tp_addressee *to = tp_addressees_first(self);
    if (to != NULL)
        TP_MARK(shard, "outbox found at a load");
    for (; to != NULL; to = tp_addressees_next(to))
        send_soon(shard, to, 0);
}

/* ---- the sender's side: what its targets know of it (senders.c) ------------------------------ */

/* A target that has forgotten others takes it with this permit, and those behind it then. */
static void send_with_permit(
    tp_shard *shard, tp_durable *self, tp_entry *entry, const tp_slip *slip)
{
    tp_row_number number;
    tp_addressee *to = entry->to;
    if (is_burying(to) || self->reload || !is_open(self, entry, &number))
        return;
    uint64_t wall = shard->env->wall(shard->env), permit = slip->permit;
    TP_MARK(shard, "outbox message sent with a permit");
    tp_link *next = &entry->mate;
    for (uint32_t i = 0; next != &to->open.head && i < SEND_AT_ONCE; i++) {
        tp_entry *one = tp_entry_of_mate(next);
        next = next->next;
        if (!is_open(self, one, &number))
            continue;
        if (!send_one(shard, self, one, permit, wall))
            return;
        permit = 0;
    }
}

/* Another one to this target, if there is one the newest that is open. */
static tp_entry *another_to(
    const tp_shard *shard, const tp_durable *self, troupe_id target, const tp_entry *but)
{
    const tp_addressee *to = tp_addressees_find(shard, self, target);
    if (to == NULL)
        return NULL;
    const tp_list *const lists[] = {&to->open, &to->handled};
    for (size_t i = 0; i < 2; i++) {
        const tp_link *head = &lists[i]->head, *link = head->previous;
        if (link != head && tp_entry_of_mate(link) == but)
            link = link->previous;
        if (link != head)
            return tp_entry_of_mate(link);
    }
    return NULL;
}

/* To a target that wants to hear when nothing up to `number` is left for it. NULL: something is,
 * and it will hear later; or no memory, and it asks again. */
static tp_message *farewell_to(tp_shard *shard, const tp_durable *self, troupe_id target,
    tp_row_number number, const tp_entry *but)
{
    tp_entry *other = another_to(shard, self, target, but);
    if (other != NULL) {
        other->farewell = true;
        return NULL;
    }
    const tp_slip slip = {.flags = TP_SLIP_OUTBOX | TP_SLIP_FAREWELL, .number = number};
    return tp_outbox_make_acked(shard, self->actor, target, &slip, (troupe_slice){NULL, 0});
}

void tp_outbox_push_acked(tp_shard *shard, tp_durable *self, tp_message *acked)
{
    tp_gate_push(shard, self, tp_hash_shard(acked->hash, shard->shared->shard_count), acked, false);
}

void tp_outbox_goes(tp_shard *shard, tp_durable *self, const tp_entry *entry)
{
    const tp_entry *row = tp_rows_find(self, TROUPE_ROW_OUTBOX, entry->key);
    tp_row_number number;
    if (row == NULL || !row->farewell || self->reload ||
        tp_row_number_of(row->key, &number) != TROUPE_OK)
        return;
    tp_message *message = farewell_to(shard, self, row->row.outbox.target, number, row);
    if (message != NULL)
        tp_fifo_push_back(&self->beside->farewells, &message->node);
}

void tp_outbox_farewells(tp_shard *shard, tp_durable *self)
{
    if (self->beside == NULL)
        return;
    for (tp_fifo_node *node; (node = tp_fifo_pop_front(&self->beside->farewells)) != NULL;) {
        tp_message *message = tp_message_of(node);
        TP_MARK(shard, "farewell");
        if (TP_MUTANT(shard, TP_MUTANT_FAREWELL_EARLY))
            tp_outbox_ack(
                shard, tp_hash_shard(message->hash, shard->shared->shard_count), message);
        else
            tp_outbox_push_acked(shard, self, message);
    }
}

/* It was told of a message, and a farewell is wanted. */
static void want_farewell(
    tp_shard *shard, tp_durable *self, tp_entry *entry, const tp_message *acked)
{
    if (entry != NULL) {
        entry->farewell = true;
        return;
    }
    if (self->reload)
        return; /* that it is gone may never be stored */
    const tp_slip *slip = tp_message_slip(acked);
    tp_message *message = farewell_to(shard, self, tp_message_caller(acked), slip->number, NULL);
    if (message != NULL)
        tp_outbox_push_acked(shard, self, message);
}

/* ---- the sender's side: acknowledgements ---------------------------------------------------- */

/* Handled for good: those behind it were not taken before it. */
static void give_up(tp_shard *shard, tp_durable *self, tp_entry *entry)
{
    tp_addressee *to = entry->to;
    tp_list *burying = &self->beside->burying;
    tp_rows_retire(shard, self, entry);
    to->buries = self->begun + 1; /* what waits in `later` goes with the next commit */
    if (is_burying(to))
        tp_list_remove(&to->grave);
    tp_list_push_back(burying, &to->grave);
}

void tp_outbox_buried(tp_shard *shard, tp_durable *self)
{
    tp_list *burying = &self->beside->burying;
    while (!tp_list_is_empty(burying)) {
        tp_addressee *to = TP_CONTAINER(tp_list_front(burying), tp_addressee, grave);
        if (to->buries > self->durable)
            return;
        tp_list_remove(&to->grave);
        send_soon(shard, to, 0);
    }
}

/* Its `failed` method is gone: nobody can hear of it. */
static void pass_over(tp_shard *shard, tp_durable *self, tp_entry *entry, troupe_status reason)
{
    TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "request_without_method",
        TP_FIELDS(tp_field_text("type", self->actor->type->name),
            tp_field_text("key", tp_activation_key(self->actor)),
            tp_field_text("method", entry->row.outbox.then_failed),
            tp_field_string("status", troupe_status_name(reason))),
        "a request failed whose method for that the type has no more; it is passed over");
    give_up(shard, self, entry);
}

/* The answer, or the failure, of a request that this actor sent, as a turn of it. */
static void answer_here(tp_shard *shard, tp_durable *self, tp_entry *entry, troupe_status status,
    troupe_outcome outcome, troupe_slice words)
{
    const tp_row_outbox *row = &entry->row.outbox;
    troupe_slice method = status == TROUPE_OK ? row->then_done : row->then_failed;
    int32_t number = tp_type_method(self->actor->type, method);
    if (number < 0 && status != TROUPE_OK) {
        pass_over(shard, self, entry, status);
        return;
    }
    tp_slip slip = {.flags = TP_SLIP_ANSWER | TP_SLIP_HERE,
        .status = status,
        .outcome = outcome,
        .context = row->then_context,
        .baggage = row->baggage};
    tp_message_head head = {.kind = TP_TELL,
        .deadline = TP_NEVER,
        .type = self->actor->type,
        .hash = self->actor->hash,
        .from_shard = (uint16_t)shard->number,
        .method = (uint16_t)number};
    tp_message_parts parts = {
        .method = number == TP_METHOD_OTHER ? method : (troupe_slice){NULL, 0},
        .payload = words,
        .slip = &slip};
    bool is_sane = number >= 0 && tp_row_number_of(entry->key, &slip.number) == TROUPE_OK;
    tp_message *message = is_sane ? tp_message_make_here(&shard->pool, &parts, &head) : NULL;
    if (message == NULL)
        return; /* it is sent again, and answered again */
    entry->answered = true;
    tp_accept_at(shard, self->actor, message);
}

void tp_outbox_unanswered(tp_shard *shard, tp_durable *self, tp_row_number number)
{
    tp_entry *entry = tp_outbox_row(self, number);
    if (entry == NULL || entry->retired)
        return;
    entry->answered = false;
    send_soon(shard, entry->to, AGAIN_FIRST);
}

/* Without memory there is one too many until the next comes. */
tp_entry *tp_outbox_overflow(tp_shard *shard, const tp_durable *self)
{
    if (tp_rows_count(self, TROUPE_ROW_DEAD) <= DEAD_MAX)
        return NULL;
    tp_entry *removal = tp_rows_removal(shard, tp_rows_first(self, TROUPE_ROW_DEAD));
    if (removal != NULL)
        tp_count(&shard->counters.dead_dropped);
    return removal;
}

/* It is given up: a request is answered by its failure, a tell becomes a dead letter. */
static void bury(tp_shard *shard, tp_durable *self, tp_entry *entry, troupe_status reason,
    troupe_outcome outcome, troupe_slice words)
{
    if (entry->row.outbox.flags & TP_SLIP_THEN) {
        answer_here(shard, self, entry, reason, outcome, words);
        return;
    }
    TP_MARK(shard, "outbox message became a dead letter");
    tp_count(&shard->counters.dead_letters);
    TP_LOG(shard->shared->log, TROUPE_LOG_WARN, "dead_letter",
        TP_FIELDS(tp_field_text("type", entry->row.outbox.target.type),
            tp_field_text("method", entry->row.outbox.method),
            tp_field_string("status", troupe_status_name(reason))),
        "an outbox message was refused for good; it is kept with its sender, and can be replayed");
    tp_row row = {.kind = TROUPE_ROW_DEAD,
        .dead = {.message = entry->row.outbox,
            .reason = reason,
            .moved = shard->env->wall(shard->env),
            .words = words}};
    if (!tp_rows_add(shard, self, &row, entry->key))
        return; /* it is sent again, and given up again */
    give_up(shard, self, entry);
}

static void be_told(
    tp_shard *shard, tp_durable *self, tp_entry *entry, const tp_slip *slip, troupe_slice words)
{
    if ((slip->flags & TP_SLIP_ANSWER) && entry->answered) {
        TP_MARK(shard, "answer had come before");
    } else if (slip->flags & TP_SLIP_ANSWER) {
        answer_here(shard, self, entry, slip->status, slip->outcome, words);
    } else if (entry->row.outbox.flags & TP_SLIP_THEN) {
        /* A persistent target has it: its answer comes as a message of its own. */
    } else if (slip->status == TROUPE_OK) {
        tp_rows_retire(shard, self, entry);
    } else {
        bury(shard, self, entry, slip->status, slip->outcome, words);
    }
    TP_MARK(shard, "outbox acknowledged");
}

static void take_acked(tp_shard *shard, tp_durable *self, const tp_message *acked)
{
    const tp_slip *slip = tp_message_slip(acked);
    if (slip->flags & TP_SLIP_FAREWELL) {
        tp_senders_farewell(shard, self, acked);
        return;
    }
    tp_entry *entry = tp_outbox_row(self, slip->number);
    if (slip->flags & TP_SLIP_PERMIT) {
        if (entry != NULL)
            send_with_permit(shard, self, entry, slip);
        return;
    }
    if (entry == NULL && (slip->flags & TP_SLIP_ANSWER))
        TP_MARK(shard, "answer had come before");
    if (slip->flags & TP_SLIP_WANTED)
        want_farewell(shard, self, entry, acked);
    if (entry != NULL && !entry->retired)
        be_told(shard, self, entry, slip, tp_message_payload(acked));
}

void tp_outbox_ack_begins(tp_shard *shard, tp_activation *actor, tp_message *acked)
{
    tp_durable *self = tp_durable_of(actor);
    if (self != NULL)
        take_acked(shard, self, acked);
    tp_pool_give(&shard->pool, acked);
}

/* A sender that is not there is activated for it: else one that is always sent away before the
 * acknowledgement comes would send for ever. */
void tp_outbox_acked(tp_shard *shard, tp_message *acked)
{
    tp_activation *actor = tp_activation_find(
        shard, acked->type, acked->hash, tp_message_partition(acked), tp_message_key(acked));
    if (actor == NULL || actor->phase != TP_ACTIVE) {
        TP_MARK(shard, "acknowledged while away");
        tp_accept(shard, acked);
        return;
    }
    tp_outbox_ack_begins(shard, actor, acked);
}

/* Of an actor that is here for sure: it may be guarded, and whoever guards it has sent this. */
void tp_outbox_acked_at(tp_shard *shard, tp_activation *actor, tp_message *acked)
{
    if (actor->phase == TP_ACTIVE) {
        tp_outbox_ack_begins(shard, actor, acked);
        return;
    }
    TP_MARK(shard, "acknowledged while it comes or goes");
    tp_accept_at(shard, actor, acked);
}

void tp_outbox_ack(tp_shard *shard, uint32_t to, tp_message *acked)
{
    if (to == shard->number)
        tp_fifo_push_back(&shard->acks, &acked->node); /* it may make room: not inside of a turn */
    else
        tp_send_control(shard, to, acked);
}

void tp_outbox_acks_drain(tp_shard *shard)
{
    for (tp_fifo_node *node; (node = tp_fifo_pop_front(&shard->acks)) != NULL;)
        tp_outbox_acked(shard, tp_message_of(node));
}
