/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values from their binary form, which pack.c describes. The bytes may be anything: from an older
 * or newer program, or garbage. The checksum that finds flipped bits is the store's, not ours.
 *
 * A field is looked for by key, first where the table goes on, so that the usual case is no search;
 * then by former names. Unknown ones are skipped. Integers of any width and sign are read into any
 * that can hold the value, and into floats.
 *
 * Invariants: 1. Nothing outside of the input is read. 2. Memory asked for is bounded by the
 * input's length times the size of an element, as each element takes a byte at least. 3. No field
 * comes twice. Threads: pure.
 */
#include "schema/schema.h"

#include <endian.h>

typedef struct input {
    const uint8_t *begin; /* of the whole, for offsets in words */
    const uint8_t *at;
    const uint8_t *end;
} input;

static troupe_status corrupt(
    const tp_walk *walk, const tp_place *place, const input *in, const char *words)
{
    return tp_schema_fail(walk, place, TROUPE_CORRUPT, "%s at byte %zu of %zu", words,
        (size_t)(in->at - in->begin), (size_t)(in->end - in->begin));
}

static inline bool take_varint(input *in, uint64_t *ret_value)
{
    if (in->at < in->end && *in->at < 0x80) {
        *ret_value = *in->at++;
        return true;
    }
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        if (shift == 63 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* A length and the bytes that it announces. */
static inline bool take_part(input *in, input *ret_part)
{
    uint64_t size;
    if (!take_varint(in, &size) || size > (size_t)(in->end - in->at))
        return false;
    *ret_part = (input){in->begin, in->at, in->at + size};
    in->at += size;
    return true;
}

static bool take_fixed(input *in, void *out, size_t size)
{
    if ((size_t)(in->end - in->at) < size)
        return false;
    memcpy(out, in->at, size);
    in->at += size;
    return true;
}

static bool skip(input *in, uint32_t wire)
{
    uint64_t value;
    input part;
    switch (wire) {
    case TP_WIRE_UNSIGNED:
    case TP_WIRE_SIGNED:
        return take_varint(in, &value);
    case TP_WIRE_F32:
        return take_fixed(in, &value, 4);
    case TP_WIRE_F64:
        return take_fixed(in, &value, 8);
    case TP_WIRE_BYTES:
    case TP_WIRE_STRUCT:
    case TP_WIRE_LIST:
        return take_part(in, &part);
    default:
        return false;
    }
}

static troupe_status unpack_record(const tp_walk *walk, const tp_place *up,
    const troupe_schema *schema, uint32_t version, input *in, char *value);

/* ---- elements ------------------------------------------------------------------------------ */

static troupe_status set_float(
    const tp_walk *walk, const tp_place *place, double number, char *element)
{
    if (place->field->kind == TROUPE_FIELD_KIND_F64) {
        memcpy(element, &number, 8);
        return TROUPE_OK;
    }
    double size = number < 0 ? -number : number;
    if (size > 3.4028234663852886e38 && size <= 1.7976931348623157e308)
        return tp_schema_fail(
            walk, place, TROUPE_CORRUPT, "%g does not fit a 32-bit float", number);
    float narrow = (float)number;
    memcpy(element, &narrow, 4);
    return TROUPE_OK;
}

static troupe_status misfit(const tp_walk *walk, const tp_place *place, uint32_t wire)
{
    static const char *const words[] = {"an integer", "an integer", "a float", "a float",
        "a string or bytes", "a struct", "an array"};
    return tp_schema_fail(walk, place, TROUPE_CORRUPT,
        "expected %s, and %s was stored: what changes its kind needs a new name",
        place->field->shape == TROUPE_FIELD_ONE || place->index != SIZE_MAX
            ? tp_field_kind_words(place->field)
            : "an array",
        words[wire < TP_WIRE_COUNT ? wire : 0]);
}

static troupe_status unpack_number(
    const tp_walk *walk, const tp_place *place, uint32_t wire, input *in, char *element)
{
    uint8_t kind = place->field->kind;
    bool is_float = kind == TROUPE_FIELD_KIND_F32 || kind == TROUPE_FIELD_KIND_F64;
    if (wire == TP_WIRE_UNSIGNED || wire == TP_WIRE_SIGNED) {
        tp_integer integer = {false, 0};
        if (!take_varint(in, &integer.bits))
            return corrupt(walk, place, in, "a broken integer");
        if (wire == TP_WIRE_SIGNED) {
            integer.bits = integer.bits >> 1 ^ (0 - (integer.bits & 1));
            integer.is_negative = (int64_t)integer.bits < 0;
        }
        if (is_float)
            return set_float(walk, place,
                integer.is_negative ? (double)(int64_t)integer.bits : (double)integer.bits,
                element);
        return tp_element_set_integer(walk, place, element, integer, TROUPE_CORRUPT);
    }
    if (!is_float)
        return misfit(walk, place, wire);
    if (wire == TP_WIRE_F32) {
        uint32_t bits;
        float narrow;
        if (!take_fixed(in, &bits, 4))
            return corrupt(walk, place, in, "a float is cut off");
        bits = le32toh(bits);
        memcpy(&narrow, &bits, 4);
        if (kind == TROUPE_FIELD_KIND_F64)
            return set_float(walk, place, (double)narrow, element);
        memcpy(element, &bits, 4); /* also what is not a number, bit for bit */
        return TROUPE_OK;
    }
    uint64_t bits;
    double number;
    if (!take_fixed(in, &bits, 8))
        return corrupt(walk, place, in, "a float is cut off");
    bits = le64toh(bits);
    memcpy(&number, &bits, 8);
    return set_float(walk, place, number, element);
}

/* `version`: of the structs of a list; 0: the struct has one of its own. */
static troupe_status unpack_struct(
    const tp_walk *walk, const tp_place *place, uint32_t version, input *in, char *element)
{
    input part;
    if (place->depth > TP_SCHEMA_DEPTH)
        return tp_schema_fail(walk, place, TROUPE_CORRUPT, "is nested too deep");
    if (!take_part(in, &part))
        return corrupt(walk, place, in, "a struct is cut off");
    uint64_t own = version;
    if (version == 0 && (!take_varint(&part, &own) || own == 0 || own > UINT32_MAX))
        return corrupt(walk, place, &part, "a broken version");
    return unpack_record(walk, place, place->field->schema, (uint32_t)own, &part, element);
}

static troupe_status unpack_element(const tp_walk *walk, const tp_place *place, uint32_t wire,
    uint32_t version, input *in, char *value, char *element)
{
    tp_wire own = tp_field_wire(place->field);
    if (own == TP_WIRE_BYTES && wire == TP_WIRE_BYTES) {
        input part;
        if (!take_part(in, &part))
            return corrupt(walk, place, in, "a string or bytes are cut off");
        return tp_element_set_bytes(walk, place, value, element,
            troupe_slice_of(part.at, (size_t)(part.end - part.at)), TROUPE_CORRUPT);
    }
    if (own == TP_WIRE_STRUCT && wire == TP_WIRE_STRUCT)
        return unpack_struct(walk, place, version, in, element);
    if (own >= TP_WIRE_BYTES || wire >= TP_WIRE_BYTES)
        return misfit(walk, place, wire);
    return unpack_number(walk, place, wire, in, element);
}

static troupe_status unpack_list(
    const tp_walk *walk, tp_place *place, uint32_t wire, input *in, char *value)
{
    const troupe_field *field = place->field;
    input part;
    uint64_t inner = 0, version = 0, count = 0;
    if (wire != TP_WIRE_LIST)
        return misfit(walk, place, wire);
    if (!take_part(in, &part))
        return corrupt(walk, place, in, "an array is cut off");
    if (!take_varint(&part, &inner) || inner >= TP_WIRE_LIST)
        return corrupt(walk, place, &part, "an array of nothing known");
    if (inner == TP_WIRE_STRUCT &&
        (!take_varint(&part, &version) || version == 0 || version > UINT32_MAX))
        return corrupt(walk, place, &part, "a broken version");
    if (!take_varint(&part, &count) || count > (size_t)(part.end - part.at))
        return corrupt(walk, place, &part, "an array is shorter than its count says");
    tp_span span;
    TROUPE_TRY(tp_field_make_room(walk, place, value, count, TROUPE_CORRUPT, &span));
    for (size_t i = 0; i < count; i++) {
        place->index = i;
        TROUPE_TRY(unpack_element(walk, place, (uint32_t)inner, (uint32_t)version, &part, value,
            span.data + i * field->size));
    }
    if (part.at != part.end)
        return corrupt(walk, place, &part, "an array is longer than its count says");
    for (size_t i = count; field->shape == TROUPE_FIELD_FIXED && i < field->length; i++) {
        place->index = i;
        TROUPE_TRY(tp_element_default(walk, place, span.data + i * field->size));
    }
    return TROUPE_OK;
}

/* ---- records ------------------------------------------------------------------------------- */

static bool was_key(const troupe_field *field, uint32_t key)
{
    const char *at = field->was;
    while (at != NULL && *at != 0) {
        size_t size = strcspn(at, " ");
        if (size != 0 && tp_name_key(at, size) == key)
            return true;
        at += size + (at[size] == ' ');
    }
    return false;
}

/* The index of the field with this key, `count` if there is none. */
static size_t find_field(const troupe_schema *schema, uint32_t key, size_t expected)
{
    size_t count = schema->field_count;
    for (size_t i = expected; i < count; i++)
        if (tp_field_key(tp_schema_field(schema, i)) == key)
            return i;
    for (size_t i = 0; i < expected && i < count; i++)
        if (tp_field_key(tp_schema_field(schema, i)) == key)
            return i;
    for (size_t i = 0; i < count; i++)
        if (was_key(tp_schema_field(schema, i), key))
            return i;
    return count;
}

static troupe_status unpack_field(
    const tp_walk *walk, tp_place *place, uint32_t wire, input *in, char *value)
{
    const troupe_field *field = place->field;
    if (field->present != 0)
        *tp_field_presence(field, value) = true;
    if (field->shape != TROUPE_FIELD_ONE)
        return unpack_list(walk, place, wire, in, value);
    return unpack_element(walk, place, wire, 0, in, value, value + field->offset);
}

static troupe_status fill_missing(const tp_walk *walk, const tp_place *up,
    const troupe_schema *schema, uint32_t version, const uint64_t *seen, char *value)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        if (seen[i / 64] >> (i % 64) & 1)
            continue;
        const troupe_field *field = tp_schema_field(schema, i);
        if (field->required && version >= field->since) {
            tp_place place = tp_place_in(up, field);
            return tp_schema_fail(walk, &place, TROUPE_CORRUPT, "is missing, and required");
        }
        TROUPE_TRY(tp_field_default(walk, up, field, value));
    }
    return TROUPE_OK;
}

