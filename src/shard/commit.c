/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commits of actors that live: what a turn changed becomes part of the actor's pending commit, goes
 * to the store at the end of the pass together with those of other actors, and what came of it
 * opens the gate, or fails what rests on it. Loads, and the save of a deactivation, are in
 * lifecycle.c. The rules are in durable.h.
 *
 * An unknown outcome is resolved by sending the same commit again, never by reading: accepted, or a
 * conflict in which the stored version is the one that this commit makes, means that it was done.
 */
#include "shard/durable.h"

#include "base/alloc.h"
#include "schema/schema.h"
#include "store/record.h"

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

#define AGAIN_FIRST TROUPE_MILLISECONDS(2)
#define AGAIN_CAP   TROUPE_SECONDS(1)
#define LATER       TROUPE_MILLISECONDS(20) /* changes of no turn wait so long for a commit */

struct tp_commit {
    troupe_store_op op; /* the store's while under way */
    tp_inbound inbound;
    tp_shard *shard;
    tp_durable *of;
    uint64_t number;
    tp_alarm again;
    uint64_t wait; /* before it is sent again */
    unsigned char *record;
    size_t record_room;
    tp_fifo changes; /* tp_entry, in order */
    uint32_t change_count;
    uint32_t sent;      /* numbers given to outbox rows */
    uint32_t forgotten; /* senders */
    bool replaces; /* what the actor has, by an errand */
    troupe_store_row *rows;
};

/* ---- the record beside the activation ------------------------------------------------------- */

tp_durable *tp_durable_get(tp_shard *shard, tp_activation *actor)
{
    tp_extras *extras = tp_activation_extras(shard, actor);
    if (extras == NULL || extras->durable != NULL)
        return extras != NULL ? extras->durable : NULL;
    tp_durable *self = tp_pool_take(&shard->pool, sizeof *self);
    if (self == NULL)
        return NULL;
    *self = (tp_durable){.actor = actor, .seed = tp_record_seed(tp_activation_id(actor))};
    tp_fifo_init(&self->gate);
    tp_fifo_init(&self->resting);
    extras->durable = self;
    return self;
}

bool tp_durable_is_quiet(const tp_durable *self)
{
    if (self->under_way != NULL || self->pending != NULL || self->held != 0 || self->is_listed)
        return false;
    if (!self->reload)
        return !tp_rows_wait(self);
    return self->actor->phase == TP_NEW || self->actor->phase == TP_WAITING; /* it was reset */
}

static void drop_entries(tp_shard *shard, tp_fifo *entries)
{
    tp_fifo_node *node;
    while ((node = tp_fifo_pop_front(entries)) != NULL)
        tp_entry_release(shard, TP_CONTAINER(node, tp_entry, node));
}

static void drop_changes(tp_shard *shard, tp_commit *commit)
{
    drop_entries(shard, &commit->changes);
    commit->change_count = 0;
}

static void free_commit(tp_shard *shard, tp_commit *commit)
{
    if (commit == NULL)
        return;
    drop_changes(shard, commit);
    if (commit->rows != NULL)
        tp_pool_give(&shard->pool, commit->rows);
    if (commit->record != NULL)
        tp_pool_give(&shard->pool, commit->record);
    tp_pool_give(&shard->pool, commit);
}

void tp_durable_abandon(tp_shard *shard, tp_activation *actor)
{
    tp_durable *self = tp_durable_of(actor);
    if (self == NULL)
        return;
    free_commit(shard, self->under_way);
    free_commit(shard, self->pending);
    tp_gate_abandon(shard, self);
    tp_rows_free(shard, self);
}

void tp_durable_free(tp_shard *shard, tp_activation *actor)
{
    tp_durable *self = tp_durable_of(actor);
    if (self == NULL)
        return;
    TP_ASSERT(self->under_way == NULL && self->held == 0 && !self->is_listed);
    free_commit(shard, self->pending);
    tp_rows_free(shard, self);
    actor->extras->durable = NULL;
    tp_pool_give(&shard->pool, self);
}

/* ---- what a turn changed -------------------------------------------------------------------- */

static void release_written(void *argument)
{
    tp_writer_deinit(argument);
}

