/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nobody sleeps on work: when an actor that is not active must be woken, because a reminder of it
 * is due or its outbox holds what was not acknowledged. The moment is stored with each commit.
 *
 *     leaves  the actor's record goes: its shard keeps the moment, if it is near
 *     scan    shard 0 asks the store who is due in the next two intervals, at start, after each
 *             interval and when a view may give it more to wake, in pages, and tells each one's
 *             shard; in a cluster only of those that are this node's to wake (away.h: wakes)
 *     comes   if the actor is not active then, a message that does nothing activates it; its load
 *             arms its reminders and sends its outbox
 *
 * Invariants
 * 1. A moment that is stored is either kept by the shard of its actor, or found by a scan before
 * it has come; what cannot be kept for want of room or memory comes late, by one interval.
 * 2. A moment may be kept of an actor that is active, or that has nothing due any more: it does
 * nothing, or activates once in vain. So nothing has to be taken back.
 * 3. Where the nodes of a cluster have one store, one of them wakes an actor that a scan found, and
 * in the next view the same or one that scans anew: who lost it drops the moment when it comes. A
 * node that its actor left keeps that moment whatever the view is: no scan may have seen it.
 *
 * Threads: the shard's own; the scan's operation is the store's while under way.
 */
#include "shard/away.h"
#include "shard/durable.h"
#include "shard/wake.h"

#include "base/alloc.h"

#define KEPT_MAX    (UINT32_C(1) << 18)
#define PAGE        256
#define PAGE_PAUSE  TROUPE_MILLISECONDS(5) /* the loads of a page come first */
#define AGAIN_FIRST TROUPE_SECONDS(1)
#define AGAIN_CAP   TROUPE_SECONDS(30)
#define BUSY_PAUSE  TROUPE_MILLISECONDS(100)
#define WALL_END    ((uint64_t)INT64_MAX)

typedef struct sleeper {
    tp_moment moment;
    uint64_t hash;
    const tp_type *type;
    uint16_t key_size, partition_size;
    bool is_ours; /* a scan found it, and it was this node's to wake: while it is, it comes */
    /* key, partition */
} sleeper;

typedef struct scan {
    troupe_store_op op;
    tp_inbound inbound;
    tp_shard *shard;
    tp_alarm next;
    uint64_t began;
    uint64_t wait; /* after a failure */
    bool is_under_way;
    bool again; /* once more when this one has ended */
    bool told_unknown;
    char after[TP_ID_MAX + 1];
} scan;

struct tp_sleepers {
    tp_index kept; /* sleeper */
    scan scan;
};

uint64_t tp_wake_of(const tp_durable *self, uint64_t wall)
{
    /* What is retired and still here is stored until a later commit: a crash may come before. */
    uint64_t wake = tp_rows_first(self, TROUPE_ROW_OUTBOX) != NULL ? wall : 0;
    for (const tp_entry *entry = tp_rows_first(self, TROUPE_ROW_REMINDER); entry != NULL;
         entry = tp_rows_next(self, entry))
        if (wake == 0 || entry->row.reminder.due < wake)
            wake = entry->row.reminder.due;
    return wake;
}

static bool is_open(const tp_shard *shard)
{
    return atomic_load_explicit(&shard->shared->closing, memory_order_relaxed) == TP_OPEN;
}

/* ---- those that are kept --------------------------------------------------------------------- */

static troupe_slice key_of(const sleeper *self)
{
    return (troupe_slice){self + 1, self->key_size};
}

static troupe_slice partition_of(const sleeper *self)
{
    return (troupe_slice){(const char *)(self + 1) + self->key_size, self->partition_size};
}

typedef struct whom {
    const tp_type *type;
    uint64_t hash;
    troupe_slice partition, key;
} whom;

static bool same(const void *item, const void *key)
{
    const sleeper *self = item;
    const whom *wanted = key;
    return self->type == wanted->type && troupe_slice_equal(key_of(self), wanted->key) &&
           troupe_slice_equal(partition_of(self), wanted->partition);
}

static void forget(tp_shard *shard, sleeper *self)
{
    tp_moment_cancel(shard, &self->moment);
    tp_index_remove(&shard->sleepers->kept, self->hash, self);
    tp_pool_give(&shard->pool, self);
}

