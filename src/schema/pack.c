/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values to their binary form. The reader is unpack.c; the form is described here.
 *
 *     value   = 1, record, 0                  1: TP_SCHEMA_FORMAT; 0: the end, which no cut has
 *     record  = version, { key, content }     version: varint; the end is where the bytes end
 *     key     = varint of number << 3 | wire  see tp_field_key and tp_wire
 *     struct  = length, record
 *     list    = length, wire, [version,] count, { content }
 *               structs in a list have length and fields, and no version of their own
 *     bytes   = length, bytes
 *
 * A varint has seven bits in a byte, the lowest first, and the top bit set in all but the last
 * (LEB128); signed integers are folded first, 0 -1 1 -2 to 0 1 2 3 (zigzag). Both as in Protocol
 * Buffers, whose form does not suffice: it does not tell strings from structs.
 *
 * Invariants: 1. Fields come in the order of the table, absent ones not at all, others always, also
 * those that are zero: a default may change later. 2. Equal values have equal bytes.
 * Threads: pure.
 */
#include "schema/schema.h"

#include <endian.h>

#define VARINT_MAX 10
/* Key, length or number. */
#define SCALAR_MAX (5 + VARINT_MAX)

static inline char *put_varint(char *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (char)(value | 0x80);
        value >>= 7;
    }
    *out++ = (char)value;
    return out;
}

static inline uint64_t zigzag(uint64_t value)
{
    return value << 1 ^ (0 - (value >> 63));
}

/* The caller has reserved SCALAR_MAX. */
static inline void add_varint(troupe_buffer *buffer, uint64_t value)
{
    buffer->size = (size_t)(put_varint(buffer->data + buffer->size, value) - buffer->data);
}

static troupe_status no_room(const tp_walk *walk, const tp_place *place, troupe_status status)
{
    return tp_schema_fail(walk, place, status,
        status == TROUPE_TOO_LARGE ? "does not fit the buffer" : "no memory to write it");
}

/* What stands from `begin` on gets its length before it. */
static troupe_status close_length(
    const tp_walk *walk, const tp_place *place, troupe_buffer *buffer, size_t begin)
{
    char length[VARINT_MAX];
    size_t size = buffer->size - begin - 1; /* one byte was left free for it */
    size_t extra = (size_t)(put_varint(length, size) - length) - 1;
    if (extra != 0) {
        troupe_status status = tp_buffer_reserve(buffer, extra);
        if (status != TROUPE_OK)
            return no_room(walk, place, status);
        memmove(buffer->data + begin + 1 + extra, buffer->data + begin + 1, size);
        buffer->size += extra;
    }
    memcpy(buffer->data + begin, length, extra + 1);
    return TROUPE_OK;
}

static troupe_status pack_fields(const tp_walk *walk, const tp_place *up,
    const troupe_schema *schema, const char *value, troupe_buffer *buffer);

static troupe_status pack_bytes(const tp_walk *walk, const tp_place *place, const char *value,
    const char *element, troupe_buffer *buffer)
{
    const troupe_field *field = place->field;
    troupe_slice bytes = tp_element_bytes(field, value, element);
    if (field->kind == TROUPE_FIELD_KIND_STRING && bytes.size == field->size)
        return tp_schema_fail(walk, place, TROUPE_USAGE, "the string has no end");
    troupe_status status = tp_buffer_reserve(buffer, VARINT_MAX + bytes.size);
    if (status != TROUPE_OK)
        return no_room(walk, place, status);
    add_varint(buffer, bytes.size);
    if (bytes.size != 0)
        memcpy(buffer->data + buffer->size, bytes.data, bytes.size);
    buffer->size += bytes.size;
    return TROUPE_OK;
}

/* Structs of a list have no version of their own. */
static troupe_status pack_struct(const tp_walk *walk, const tp_place *place, const char *element,
    bool has_version, troupe_buffer *buffer)
{
    size_t begin = buffer->size++;
    if (place->depth > TP_SCHEMA_DEPTH)
        return tp_schema_fail(walk, place, TROUPE_USAGE, "is nested too deep");
    if (has_version)
        add_varint(buffer, troupe_schema_version(place->field->schema));
    TROUPE_TRY(pack_fields(walk, place, place->field->schema, element, buffer));
    return close_length(walk, place, buffer, begin);
}