/* The state by its table. */
static troupe_status save_schema(tp_shard *shard, tp_activation *actor, troupe_buffer *buffer)
{
    char words[256] = "";
    const tp_type *type = actor->type;
    troupe_status status =
        tp_schema_save(type->is.schema, tp_activation_state(actor), buffer, words, sizeof words);
    if (status != TROUPE_OK)
        TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "state_not_storable",
            TP_FIELDS(
                tp_field_text("type", type->name), tp_field_text("key", tp_activation_key(actor))),
            "the turn fails, as its state is none by its schema: %s", words);
    return status;
}

/* The same, at the writer's begin. */
static troupe_status write_schema(troupe_turn *turn, troupe_writer *writer)
{
    troupe_buffer buffer = {writer->allocator, writer->data, 0, writer->capacity};
    troupe_status status = save_schema(turn->shard, turn->actor, &buffer);
    writer->data = buffer.data;
    writer->size = buffer.size;
    writer->capacity = buffer.capacity;
    return status;
}

/* A turn of a type that commits each that left the bytes as they were has nothing to write. */
static bool is_untouched(const troupe_turn *turn)
{
    const tp_type *type = turn->actor->type;
    return type->is.schema != NULL && type->gated && !type->owns && turn->before != NULL &&
           memcmp(turn->before, tp_activation_state(turn->actor), type->is.state_size) == 0;
}

troupe_status tp_commit_write(troupe_turn *turn)
{
    const troupe_type *is = &turn->actor->type->is;
    if (!turn->actor->type->encodes || turn->read_only || is_untouched(turn))
        return TROUPE_OK;
    if (turn->written == NULL) {
        turn->written = tp_turn_take(turn, SIZE_MAX, sizeof *turn->written);
        if (turn->written == NULL)
            return TROUPE_NO_MEMORY;
        tp_writer_init(turn->written, turn->shard->shared->allocator);
        troupe_status status = troupe_defer(turn, release_written, turn->written);
        if (status != TROUPE_OK) {
            turn->written = NULL;
            return status;
        }
    }
    tp_writer_clear(turn->written);
    if (is->schema != NULL)
        return write_schema(turn, turn->written);
    troupe_status status = is->save(turn, tp_activation_state(turn->actor), turn->written);
    return status == TROUPE_OK && turn->written->failed ? TROUPE_NO_MEMORY : status;
}

uint64_t tp_digest_of(troupe_slice bytes)
{
    return XXH3_64bits(bytes.data, bytes.size) | 1;
}

void tp_commit_found(const tp_activation *actor, troupe_slice bytes)
{
    tp_durable *self = tp_durable_of(actor);
    if (self != NULL && actor->type->encodes)
        self->digest = tp_digest_of(bytes);
}

troupe_status tp_commit_loaded(tp_shard *shard, tp_activation *actor)
{
    tp_durable *self = tp_durable_of(actor);
    if (actor->type->is.schema == NULL || self == NULL)
        return TROUPE_OK;
    troupe_buffer buffer = {shard->shared->allocator, NULL, 0, 0};
    troupe_status status = save_schema(shard, actor, &buffer);
    if (status == TROUPE_OK)
        self->digest = tp_digest_of(troupe_buffer_slice(&buffer));
    troupe_buffer_deinit(&buffer);
    return status;
}

/* The bytes to be stored, if they are not those of the last commit. */
static bool has_changed(troupe_turn *turn, tp_durable *self, troupe_slice *ret_bytes)
{
    const troupe_type *is = &turn->actor->type->is;
    if (turn->read_only || (turn->kind == TP_TURN_ACTIVATE && is->on_activate == NULL))
        return false;
    if (turn->actor->type->encodes) {
        if (turn->written == NULL)
            return false;
        *ret_bytes = tp_writer_bytes(turn->written);
        uint64_t digest = tp_digest_of(*ret_bytes);
        bool changed = digest != self->digest;
        self->digest = digest;
        return changed;
    }
    *ret_bytes = (troupe_slice){tp_activation_state(turn->actor), is->state_size};
    return turn->before == NULL || memcmp(turn->before, ret_bytes->data, is->state_size) != 0;
}