static troupe_status unpack_record(const tp_walk *walk, const tp_place *up,
    const troupe_schema *schema, uint32_t version, input *in, char *value)
{
    uint64_t seen[TP_SCHEMA_FIELDS_MAX / 64] = {0};
    size_t expected = 0;
    while (in->at < in->end) {
        uint64_t key;
        if (!take_varint(in, &key) || key >> 3 > UINT32_MAX || key >> 3 == 0)
            return corrupt(walk, up, in, "a broken key of a field");
        uint32_t wire = (uint32_t)key & 7;
        size_t index = find_field(schema, (uint32_t)(key >> 3), expected);
        const troupe_field *field =
            index < schema->field_count ? tp_schema_field(schema, index) : NULL;
        /* What was stored under this name before the field came is another thing. */
        if (field == NULL || version < field->since ||
            (field->until != 0 && version > field->until)) {
            if (!skip(in, wire))
                return corrupt(walk, up, in, "an unknown field is cut off");
            continue;
        }
        tp_place place = tp_place_in(up, field);
        if (seen[index / 64] >> (index % 64) & 1)
            return corrupt(walk, &place, in, "comes twice");
        seen[index / 64] |= UINT64_C(1) << (index % 64);
        TROUPE_TRY(unpack_field(walk, &place, wire, in, value));
        expected = index + 1;
    }
    TROUPE_TRY(fill_missing(walk, up, schema, version, seen, value));
    if (schema->upcast != NULL && version < troupe_schema_version(schema)) {
        troupe_status status = schema->upcast(value, version, walk->allocator);
        if (status != TROUPE_OK)
            return tp_schema_fail(walk, up, status, "the upcast from version %u failed: %s",
                version, troupe_status_text(status));
    }
    return tp_schema_validate(walk, up, schema, value);
}

