/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values: their defaults, equality and copies, and how single elements are set by the decoders of
 * both forms, with their range checks. Owned parts are owned.c's.
 *
 * Invariants: an element that is set was zero before. Threads: pure.
 */
#include "schema/schema.h"

#include "base/alloc.h"

/* ---- elements ------------------------------------------------------------------------------ */

tp_integer tp_element_integer(const troupe_field *field, const void *element)
{
    if (!tp_kind_is_signed(field->kind))
        return (tp_integer){false, tp_load_unsigned(element, field->size)};
    int64_t value = tp_load_signed(element, field->size);
    return (tp_integer){value < 0, (uint64_t)value};
}

static troupe_status integer_misfit(const tp_walk *walk, const tp_place *place, tp_integer value,
    troupe_status status, const char *low, const char *high)
{
    if (value.is_negative)
        return tp_schema_fail(
            walk, place, status, "%lld does not fit: %s to %s", (long long)value.bits, low, high);
    return tp_schema_fail(walk, place, status, "%llu does not fit: %s to %s",
        (unsigned long long)value.bits, low, high);
}

troupe_status tp_element_set_integer(const tp_walk *walk, const tp_place *place, void *element,
    tp_integer value, troupe_status status)
{
    static const char *const lows[] = {
        "-128", "-32768", "-2147483648", "-9223372036854775808", "0", "0", "0", "0"};
    static const char *const highs[] = {"127", "32767", "2147483647", "9223372036854775807", "255",
        "65535", "4294967295", "18446744073709551615"};
    const troupe_field *field = place->field;
    unsigned bits = 8 * field->size;
    if (tp_kind_is_integer(field->kind)) {
        bool fits;
        if (tp_kind_is_signed(field->kind)) {
            uint64_t top = UINT64_C(1) << (bits - 1);
            fits = value.is_negative ? (int64_t)value.bits >= -(int64_t)(top - 1) - 1
                                     : value.bits < top;
        } else {
            fits = !value.is_negative && (bits == 64 || value.bits >> bits == 0);
        }
        unsigned row = (unsigned)field->kind - TROUPE_FIELD_KIND_I8;
        if (!fits)
            return integer_misfit(walk, place, value, status, lows[row], highs[row]);
    } else if (field->kind == TROUPE_FIELD_KIND_BOOL) {
        if (value.is_negative || value.bits > 1)
            return tp_schema_fail(walk, place, status, "is neither true nor false");
    } else if (value.is_negative || value.bits >= field->name_count ||
               field->names[value.bits] == NULL) {
        return tp_schema_fail(walk, place, status, "%s%llu is none of its names",
            value.is_negative ? "-" : "",
            (unsigned long long)(value.is_negative ? 0 - value.bits : value.bits));
    }
    tp_store_unsigned(element, field->size, value.bits);
    return TROUPE_OK;
}

troupe_slice tp_element_bytes(const troupe_field *field, const void *value, const void *element)
{
    switch (field->kind) {
    case TROUPE_FIELD_KIND_STRING:
        return troupe_slice_of(element, strnlen(element, field->size));
    case TROUPE_FIELD_KIND_TEXT: {
        const char *text;
        memcpy(&text, element, sizeof text);
        return troupe_str(text);
    }
    case TROUPE_FIELD_KIND_BLOCK: {
        size_t count = tp_field_count(field, value);
        return troupe_slice_of(element, count <= field->length ? count : field->length);
    }
    default: {
        troupe_bytes bytes;
        memcpy(&bytes, element, sizeof bytes);
        return troupe_slice_of(bytes.data, bytes.data != NULL ? bytes.size : 0);
    }
    }
}