/* Is what the actor has now to be stored? `ret_bytes` then. */
static bool is_due(troupe_turn *turn, tp_durable *self, troupe_slice *ret_bytes)
{
    const troupe_type *is = &turn->actor->type->is;
    if (turn->kind == TP_TURN_DEACTIVATE)
        return false; /* it saves by itself */
    bool changed = has_changed(turn, self, ret_bytes);
    if (is->persist == TROUPE_PERSIST_EVERY_TURN)
        return changed;
    if (turn->read_only || (!changed && self->turns == 0))
        return false;
    /* A reminder is consumed together with what its turn did. */
    if (++self->turns < is->snapshot_interval && tp_fifo_is_empty(&turn->changes))
        return false;
    self->turns = 0;
    return true;
}

/* Every commit, or each so many, is kept as a snapshot, if the type keeps any. */
static bool is_kept(const troupe_type *is, tp_durable *self)
{
    if (!self->actor->type->keeps)
        return false;
    if (is->persist == TROUPE_PERSIST_EVERY_TURN && is->snapshot_interval > 1 &&
        ++self->commits < is->snapshot_interval)
        return false;
    self->commits = 0;
    return true;
}

static void list(tp_shard *shard, tp_durable *self)
{
    if (self->is_listed || self->under_way != NULL || self->pending == NULL)
        return;
    self->is_listed = true;
    tp_fifo_push_back(&shard->commits, &self->node);
}

static tp_commit *pending_of(tp_shard *shard, tp_durable *self)
{
    if (self->pending != NULL)
        return self->pending;
    tp_commit *commit = tp_pool_take(&shard->pool, sizeof *commit);
    if (commit == NULL)
        return NULL;
    *commit = (tp_commit){.shard = shard, .of = self};
    tp_fifo_init(&commit->changes);
    self->pending = commit;
    return commit;
}

/* The pending commit's state is these bytes from now on. */
static bool put_state(tp_shard *shard, tp_durable *self, tp_commit *commit, troupe_slice bytes)
{
    size_t size = tp_record_size(bytes.size);
    if (commit->record_room < size) {
        unsigned char *grown = tp_pool_take(&shard->pool, size);
        if (grown == NULL)
            return false;
        if (commit->record != NULL)
            tp_pool_give(&shard->pool, commit->record);
        commit->record = grown;
        commit->record_room = size;
    }
    tp_record_seal(commit->record, self->seed, bytes);
    commit->op.commit.has_state = true;
    commit->op.commit.state = (troupe_slice){commit->record, size};
    return true;
}

uint64_t tp_commit_next_version(const tp_durable *self)
{
    return self->actor->extras->version + (self->under_way != NULL ? 2 : 1);
}

static void put_change(tp_shard *shard, tp_durable *self, tp_commit *commit, tp_entry *entry)
{
    bool leaves = entry->kind == TROUPE_ROW_OUTBOX && !entry->remove;
    if (leaves)
        tp_rows_number(self, entry, (tp_row_number){tp_commit_next_version(self), commit->sent++});
    if (entry->kind == TROUPE_ROW_OUTBOX && entry->remove)
        tp_outbox_goes(shard, self, entry);
    if (!entry->remove && tp_row_is_forgot(entry->kind, entry->key))
        tp_rows_permit(self, entry, tp_commit_next_version(self));
    commit->forgotten += entry->kind == TROUPE_ROW_SENDER && entry->remove;
    tp_fifo_push_back(&commit->changes, &entry->node);
    commit->change_count++;
    if (tp_rows_apply(shard, self, entry) != TROUPE_OK)
        self->reload = true; /* no memory for its place: what is stored is read again */
    if (entry->kind == TROUPE_ROW_REMINDER)
        tp_reminders_arm(shard, self);
}

/* What the turn changed in rows, and what waits for any commit. */
static void put_changes(tp_shard *shard, tp_durable *self, tp_commit *commit, tp_fifo *changes)
{
    tp_fifo_node *node;
    /* Removals that were due before must not hit what the turn puts in their place. */
    while (self->beside != NULL && (node = tp_fifo_pop_front(&self->beside->later)) != NULL)
        put_change(shard, self, commit, TP_CONTAINER(node, tp_entry, node));
    while ((node = tp_fifo_pop_front(changes)) != NULL)
        put_change(shard, self, commit, TP_CONTAINER(node, tp_entry, node));
    for (tp_entry *removal; (removal = tp_outbox_overflow(shard, self)) != NULL;)
        put_change(shard, self, commit, removal);
}

/* What the turn sent joins the gate in the order in which it was sent: what it held, and the outbox
 * messages of this commit from `first` on. */
