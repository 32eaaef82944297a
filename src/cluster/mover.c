/* SPDX-License-Identifier: Apache-2.0 */
/* Captures and copies of activations that move. See mover.h. */
#include "cluster/mover.h"

#include "base/alloc.h"

typedef struct capture {
    tp_link link;
    tp_alarm patience;
    tp_mover *mover;
    tp_activation *actor;
    void (*late)(void *user, const tp_directory_id *id);
    void *user;
} capture;

/* The body of an INSTALL word, ready to be sent: number u64, hash u64, type u8 text, partition u8
 * text, key u16 text, then what mover.h says. */
typedef struct copy {
    tp_link link;
    tp_directory_id id; /* of the body's bytes */
    uint64_t number;
    size_t size, room, rest; /* rest: where the state begins */
    char *body;
} copy;

void tp_mover_init(tp_mover *self, tp_shard *shard, tp_translator *translator)
{
    *self = (tp_mover){.shard = shard, .translator = translator};
    tp_list_init(&self->captures);
    tp_list_init(&self->copies);
}

static const troupe_allocator *allocator_of(const tp_mover *self)
{
    return self->shard->shared->allocator;
}

static void copy_free(tp_mover *self, copy *gone)
{
    tp_list_remove(&gone->link);
    tp_release(allocator_of(self), gone->body, gone->room);
    tp_release(allocator_of(self), gone, sizeof *gone);
}

static void capture_free(tp_mover *self, capture *gone)
{
    tp_list_remove(&gone->link);
    tp_alarm_cancel(self->shard, &gone->patience);
    tp_release(allocator_of(self), gone, sizeof *gone);
}

void tp_mover_deinit(tp_mover *self)
{
    while (self->captures.head.next != NULL && !tp_list_is_empty(&self->captures))
        capture_free(self, TP_CONTAINER(tp_list_front(&self->captures), capture, link));
    while (self->copies.head.next != NULL && !tp_list_is_empty(&self->copies))
        copy_free(self, TP_CONTAINER(tp_list_front(&self->copies), copy, link));
}

/* ---- captures -------------------------------------------------------------------------------- */

static capture *find_capture(const tp_mover *self, const tp_activation *actor)
{
    TP_LIST_EACH(&self->captures, link)
    {
        capture *found = TP_CONTAINER(link, capture, link);
        if (found->actor == actor)
            return found;
    }
    return NULL;
}

tp_directory_id tp_mover_id(const tp_activation *actor)
{
    return (tp_directory_id){.hash = actor->hash,
        .type = actor->type->number,
        .partition = tp_activation_partition(actor),
        .key = tp_activation_key(actor)};
}

/* It does not come to rest: a turn that waits for ever, or commits that do not end. */
static void out_of_patience(tp_shard *shard, tp_alarm *alarm)
{
    capture *self = TP_CONTAINER(alarm, capture, patience);
    char name[TP_DIRECTORY_NAME_MAX];
    tp_directory_id id = tp_mover_id(self->actor); /* which may be gone after the undo */
    id = tp_directory_id_keep(name, &id);
    if (!tp_move_undo(shard, self->actor)) {
        tp_alarm_set(shard, alarm, tp_time_after(shard->now, TROUPE_SECONDS(1)), out_of_patience);
        return;
    }
    capture over = *self;
    capture_free(over.mover, self);
    over.late(over.user, &id);
}

bool tp_mover_capture(tp_mover *self, tp_activation *actor, uint64_t patience,
    void (*late)(void *user, const tp_directory_id *id), void *user)
{
    capture *made = tp_allocate_zeroed(allocator_of(self), sizeof *made);
    if (made == NULL)
        return false;
    made->mover = self;
    made->actor = actor;
    made->late = late;
    made->user = user;
    tp_list_push_back(&self->captures, &made->link);
    tp_alarm_set(
        self->shard, &made->patience, tp_time_after(self->shard->now, patience), out_of_patience);
    if (tp_move_begin(self->shard, actor))
        return true; /* `made` may be gone already */
    capture_free(self, made);
    return false;
}

void tp_mover_stays(tp_mover *self, const tp_activation *actor)
{
    capture *found = find_capture(self, actor);
    if (found != NULL)
        capture_free(self, found);
}