troupe_status tp_element_set_bytes(const tp_walk *walk, const tp_place *place, void *value,
    void *element, troupe_slice bytes, troupe_status status)
{
    const troupe_field *field = place->field;
    bool is_text = field->kind == TROUPE_FIELD_KIND_STRING || field->kind == TROUPE_FIELD_KIND_TEXT;
    if (is_text && bytes.size != 0 && memchr(bytes.data, 0, bytes.size) != NULL)
        return tp_schema_fail(walk, place, status, "a string may not hold a NUL");
    troupe_status owned = TROUPE_OK;
    switch (field->kind) {
    case TROUPE_FIELD_KIND_STRING:
        if (bytes.size >= field->size)
            return tp_schema_fail(walk, place, status, "%zu bytes do not fit: there is room for %u",
                bytes.size, field->size - 1);
        if (bytes.size != 0)
            memcpy(element, bytes.data, bytes.size);
        return TROUPE_OK;
    case TROUPE_FIELD_KIND_BLOCK:
        if (bytes.size > field->length || !tp_field_set_count(field, value, bytes.size))
            return tp_schema_fail(walk, place, status, "%zu bytes do not fit: there is room for %u",
                bytes.size, field->length);
        if (bytes.size != 0)
            memcpy(element, bytes.data, bytes.size);
        return TROUPE_OK;
    case TROUPE_FIELD_KIND_TEXT: {
        char *text = NULL;
        owned = troupe_text_set(&text, bytes, walk->allocator);
        memcpy(element, &text, sizeof text);
        break;
    }
    default: {
        troupe_bytes held = {NULL, 0};
        owned = troupe_bytes_set(&held, bytes, walk->allocator);
        memcpy(element, &held, sizeof held);
        break;
    }
    }
    return owned == TROUPE_OK
               ? TROUPE_OK
               : tp_schema_fail(walk, place, owned, "no memory for its %zu bytes", bytes.size);
}

troupe_status tp_field_make_room(const tp_walk *walk, const tp_place *place, void *value,
    size_t count, troupe_status status, tp_span *ret_span)
{
    const troupe_field *field = place->field;
    if (count > field->length)
        return tp_schema_fail(walk, place, status, "%zu elements do not fit: there is room for %u",
            count, field->length);
    char *data = (char *)value + field->offset;
    if (field->shape == TROUPE_FIELD_OWNED_ARRAY) {
        char *array = NULL;
        if (field->count_size < 8 && (uint64_t)count >> (8 * field->count_size) != 0)
            return tp_schema_fail(
                walk, place, status, "%zu elements do not fit the member that counts them", count);
        if (troupe_array_resize(&array, field->size, 0, count, walk->allocator) != TROUPE_OK)
            return tp_schema_fail(
                walk, place, TROUPE_NO_MEMORY, "no memory for its %zu elements", count);
        memcpy(data, &array, sizeof array);
        data = array;
    }
    if (field->count_size != 0 && !tp_field_set_count(field, value, count))
        return tp_schema_fail(
            walk, place, status, "%zu elements do not fit the member that counts them", count);
    *ret_span = (tp_span){data, count};
    return TROUPE_OK;
}

/* ---- defaults ------------------------------------------------------------------------------ */

static troupe_status record_defaults(
    const tp_walk *walk, const tp_place *up, const troupe_schema *schema, char *value)
{
    for (size_t i = 0; i < schema->field_count; i++)
        TROUPE_TRY(tp_field_default(walk, up, tp_schema_field(schema, i), value));
    return TROUPE_OK;
}

troupe_status tp_element_default(const tp_walk *walk, const tp_place *place, void *element)
{
    const troupe_field *field = place->field;
    if (field->kind == TROUPE_FIELD_KIND_TEXT) /* never NULL */
        return tp_element_set_bytes(
            walk, place, NULL, element, troupe_slice_of(NULL, 0), TROUPE_USAGE);
    if (field->kind != TROUPE_FIELD_KIND_STRUCT)
        return TROUPE_OK;
    if (place->depth > TP_SCHEMA_DEPTH)
        return tp_schema_fail(walk, place, TROUPE_USAGE, "is nested too deep");
    return record_defaults(walk, place, field->schema, element);
}

troupe_status tp_field_default(
    const tp_walk *walk, const tp_place *up, const troupe_field *field, void *value)
{
    /* Most fields have nothing to do: their default is zero. */
    if (field->otherwise == NULL && field->kind != TROUPE_FIELD_KIND_TEXT &&
        field->kind != TROUPE_FIELD_KIND_STRUCT)
        return TROUPE_OK;
    tp_place place = tp_place_in(up, field);
    tp_span span = tp_field_span(field, value);
    if (field->otherwise != NULL)
        return tp_element_parse_text(walk, &place, value, span.data, field->otherwise);
    for (size_t i = 0; i < span.count; i++)
        TROUPE_TRY(tp_element_default(walk, &place, span.data + i * field->size));
    return TROUPE_OK;
}