static void send_out(troupe_turn *turn, tp_durable *self, tp_row_number first)
{
    tp_link *head = &self->beside->by_kind[TROUPE_ROW_OUTBOX].head;
    tp_link *link = head->previous;
    tp_row_number number;
    while (link != head &&
           tp_row_number_of(TP_CONTAINER(link, tp_entry, link)->key, &number) == TROUPE_OK &&
           tp_row_number_compare(number, first) >= 0)
        link = link->previous;
    if (TP_MUTANT(turn->shard, TP_MUTANT_PLAIN_FIRST))
        tp_gate_join(turn, self, UINT32_MAX);
    for (link = link->next; link != head;) {
        tp_entry *entry = TP_CONTAINER(link, tp_entry, link);
        link = link->next;
        if (tp_row_number_of(entry->key, &number) == TROUPE_OK)
            tp_gate_join(turn, self, number.index - first.index);
        tp_outbox_leaves(turn->shard, self, entry);
    }
}

static troupe_status begin(troupe_turn *turn, tp_durable *self, bool has_state, troupe_slice bytes)
{
    tp_shard *shard = turn->shard;
    bool fresh = self->pending == NULL;
    tp_commit *commit = pending_of(shard, self);
    if (commit == NULL || (has_state && !put_state(shard, self, commit, bytes))) {
        if (fresh) {
            free_commit(shard, commit);
            self->pending = NULL;
        }
        tp_count(&shard->counters.no_memory);
        self->digest = 0;
        return TROUPE_NO_MEMORY;
    }
    if (has_state && is_kept(&turn->actor->type->is, self))
        commit->op.commit.snapshot = true;
    tp_row_number first = {tp_commit_next_version(self), commit->sent};
    put_changes(shard, self, commit, &turn->changes);
    turn->staged = 0;
    commit->number = ++self->begun;
    list(shard, self);
    tp_outbox_farewells(shard, self);
    if (commit->sent != first.index && tp_rows_count(self, TROUPE_ROW_OUTBOX) != 0)
        send_out(turn, self, first);
    tp_gate_join(turn, self, UINT32_MAX);
    TP_MARK(shard, "commit built");
    return TROUPE_OK;
}

troupe_status tp_commit_point(troupe_turn *turn, bool with_state)
{
    tp_durable *self = tp_durable_of(turn->actor);
    if (self->fenced || self->reload) {
        tp_gate_drop(turn);
        return TROUPE_UNAVAILABLE;
    }
    troupe_slice bytes = {NULL, 0};
    bool due = with_state && is_due(turn, self, &bytes);
    if (due || !tp_fifo_is_empty(&turn->changes))
        return begin(turn, self, due, bytes);
    tp_gate_join(turn, self, UINT32_MAX);
    return TROUPE_OK;
}

troupe_status tp_commit_replace(troupe_turn *turn, bool erase, troupe_slice bytes)
{
    tp_shard *shard = turn->shard;
    tp_durable *self = tp_durable_of(turn->actor);
    if (self->fenced || self->reload)
        return TROUPE_UNAVAILABLE;
    TROUPE_TRY(begin(turn, self, !erase, bytes));
    tp_commit *commit = self->pending;
    commit->replaces = true;
    if (erase) {
        drop_changes(shard, commit);
        commit->op.commit.erase = true;
        commit->op.commit.has_state = commit->op.commit.snapshot = false;
    }
    return TROUPE_OK;
}

static void send_later(tp_shard *shard, tp_durable *self, tp_commit *commit)
{
    tp_fifo none;
    tp_fifo_init(&none);
    put_changes(shard, self, commit, &none);
    commit->number = ++self->begun;
    list(shard, self);
    tp_outbox_farewells(shard, self);
}

/* Before an activation is made anew because of its own turn, not of a commit: what no turn has made
 * is kept. Else two actors that refuse each other's messages would forget again and again that
 * theirs was refused. False: there is nothing, or no memory. */
static bool keep_later(tp_shard *shard, tp_durable *self)
{
    if (!tp_rows_wait(self) || self->fenced || self->broken)
        return false;
    tp_commit *commit = pending_of(shard, self);
    if (commit == NULL)
        return false;
    TP_MARK(shard, "kept before it is made anew");
    send_later(shard, self, commit);
    return true;
}

