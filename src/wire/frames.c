/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies of the frames. The order of parts is that of their bits in frames.h.
 *
 * Threads: pure.
 */
#include "wire/frames.h"

#define CUT_SHORT "it is shorter than it says"
#define TOO_LONG  "something follows its end"

enum { FROM_BYTES = TP_PARCEL_FROM_BYTES, GRANT_BYTES = 16 };

const char *tp_frame_name(unsigned kind)
{
    static const char *const names[TP_FRAME_KINDS] = {
#define TP_FRAME_NAME(name, number, way) [number] = #name,
        TP_FRAME_MAP(TP_FRAME_NAME)
#undef TP_FRAME_NAME
    };
    return tp_frame_is_known(kind) ? names[kind] : "?";
}

/* ---- parcels -------------------------------------------------------------------------------- */

static size_t caller_size(const tp_parcel *parcel)
{
    size_t size = 2 + 1 + parcel->caller_partition.size + 2 + parcel->caller_key.size;
    return parcel->caller_name != 0 ? size : size + 1 + parcel->caller_type.size;
}

size_t tp_parcel_parts_size(const tp_parcel *parcel)
{
    unsigned bits = parcel->bits;
    size_t size = 0;
    if (bits & TP_PARCEL_ORDER)
        size += 8;
    if (bits & TP_PARCEL_ORIGIN)
        size += 8 + 1 + parcel->trail.size;
    if (bits & TP_PARCEL_NAMES)
        size += 1 + parcel->type.size + 1 + parcel->method.size;
    if (bits & TP_PARCEL_PARTITION)
        size += 1 + parcel->partition.size;
    if (bits & TP_PARCEL_FROM)
        size += FROM_BYTES;
    if (bits & TP_PARCEL_ELSEWHERE)
        size += 8;
    if (bits & TP_PARCEL_CHAIN)
        size += 8;
    if (bits & TP_PARCEL_DEADLINE)
        size += 8;
    if (bits & TP_PARCEL_CALLER)
        size += caller_size(parcel);
    if (bits & TP_PARCEL_GRANT)
        size += GRANT_BYTES;
    if (bits & TP_PARCEL_CONTENT)
        size += 1 + parcel->content_type.size;
    if (bits & TP_PARCEL_SLIP)
        size += 4 + parcel->slip.size;
    return size;
}

static char *put_short(char *at, troupe_slice text)
{
    TP_DEBUG_ASSERT(text.size <= UINT8_MAX);
    return tp_put_bytes(tp_put_8(at, (unsigned)text.size), text);
}

static char *put_caller(char *at, const tp_parcel *parcel)
{
    at = tp_put_16(at, parcel->caller_name);
    if (parcel->caller_name == 0)
        at = put_short(at, parcel->caller_type);
    at = put_short(at, parcel->caller_partition);
    at = tp_put_16(at, (unsigned)parcel->caller_key.size);
    return tp_put_bytes(at, parcel->caller_key);
}

char *tp_parcel_put_parts(char *at, const tp_parcel *parcel)
{
    unsigned bits = parcel->bits;
    if (bits & TP_PARCEL_ORDER)
        at = tp_put_64(at, parcel->order);
    if (bits & TP_PARCEL_NAMES)
        at = put_short(put_short(at, parcel->type), parcel->method);
    if (bits & TP_PARCEL_PARTITION)
        at = put_short(at, parcel->partition);
    if (bits & TP_PARCEL_FROM) {
        at = tp_put_32(at, parcel->from.slot);
        at = tp_put_32(at, parcel->from.generation);
        at = tp_put_16(at, parcel->from.shard);
    }
    if (bits & TP_PARCEL_ELSEWHERE)
        at = tp_put_64(at, parcel->from.incarnation);
    if (bits & TP_PARCEL_CHAIN)
        at = tp_put_64(at, parcel->chain);
    if (bits & TP_PARCEL_DEADLINE)
        at = tp_put_64(at, parcel->remaining);
    if (bits & TP_PARCEL_CALLER)
        at = put_caller(at, parcel);
    if (bits & TP_PARCEL_GRANT)
        at = tp_put_64(tp_put_64(at, parcel->grant), parcel->home);
    if (bits & TP_PARCEL_CONTENT)
        at = put_short(at, parcel->content_type);
    if (bits & TP_PARCEL_SLIP)
        at = tp_put_bytes(tp_put_32(at, (uint32_t)parcel->slip.size), parcel->slip);
    if (bits & TP_PARCEL_ORIGIN) {
        at = tp_put_64(at, parcel->origin);
        at = tp_put_bytes(tp_put_8(at, (unsigned)(parcel->trail.size / 8)), parcel->trail);
    }
    return at;
}

