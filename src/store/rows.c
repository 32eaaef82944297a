/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of store/rows.h. Each kind has one list of its fields, which a *walk* goes along in one
 * of three ways: to count, to write or to read. So the three cannot differ.
 *
 * Invariants: a walk that reads never passes its end; once it has failed it stays failed and gives
 * zeros.
 * Threads: pure.
 */
#include "store/rows.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/id.h"
#include "store/number.h"

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

enum { AT_FORMAT = 0, AT_KIND = 1, AT_ZERO = 2, AT_CHECKSUM = 4 };

_Static_assert(AT_CHECKSUM + 8 == TP_ROW_HEADER_BYTES, "the checksum ends the header");

typedef enum walk_way { WALK_COUNT, WALK_WRITE, WALK_READ } walk_way;

typedef struct walk {
    walk_way way;
    bool failed;
    size_t size;               /* counted */
    unsigned char *out;        /* where to write next */
    const unsigned char *from; /* where to read next */
    size_t left;               /* to read */
} walk;

/* `width` bytes to read; NULL: there are not so many. */
static const unsigned char *take(walk *self, size_t width)
{
    if (self->failed || self->left < width) {
        self->failed = true;
        return NULL;
    }
    const unsigned char *at = self->from;
    self->from += width;
    self->left -= width;
    return at;
}

static uint64_t walk_number(walk *self, uint64_t value, unsigned width)
{
    if (self->way == WALK_READ) {
        const unsigned char *at = take(self, width);
        return at != NULL ? tp_number_get(at, width) : 0;
    }
    if (self->way == WALK_WRITE) {
        tp_number_put(self->out, value, width);
        self->out += width;
    }
    self->size += width;
    return value;
}

static void walk_u64(walk *self, uint64_t *field)
{
    *field = walk_number(self, *field, 8);
}

static void walk_u32(walk *self, uint32_t *field)
{
    *field = (uint32_t)walk_number(self, *field, 4);
}

static void walk_status(walk *self, troupe_status *field)
{
    *field = (troupe_status)(uint32_t)walk_number(self, (uint32_t)*field, 4);
}

static void walk_outcome(walk *self, troupe_outcome *field)
{
    *field = (troupe_outcome)walk_number(self, (uint64_t)*field, 1);
}

static void walk_slice(walk *self, troupe_slice *field)
{
    if (field->size > UINT32_MAX) {
        self->failed = true;
        return;
    }
    size_t size = (size_t)walk_number(self, field->size, 4);
    if (self->way == WALK_READ) {
        const unsigned char *at = take(self, size);
        *field = at != NULL ? troupe_slice_of(at, size) : troupe_slice_of(NULL, 0);
        return;
    }
    if (self->way == WALK_WRITE) {
        tp_bytes_copy(self->out, field->data, size);
        self->out += size;
    }
    self->size += size;
}

static void walk_once(walk *self, tp_row_once *row)
{
    row->state = (tp_once_state)walk_number(self, (uint64_t)row->state, 1);
    walk_status(self, &row->status);
    walk_outcome(self, &row->outcome);
    walk_u64(self, &row->expires);
    walk_slice(self, &row->content_type);
    walk_slice(self, &row->payload);
    walk_slice(self, &row->message);
}

static void walk_outbox(walk *self, tp_row_outbox *row)
{
    walk_u32(self, &row->flags);
    walk_u32(self, &row->attempts);
    walk_u64(self, &row->created);
    walk_u64(self, &row->expires);
    walk_status(self, &row->status);
    walk_outcome(self, &row->outcome);
    walk_slice(self, &row->target.type);
    walk_slice(self, &row->target.partition);
    walk_slice(self, &row->target.key);
    walk_slice(self, &row->method);
    walk_slice(self, &row->content_type);
    walk_slice(self, &row->payload);
    walk_slice(self, &row->then_done);
    walk_slice(self, &row->then_failed);
    walk_slice(self, &row->then_context);
    walk_slice(self, &row->baggage);
}

static void walk_sender(walk *self, tp_row_sender *row)
{
    walk_u64(self, &row->last.version);
    walk_u32(self, &row->last.index);
    walk_u64(self, &row->seen);
    /* Written only where there is something to say. */
    bool is_there = self->way == WALK_READ ? self->left != 0 : row->refused != TROUPE_OK;
    if (!is_there) {
        row->refused = TROUPE_OK;
        return;
    }
    walk_status(self, &row->refused);
    self->failed = self->failed || row->refused == TROUPE_OK;
}