static void go_alone(tp_shard *shard, tp_alarm *alarm)
{
    tp_beside *beside = TP_CONTAINER(alarm, tp_beside, lazy);
    tp_durable *self = beside->owner;
    if (self->fenced)
        drop_entries(shard, &beside->later);
    if (!tp_rows_wait(self) || self->reload)
        return;
    /* A save that is under way rests on the same version. */
    bool leaves = self->actor->phase == TP_DEACTIVATING;
    tp_commit *commit = leaves ? NULL : pending_of(shard, self);
    if (commit == NULL) {
        tp_commit_later(shard, self);
        return;
    }
    send_later(shard, self, commit);
}

void tp_commit_now(tp_shard *shard, tp_durable *self)
{
    tp_alarm_cancel(shard, &self->beside->lazy);
    go_alone(shard, &self->beside->lazy);
}

void tp_commit_later(tp_shard *shard, tp_durable *self)
{
    tp_alarm *lazy = &self->beside->lazy;
    if (!tp_link_is_linked(&lazy->timer.link))
        tp_alarm_set(shard, lazy, tp_time_after(shard->now, LATER), go_alone);
}

/* Does a failed turn leave something that has no bytes to go back to but the store's? */
static bool is_spoilt(troupe_turn *turn, const tp_durable *self)
{
    const tp_type *type = turn->actor->type;
    if (!type->owns || turn->panicked || type->is.keep_on_failure)
        return type->is.save != NULL || type->is.keep_on_failure || type->owns;
    troupe_buffer buffer = {turn->shard->shared->allocator, NULL, 0, 0};
    troupe_status status =
        tp_schema_save(type->is.schema, tp_activation_state(turn->actor), &buffer, NULL, 0);
    bool same = status == TROUPE_OK && tp_digest_of(troupe_buffer_slice(&buffer)) == self->digest;
    troupe_buffer_deinit(&buffer);
    return !same;
}

void tp_commit_drop(troupe_turn *turn)
{
    tp_gate_drop(turn);
    tp_rows_drop(turn);
}

void tp_commit_spoil(troupe_turn *turn)
{
    tp_durable *self = tp_durable_of(turn->actor);
    if (!turn->actor->type->gated)
        return; /* going back to what is stored would lose other turns as well */
    bool may_write = !turn->read_only && turn->kind != TP_TURN_ACTIVATE;
    if (may_write && is_spoilt(turn, self))
        self->reload = true;
}

/* ---- to the store --------------------------------------------------------------------------- */

static void answered(tp_shard *shard, tp_inbound *inbound);

static void done(troupe_store_op *op)
{
    tp_commit *commit = TP_CONTAINER(op, tp_commit, op);
    tp_store_answer(commit->shard, &commit->inbound);
}

/* The rows as the store wants them. False: no memory, it goes out later. */
static bool lay_out(tp_shard *shard, tp_commit *commit)
{
    if (commit->change_count == 0)
        return true;
    commit->rows = tp_pool_take(&shard->pool, commit->change_count * sizeof *commit->rows);
    if (commit->rows == NULL)
        return false;
    size_t count = 0;
    for (tp_fifo_node *node = commit->changes.head; node != NULL; node = node->next) {
        const tp_entry *entry = TP_CONTAINER(node, tp_entry, node);
        commit->rows[count++] = (troupe_store_row){
            .kind = entry->kind, .remove = entry->remove, .key = entry->key, .value = entry->value};
    }
    commit->op.commit.rows = commit->rows;
    commit->op.commit.row_count = count;
    return true;
}