static troupe_status unpack(const tp_walk *walk, troupe_slice packed, void *value)
{
    const troupe_schema *schema = walk->root;
    const uint8_t *begin = packed.data;
    input in = {begin, begin, begin + packed.size};
    uint64_t version;
    if (schema->field_count > TP_SCHEMA_FIELDS_MAX)
        return tp_schema_fail(walk, NULL, TROUPE_USAGE, "has too many fields");
    if (packed.size == 0)
        return tp_schema_fail(walk, NULL, TROUPE_CORRUPT, "there are no bytes");
    if (*in.at != TP_SCHEMA_FORMAT)
        return tp_schema_fail(walk, NULL, TROUPE_CORRUPT,
            "begins with %u, and the format known here is %d", *in.at, TP_SCHEMA_FORMAT);
    /* What is cut anywhere has no end mark, or its last field has lost its last byte to it. */
    if (packed.size < 2 || in.end[-1] != 0)
        return tp_schema_fail(walk, NULL, TROUPE_CORRUPT,
            "is cut off: its end mark is missing at byte %zu", packed.size);
    in.at++;
    in.end--;
    if (!take_varint(&in, &version) || version == 0 || version > UINT32_MAX)
        return corrupt(walk, NULL, &in, "a broken version");
    uint32_t own = troupe_schema_version(schema);
    if (walk->is_state && version > own && !schema->accept_newer)
        return tp_schema_fail(walk, NULL, TROUPE_UNAVAILABLE,
            "it was saved by a program that knows version %u, and this one knows %u: run the newer "
            "program here, or set accept_newer",
            (uint32_t)version, own);
    return unpack_record(walk, NULL, schema, (uint32_t)version, &in, value);
}

static troupe_status decode(const tp_walk *walk, troupe_slice packed, void *ret_value)
{
    memset(ret_value, 0, walk->root->size);
    troupe_status status = unpack(walk, packed, ret_value);
    if (status != TROUPE_OK) {
        troupe_schema_free(walk->root, ret_value, walk->allocator);
        memset(ret_value, 0, walk->root->size);
    }
    return status;
}

troupe_status troupe_schema_decode(const troupe_schema *schema, troupe_slice packed,
    void *ret_value, const troupe_allocator *allocator, char *error, size_t error_size)
{
    tp_walk walk = {schema, tp_schema_allocator(allocator), error, error_size, false};
    return decode(&walk, packed, ret_value);
}

troupe_status tp_schema_load(const troupe_schema *schema, troupe_slice saved, void *ret_state,
    const troupe_allocator *allocator, char *error, size_t error_size)
{
    tp_walk walk = {schema, tp_schema_allocator(allocator), error, error_size, true};
    return decode(&walk, saved, ret_state);
}