static troupe_slice get_short(tp_in *in)
{
    return tp_in_bytes(in, tp_in_8(in));
}

static bool is_name(troupe_slice name)
{
    return name.size >= 1 && name.size <= TP_NAME_MAX;
}

static const char *get_caller(tp_in *in, tp_parcel *parcel)
{
    parcel->caller_name = tp_in_16(in);
    parcel->caller_type = (troupe_slice){NULL, 0};
    if (parcel->caller_name == 0) {
        parcel->caller_type = get_short(in);
        if (!in->short_of && !is_name(parcel->caller_type))
            return "its caller's type is no name";
    }
    parcel->caller_partition = get_short(in);
    if (parcel->caller_partition.size > TP_NAME_MAX)
        return "its caller's partition is too long";
    parcel->caller_key = tp_in_bytes(in, tp_in_16(in));
    if (!in->short_of && (parcel->caller_key.size == 0 || parcel->caller_key.size > TP_KEY_MAX))
        return "its caller's key has a length that no key has";
    return NULL;
}

static const char *get_parts(tp_in *in, tp_parcel *parcel)
{
    unsigned bits = parcel->bits;
    if (bits & TP_PARCEL_ORDER)
        parcel->order = tp_in_64(in);
    if (bits & TP_PARCEL_NAMES) {
        parcel->type = get_short(in);
        parcel->method = get_short(in);
        if (!in->short_of && (!is_name(parcel->type) || parcel->method.size > TP_NAME_MAX))
            return "its type or method is no name";
    }
    if (bits & TP_PARCEL_PARTITION) {
        parcel->partition = get_short(in);
        if (!in->short_of && !is_name(parcel->partition))
            return "its partition is no name";
    }
    if (bits & TP_PARCEL_FROM) {
        parcel->from.slot = tp_in_32(in);
        parcel->from.generation = tp_in_32(in);
        parcel->from.shard = tp_in_16(in);
        parcel->from.incarnation = 0;
    }
    if (bits & TP_PARCEL_ELSEWHERE)
        parcel->from.incarnation = tp_in_64(in);
    if (bits & TP_PARCEL_CHAIN)
        parcel->chain = tp_in_64(in);
    if (bits & TP_PARCEL_DEADLINE)
        parcel->remaining = tp_in_64(in);
    if (bits & TP_PARCEL_CALLER) {
        const char *fault = get_caller(in, parcel);
        if (fault != NULL)
            return fault;
    }
    if (bits & TP_PARCEL_GRANT) {
        parcel->grant = tp_in_64(in);
        parcel->home = tp_in_64(in);
    }
    if (bits & TP_PARCEL_CONTENT)
        parcel->content_type = get_short(in);
    if (bits & TP_PARCEL_SLIP)
        parcel->slip = tp_in_bytes(in, tp_in_32(in));
    if (bits & TP_PARCEL_ORIGIN) {
        parcel->origin = tp_in_64(in);
        parcel->trail = tp_in_bytes(in, (size_t)tp_in_8(in) * 8);
        if (!in->short_of && parcel->trail.size > 8 * TP_PARCEL_TRAIL_MAX)
            return "it went through more nodes than any does";
    }
    return in->short_of ? CUT_SHORT : NULL;
}

static const char *check_bits(unsigned bits, uint16_t name)
{
    const unsigned bound = TP_PARCEL_ORIGIN | TP_PARCEL_ASK | TP_PARCEL_ELSEWHERE | TP_PARCEL_NAMES;
    if (TP_LIKELY((bits & bound) == 0 && name != 0))
        return NULL;
    if ((bits & TP_PARCEL_ORIGIN) && !(bits & TP_PARCEL_ORDER))
        return "it has an origin, but no order there";
    if ((bits & TP_PARCEL_ASK) && !(bits & TP_PARCEL_FROM))
        return "it is an ask that nobody asks";
    if ((bits & TP_PARCEL_ELSEWHERE) && !(bits & TP_PARCEL_FROM))
        return "its asker has a node, but no slot";
    if ((name == 0) != ((bits & TP_PARCEL_NAMES) != 0))
        return "its type has both a number and a name, or neither";
    return NULL;
}

