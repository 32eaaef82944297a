/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values from JSON, by jansson, whose own memory is malloc's and gone when a call returns; and the
 * defaults of fields, which are texts in tables. The writer is print.c.
 *
 * It is strict, as people write JSON: an unknown member, a wrong type, a number that does not fit
 * is an error that names the path. 64-bit integers may also come as strings of digits.
 *
 * Invariants: no error leaves JSON behind. Threads: pure.
 */
#include "schema/schema.h"

#include "base/alloc.h"

#include <troupe/config.h>

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

static const char *words_of(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_NULL:
        return "null";
    default:
        return json_is_true(json) ? "true" : "false";
    }
}

static troupe_status unexpected(
    const tp_walk *walk, const tp_place *place, const char *expected, const json_t *json)
{
    return tp_schema_fail(
        walk, place, TROUPE_USAGE, "expected %s, got %s", expected, words_of(json));
}

/* What has large rooms stays out of the frames of a descent. */
#define APART __attribute__((noinline))

/* ---- elements ------------------------------------------------------------------------------ */

/* A string of digits, with a sign or not. */
static bool read_digits(const char *text, tp_integer *ret_value)
{
    bool is_negative = *text == '-';
    const char *digits = text + is_negative;
    if (*digits == 0 || strspn(digits, "0123456789") != strlen(digits))
        return false;
    errno = 0;
    uint64_t size = strtoull(digits, NULL, 10);
    if (errno != 0 || (is_negative && size > (uint64_t)INT64_MAX + 1))
        return false;
    *ret_value = (tp_integer){is_negative && size != 0, is_negative ? 0 - size : size};
    return true;
}

static troupe_status parse_integer(
    const tp_walk *walk, const tp_place *place, const json_t *json, void *element)
{
    tp_integer integer;
    if (json_is_integer(json)) {
        json_int_t value = json_integer_value(json);
        integer = (tp_integer){value < 0, (uint64_t)value};
    } else if (!json_is_string(json) || place->field->size != 8) {
        return unexpected(walk, place, "an integer", json);
    } else if (!read_digits(json_string_value(json), &integer)) {
        return tp_schema_fail(
            walk, place, TROUPE_USAGE, "expected an integer, got a string that is none of 64 bits");
    }
    return tp_element_set_integer(walk, place, element, integer, TROUPE_USAGE);
}

static troupe_status parse_number(
    const tp_walk *walk, const tp_place *place, const json_t *json, void *element)
{
    double number;
    if (json_is_number(json)) {
        number = json_number_value(json);
    } else if (json_is_string(json)) {
        const char *text = json_string_value(json);
        if (strcmp(text, "NaN") == 0)
            number = (double)NAN;
        else if (strcmp(text, "Infinity") == 0)
            number = (double)INFINITY;
        else if (strcmp(text, "-Infinity") == 0)
            number = -(double)INFINITY;
        else
            return unexpected(walk, place, "a number", json);
    } else {
        return unexpected(walk, place, "a number", json);
    }
    if (place->field->kind == TROUPE_FIELD_KIND_F64) {
        memcpy(element, &number, sizeof number);
        return TROUPE_OK;
    }
    if (isfinite(number) && fabs(number) > 3.4028234663852886e38)
        return tp_schema_fail(walk, place, TROUPE_USAGE, "%g does not fit a 32-bit float", number);
    float narrow = (float)number;
    memcpy(element, &narrow, sizeof narrow);
    return TROUPE_OK;
}

static troupe_status unknown_name(const tp_walk *walk, const tp_place *place, const char *name,
    const char *what, const char *const *names, size_t count)
{
    const char *nearest = troupe_nearest_name(name, names, count);
    if (nearest != NULL)
        return tp_schema_fail(walk, place, TROUPE_USAGE, "unknown %s '%.64s'; did you mean '%s'?",
            what, name, nearest);
    return tp_schema_fail(walk, place, TROUPE_USAGE, "unknown %s '%.64s'", what, name);
}

static APART troupe_status parse_enum(
    const tp_walk *walk, const tp_place *place, const char *name, void *element)
{
    const troupe_field *field = place->field;
    const char *names[256];
    size_t count = 0;
    for (uint32_t i = 0; i < field->name_count; i++) {
        if (field->names[i] == NULL)
            continue;
        if (strcmp(field->names[i], name) == 0)
            return tp_element_set_integer(
                walk, place, element, (tp_integer){false, i}, TROUPE_USAGE);
        if (count < sizeof names / sizeof names[0])
            names[count++] = field->names[i];
    }
    return unknown_name(walk, place, name, "name", names, count);
}

static APART troupe_status parse_base64(
    const tp_walk *walk, const tp_place *place, const json_t *json, void *value, void *element)
{
    troupe_slice text = troupe_slice_of(json_string_value(json), json_string_length(json));
    size_t size = tp_base64_read(text, NULL);
    if (size == SIZE_MAX)
        return tp_schema_fail(walk, place, TROUPE_USAGE, "expected base64, got another string");
    uint8_t held[512];
    uint8_t *bytes = size <= sizeof held ? held : tp_allocate(walk->allocator, size);
    if (bytes == NULL)
        return tp_schema_fail(walk, place, TROUPE_NO_MEMORY, "no memory for its %zu bytes", size);
    (void)tp_base64_read(text, bytes);
    troupe_status status = tp_element_set_bytes(
        walk, place, value, element, troupe_slice_of(bytes, size), TROUPE_USAGE);
    if (bytes != held)
        tp_release(walk->allocator, bytes, size);
    return status;
}