static void walk_reminder(walk *self, tp_row_reminder *row)
{
    walk_u64(self, &row->number);
    walk_u64(self, &row->due);
    walk_u64(self, &row->set);
    walk_slice(self, &row->schedule);
    walk_slice(self, &row->method);
    walk_slice(self, &row->content_type);
    walk_slice(self, &row->payload);
}

static void walk_dead(walk *self, tp_row_dead *row)
{
    walk_outbox(self, &row->message);
    walk_status(self, &row->reason);
    walk_u64(self, &row->moved);
    walk_slice(self, &row->words);
}

static void walk_row(walk *self, tp_row *row)
{
    switch (row->kind) {
    case TROUPE_ROW_ONCE:
        walk_once(self, &row->once);
        break;
    case TROUPE_ROW_OUTBOX:
        walk_outbox(self, &row->outbox);
        break;
    case TROUPE_ROW_SENDER:
        walk_sender(self, &row->sender);
        break;
    case TROUPE_ROW_REMINDER:
        walk_reminder(self, &row->reminder);
        break;
    case TROUPE_ROW_DEAD:
        walk_dead(self, &row->dead);
        break;
    default:
        self->failed = true;
    }
}

static bool is_outcome(troupe_outcome outcome)
{
    return outcome == TROUPE_DONE || outcome == TROUPE_NOT_DONE ||
           outcome == TROUPE_UNKNOWN_OUTCOME;
}

static bool is_message_sound(const tp_row_outbox *row)
{
    const troupe_id *id = &row->target;
    return is_outcome(row->outcome) && row->method.size > 0 && tp_name_is_valid(id->type) &&
           (id->partition.size == 0 || tp_name_is_valid(id->partition)) && id->key.size > 0 &&
           id->key.size <= TP_KEY_MAX;
}

/* The rules of fields, beyond their types. */
static bool is_sound(const tp_row *row)
{
    switch (row->kind) {
    case TROUPE_ROW_ONCE:
        return (row->once.state == TP_ONCE_BEGUN || row->once.state == TP_ONCE_DONE) &&
               is_outcome(row->once.outcome);
    case TROUPE_ROW_OUTBOX:
        return is_message_sound(&row->outbox);
    case TROUPE_ROW_REMINDER:
        return row->reminder.number > 0 && row->reminder.schedule.size > 0 &&
               row->reminder.method.size > 0;
    case TROUPE_ROW_DEAD:
        return is_message_sound(&row->dead.message);
    default:
        return row->kind == TROUPE_ROW_SENDER;
    }
}

static bool is_key(uint32_t kind, troupe_slice key)
{
    switch (kind) {
    case TROUPE_ROW_ONCE:
        return key.size > 0 && key.size <= TP_ROW_ONCE_MAX;
    case TROUPE_ROW_REMINDER:
        return key.size > 0 && key.size <= TP_ROW_REMINDER_MAX;
    case TROUPE_ROW_OUTBOX:
    case TROUPE_ROW_DEAD:
        return key.size == TP_ROW_NUMBER_BYTES;
    default:
        return kind == TROUPE_ROW_SENDER && key.size > 0 && key.size <= TP_ROW_KEY_MAX;
    }
}

size_t tp_row_size(const tp_row *row, troupe_slice key)
{
    if (!is_key(row->kind, key) || !is_sound(row))
        return 0;
    walk counter = {.way = WALK_COUNT, .size = TP_ROW_HEADER_BYTES};
    tp_row copy = *row; /* a walk may change fields; this one does not */
    walk_row(&counter, &copy);
    return counter.failed || counter.size > UINT32_MAX ? 0 : counter.size;
}

static uint64_t checksum(
    const unsigned char *header, uint64_t seed, troupe_slice key, troupe_slice fields)
{
    uint64_t inner = XXH3_64bits_withSeed(header, AT_CHECKSUM, seed);
    inner = XXH3_64bits_withSeed(key.data, key.size, inner);
    return XXH3_64bits_withSeed(fields.data, fields.size, inner);
}

void tp_row_seal(uint32_t kind, uint64_t seed, troupe_slice key, void *value, size_t size)
{
    TP_ASSERT(size >= TP_ROW_HEADER_BYTES);
    unsigned char *header = value;
    header[AT_FORMAT] = TP_ROW_FORMAT;
    header[AT_KIND] = (unsigned char)kind;
    tp_number_put(header + AT_ZERO, 0, 2);
    troupe_slice fields = troupe_slice_of(header + TP_ROW_HEADER_BYTES, size - TP_ROW_HEADER_BYTES);
    tp_number_put(header + AT_CHECKSUM, checksum(header, seed, key, fields), 8);
}