const char *tp_parcel_get(troupe_slice body, tp_parcel *ret_parcel)
{
    if (TP_UNLIKELY(body.size < TP_PARCEL_HEAD))
        return CUT_SHORT;
    const char *at = body.data;
    uint64_t head = tp_get_number(at, 8);
    unsigned bits = (unsigned)head & UINT16_MAX;
    uint16_t name = (uint16_t)(head >> 32);
    size_t key = (size_t)(head >> 48);
    ret_parcel->bits = (uint16_t)bits;
    ret_parcel->hops = (uint8_t)(head >> 16);
    ret_parcel->content = (uint8_t)(head >> 24);
    ret_parcel->name = name;
    ret_parcel->hash = tp_get_number(at + 8, 8);
    ret_parcel->type = ret_parcel->method = (troupe_slice){NULL, 0};
    ret_parcel->partition = ret_parcel->content_type = ret_parcel->slip = ret_parcel->type;
    ret_parcel->trail = ret_parcel->type;
    ret_parcel->order = ret_parcel->origin = ret_parcel->chain = ret_parcel->grant = 0;
    ret_parcel->remaining = TP_WIRE_NEVER;
    const char *fault = check_bits(bits, name);
    if (TP_UNLIKELY(fault != NULL))
        return fault;
    tp_in in = tp_in_of(at + TP_PARCEL_HEAD, body.size - TP_PARCEL_HEAD);
    if (TP_UNLIKELY(bits & TP_PARCEL_PARTS)) {
        fault = get_parts(&in, ret_parcel);
        if (TP_UNLIKELY(fault != NULL))
            return fault;
    }
    if (TP_UNLIKELY(key == 0 || key > TP_KEY_MAX))
        return "its key has a length that no key has";
    ret_parcel->key = tp_in_bytes(&in, key);
    ret_parcel->payload = tp_in_rest(&in);
    return TP_UNLIKELY(in.short_of) ? CUT_SHORT : NULL;
}

/* ---- replies -------------------------------------------------------------------------------- */

size_t tp_wire_reply_size(const tp_wire_reply *reply)
{
    size_t size = TP_REPLY_HEAD + reply->payload.size;
    if (TP_UNLIKELY(reply->bits & TP_REPLY_CONTENT))
        size += 1 + reply->content_type.size;
    if (TP_UNLIKELY(reply->bits & TP_REPLY_SLIP))
        size += 4 + reply->slip.size;
    return size;
}

void tp_wire_reply_put(char *at, const tp_wire_reply *reply)
{
    at = tp_put_64(at, (uint64_t)reply->slot | (uint64_t)reply->generation << 32);
    at =
        tp_put_64(at, (uint64_t)reply->shard | (uint64_t)reply->bits << 16 |
                          (uint64_t)reply->content << 24 | (uint64_t)(uint32_t)reply->status << 32);
    at = tp_put_32(at, reply->outcome);
    if (TP_UNLIKELY(reply->bits & TP_REPLY_CONTENT))
        at = put_short(at, reply->content_type);
    if (TP_UNLIKELY(reply->bits & TP_REPLY_SLIP))
        at = tp_put_bytes(tp_put_32(at, (uint32_t)reply->slip.size), reply->slip);
    tp_put_bytes(at, reply->payload);
}

const char *tp_wire_reply_get(troupe_slice body, tp_wire_reply *ret_reply)
{
    if (TP_UNLIKELY(body.size < TP_REPLY_HEAD))
        return CUT_SHORT;
    const char *at = body.data;
    uint64_t call = tp_get_number(at, 8), head = tp_get_number(at + 8, 8);
    uint32_t outcome = (uint32_t)tp_get_number(at + 16, 4);
    ret_reply->slot = (uint32_t)call;
    ret_reply->generation = (uint32_t)(call >> 32);
    ret_reply->shard = (uint16_t)head;
    ret_reply->bits = (uint8_t)(head >> 16);
    ret_reply->content = (uint8_t)(head >> 24);
    ret_reply->status = (troupe_status)(uint32_t)(head >> 32);
    ret_reply->outcome = (uint8_t)outcome;
    ret_reply->content_type = ret_reply->slip = (troupe_slice){NULL, 0};
    if (outcome > TROUPE_UNKNOWN_OUTCOME)
        return "its outcome is none";
    if (ret_reply->bits & ~(unsigned)TP_REPLY_KNOWN)
        return "it has a bit that this version does not know";
    tp_in in = tp_in_of(at + TP_REPLY_HEAD, body.size - TP_REPLY_HEAD);
    if (TP_UNLIKELY(ret_reply->bits & TP_REPLY_CONTENT))
        ret_reply->content_type = get_short(&in);
    if (TP_UNLIKELY(ret_reply->bits & TP_REPLY_SLIP))
        ret_reply->slip = tp_in_bytes(&in, tp_in_32(&in));
    ret_reply->payload = tp_in_rest(&in);
    return TP_UNLIKELY(in.short_of) ? CUT_SHORT : NULL;
}

/* ---- the small ones ------------------------------------------------------------------------- */