static tp_message *make_message(tp_shard *shard, const sleeper *self)
{
    const tp_slip slip = {.flags = TP_SLIP_WAKE};
    const tp_message_head head = {.kind = TP_TELL,
        .deadline = TP_NEVER,
        .type = self->type,
        .hash = self->hash,
        .method = TP_METHOD_OTHER,
        .from_shard = (uint16_t)shard->number};
    const tp_message_parts parts = {
        .key = key_of(self), .partition = partition_of(self), .slip = &slip};
    return tp_message_make_here(&shard->pool, &parts, &head);
}

/* One of all that see the same store. */
static bool is_ours(const tp_shard *shard, const tp_type *type, uint64_t hash)
{
    const tp_away *away = shard->away;
    return away == NULL || shard->shared->store->own || away->wakes(away, type, hash);
}

static void come(tp_shard *shard, tp_moment *moment)
{
    sleeper *self = TP_CONTAINER(moment, sleeper, moment);
    const tp_activation *actor =
        tp_activation_find(shard, self->type, self->hash, partition_of(self), key_of(self));
    bool is_lost = self->is_ours && !is_ours(shard, self->type, self->hash);
    if ((actor != NULL && actor->phase == TP_ACTIVE) || is_lost || !is_open(shard)) {
        forget(shard, self);
        return;
    }
    tp_message *message = shard->was_crowded || shard->is_short ? NULL : make_message(shard, self);
    if (message == NULL) {
        tp_moment_set(shard, moment, shard->env->wall(shard->env) + BUSY_PAUSE, come);
        return;
    }
    TP_MARK(shard, "woken");
    tp_count(&shard->counters.wakes);
    tp_arrivals_push(shard, message);
    forget(shard, self);
}

static sleeper *create(tp_shard *shard, const whom *of)
{
    tp_index *kept = &shard->sleepers->kept;
    if (tp_index_count(kept) >= KEPT_MAX) {
        tp_count(&shard->counters.busy_wakes);
        return NULL;
    }
    sleeper *self = tp_pool_take(&shard->pool, sizeof *self + of->key.size + of->partition.size);
    if (self != NULL) {
        *self = (sleeper){.hash = of->hash,
            .type = of->type,
            .key_size = (uint16_t)of->key.size,
            .partition_size = (uint16_t)of->partition.size};
        memcpy(self + 1, of->key.data, of->key.size);
        if (of->partition.size != 0)
            memcpy((char *)(self + 1) + of->key.size, of->partition.data, of->partition.size);
        if (tp_index_insert(kept, of->hash, self) == TROUPE_OK)
            return self;
        tp_pool_give(&shard->pool, self);
    }
    tp_count(&shard->counters.no_memory);
    return NULL;
}

/* The earliest of the moments of an actor is kept. */
static void keep(tp_shard *shard, const whom *of, uint64_t due, bool ours)
{
    if (TP_MUTANT(shard, TP_MUTANT_NO_WAKE))
        return;
    sleeper *self = tp_index_find(&shard->sleepers->kept, of->hash, same, of);
    bool is_new = self == NULL;
    if (is_new)
        self = create(shard, of);
    if (self == NULL)
        return;
    self->is_ours = ours && (is_new || self->is_ours);
    if (is_new || due < self->moment.due)
        tp_moment_set(shard, &self->moment, due, come);
}

/* Later ones are found by a scan in time. */
static uint64_t horizon(tp_shard *shard)
{
    uint64_t interval = shard->shared->options.wake_scan;
    uint64_t wall = shard->env->wall(shard->env);
    return interval < (WALL_END - wall) / 2 ? wall + 2 * interval : WALL_END;
}

/* Not all at one time: where few may be active, those that are woken together send each other away
 * before any of them has done anything. */
static uint64_t scattered(tp_shard *shard, uint64_t wait)
{
    return wait + tp_prng_below(&shard->prng, wait);
}

void tp_wake_leaves(tp_shard *shard, tp_activation *actor)
{
    tp_durable *self = tp_durable_of(actor);
    if (self == NULL || self->beside == NULL || !self->beside->has_rows)
        return;
    tp_moment_cancel(shard, &self->beside->remind);
    if (self->fenced || !is_open(shard))
        return; /* another run of the node finds it */
    uint64_t wall = shard->env->wall(shard->env);
    uint64_t again = wall + scattered(shard, tp_outbox_wait(self));
    uint64_t expires = tp_outbox_expires(self);
    uint64_t due = tp_wake_of(self, expires > wall && expires < again ? expires : again);
    if (self->reload)
        due = wall + AGAIN_FIRST; /* what is stored may be due before what was known here */
    if (due == 0 || due > horizon(shard))
        return;
    whom of = {actor->type, actor->hash, tp_activation_partition(actor), tp_activation_key(actor)};
    keep(shard, &of, due, false);
}