static troupe_status parse_record(const tp_walk *walk, const tp_place *up,
    const troupe_schema *schema, const json_t *json, char *value);

static troupe_status parse_element(
    const tp_walk *walk, const tp_place *place, const json_t *json, void *value, void *element)
{
    const troupe_field *field = place->field;
    switch (field->kind) {
    case TROUPE_FIELD_KIND_F32:
    case TROUPE_FIELD_KIND_F64:
        return parse_number(walk, place, json, element);
    case TROUPE_FIELD_KIND_BOOL:
        if (!json_is_boolean(json))
            return unexpected(walk, place, "true or false", json);
        return tp_element_set_integer(
            walk, place, element, (tp_integer){false, json_is_true(json)}, TROUPE_USAGE);
    case TROUPE_FIELD_KIND_ENUM:
        if (!json_is_string(json))
            return unexpected(walk, place, "a name", json);
        return parse_enum(walk, place, json_string_value(json), element);
    case TROUPE_FIELD_KIND_STRING:
    case TROUPE_FIELD_KIND_TEXT:
        if (!json_is_string(json))
            return unexpected(walk, place, "a string", json);
        return tp_element_set_bytes(walk, place, value, element,
            troupe_slice_of(json_string_value(json), json_string_length(json)), TROUPE_USAGE);
    case TROUPE_FIELD_KIND_BYTES:
    case TROUPE_FIELD_KIND_BLOCK:
        if (!json_is_string(json))
            return unexpected(walk, place, "base64 in a string", json);
        return parse_base64(walk, place, json, value, element);
    case TROUPE_FIELD_KIND_STRUCT:
        return parse_record(walk, place, field->schema, json, element);
    default:
        return parse_integer(walk, place, json, element);
    }
}

static troupe_status parse_field(
    const tp_walk *walk, tp_place *place, const json_t *json, char *value)
{
    const troupe_field *field = place->field;
    if (field->present != 0) {
        if (json_is_null(json)) /* absent */
            return tp_field_default(walk, place->up, field, value);
        *tp_field_presence(field, value) = true;
    }
    if (field->shape == TROUPE_FIELD_ONE)
        return parse_element(walk, place, json, value, value + field->offset);
    if (!json_is_array(json))
        return unexpected(walk, place, "an array", json);
    size_t count = json_array_size(json);
    tp_span span;
    TROUPE_TRY(tp_field_make_room(walk, place, value, count, TROUPE_USAGE, &span));
    for (size_t i = 0; i < count; i++) {
        place->index = i;
        TROUPE_TRY(parse_element(
            walk, place, json_array_get(json, i), value, span.data + i * field->size));
    }
    for (size_t i = count; field->shape == TROUPE_FIELD_FIXED && i < field->length; i++) {
        place->index = i;
        TROUPE_TRY(tp_element_default(walk, place, span.data + i * field->size));
    }
    return TROUPE_OK;
}

/* ---- records ------------------------------------------------------------------------------- */

static size_t find_field(const troupe_schema *schema, troupe_slice name)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        if (tp_field_is_live(field) &&
            troupe_slice_equal(troupe_slice_of(field->name, field->name_size), name))
            return i;
    }
    for (size_t i = 0; i < schema->field_count; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        if (tp_field_is_live(field) && tp_field_was(field, name))
            return i;
    }
    return schema->field_count;
}

static APART troupe_status unknown_member(
    const tp_walk *walk, const tp_place *up, const troupe_schema *schema, const char *name)
{
    const char *names[TP_SCHEMA_FIELDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < schema->field_count; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        if (tp_field_is_live(field))
            names[count++] = field->name;
    }
    return unknown_name(walk, up, name, "field", names, count);
}

static troupe_status parse_record(const tp_walk *walk, const tp_place *up,
    const troupe_schema *schema, const json_t *json, char *value)
{
    uint64_t seen[TP_SCHEMA_FIELDS_MAX / 64] = {0};
    if (!json_is_object(json))
        return unexpected(walk, up, "an object", json);
    if (up != NULL && up->depth > TP_SCHEMA_DEPTH)
        return tp_schema_fail(walk, up, TROUPE_USAGE, "is nested too deep");
    json_t *object = (json_t *)(uintptr_t)json; /* jansson's iterators are not const */
    const char *name;
    json_t *member;
    json_object_foreach(object, name, member)
    {
        size_t index = find_field(schema, troupe_str(name));
        if (index == schema->field_count)
            return unknown_member(walk, up, schema, name);
        tp_place place = tp_place_in(up, tp_schema_field(schema, index));
        if (seen[index / 64] >> (index % 64) & 1)
            return tp_schema_fail(
                walk, &place, TROUPE_USAGE, "comes twice, by its name and a former one");
        seen[index / 64] |= UINT64_C(1) << (index % 64);
        TROUPE_TRY(parse_field(walk, &place, member, value));
    }
    for (size_t i = 0; i < schema->field_count; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        if (seen[i / 64] >> (i % 64) & 1)
            continue;
        if (field->required) {
            tp_place place = tp_place_in(up, field);
            return tp_schema_fail(walk, &place, TROUPE_USAGE, "is missing, and required");
        }
        TROUPE_TRY(tp_field_default(walk, up, field, value));
    }
    return tp_schema_validate(walk, up, schema, value);
}