static const char *fault_of(const tp_in *in)
{
    return in->short_of ? CUT_SHORT : in->at != in->end ? TOO_LONG : NULL;
}

static const char *get_one(troupe_slice body, uint64_t *ret_number)
{
    tp_in in = tp_in_of(body.data, body.size);
    uint64_t number = tp_in_64(&in);
    const char *fault = fault_of(&in);
    if (fault == NULL)
        *ret_number = number;
    return fault;
}

void tp_wire_mark_put(char *at, uint64_t hash)
{
    tp_put_64(at, hash);
}

const char *tp_wire_mark_get(troupe_slice body, uint64_t *ret_hash)
{
    return get_one(body, ret_hash);
}

void tp_wire_stamp_put(char *at, uint64_t stamp)
{
    tp_put_64(at, stamp);
}

const char *tp_wire_stamp_get(troupe_slice body, uint64_t *ret_stamp)
{
    return get_one(body, ret_stamp);
}

void tp_wire_range_put(char *at, tp_wire_range range)
{
    tp_put_32(tp_put_64(at, range.first), range.count);
}

static tp_wire_range get_range(const char *at)
{
    return (tp_wire_range){tp_get_number(at, 8), (uint32_t)tp_get_number(at + 8, 4)};
}

const char *tp_wire_settled_get(troupe_slice body, tp_wire_settled *ret_settled)
{
    if (body.size == 0 || body.size % TP_WIRE_RANGE_BYTES != 0)
        return "it is not made of whole ranges";
    for (size_t at = 0; at < body.size; at += TP_WIRE_RANGE_BYTES) {
        tp_wire_range range = get_range((const char *)body.data + at);
        if (range.first == 0 || range.count == 0 || range.count - 1 > UINT64_MAX - range.first)
            return "it has a range that holds no number, or none that there is";
    }
    ret_settled->in = tp_in_of(body.data, body.size);
    return NULL;
}

bool tp_wire_settled_next(tp_wire_settled *settled, tp_wire_range *ret_range)
{
    const char *at = settled->in.at;
    if (at == settled->in.end)
        return false;
    *ret_range = get_range(at);
    settled->in.at = at + TP_WIRE_RANGE_BYTES;
    return true;
}

size_t tp_wire_name_size(const tp_wire_name *name)
{
    return 2 + 1 + name->type.size + 1 + name->method.size;
}

void tp_wire_name_put(char *at, const tp_wire_name *name)
{
    put_short(put_short(tp_put_16(at, name->number), name->type), name->method);
}

const char *tp_wire_name_get(troupe_slice body, tp_wire_name *ret_name)
{
    tp_in in = tp_in_of(body.data, body.size);
    tp_wire_name name = {.number = tp_in_16(&in)};
    name.type = get_short(&in);
    name.method = get_short(&in);
    const char *fault = fault_of(&in);
    if (fault != NULL)
        return fault;
    if (!is_name(name.type) || name.method.size > TP_NAME_MAX)
        return "its type or method is no name";
    *ret_name = name;
    return NULL;
}

size_t tp_wire_word_size(const tp_wire_word *word)
{
    return 1 + word->body.size;
}

void tp_wire_word_put(char *at, const tp_wire_word *word)
{
    tp_put_bytes(tp_put_8(at, word->what), word->body);
}

const char *tp_wire_word_get(troupe_slice body, tp_wire_word *ret_word)
{
    if (body.size < 1)
        return CUT_SHORT;
    tp_in in = tp_in_of(body.data, body.size);
    ret_word->what = tp_in_8(&in);
    ret_word->body = tp_in_rest(&in);
    return NULL;
}

void tp_wire_load_put(char *at, const tp_wire_load *load)
{
    at = tp_put_32(tp_put_32(at, load->cpu), load->flags);
    at = tp_put_64(tp_put_64(at, load->memory), load->memory_limit);
    at = tp_put_64(tp_put_64(at, load->actors), load->queued);
    tp_put_64(tp_put_64(at, load->turn_ns), load->turns);
}

const char *tp_wire_load_get(troupe_slice body, tp_wire_load *ret_load)
{
    if (body.size < TP_WIRE_LOAD_BYTES)
        return CUT_SHORT;
    tp_in in = tp_in_of(body.data, body.size);
    ret_load->cpu = tp_in_32(&in);
    ret_load->flags = tp_in_32(&in);
    ret_load->memory = tp_in_64(&in);
    ret_load->memory_limit = tp_in_64(&in);
    ret_load->actors = tp_in_64(&in);
    ret_load->queued = tp_in_64(&in);
    ret_load->turn_ns = tp_in_64(&in);
    ret_load->turns = tp_in_64(&in);
    return NULL;
}
