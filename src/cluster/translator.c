/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to parcels and back. See translator.h. */
#include "cluster/translator.h"

#include "base/alloc.h"
#include "base/outcome.h"
#include "shard/words.h"
#include "shard/workers.h"

/* Of a slip: flags, status, outcome and errand, expiry, two numbers of outbox rows, the reminder,
 * the permit; then five texts with their sizes. */
#define SLIP_FIXED 96
#define SLIP_TEXTS 5

troupe_status tp_translator_init(tp_translator *self, tp_shard *shard, uint64_t incarnation)
{
    *self = (tp_translator){.shard = shard, .incarnation = incarnation};
    return tp_correspondents_init(&self->correspondents, shard->shared->allocator);
}

void tp_translator_deinit(tp_translator *self)
{
    tp_release(self->shard->shared->allocator, self->scratch, self->scratch_size);
    tp_correspondents_deinit(&self->correspondents);
}

/* ---- slips ----------------------------------------------------------------------------------- */

static char *reserve(tp_translator *self, size_t size)
{
    if (size <= self->scratch_size)
        return self->scratch;
    const troupe_allocator *allocator = self->shard->shared->allocator;
    char *grown = tp_allocate(allocator, size * 2);
    if (grown == NULL)
        return NULL;
    tp_release(allocator, self->scratch, self->scratch_size);
    self->scratch = grown;
    self->scratch_size = size * 2;
    return grown;
}

static bool put_slip(tp_translator *self, const tp_slip *slip, troupe_slice *ret_bytes)
{
    const troupe_slice texts[SLIP_TEXTS] = {
        slip->once, slip->done, slip->failed, slip->context, slip->baggage};
    size_t size = SLIP_FIXED;
    for (size_t i = 0; i < SLIP_TEXTS; i++)
        size += 4 + texts[i].size;
    char *begin = reserve(self, size), *at = begin;
    if (begin == NULL)
        return false;
    at = tp_put_32(tp_put_32(at, slip->flags), (uint32_t)slip->status);
    at = tp_put_32(tp_put_32(at, (uint32_t)slip->outcome), (uint32_t)slip->errand);
    at = tp_put_64(at, slip->expires);
    at = tp_put_64(tp_put_64(at, slip->number.version), slip->number.index);
    at = tp_put_64(tp_put_64(at, slip->before.version), slip->before.index);
    at = tp_put_64(tp_put_64(at, slip->remind.missed), slip->remind.more);
    at = tp_put_64(tp_put_64(at, slip->remind.number), slip->remind.due);
    at = tp_put_64(at, slip->permit);
    TP_ASSERT(at - begin == SLIP_FIXED);
    for (size_t i = 0; i < SLIP_TEXTS; i++)
        at = tp_put_bytes(tp_put_32(at, (uint32_t)texts[i].size), texts[i]);
    *ret_bytes = (troupe_slice){begin, size};
    return true;
}

static const char *get_slip(troupe_slice bytes, tp_slip *ret_slip)
{
    tp_in in = tp_in_of(bytes.data, bytes.size);
    tp_slip slip = {.flags = tp_in_32(&in)};
    slip.status = (troupe_status)tp_in_32(&in);
    slip.outcome = (troupe_outcome)tp_in_32(&in);
    slip.errand = (tp_errand)tp_in_32(&in);
    slip.expires = tp_in_64(&in);
    slip.number.version = tp_in_64(&in);
    slip.number.index = (uint32_t)tp_in_64(&in);
    slip.before.version = tp_in_64(&in);
    slip.before.index = (uint32_t)tp_in_64(&in);
    slip.remind.missed = tp_in_64(&in);
    slip.remind.more = tp_in_64(&in) != 0;
    slip.remind.number = tp_in_64(&in);
    slip.remind.due = tp_in_64(&in);
    slip.permit = tp_in_64(&in);
    troupe_slice *texts[SLIP_TEXTS] = {
        &slip.once, &slip.done, &slip.failed, &slip.context, &slip.baggage};
    for (size_t i = 0; i < SLIP_TEXTS; i++)
        *texts[i] = tp_in_bytes(&in, tp_in_32(&in));
    if (in.short_of || in.at != in.end)
        return "its slip has another size than it says";
    if (slip.outcome > TROUPE_UNKNOWN_OUTCOME || slip.errand >= TP_ERRANDS)
        return "its slip says what there is not";
    *ret_slip = slip;
    return NULL;
}