void tp_commits_flush(tp_shard *shard)
{
    tp_shared *shared = shard->shared;
    troupe_store_op *first = NULL;
    troupe_store_op **last = &first;
    tp_fifo_node *node;
    uint64_t wall = 0;
    while ((node = tp_fifo_pop_front(&shard->commits)) != NULL) {
        tp_durable *self = TP_CONTAINER(node, tp_durable, node);
        self->is_listed = false;
        tp_commit *commit = self->pending;
        if (commit == NULL || self->under_way != NULL) {
            tp_settle(shard, self->actor); /* that it was listed may have kept it */
            continue;
        }
        if (!lay_out(shard, commit)) {
            free_commit(shard, commit);
            self->pending = NULL;
            tp_durable_break(shard, self->actor, TROUPE_NO_MEMORY, TROUPE_NOT_DONE,
                "no memory for what it has to store");
            tp_durable_check(shard, self->actor);
            tp_settle(shard, self->actor);
            continue;
        }
        if (wall == 0)
            wall = shard->env->wall(shard->env);
        self->pending = NULL;
        self->under_way = commit;
        self->sent = commit->number;
        commit->inbound.arrive = answered;
        commit->op.kind = TROUPE_STORE_COMMIT;
        commit->op.id = tp_activation_id(self->actor);
        commit->op.writer = shared->store->writer;
        commit->op.version = self->actor->extras->version;
        commit->op.commit.time = wall;
        commit->op.commit.wake = commit->op.commit.erase ? 0 : tp_wake_of(self, wall);
        commit->op.allocator = shared->allocator;
        commit->op.done = done;
        commit->op.next = NULL;
        shard->commits_under_way++;
        *last = &commit->op;
        last = &commit->op.next;
    }
    if (first == NULL)
        return;
    shared->store->submit(shared->store, first);
    TP_MARK(shard, "commits submitted");
}

static void send_again(tp_shard *shard, tp_alarm *alarm)
{
    tp_commit *commit = TP_CONTAINER(alarm, tp_commit, again);
    TP_MARK(shard, "commit is sent again");
    commit->op.next = NULL;
    shard->shared->store->submit(shard->shared->store, &commit->op);
}

static void resolve(tp_shard *shard, tp_commit *commit)
{
    if (!commit->of->unknown) {
        commit->of->unknown = true;
        commit->wait = AGAIN_FIRST;
        tp_count(&shard->counters.commits_unknown);
    } else if (commit->wait < AGAIN_CAP) {
        commit->wait *= 2;
    }
    tp_alarm_set(shard, &commit->again, tp_time_after(shard->now, commit->wait), send_again);
}

static void succeeded(tp_shard *shard, tp_durable *self, const tp_commit *commit)
{
    self->actor->extras->version = commit->op.version + 1;
    self->durable = commit->number;
    tp_lifecycle_committed(shard, self->actor);
    tp_count(&shard->counters.commits);
    tp_cell_add(&shard->counters.senders_forgotten, commit->forgotten);
    TP_MARK(shard, "commit is durable");
    if (self->beside != NULL && self->beside->has_rows)
        tp_outbox_buried(shard, self);
    tp_gate_open(shard, self);
    list(shard, self);
}

static const char *words_of(troupe_status status)
{
    switch (status) {
    case TROUPE_CONFLICT:
        return "its stored state was changed by somebody else; it is loaded again";
    case TROUPE_CLOSED:
        return "another node may own it now: this one's right to write was closed";
    case TROUPE_BUSY:
        return "too much waits for the store; try again later";
    case TROUPE_TOO_LARGE:
        return "its state is larger than the store takes";
    case TROUPE_CORRUPT:
        return "its stored state is damaged";
    default:
        return "the store cannot take its state now; try again later";
    }
}

static void failed(
    tp_shard *shard, tp_durable *self, troupe_status status, bool has_rows, bool was_unknown)
{
    tp_count(&shard->counters.save_failures);
    TP_MARK(shard, "commit failed");
    TP_LOG(shard->shared->log, TROUPE_LOG_ERROR, "commit_failed",
        TP_FIELDS(tp_field_text("type", self->actor->type->name),
            tp_field_text("key", tp_activation_key(self->actor)),
            tp_field_string("status", troupe_status_name(status))),
        "%s", words_of(status));
    bool fenced = status == TROUPE_CLOSED;
    if (!self->actor->type->gated && !fenced && status != TROUPE_CONFLICT && !has_rows) {
        self->turns = self->actor->type->is.snapshot_interval; /* the next turn tries again */
        self->durable = self->sent;
        list(shard, self);
        return;
    }
    if (fenced)
        self->fenced = true;
    tp_durable_break(shard, self->actor, fenced ? TROUPE_UNKNOWN : status,
        fenced || was_unknown ? TROUPE_UNKNOWN_OUTCOME : TROUPE_NOT_DONE, words_of(status));
}