/* ---- from an activation to bytes ------------------------------------------------------------- */

/* NULL: no memory, or too large. */
static char *reserve(tp_mover *self, copy *to, size_t size)
{
    if (to->size + size > TP_MOVE_BYTES_MAX)
        return NULL;
    if (to->size + size > to->room) {
        size_t room = to->room != 0 ? to->room : 512;
        while (room < to->size + size)
            room *= 2;
        char *grown = tp_allocate(allocator_of(self), room);
        if (grown == NULL)
            return NULL;
        if (to->size != 0)
            memcpy(grown, to->body, to->size);
        tp_release(allocator_of(self), to->body, to->room);
        to->body = grown;
        to->room = room;
    }
    char *at = to->body + to->size;
    to->size += size;
    return at;
}

static bool put_head(tp_mover *self, copy *to, const tp_activation *actor)
{
    tp_directory_id id = tp_mover_id(actor);
    troupe_slice type = actor->type->name;
    char *at = reserve(self, to, 8 + 8 + 1 + type.size + 1 + id.partition.size + 2 + id.key.size);
    if (at == NULL)
        return false;
    at = tp_put_64(tp_put_64(at, 0), id.hash);
    at = tp_put_bytes(tp_put_8(at, (unsigned)type.size), type);
    at = tp_put_bytes(tp_put_8(at, (unsigned)id.partition.size), id.partition);
    tp_put_bytes(tp_put_16(at, (unsigned)id.key.size), id.key);
    to->rest = to->size;
    return true;
}

typedef struct timers_out {
    tp_mover *mover;
    copy *to;
    uint32_t count;
    bool fits;
} timers_out;

static void put_timer(void *user, const tp_timer_copy *timer)
{
    timers_out *out = user;
    size_t texts = timer->name.size + timer->method.size + timer->payload.size;
    char *at = out->fits ? reserve(out->mover, out->to, 32 + 3 * 2 + texts) : NULL;
    out->fits = at != NULL;
    if (at == NULL)
        return;
    out->count++;
    at = tp_put_64(tp_put_64(tp_put_64(at, timer->number), timer->period), timer->left);
    at = tp_put_64(at, timer->last);
    at = tp_put_bytes(tp_put_16(at, (unsigned)timer->name.size), timer->name);
    at = tp_put_bytes(tp_put_16(at, (unsigned)timer->method.size), timer->method);
    tp_put_bytes(tp_put_16(at, (unsigned)timer->payload.size), timer->payload);
}

static bool put_state_and_timers(tp_mover *self, copy *to, const tp_activation *actor)
{
    troupe_slice state = tp_move_state(actor);
    char *at = reserve(self, to, 4 + state.size + 2);
    if (at == NULL)
        return false;
    tp_put_bytes(tp_put_32(at, (uint32_t)state.size), state);
    size_t count_at = to->size - 2;
    timers_out out = {self, to, 0, true};
    tp_move_timers(self->shard, actor, put_timer, &out);
    tp_put_16(to->body + count_at, out.count);
    return out.fits;
}

static bool put_message(
    tp_mover *self, copy *to, const tp_message *message, const tp_activation *actor)
{
    tp_parcel parcel;
    if (!tp_translator_pack(self->translator, message, actor, &parcel))
        return false;
    size_t size = tp_parcel_size(&parcel);
    char *at = reserve(self, to, 1 + 4 + size);
    if (at == NULL)
        return false;
    tp_parcel_put(tp_put_32(tp_put_8(at, message->kind), (uint32_t)size), &parcel);
    return true;
}

/* The mailbox as it is: messages leave it once all fit. */
static bool put_messages(tp_mover *self, copy *to, const tp_activation *actor)
{
    char *at = reserve(self, to, 4);
    if (at == NULL)
        return false;
    size_t count_at = to->size - 4;
    uint32_t count = 0;
    for (tp_fifo_node *node = actor->mailbox.head; node != NULL; node = node->next) {
        const tp_message *message = tp_message_of(node);
        if (message->kind == TP_TICK)
            continue;
        if (!put_message(self, to, message, actor))
            return false;
        count++;
    }
    tp_put_32(to->body + count_at, count);
    return true;
}