/* ---- marks ----------------------------------------------------------------------------------- */

tp_postmark tp_postmark_of(const tp_translator *self, const tp_letter *letter, tp_trail_room *room)
{
    char *at = room->bytes;
    for (uint32_t i = 0; i < letter->trail.count; i++)
        at = tp_put_64(at, letter->trail.nodes[i]);
    /* One of this node's own may have been elsewhere, and be back on its way through here. */
    bool is_ours = letter->origin == self->incarnation && letter->trail.count == 0;
    return (tp_postmark){.order = letter->order,
        .origin = is_ours ? 0 : letter->origin,
        .trail = {room->bytes, (size_t)(at - room->bytes)},
        .grant = letter->grant.number,
        .home = letter->grant.home,
        .hops = letter->hops,
        .only_active = (letter->flags & TP_LETTER_ACTIVE) != 0};
}

void tp_postmark_read(const tp_postmark *mark, tp_letter *letter)
{
    letter->origin = mark->origin;
    letter->order = mark->order;
    letter->grant = (tp_grant){mark->grant, mark->home};
    letter->hops = mark->hops;
    letter->trail.count = (uint8_t)(mark->trail.size / 8);
    for (uint32_t i = 0; i < letter->trail.count; i++)
        letter->trail.nodes[i] = tp_get_number((const char *)mark->trail.data + 8 * i, 8);
    letter->flags |= mark->only_active ? TP_LETTER_ACTIVE : 0;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* `session` NULL: in words, for what does not travel at once. */
static void put_caller(
    tp_session *session, const tp_type *type, troupe_id caller, tp_parcel *parcel)
{
    if (type == NULL)
        return;
    parcel->bits |= TP_PARCEL_CALLER;
    if (session != NULL)
        parcel->caller_name =
            tp_session_name(session, (type->number + 1) << 12, type->name, (troupe_slice){0, 0});
    parcel->caller_type = type->name;
    parcel->caller_partition = caller.partition;
    parcel->caller_key = caller.key;
}

/* `name`: of the method, or empty. */
static void put_names(tp_session *session, const tp_type *type, uint16_t method, troupe_slice name,
    tp_parcel *parcel)
{
    parcel->name = 0;
    /* The catch-all's names are anybody's: they are not taught. */
    if (method != TP_METHOD_OTHER && session != NULL)
        parcel->name = tp_session_name(session, (type->number + 1) << 12 | (method + 1u),
            type->name, type->methods[method].name);
    if (parcel->name != 0)
        return;
    parcel->bits |= TP_PARCEL_NAMES;
    parcel->type = type->name;
    parcel->method = name;
}

static void put_from(tp_translator *self, const tp_message *message, tp_parcel *parcel)
{
    parcel->bits |= TP_PARCEL_FROM;
    parcel->from.slot = message->from.slot;
    parcel->from.generation = message->from.generation;
    parcel->from.shard = message->from_shard;
    if (!tp_is_away(message->from_shard))
        return;
    const tp_correspondent *asker =
        tp_correspondents_at(&self->correspondents, message->from_shard);
    parcel->bits |= TP_PARCEL_ELSEWHERE;
    parcel->from.shard = asker->shard;
    parcel->from.incarnation = asker->peer;
}

static void put_postmark(const tp_postmark *mark, tp_parcel *parcel)
{
    parcel->hops = mark->hops;
    parcel->order = mark->order;
    if (mark->order != 0)
        parcel->bits |= TP_PARCEL_ORDER;
    if (mark->origin != 0) {
        parcel->bits |= TP_PARCEL_ORIGIN | TP_PARCEL_ORDER;
        parcel->origin = mark->origin;
        parcel->trail = mark->trail;
    }
    if (mark->grant != 0) {
        parcel->bits |= TP_PARCEL_GRANT;
        parcel->grant = mark->grant;
        parcel->home = mark->home;
    }
    if (mark->only_active)
        parcel->bits |= TP_PARCEL_ACTIVE;
}

static tp_frame_kind kind_of(const tp_message *message)
{
    return message->kind == TP_ACKED ? TP_FRAME_ACKED : TP_FRAME_REQUEST;
}

/* False: no memory. What it points to is the message's and the translator's. */
static bool fill(tp_translator *self, tp_session *session, const tp_message *message,
    const tp_activation *actor, const tp_postmark *mark, tp_parcel *parcel)
{
    parcel->bits = 0;
    parcel->hash = message->hash;
    parcel->content = message->content;
    parcel->payload = tp_message_payload(message);
    parcel->key = actor != NULL ? tp_activation_key(actor) : tp_message_key(message);
    parcel->partition =
        actor != NULL ? tp_activation_partition(actor) : tp_message_partition(message);
    if (parcel->partition.size != 0)
        parcel->bits |= TP_PARCEL_PARTITION;
    if (message->kind == TP_ASK)
        parcel->bits |= TP_PARCEL_ASK;
    if (message->kind == TP_ASK)
        put_from(self, message, parcel);
    if (message->chain != 0) {
        parcel->bits |= TP_PARCEL_CHAIN;
        parcel->chain = message->chain;
    }
    if (message->deadline != TP_NEVER) {
        uint64_t now = tp_clock(self->shard);
        parcel->bits |= TP_PARCEL_DEADLINE;
        parcel->remaining = message->deadline > now ? message->deadline - now : 0;
    }
    if (message->content == TP_CONTENT_OWN) {
        parcel->bits |= TP_PARCEL_CONTENT;
        parcel->content_type = tp_message_other_content_type(message);
    }
    const tp_slip *slip = tp_message_slip(message);
    if (slip != NULL) {
        parcel->bits |= TP_PARCEL_SLIP;
        if (!put_slip(self, slip, &parcel->slip))
            return false;
    }
    put_caller(session, message->caller_type, tp_message_caller(message), parcel);
    put_names(session, message->type, message->method,
        message->kind <= TP_ASK ? tp_message_method_name(message) : (troupe_slice){0, 0}, parcel);
    put_postmark(mark, parcel);
    return true;
}

troupe_status tp_translator_put(tp_translator *self, tp_channel *channel, const tp_message *message,
    const tp_postmark *mark, uint64_t *ret_number)
{
    tp_parcel parcel;
    if (!fill(self, &channel->session, message, NULL, mark, &parcel))
        return TROUPE_NO_MEMORY;
    return tp_session_put_parcel(&channel->session, kind_of(message), &parcel, ret_number);
}

troupe_status tp_translator_put_tell(tp_channel *channel, const tp_message_parts *parts,
    const tp_message_head *head, const tp_postmark *mark, uint64_t *ret_number)
{
    tp_session *session = &channel->session;
    const char *caller = parts->caller;
    const troupe_id id = {.key = {caller, head->caller_key_size},
        .partition = {caller + head->caller_key_size, head->caller_partition_size}};
    tp_parcel parcel;
    parcel.bits = 0;
    parcel.hash = head->hash;
    parcel.content = TP_CONTENT_BYTES;
    parcel.payload = parts->payload;
    parcel.key = parts->key;
    put_caller(session, head->caller_type, id, &parcel);
    put_names(session, head->type, head->method, head->type->methods[head->method].name, &parcel);
    put_postmark(mark, &parcel);
    return tp_session_put_parcel(session, TP_FRAME_REQUEST, &parcel, ret_number);
}

bool tp_translator_pack(tp_translator *self, const tp_message *message, const tp_activation *actor,
    tp_parcel *ret_parcel)
{
    const tp_postmark none = {0};
    memset(ret_parcel, 0, sizeof *ret_parcel);
    if (!fill(self, NULL, message, actor, &none, ret_parcel))
        return false;
    /* Who asks is said in full: it is read on another node, or on this one again. */
    if ((ret_parcel->bits & TP_PARCEL_FROM) && !(ret_parcel->bits & TP_PARCEL_ELSEWHERE)) {
        ret_parcel->bits |= TP_PARCEL_ELSEWHERE;
        ret_parcel->from.incarnation = self->incarnation;
    }
    return true;
}

troupe_status tp_translator_put_reply(
    tp_translator *self, tp_channel *channel, const tp_message *reply, const tp_correspondent *to)
{
    tp_wire_reply out = {.slot = reply->from.slot,
        .generation = reply->from.generation,
        .shard = to->shard,
        .content = reply->content,
        .status = reply->status,
        .outcome = reply->outcome,
        .payload = tp_message_payload(reply)};
    if (reply->content == TP_CONTENT_OWN) {
        out.bits |= TP_REPLY_CONTENT;
        out.content_type = tp_message_other_content_type(reply);
    }
    const tp_slip *slip = tp_message_slip(reply);
    if (slip != NULL) {
        out.bits |= TP_REPLY_SLIP;
        if (!put_slip(self, slip, &out.slip))
            return TROUPE_NO_MEMORY;
    }
    return tp_session_put_reply(&channel->session, &out);
}

/* ---- in -------------------------------------------------------------------------------------- */

typedef struct named {
    const tp_type *type;
    uint32_t method; /* TP_METHOD_OTHER: by `name` */
    troupe_slice name;
} named;

static uint32_t method_of(const tp_type *type, troupe_slice name)
{
    if (tp_type_is_foreign(type) || name.size == 0)
        return TP_METHOD_OTHER;
    int32_t number = tp_type_method(type, name);
    return number < 0 ? TP_METHOD_OTHER : (uint32_t)number;
}

/* What a taught name means here, looked up once. No memory: it is tried again. */
static void bind(tp_translator *self, tp_learned_name *learned)
{
    const tp_type *type = tp_foreign_learn(self->shard->shared, learned->type, 0);
    if (type != NULL)
        learned->bound_number = method_of(type, learned->method);
    learned->bound = (void *)(uintptr_t)type;
}

static const char *find_names(
    tp_translator *self, tp_session *session, const tp_parcel *parcel, named *ret_named)
{
    if (parcel->name == 0) {
        ret_named->type = tp_foreign_learn(self->shard->shared, parcel->type, 0);
        ret_named->name = parcel->method;
        if (ret_named->type != NULL)
            ret_named->method = method_of(ret_named->type, parcel->method);
        return NULL;
    }
    tp_learned_name *learned = session != NULL ? tp_session_find_name(session, parcel->name) : NULL;
    if (learned == NULL)
        return "it has a name that was not taught";
    if (learned->bound == NULL)
        bind(self, learned);
    ret_named->type = learned->bound;
    ret_named->method = (uint32_t)learned->bound_number;
    ret_named->name = learned->method;
    return NULL;
}

static const char *find_caller(
    tp_translator *self, tp_session *session, const tp_parcel *parcel, const tp_type **ret_type)
{
    if (parcel->caller_name == 0) {
        *ret_type = tp_foreign_learn(self->shard->shared, parcel->caller_type, 0);
        return NULL;
    }
    tp_learned_name *learned =
        session != NULL ? tp_session_find_name(session, parcel->caller_name) : NULL;
    if (learned == NULL)
        return "its caller has a name that was not taught";
    if (learned->bound == NULL)
        bind(self, learned);
    *ret_type = learned->bound;
    return NULL;
}

bool tp_translator_find_asker(
    tp_translator *self, uint64_t node, uint16_t shard, uint64_t hash, uint16_t *ret_from)
{
    *ret_from = shard; /* of this node, if it came back */
    if (node == self->incarnation)
        return shard < self->shard->shared->shard_count;
    uint32_t at = tp_directory_find_member(self->view, node);
    bool is_member = at != TP_DIRECTORY_NOBODY && shard < self->view->members[at].shards;
    uint32_t agent = is_member ? tp_hash_shard(hash, self->view->members[at].shards) : 0;
    /* All who are no members have one number: what a node makes up takes none from others. */
    *ret_from = (uint16_t)tp_correspondents_get(
        &self->correspondents, is_member ? node : 0, is_member ? shard : 0, (uint16_t)agent);
    return *ret_from != 0;
}

bool tp_translator_is_hash(const tp_translator *self, const tp_type *type, uint64_t hash,
    troupe_slice partition, troupe_slice key)
{
    return tp_type_is_foreign(type) || tp_type_has_workers(type) ||
           tp_type_hash(&self->shard->shared->types, type, partition, key) == hash;
}

/* Where its answer goes. As above. */
static bool find_from(
    tp_translator *self, uint64_t sender, const tp_parcel *parcel, uint16_t *ret_from)
{
    *ret_from = (uint16_t)self->shard->number;
    if (!(parcel->bits & TP_PARCEL_FROM))
        return true;
    uint64_t asker = parcel->bits & TP_PARCEL_ELSEWHERE ? parcel->from.incarnation : sender;
    return tp_translator_find_asker(self, asker, parcel->from.shard, parcel->hash, ret_from);
}

static void read_postmark(uint64_t sender, const tp_parcel *parcel, tp_postmark *ret_mark)
{
    *ret_mark = (tp_postmark){.order = parcel->order,
        .origin = parcel->bits & TP_PARCEL_ORIGIN ? parcel->origin : sender,
        .trail = parcel->trail,
        .grant = parcel->grant,
        .home = parcel->grant != 0 ? parcel->home : 0,
        .hops = parcel->hops,
        .only_active = (parcel->bits & TP_PARCEL_ACTIVE) != 0};
}

static uint8_t message_kind(unsigned kind, const tp_parcel *parcel)
{
    if (kind == TP_FRAME_ACKED)
        return TP_ACKED;
    return parcel->bits & TP_PARCEL_ASK ? TP_ASK : TP_TELL;
}

/* A caller's id, laid out as a message has it: readable up to a multiple of 16. */
typedef struct caller_room {
    char bytes[TP_KEY_MAX + TP_NAME_MAX + 16];
} caller_room;

static const void *lay_caller(const tp_parcel *parcel, caller_room *room)
{
    if (!(parcel->bits & TP_PARCEL_CALLER))
        return NULL;
    /* Where it lies, if what is read beyond it is the parcel's still. */
    const char *key = parcel->caller_key.data;
    const char *end = (const char *)parcel->payload.data + parcel->payload.size;
    size_t laid = tp_message_step(parcel->caller_key.size);
    if (parcel->caller_partition.size == 0 && key < end && laid <= (size_t)(end - key))
        return key;
    char *at = tp_put_bytes(room->bytes, parcel->caller_key);
    tp_put_bytes(at, parcel->caller_partition);
    return room->bytes;
}

/* The name of the type, or of its caller's. */
static troupe_slice unknown_type(
    const tp_session *session, const tp_parcel *parcel, bool is_callers)
{
    uint16_t name = is_callers ? parcel->caller_name : parcel->name;
    if (name != 0)
        return tp_session_find_name(session, name)->type;
    return is_callers ? parcel->caller_type : parcel->type;
}

static bool is_once(const tp_parcel *parcel)
{
    tp_slip slip;
    return (parcel->bits & TP_PARCEL_SLIP) && get_slip(parcel->slip, &slip) == NULL &&
           (slip.flags & TP_SLIP_ONCE);
}

tp_message *tp_translator_refuse(tp_translator *self, uint64_t sender, const tp_parcel *parcel,
    troupe_slice unknown, uint32_t *ret_to)
{
    uint16_t to;
    if (!(parcel->bits & TP_PARCEL_ASK) || !find_from(self, sender, parcel, &to))
        return NULL;
    char words[TP_WORDS_MAX];
    const tp_message_parts parts = {
        .content_type = TROUPE_TEXT, .payload = tp_no_room_words(words, unknown)};
    const tp_message_head head = {.deadline = TP_NEVER,
        .from = {parcel->from.slot, parcel->from.generation},
        .status = TROUPE_NO_TYPE,
        .kind = TP_REPLY};
    tp_message *reply = tp_message_make_here(&self->shard->pool, &parts, &head);
    if (reply != NULL)
        reply->outcome =
            (uint8_t)tp_once_unsent(is_once(parcel), TROUPE_NO_TYPE, TROUPE_NOT_DONE);
    *ret_to = to;
    return reply;
}

tp_message *tp_translator_read(tp_translator *self, tp_session *session, uint64_t sender,
    unsigned kind, const tp_parcel *parcel, tp_postmark *ret_mark, const char **ret_fault)
{
    named names = {.method = TP_METHOD_OTHER};
    const tp_type *caller = NULL;
    *ret_mark = (tp_postmark){0};
    tp_slip slip;
    char content[UINT8_MAX + 1] = "";
    caller_room room;
    *ret_fault = find_names(self, session, parcel, &names);
    if (*ret_fault == NULL && (parcel->bits & TP_PARCEL_CALLER))
        *ret_fault = find_caller(self, session, parcel, &caller);
    if (*ret_fault == NULL && (parcel->bits & TP_PARCEL_SLIP))
        *ret_fault = get_slip(parcel->slip, &slip);
    if (*ret_fault != NULL)
        return NULL;
    if (names.type == NULL || ((parcel->bits & TP_PARCEL_CALLER) && caller == NULL)) {
        if (tp_foreign_is_full(self->shard->shared))
            ret_mark->unknown = unknown_type(session, parcel, names.type != NULL);
        return NULL;
    }
    if (!tp_translator_is_hash(self, names.type, parcel->hash, parcel->partition, parcel->key)) {
        *ret_fault = "its id has another hash than it says";
        return NULL;
    }
    uint16_t from;
    if (!find_from(self, sender, parcel, &from))
        return NULL;
    if (parcel->bits & TP_PARCEL_CONTENT)
        memcpy(content, parcel->content_type.data, parcel->content_type.size);
    const tp_message_parts parts = {.caller = lay_caller(parcel, &room),
        .key = parcel->key,
        .partition = parcel->partition,
        .method = names.method == TP_METHOD_OTHER ? names.name : (troupe_slice){0, 0},
        .content_type = parcel->bits & TP_PARCEL_CONTENT ? content : NULL,
        .payload = parcel->payload,
        .slip = parcel->bits & TP_PARCEL_SLIP ? &slip : NULL};
    const tp_message_head head = {.hash = parcel->hash,
        .type = names.type,
        .deadline = parcel->remaining == TP_WIRE_NEVER
                        ? TP_NEVER
                        : tp_time_after(tp_clock(self->shard), parcel->remaining),
        .from = {parcel->from.slot, parcel->from.generation},
        .chain = parcel->chain,
        .caller_type = caller,
        .method = (uint16_t)names.method,
        .from_shard = from,
        .caller_key_size = (uint16_t)(caller != NULL ? parcel->caller_key.size : 0),
        .caller_partition_size = (uint8_t)(caller != NULL ? parcel->caller_partition.size : 0),
        .kind = message_kind(kind, parcel)};
    tp_message *message = tp_message_make_here(&self->shard->pool, &parts, &head);
    if (message != NULL && !(parcel->bits & TP_PARCEL_CONTENT) && parcel->content < TP_CONTENT_OWN)
        message->content =
            parcel->content <= TP_CONTENT_JSON ? parcel->content : (uint8_t)TP_CONTENT_BYTES;
    read_postmark(sender, parcel, ret_mark);
    return message;
}

tp_message *tp_translator_read_reply(
    tp_translator *self, const tp_wire_reply *reply, uint32_t *ret_shard)
{
    tp_slip slip;
    char content[UINT8_MAX + 1] = "";
    if ((reply->bits & TP_REPLY_SLIP) && get_slip(reply->slip, &slip) != NULL)
        return NULL;
    if (reply->bits & TP_REPLY_CONTENT)
        memcpy(content, reply->content_type.data, reply->content_type.size);
    const tp_message_parts parts = {.content_type = reply->bits & TP_REPLY_CONTENT ? content : NULL,
        .payload = reply->payload,
        .slip = reply->bits & TP_REPLY_SLIP ? &slip : NULL};
    const tp_message_head head = {.deadline = TP_NEVER,
        .from = {reply->slot, reply->generation},
        .status = reply->status,
        .kind = TP_REPLY};
    tp_message *message = tp_message_make_here(&self->shard->pool, &parts, &head);
    if (message == NULL)
        return NULL;
    message->outcome = reply->outcome;
    if (!(reply->bits & TP_REPLY_CONTENT) && reply->content <= TP_CONTENT_JSON)
        message->content = reply->content;
    *ret_shard = reply->shard;
    return message;
}