/* SCALAR_MAX is reserved when this is called. */
static inline troupe_status pack_element(const tp_walk *walk, const tp_place *place, tp_wire wire,
    const char *value, const char *element, bool has_version, troupe_buffer *buffer)
{
    switch (wire) {
    case TP_WIRE_UNSIGNED: {
        uint64_t bits = tp_load_unsigned(element, place->field->size);
        if (place->field->kind == TROUPE_FIELD_KIND_ENUM &&
            (bits >= place->field->name_count || place->field->names[bits] == NULL))
            return tp_schema_fail(
                walk, place, TROUPE_USAGE, "%llu is none of its names", (unsigned long long)bits);
        add_varint(buffer, bits);
        return TROUPE_OK;
    }
    case TP_WIRE_SIGNED:
        add_varint(buffer, zigzag((uint64_t)tp_load_signed(element, place->field->size)));
        return TROUPE_OK;
    case TP_WIRE_F32: {
        uint32_t bits = htole32((uint32_t)tp_load_unsigned(element, 4));
        memcpy(buffer->data + buffer->size, &bits, 4);
        buffer->size += 4;
        return TROUPE_OK;
    }
    case TP_WIRE_F64: {
        uint64_t bits = htole64(tp_load_unsigned(element, 8));
        memcpy(buffer->data + buffer->size, &bits, 8);
        buffer->size += 8;
        return TROUPE_OK;
    }
    case TP_WIRE_BYTES:
        return pack_bytes(walk, place, value, element, buffer);
    default:
        return pack_struct(walk, place, element, has_version, buffer);
    }
}

static troupe_status pack_list(
    const tp_walk *walk, tp_place *place, const char *value, troupe_buffer *buffer)
{
    const troupe_field *field = place->field;
    tp_span span;
    TROUPE_TRY(tp_field_span_checked(walk, place, value, &span));
    tp_wire wire = tp_field_wire(field);
    size_t begin = buffer->size++;
    add_varint(buffer, wire);
    troupe_status status = tp_buffer_reserve(buffer, 2 * SCALAR_MAX);
    if (status != TROUPE_OK)
        return no_room(walk, place, status);
    if (wire == TP_WIRE_STRUCT)
        add_varint(buffer, troupe_schema_version(field->schema));
    add_varint(buffer, span.count);
    for (size_t i = 0; i < span.count; i++) {
        place->index = i;
        status = tp_buffer_reserve(buffer, SCALAR_MAX);
        if (status != TROUPE_OK)
            return no_room(walk, place, status);
        TROUPE_TRY(
            pack_element(walk, place, wire, value, span.data + i * field->size, false, buffer));
    }
    place->index = SIZE_MAX;
    return close_length(walk, place, buffer, begin);
}

static troupe_status pack_fields(const tp_walk *walk, const tp_place *up,
    const troupe_schema *schema, const char *value, troupe_buffer *buffer)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        if (!tp_field_is_live(field) || tp_field_is_absent(field, value))
            continue;
        tp_place place = tp_place_in(up, field);
        troupe_status status = tp_buffer_reserve(buffer, 2 * SCALAR_MAX);
        if (status != TROUPE_OK)
            return no_room(walk, &place, status);
        bool is_list = field->shape != TROUPE_FIELD_ONE;
        tp_wire wire = is_list ? TP_WIRE_LIST : tp_field_wire(field);
        add_varint(buffer, (uint64_t)tp_field_key(field) << 3 | wire);
        if (is_list) {
            TROUPE_TRY(pack_list(walk, &place, value, buffer));
            continue;
        }
        if (field->kind == TROUPE_FIELD_KIND_BLOCK) { /* its count is looked at */
            tp_span span;
            TROUPE_TRY(tp_field_span_checked(walk, &place, value, &span));
        }
        TROUPE_TRY(pack_element(walk, &place, wire, value, value + field->offset, true, buffer));
    }
    return TROUPE_OK;
}

troupe_status troupe_schema_encode(const troupe_schema *schema, const void *value,
    troupe_buffer *buffer, char *error, size_t error_size)
{
    tp_walk walk = {schema, NULL, error, error_size, false};
    size_t before = buffer->size;
    troupe_status status = tp_buffer_reserve(buffer, SCALAR_MAX);
    if (status != TROUPE_OK)
        return no_room(&walk, NULL, status);
    buffer->data[buffer->size++] = TP_SCHEMA_FORMAT;
    add_varint(buffer, troupe_schema_version(schema));
    status = pack_fields(&walk, NULL, schema, value, buffer);
    if (status == TROUPE_OK && (status = tp_buffer_reserve(buffer, 1)) != TROUPE_OK)
        (void)no_room(&walk, NULL, status);
    if (status != TROUPE_OK)
        buffer->size = before;
    else
        buffer->data[buffer->size++] = 0;
    return status;
}

troupe_status tp_schema_save(const troupe_schema *schema, const void *state, troupe_buffer *buffer,
    char *error, size_t error_size)
{
    return troupe_schema_encode(schema, state, buffer, error, error_size);
}