/* The id of a body that was checked, or was made here. */
static void point_id(tp_mover *self, copy *to)
{
    tp_in in = tp_in_of(to->body, to->size);
    to->number = tp_in_64(&in);
    to->id.hash = tp_in_64(&in);
    troupe_slice type = tp_in_bytes(&in, tp_in_8(&in));
    to->id.partition = tp_in_bytes(&in, tp_in_8(&in));
    to->id.key = tp_in_bytes(&in, tp_in_16(&in));
    to->rest = (size_t)(in.at - to->body);
    const tp_type *known = tp_foreign_learn(self->shard->shared, type, 0);
    to->id.type = known != NULL ? known->number : UINT32_MAX;
}

bool tp_mover_still(tp_mover *self, tp_activation *actor)
{
    tp_mover_stays(self, actor);
    copy *made = tp_allocate_zeroed(allocator_of(self), sizeof *made);
    if (made == NULL)
        return false;
    tp_list_push_back(&self->copies, &made->link);
    if (!put_head(self, made, actor) || !put_state_and_timers(self, made, actor) ||
        !put_messages(self, made, actor)) {
        copy_free(self, made);
        return false;
    }
    point_id(self, made);
    tp_message *message;
    while ((message = tp_move_message(self->shard, actor)) != NULL)
        tp_pool_give(&self->shard->pool, message);
    tp_move_finish(self->shard, actor);
    self->captured++;
    return true;
}

/* ---- copies ---------------------------------------------------------------------------------- */

static copy *find_copy(const tp_mover *self, const tp_directory_id *id, uint64_t number)
{
    TP_LIST_EACH(&self->copies, link)
    {
        copy *found = TP_CONTAINER(link, copy, link);
        if (found->id.hash == id->hash && found->id.type == id->type &&
            (number == 0 || found->number == number) &&
            troupe_slice_equal(found->id.key, id->key) &&
            troupe_slice_equal(found->id.partition, id->partition))
            return found;
    }
    return NULL;
}

const void *tp_mover_copy(
    tp_mover *self, const tp_directory_id *id, uint64_t number, size_t *ret_size)
{
    copy *found = find_copy(self, id, 0);
    if (found == NULL)
        return NULL;
    found->number = number;
    tp_put_64(found->body, number);
    *ret_size = found->size;
    return found->body;
}

static bool is_name(troupe_slice text)
{
    return text.size >= 1 && text.size <= TP_NAME_MAX;
}

static tp_timer_copy get_timer(tp_in *in)
{
    tp_timer_copy timer = {.number = tp_in_64(in)};
    timer.period = tp_in_64(in);
    timer.left = tp_in_64(in);
    timer.last = tp_in_64(in);
    timer.name = tp_in_bytes(in, tp_in_16(in));
    timer.method = tp_in_bytes(in, tp_in_16(in));
    timer.payload = tp_in_bytes(in, tp_in_16(in));
    return timer;
}

/* Does the rest have the form that it says? Parcels are read later, each with its own check. */
static const char *check(troupe_slice body)
{
    tp_in in = tp_in_of(body.data, body.size);
    (void)tp_in_64(&in);
    (void)tp_in_64(&in);
    troupe_slice type = tp_in_bytes(&in, tp_in_8(&in));
    troupe_slice partition = tp_in_bytes(&in, tp_in_8(&in));
    troupe_slice key = tp_in_bytes(&in, tp_in_16(&in));
    (void)tp_in_bytes(&in, tp_in_32(&in));
    uint32_t timers = tp_in_16(&in);
    for (uint32_t i = 0; i < timers && !in.short_of; i++)
        (void)get_timer(&in);
    uint32_t messages = tp_in_32(&in);
    for (uint32_t i = 0; i < messages && !in.short_of; i++) {
        (void)tp_in_8(&in);
        (void)tp_in_bytes(&in, tp_in_32(&in));
    }
    if (in.short_of || in.at != in.end)
        return "a copy of an actor has another size than it says";
    if (!is_name(type) || partition.size > TP_NAME_MAX || key.size == 0 || key.size > TP_KEY_MAX)
        return "a copy of an actor has an id that is none";
    return NULL;
}

static const char *check_id(const tp_mover *self, const tp_directory_id *id)
{
    const tp_type *type = tp_type_at(self->shard->shared, id->type);
    if (tp_hash_shard(id->hash, self->shard->shared->shard_count) != self->shard->number)
        return "a copy of an actor is for another shard";
    if (!tp_translator_is_hash(self->translator, type, id->hash, id->partition, id->key))
        return "a copy of an actor has an id of another hash";
    return NULL;
}