void tp_wake_failed(tp_shard *shard, tp_message *message, troupe_status status)
{
    whom of = {
        message->type, message->hash, tp_message_partition(message), tp_message_key(message)};
    bool soon = status == TROUPE_BUSY || status == TROUPE_UNAVAILABLE ||
                status == TROUPE_NO_MEMORY || status == TROUPE_TIMEOUT;
    if (is_open(shard) && shard->sleepers != NULL)
        keep(shard, &of,
            shard->env->wall(shard->env) + scattered(shard, soon ? AGAIN_FIRST : AGAIN_CAP), false);
    tp_pool_give(&shard->pool, message);
}

void tp_wake_arrived(tp_shard *shard, tp_message *message)
{
    whom of = {
        message->type, message->hash, tp_message_partition(message), tp_message_key(message)};
    const tp_activation *actor = tp_activation_find(shard, of.type, of.hash, of.partition, of.key);
    if (is_open(shard) && (actor == NULL || actor->phase != TP_ACTIVE))
        /* The scan may know a newer view than this shard: then the next one counts. */
        keep(shard, &of, message->deadline, is_ours(shard, of.type, of.hash));
    tp_pool_give(&shard->pool, message);
}

/* ---- the scans ------------------------------------------------------------------------------- */

static void begin(tp_shard *shard, tp_alarm *alarm);
static void listed(tp_shard *shard, tp_inbound *inbound);

static void done(troupe_store_op *op)
{
    scan *self = TP_CONTAINER(op, scan, op);
    tp_inbox_push(self->shard, &self->inbound);
}

static void ask(tp_shard *shard, scan *self)
{
    self->is_under_way = true;
    self->inbound.arrive = listed;
    self->op.kind = TROUPE_STORE_LIST_DUE;
    self->op.limit = PAGE;
    self->op.allocator = shard->shared->allocator;
    self->op.done = done;
    self->op.next = NULL;
    shard->shared->store->submit(shard->shared->store, &self->op);
}

static void go_on(tp_shard *shard, tp_alarm *alarm)
{
    if (is_open(shard))
        ask(shard, TP_CONTAINER(alarm, scan, next));
}

static void begin(tp_shard *shard, tp_alarm *alarm)
{
    scan *self = TP_CONTAINER(alarm, scan, next);
    if (!is_open(shard))
        return;
    self->began = shard->now;
    self->again = false;
    self->op.after = (troupe_slice){NULL, 0};
    self->op.from = 0;
    self->op.until = horizon(shard);
    ask(shard, self);
}

static void skip(tp_shard *shard, scan *self, troupe_slice id)
{
    if (self->told_unknown)
        return;
    self->told_unknown = true;
    TP_LOG(shard->shared->log, TROUPE_LOG_WARN, "sleeper_unknown",
        TP_FIELDS(tp_field_text("actor", id)),
        "a stored actor has something to do, but this node has no such type, or one that does not "
        "persist while it lives; it and others like it are left alone");
}

/* Do other members host it, and not this one? Then one of them wakes it. */
static bool is_others(const tp_shard *shard, const tp_type *type)
{
    tp_shared *shared = shard->shared;
    uint64_t view = atomic_load_explicit(&shared->foreign.view, memory_order_acquire);
    return !shared->store->own && tp_type_is_foreign(type) &&
           tp_foreign_is_hosted(shared, type->number - TP_FOREIGN_FIRST, view);
}

static void hand_on(tp_shard *shard, scan *self, const troupe_store_item *item)
{
    troupe_id id;
    if (troupe_id_parse(item->key, &id, NULL) != TROUPE_OK) {
        skip(shard, self, item->key);
        return;
    }
    const tp_type *type = tp_type_known(shard->shared, id.type);
    if (type != NULL && is_others(shard, type))
        return;
    if (type == NULL || !type->commits) {
        skip(shard, self, item->key);
        return;
    }
    uint64_t hash = tp_type_hash(&shard->shared->types, type, id.partition, id.key);
    if (!is_ours(shard, type, hash))
        return;
    const tp_message_head head = {.kind = TP_WAKE,
        .deadline = item->time,
        .type = type,
        .hash = hash,
        .from_shard = (uint16_t)shard->number};
    const tp_message_parts parts = {.key = id.key, .partition = id.partition};
    tp_message *message = tp_message_make_here(&shard->pool, &parts, &head);
    if (message == NULL) {
        tp_count(&shard->counters.no_memory); /* the next scan finds it */
        return;
    }
    tp_send_control(shard, tp_hash_shard(message->hash, shard->shared->shard_count), message);
}