bool tp_json_is_shallow(troupe_slice json, unsigned depth)
{
    const char *at = json.data, *end = at + json.size;
    unsigned open = 0;
    bool in_string = false;
    for (; at != end; at++) {
        if (in_string) {
            in_string = *at != '"';
            at += *at == '\\' && at + 1 != end;
            continue;
        }
        in_string = *at == '"';
        if ((*at == '[' || *at == '{') && ++open > depth)
            return false;
        if ((*at == ']' || *at == '}') && open != 0)
            open--;
    }
    return true;
}

static troupe_status not_json(const tp_walk *walk, const tp_place *place, const json_error_t *error)
{
    if (json_error_code(error) == json_error_out_of_memory)
        return tp_schema_fail(walk, place, TROUPE_NO_MEMORY, "no memory to read the JSON");
    return tp_schema_fail(walk, place, TROUPE_USAGE, "not JSON: line %d column %d: %s", error->line,
        error->column, error->text);
}

troupe_status troupe_schema_from_json(const troupe_schema *schema, troupe_slice json,
    void *ret_value, const troupe_allocator *allocator, char *error, size_t error_size)
{
    tp_walk walk = {schema, tp_schema_allocator(allocator), error, error_size, false};
    memset(ret_value, 0, schema->size);
    if (schema->field_count > TP_SCHEMA_FIELDS_MAX)
        return tp_schema_fail(&walk, NULL, TROUPE_USAGE, "has too many fields");
    if (json.data == NULL)
        json = troupe_str("");
    if (!tp_json_is_shallow(json, TP_JSON_DEPTH))
        return tp_schema_fail(&walk, NULL, TROUPE_USAGE,
            "the JSON is nested too deep: %d levels are the most", TP_JSON_DEPTH);
    json_error_t problem;
    json_t *root =
        json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (root == NULL)
        return not_json(&walk, NULL, &problem);
    const json_t *only = json_array_size(root) == 1 ? json_array_get(root, 0) : root;
    troupe_status status =
        parse_record(&walk, NULL, schema, json_is_object(only) ? only : root, ret_value);
    json_decref(root);
    if (status != TROUPE_OK) {
        troupe_schema_free(schema, ret_value, allocator);
        memset(ret_value, 0, schema->size);
    }
    return status;
}

troupe_status tp_element_parse_text(
    const tp_walk *walk, const tp_place *place, void *value, void *element, const char *text)
{
    const troupe_field *field = place->field;
    if (tp_field_wire(field) == TP_WIRE_BYTES)
        return tp_element_set_bytes(walk, place, value, element, troupe_str(text), TROUPE_USAGE);
    if (field->kind == TROUPE_FIELD_KIND_ENUM)
        return parse_enum(walk, place, text, element);
    tp_integer integer;
    if (tp_kind_is_integer(field->kind) && read_digits(text, &integer))
        return tp_element_set_integer(walk, place, element, integer, TROUPE_USAGE);
    json_error_t problem;
    json_t *json = json_loadb(text, strlen(text), JSON_DECODE_ANY, &problem);
    if (json == NULL)
        return tp_schema_fail(walk, place, TROUPE_USAGE, "its default '%s' is not %s", text,
            tp_field_kind_words(field));
    troupe_status status = parse_element(walk, place, json, value, element);
    json_decref(json);
    return status;
}

/* ---- either form --------------------------------------------------------------------------- */

static bool begins_with(troupe_slice text, const char *head)
{
    size_t size = strlen(head);
    return text.size >= size && strncasecmp(text.data, head, size) == 0;
}

bool tp_schema_is_packed(troupe_slice content_type, troupe_slice payload)
{
    if (begins_with(content_type, TROUPE_PACKED))
        return true;
    if (begins_with(content_type, TROUPE_JSON))
        return false;
    return payload.size != 0 && *(const char *)payload.data == TP_SCHEMA_FORMAT;
}

troupe_status troupe_schema_read(const troupe_schema *schema, troupe_slice content_type,
    troupe_slice payload, void *ret_value, const troupe_allocator *allocator, char *error,
    size_t error_size)
{
    if (payload.size == 0)
        payload = troupe_str("{}");
    else if (tp_schema_is_packed(content_type, payload))
        return troupe_schema_decode(schema, payload, ret_value, allocator, error, error_size);
    return troupe_schema_from_json(schema, payload, ret_value, allocator, error, error_size);
}