const char *tp_mover_came(tp_mover *self, troupe_slice body, tp_directory_id *ret_id,
    uint64_t *ret_number, bool *ret_short)
{
    *ret_short = false;
    const char *fault = check(body);
    if (fault != NULL)
        return fault;
    copy *made = tp_allocate_zeroed(allocator_of(self), sizeof *made);
    char *at = NULL;
    if (made != NULL) {
        tp_list_push_back(&self->copies, &made->link);
        at = body.size <= TP_MOVE_BYTES_MAX ? reserve(self, made, body.size) : NULL;
    }
    if (at == NULL) {
        if (made != NULL)
            copy_free(self, made);
        *ret_short = true;
        return NULL;
    }
    memcpy(at, body.data, body.size);
    point_id(self, made);
    *ret_short = made->id.type == UINT32_MAX; /* no room for the name of its type */
    fault = *ret_short ? NULL : check_id(self, &made->id);
    if (*ret_short || fault != NULL) {
        copy_free(self, made);
        return fault;
    }
    *ret_id = made->id;
    *ret_number = made->number;
    return NULL;
}

void tp_mover_drop(tp_mover *self, const tp_directory_id *id, uint64_t number)
{
    copy *found = find_copy(self, id, number);
    if (found == NULL)
        found = find_copy(self, id, 0);
    if (found != NULL)
        copy_free(self, found);
}

/* ---- from bytes to an activation ------------------------------------------------------------- */

static void add_timers(tp_mover *self, tp_activation *actor, tp_in *in)
{
    uint32_t count = tp_in_16(in);
    for (uint32_t i = 0; i < count; i++) {
        const tp_timer_copy timer = get_timer(in);
        if (tp_move_timer(self->shard, actor, &timer) != TROUPE_OK)
            self->lost++;
    }
}

static void add_message(tp_mover *self, tp_activation *actor, uint8_t kind, troupe_slice bytes)
{
    tp_parcel parcel;
    tp_postmark mark;
    const char *fault = tp_parcel_get(bytes, &parcel);
    tp_message *message = NULL;
    if (fault == NULL)
        message = tp_translator_read(self->translator, NULL, self->translator->incarnation,
            kind == TP_ACKED ? TP_FRAME_ACKED : TP_FRAME_REQUEST, &parcel, &mark, &fault);
    if (message == NULL || message->type != actor->type) {
        if (message != NULL)
            tp_pool_give(&self->shard->pool, message);
        self->lost++;
        tp_count(&self->shard->counters.dead_letters);
        return;
    }
    tp_move_put(self->shard, actor, message);
}

static void log_lost(tp_mover *self, const copy *from)
{
    self->lost++;
    tp_count(&self->shard->counters.lost_states);
    TP_LOG(self->shard->shared->log, TROUPE_LOG_ERROR, "state_lost",
        TP_FIELDS(tp_field_text("key", from->id.key)),
        "an actor that was moved here could not be put together, for want of memory; what was not "
        "stored of it is lost");
}

tp_activation *tp_mover_resume(tp_mover *self, const tp_directory_id *id)
{
    copy *from = find_copy(self, id, 0);
    if (from == NULL || from->id.type >= TP_FOREIGN_FIRST)
        return NULL;
    tp_in in = tp_in_of(from->body + from->rest, from->size - from->rest);
    troupe_slice state = tp_in_bytes(&in, tp_in_32(&in));
    const tp_type *type = tp_type_at(self->shard->shared, from->id.type);
    tp_activation *actor =
        tp_move_arrive(self->shard, type, from->id.hash, from->id.partition, from->id.key, state);
    if (actor == NULL) {
        log_lost(self, from);
        copy_free(self, from);
        return NULL;
    }
    add_timers(self, actor, &in);
    uint32_t count = tp_in_32(&in);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t kind = tp_in_8(&in);
        add_message(self, actor, kind, tp_in_bytes(&in, tp_in_32(&in)));
    }
    copy_free(self, from);
    self->arrived++;
    tp_move_start(self->shard, actor);
    return actor;
}