static void retry(tp_shard *shard, scan *self)
{
    if (self->wait == 0) {
        self->wait = AGAIN_FIRST;
        TP_LOG(shard->shared->log, TROUPE_LOG_WARN, "wake_scan_failed",
            TP_FIELDS(tp_field_string("status", troupe_status_name(self->op.status))),
            "the store did not say who must be woken; it is asked again until it does");
    } else if (self->wait < AGAIN_CAP) {
        self->wait *= 2;
    }
    tp_alarm_set(shard, &self->next, tp_time_after(shard->now, self->wait), begin);
}

static void listed(tp_shard *shard, tp_inbound *inbound)
{
    scan *self = TP_CONTAINER(inbound, scan, inbound);
    troupe_store_op *op = &self->op;
    self->is_under_way = false;
    if (op->status != TROUPE_OK) {
        troupe_store_release(op);
        retry(shard, self);
        return;
    }
    self->wait = 0;
    size_t size = 0;
    for (const troupe_store_item *item = op->items; item != NULL; item = item->next) {
        hand_on(shard, self, item);
        if (item->key.size > TP_ID_MAX)
            continue; /* no actor of ours; the page goes on behind the last one that may be */
        size = item->key.size;
        memcpy(self->after, item->key.data, size);
        op->from = item->time;
    }
    bool more = op->more && size != 0;
    op->after = (troupe_slice){self->after, size};
    troupe_store_release(op);
    if (more) {
        TP_MARK(shard, "scan goes on");
        tp_alarm_set(shard, &self->next, tp_time_after(shard->now, PAGE_PAUSE), go_on);
        return;
    }
    uint64_t interval = self->again ? 0 : shard->shared->options.wake_scan;
    uint64_t next = tp_time_after(self->began, interval);
    if (next != TP_NEVER)
        tp_alarm_set(shard, &self->next, next > shard->now ? next : shard->now + 1, begin);
}

/* ---- begin and end --------------------------------------------------------------------------- */

troupe_status tp_sleepers_create(tp_shard *shard)
{
    const tp_types *types = &shard->shared->types;
    const troupe_allocator *allocator = shard->shared->allocator;
    bool any = false;
    for (uint32_t i = 0; i < types->count; i++)
        any |= types->list[i].commits;
    if (!any)
        return TROUPE_OK;
    tp_sleepers *self = tp_allocate_zeroed(allocator, sizeof *self);
    if (self == NULL)
        return TROUPE_NO_MEMORY;
    troupe_status status = tp_index_init(&self->kept, allocator, 8);
    if (status != TROUPE_OK) {
        tp_release(allocator, self, sizeof *self);
        return status;
    }
    self->scan.shard = shard;
    shard->sleepers = self;
    return TROUPE_OK;
}

void tp_sleepers_start(tp_shard *shard)
{
    if (shard->sleepers != NULL && shard->number == 0 && shard->away == NULL)
        tp_alarm_set(shard, &shard->sleepers->scan.next, shard->now, begin);
}

void tp_sleepers_rescan(tp_shard *shard)
{
    if (shard->sleepers == NULL || shard->number != 0)
        return;
    scan *self = &shard->sleepers->scan;
    self->again = true;
    if (!self->is_under_way)
        tp_alarm_set(shard, &self->next, shard->now, begin);
}

void tp_sleepers_destroy(tp_shard *shard)
{
    tp_sleepers *self = shard->sleepers;
    if (self == NULL)
        return;
    if (self->scan.is_under_way)
        troupe_store_release(&self->scan.op);
    TP_LIST_EACH(&shard->moments.set, link)
    {
        tp_moment *moment = TP_CONTAINER(link, tp_moment, link);
        if (moment->come == come)
            forget(shard, TP_CONTAINER(moment, sleeper, moment));
    }
    tp_index_deinit(&self->kept);
    tp_release(shard->shared->allocator, self, sizeof *self);
    shard->sleepers = NULL;
}