troupe_status troupe_schema_init(
    const troupe_schema *schema, void *ret_value, const troupe_allocator *allocator)
{
    tp_walk walk = {schema, tp_schema_allocator(allocator), NULL, 0, false};
    memset(ret_value, 0, schema->size);
    troupe_status status = record_defaults(&walk, NULL, schema, ret_value);
    if (status != TROUPE_OK) {
        troupe_schema_free(schema, ret_value, allocator);
        memset(ret_value, 0, schema->size);
    }
    return status;
}

troupe_status tp_schema_validate(
    const tp_walk *walk, const tp_place *place, const troupe_schema *schema, const void *value)
{
    if (schema->validate == NULL)
        return TROUPE_OK;
    char words[256] = "";
    troupe_status status = schema->validate(value, words, sizeof words);
    if (status == TROUPE_OK)
        return TROUPE_OK;
    words[sizeof words - 1] = 0;
    return tp_schema_fail(walk, place, status, "%s", words[0] != 0 ? words : "is not valid");
}

/* ---- equality ------------------------------------------------------------------------------ */

static bool elements_equal(const troupe_field *field, const char *left_value, const char *left,
    const char *right_value, const char *right)
{
    if (field->kind == TROUPE_FIELD_KIND_STRUCT)
        return troupe_schema_equal(field->schema, left, right);
    if (tp_field_wire(field) == TP_WIRE_BYTES)
        return troupe_slice_equal(
            tp_element_bytes(field, left_value, left), tp_element_bytes(field, right_value, right));
    return memcmp(left, right, field->size) == 0;
}

bool troupe_schema_equal(const troupe_schema *schema, const void *left, const void *right)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        if (!tp_field_is_live(field))
            continue;
        bool is_absent = tp_field_is_absent(field, left);
        if (is_absent != tp_field_is_absent(field, right))
            return false;
        if (is_absent)
            continue;
        tp_span a = tp_field_span(field, left), b = tp_field_span(field, right);
        if (a.count != b.count)
            return false;
        for (size_t k = 0; k < a.count; k++)
            if (!elements_equal(
                    field, left, a.data + k * field->size, right, b.data + k * field->size))
                return false;
    }
    return true;
}

/* ---- copies -------------------------------------------------------------------------------- */

static troupe_status copy_record(const tp_walk *walk, const tp_place *up,
    const troupe_schema *schema, const char *from, char *to);

static troupe_status copy_element(const tp_walk *walk, const tp_place *place,
    const char *from_value, const char *from, char *to_value, char *to)
{
    const troupe_field *field = place->field;
    if (field->kind == TROUPE_FIELD_KIND_STRUCT)
        return copy_record(walk, place, field->schema, from, to);
    if (tp_field_wire(field) == TP_WIRE_BYTES)
        return tp_element_set_bytes(
            walk, place, to_value, to, tp_element_bytes(field, from_value, from), TROUPE_USAGE);
    memcpy(to, from, field->size);
    return TROUPE_OK;
}

static troupe_status copy_record(const tp_walk *walk, const tp_place *up,
    const troupe_schema *schema, const char *from, char *to)
{
    if (up != NULL && up->depth > TP_SCHEMA_DEPTH)
        return TROUPE_USAGE;
    for (size_t i = 0; i < schema->field_count; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        tp_place place = tp_place_in(up, field);
        if (field->present != 0)
            *tp_field_presence(field, to) = *tp_field_presence(field, from);
        tp_span source = tp_field_span(field, from), target = {to + field->offset, source.count};
        if (field->shape == TROUPE_FIELD_COUNTED || field->shape == TROUPE_FIELD_OWNED_ARRAY)
            TROUPE_TRY(tp_field_make_room(walk, &place, to, source.count, TROUPE_USAGE, &target));
        for (size_t k = 0; k < source.count; k++)
            TROUPE_TRY(copy_element(walk, &place, from, source.data + k * field->size, to,
                target.data + k * field->size));
    }
    return TROUPE_OK;
}

troupe_status troupe_schema_copy(const troupe_schema *schema, const void *value, void *ret_copy,
    const troupe_allocator *allocator)
{
    tp_walk walk = {schema, tp_schema_allocator(allocator), NULL, 0, false};
    memset(ret_copy, 0, schema->size);
    troupe_status status = copy_record(&walk, NULL, schema, value, ret_copy);
    if (status != TROUPE_OK) {
        troupe_schema_free(schema, ret_copy, allocator);
        memset(ret_copy, 0, schema->size);
    }
    return status;
}