void tp_row_encode(const tp_row *row, uint64_t seed, troupe_slice key, void *out)
{
    TP_ASSERT(is_key(row->kind, key) && is_sound(row));
    unsigned char *fields = (unsigned char *)out + TP_ROW_HEADER_BYTES;
    walk writer = {.way = WALK_WRITE, .out = fields};
    tp_row copy = *row;
    walk_row(&writer, &copy);
    TP_ASSERT(!writer.failed);
    tp_row_seal(row->kind, seed, key, out, writer.size + TP_ROW_HEADER_BYTES);
}

/* NULL: the header and the checksum are right. */
static const char *find_fault(uint32_t kind, uint64_t seed, troupe_slice key, troupe_slice value)
{
    const unsigned char *header = value.data;
    if (!is_key(kind, key))
        return "its key is none of its kind";
    if (value.size < TP_ROW_HEADER_BYTES)
        return "it is shorter than its header";
    if (header[AT_FORMAT] > TP_ROW_FORMAT)
        return "its format is newer than this version of Troupe reads: run the version that wrote "
               "it, or a newer one; if there was none, it is damaged";
    troupe_slice fields =
        troupe_slice_of(header + TP_ROW_HEADER_BYTES, value.size - TP_ROW_HEADER_BYTES);
    if (tp_number_get(header + AT_CHECKSUM, 8) != checksum(header, seed, key, fields))
        return "its checksum does not fit: it is damaged, or was stored for another actor or under "
               "another key";
    if (header[AT_FORMAT] != TP_ROW_FORMAT || tp_number_get(header + AT_ZERO, 2) != 0)
        return "its format has a number that was never given out";
    return header[AT_KIND] != kind ? "it is a row of another kind" : NULL;
}

static troupe_status refuse(const char *reason, const char **ret_reason)
{
    if (ret_reason != NULL)
        *ret_reason = reason;
    return TROUPE_CORRUPT;
}

troupe_status tp_row_decode(uint32_t kind, uint64_t seed, troupe_slice key, troupe_slice value,
    tp_row *ret_row, const char **ret_reason)
{
    const char *fault = find_fault(kind, seed, key, value);
    if (fault != NULL)
        return refuse(fault, ret_reason);
    walk reader = {.way = WALK_READ,
        .from = (const unsigned char *)value.data + TP_ROW_HEADER_BYTES,
        .left = value.size - TP_ROW_HEADER_BYTES};
    tp_row row;
    memset(&row, 0, sizeof row); /* all of the union */
    row.kind = kind;
    walk_row(&reader, &row);
    if (reader.failed)
        return refuse("a field reaches beyond its end", ret_reason);
    if (reader.left > 0)
        return refuse("there is more behind its last field", ret_reason);
    if (!is_sound(&row))
        return refuse("a field has a value that it cannot have", ret_reason);
    *ret_row = row;
    return TROUPE_OK;
}

void tp_row_number_key(tp_row_number number, void *out)
{
    tp_number_put_ordered(out, number.version, 8);
    tp_number_put_ordered((unsigned char *)out + 8, number.index, 4);
}

troupe_status tp_row_number_of(troupe_slice key, tp_row_number *ret_number)
{
    if (key.size != TP_ROW_NUMBER_BYTES)
        return TROUPE_CORRUPT;
    ret_number->version = tp_number_get_ordered(key.data, 8);
    ret_number->index = (uint32_t)tp_number_get_ordered((const unsigned char *)key.data + 8, 4);
    return TROUPE_OK;
}

int tp_row_number_compare(tp_row_number left, tp_row_number right)
{
    if (left.version != right.version)
        return left.version < right.version ? -1 : 1;
    return left.index < right.index ? -1 : left.index > right.index;
}

size_t tp_row_sender_key(troupe_id sender, char *out)
{
    struct tp_id_text text;
    size_t size =
        tp_id_print(text.data, sizeof text.data, sender.type, sender.partition, sender.key);
    TP_ASSERT(size < sizeof text.data);
    if (size <= TP_ROW_KEY_MAX) {
        memcpy(out, text.data, size);
        return size;
    }
    enum { DIGITS = 32, FRONT = 1 + DIGITS };
    XXH128_hash_t hash = XXH3_128bits(text.data, size);
    out[0] = '#';
    for (unsigned i = 0; i < DIGITS; i++) {
        uint64_t half = i < 16 ? hash.high64 : hash.low64;
        out[1 + i] = "0123456789abcdef"[half >> (60 - 4 * (i % 16)) & 15];
    }
    memcpy(out + FRONT, text.data, TP_ROW_KEY_MAX - FRONT);
    return TP_ROW_KEY_MAX;
}