static void answered(tp_shard *shard, tp_inbound *inbound)
{
    tp_commit *commit = TP_CONTAINER(inbound, tp_commit, inbound);
    tp_durable *self = commit->of;
    tp_activation *actor = self->actor;
    troupe_status status = commit->op.status;
    troupe_store_release(&commit->op);
    if (status == TROUPE_CONFLICT && self->unknown && commit->op.found == commit->op.version + 1) {
        TP_MARK(shard, "unknown commit was done");
        status = TROUPE_OK;
    }
    if (status == TROUPE_CONFLICT && TP_MUTANT(shard, TP_MUTANT_CONFLICT_DONE))
        status = TROUPE_OK;
    bool is_final = status == TROUPE_OK || status == TROUPE_CONFLICT || status == TROUPE_CLOSED;
    if (status == TROUPE_UNKNOWN && TP_MUTANT(shard, TP_MUTANT_UNKNOWN_FAILS))
        status = TROUPE_UNAVAILABLE;
    if (status == TROUPE_UNKNOWN || (self->unknown && !is_final)) {
        resolve(shard, commit);
        tp_durable_check(shard, actor);
        return;
    }
    shard->commits_under_way--;
    bool was_unknown = self->unknown;
    self->under_way = NULL;
    self->unknown = false;
    tp_durable_rested(shard, self);
    if (status == TROUPE_OK)
        succeeded(shard, self, commit);
    else
        failed(shard, self, status, commit->change_count != 0 || commit->replaces, was_unknown);
    free_commit(shard, commit);
    tp_durable_check(shard, actor);
    tp_settle(shard, actor);
}

/* ---- after a failure ------------------------------------------------------------------------ */

void tp_durable_break(tp_shard *shard, tp_activation *actor, troupe_status status,
    troupe_outcome outcome, const char *words)
{
    tp_durable *self = tp_durable_of(actor);
    self->reload = self->broken = true;
    free_commit(shard, self->pending);
    self->pending = NULL;
    /* What rests on the commit under way still may be durable. */
    self->begun = self->sent = self->under_way != NULL ? self->under_way->number : self->durable;
    tp_gate_fail(shard, self, self->begun, status, outcome, words);
}

bool tp_durable_rests(tp_shard *shard, troupe_turn *turn)
{
    tp_durable *self = tp_durable_of(turn->actor);
    uint32_t closing = atomic_load_explicit(&shard->shared->closing, memory_order_relaxed);
    if (self == NULL || !self->unknown || closing >= TP_HURRYING ||
        TP_MUTANT(shard, TP_MUTANT_RUN_UNKNOWN))
        return false;
    TP_MARK(shard, "a turn waits for an unknown commit");
    tp_fifo_push_back(&self->resting, &turn->ready);
    return true;
}

void tp_durable_rested(tp_shard *shard, tp_durable *self)
{
    tp_fifo_node *node;
    while ((node = tp_fifo_pop_front(&self->resting)) != NULL)
        tp_fifo_push_back(&shard->ready, node);
}

static bool halts(const tp_durable *self)
{
    return self->unknown || self->reload || self->held >= TP_GATE_MAX;
}

void tp_durable_check(tp_shard *shard, tp_activation *actor)
{
    tp_durable *self = tp_durable_of(actor);
    if (self == NULL)
        return;
    if (TP_UNLIKELY(halts(self))) {
        if (actor->phase == TP_ACTIVE) {
            TP_MARK(shard, "halted");
            actor->phase = TP_HALTED;
        }
    } else if (actor->phase == TP_HALTED) {
        actor->phase = TP_ACTIVE;
    }
    bool still = self->under_way == NULL && self->pending == NULL && actor->turns == NULL;
    if (TP_UNLIKELY(self->reload) && still && actor->phase == TP_HALTED &&
        !keep_later(shard, self)) {
        TP_MARK(shard, "loaded again");
        tp_activation_reset(shard, actor);
        (void)tp_commits_are_over(shard, actor); /* what it held is not what is stored */
        if (tp_fifo_is_empty(&actor->mailbox))
            actor->flags |= TP_STOPPING;
    }
}

bool tp_commits_are_over(tp_shard *shard, tp_activation *actor)
{
    tp_durable *self = tp_durable_of(actor);
    if (self == NULL)
        return true;
    if (self->under_way != NULL || self->pending != NULL || keep_later(shard, self))
        return false;
    tp_rows_clear(shard, self);
    self->reload = self->broken = false;
    self->turns = 0;
    self->digest = 0;
    return true;
}
