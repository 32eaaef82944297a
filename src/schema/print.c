/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values and tables as JSON text. The reader is parse.c.
 *
 * Unsigned integers beyond 2^63-1 become strings, as few readers take them as numbers; so do NaN
 * and the infinities, which JSON does not have. Doubles have as many digits as bring them back.
 *
 * Invariants: what is printed parses to an equal value, if its strings are UTF-8. Threads: pure.
 */
#include "schema/schema.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER_MAX 40

static troupe_status add_text(troupe_buffer *buffer, const char *text)
{
    return troupe_buffer_add(buffer, text, strlen(text));
}

/* The C library writes the decimal point of the locale; JSON has one of its own. */
static void unlocalise(char *text)
{
    char *out = text;
    for (const char *in = text; *in != 0; in++) {
        bool is_plain = (*in >= '0' && *in <= '9') || *in == '-' || *in == '+' || *in == 'e';
        if (is_plain)
            *out++ = *in;
        else if (out == text || out[-1] != '.')
            *out++ = '.';
    }
    *out = 0;
}

static troupe_status add_double(troupe_buffer *buffer, double value, int least, int most)
{
    char text[NUMBER_MAX];
    if (isnan(value))
        return add_text(buffer, "\"NaN\"");
    if (isinf(value))
        return add_text(buffer, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    for (int digits = least; digits <= most; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (digits == most || (most == 9 ? (float)back == (float)value : back == value))
            break;
    }
    unlocalise(text);
    /* A float may look like an integer, which is read as well; but integers have no negative zero.
     */
    return add_text(buffer, strcmp(text, "-0") == 0 ? "-0.0" : text);
}

static troupe_status add_integer(
    const tp_walk *walk, const tp_place *place, tp_integer value, troupe_buffer *buffer)
{
    const troupe_field *field = place->field;
    char text[NUMBER_MAX];
    if (field->kind == TROUPE_FIELD_KIND_BOOL)
        return add_text(buffer, value.bits != 0 ? "true" : "false");
    if (field->kind == TROUPE_FIELD_KIND_ENUM) {
        if (value.bits >= field->name_count || field->names[value.bits] == NULL)
            return tp_schema_fail(
                walk, place, TROUPE_USAGE, "%" PRIu64 " is none of its names", value.bits);
        return tp_buffer_json_string(buffer, troupe_str(field->names[value.bits]));
    }
    if (value.is_negative)
        snprintf(text, sizeof text, "%" PRId64, (int64_t)value.bits);
    else
        snprintf(
            text, sizeof text, value.bits > INT64_MAX ? "\"%" PRIu64 "\"" : "%" PRIu64, value.bits);
    return add_text(buffer, text);
}

static troupe_status print_record(const tp_walk *walk, const tp_place *up,
    const troupe_schema *schema, const char *value, troupe_buffer *buffer);

static troupe_status print_element(const tp_walk *walk, const tp_place *place, const char *value,
    const char *element, troupe_buffer *buffer)
{
    const troupe_field *field = place->field;
    float narrow;
    double wide;
    switch (field->kind) {
    case TROUPE_FIELD_KIND_F32:
        memcpy(&narrow, element, sizeof narrow);
        return add_double(buffer, (double)narrow, 6, 9);
    case TROUPE_FIELD_KIND_F64:
        memcpy(&wide, element, sizeof wide);
        return add_double(buffer, wide, 15, 17);
    case TROUPE_FIELD_KIND_STRING:
    case TROUPE_FIELD_KIND_TEXT: {
        troupe_slice text = tp_element_bytes(field, value, element);
        if (field->kind == TROUPE_FIELD_KIND_STRING && text.size == field->size)
            return tp_schema_fail(walk, place, TROUPE_USAGE, "the string has no end");
        return tp_buffer_json_string(buffer, text);
    }
    case TROUPE_FIELD_KIND_BYTES:
    case TROUPE_FIELD_KIND_BLOCK:
        TROUPE_TRY(add_text(buffer, "\""));
        TROUPE_TRY(tp_buffer_base64(buffer, tp_element_bytes(field, value, element)));
        return add_text(buffer, "\"");
    case TROUPE_FIELD_KIND_STRUCT:
        return print_record(walk, place, field->schema, element, buffer);
    default:
        return add_integer(walk, place, tp_element_integer(field, element), buffer);
    }
}

static troupe_status print_field(
    const tp_walk *walk, tp_place *place, const char *value, troupe_buffer *buffer)
{
    const troupe_field *field = place->field;
    tp_span span;
    TROUPE_TRY(tp_field_span_checked(walk, place, value, &span));
    if (field->shape == TROUPE_FIELD_ONE)
        return print_element(walk, place, value, span.data, buffer);
    TROUPE_TRY(add_text(buffer, "["));
    for (size_t i = 0; i < span.count; i++) {
        place->index = i;
        if (i != 0)
            TROUPE_TRY(add_text(buffer, ","));
        TROUPE_TRY(print_element(walk, place, value, span.data + i * field->size, buffer));
    }
    return add_text(buffer, "]");
}

static troupe_status print_record(const tp_walk *walk, const tp_place *up,
    const troupe_schema *schema, const char *value, troupe_buffer *buffer)
{
    if (up != NULL && up->depth > TP_SCHEMA_DEPTH)
        return tp_schema_fail(walk, up, TROUPE_USAGE, "is nested too deep");
    bool is_first = true;
    TROUPE_TRY(add_text(buffer, "{"));
    for (size_t i = 0; i < schema->field_count; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        if (!tp_field_is_live(field) || tp_field_is_absent(field, value))
            continue;
        tp_place place = tp_place_in(up, field);
        if (!is_first)
            TROUPE_TRY(add_text(buffer, ","));
        is_first = false;
        TROUPE_TRY(tp_buffer_json_string(buffer, troupe_slice_of(field->name, field->name_size)));
        TROUPE_TRY(add_text(buffer, ":"));
        TROUPE_TRY(print_field(walk, &place, value, buffer));
    }
    return add_text(buffer, "}");
}

troupe_status troupe_schema_to_json(const troupe_schema *schema, const void *value,
    troupe_buffer *buffer, char *error, size_t error_size)
{
    tp_walk walk = {schema, NULL, error, error_size, false};
    size_t before = buffer->size;
    troupe_status status = print_record(&walk, NULL, schema, value, buffer);
    if (status == TROUPE_OK)
        return TROUPE_OK;
    buffer->size = before;
    if (status == TROUPE_TOO_LARGE)
        return tp_schema_fail(&walk, NULL, status, "does not fit the buffer");
    if (status == TROUPE_NO_MEMORY)
        return tp_schema_fail(&walk, NULL, status, "no memory to write it");
    return status;
}

/* ---- descriptions -------------------------------------------------------------------------- */

typedef struct described {
    const struct described *up;
    const troupe_schema *schema;
} described;

static troupe_status add_member(troupe_buffer *buffer, const char *name, uint64_t value)
{
    char text[NUMBER_MAX * 2];
    snprintf(text, sizeof text, ",\"%s\":%" PRIu64, name, value);
    return add_text(buffer, text);
}

static troupe_status add_string(troupe_buffer *buffer, const char *name, const char *value)
{
    TROUPE_TRY(add_text(buffer, ",\""));
    TROUPE_TRY(add_text(buffer, name));
    TROUPE_TRY(add_text(buffer, "\":"));
    return tp_buffer_json_string(buffer, troupe_str(value));
}

static troupe_status describe(
    const described *up, const troupe_schema *schema, troupe_buffer *buffer);

static troupe_status describe_names(const troupe_field *field, troupe_buffer *buffer)
{
    TROUPE_TRY(add_text(buffer, ",\"names\":["));
    for (uint32_t i = 0; i < field->name_count; i++) {
        if (i != 0)
            TROUPE_TRY(add_text(buffer, ","));
        TROUPE_TRY(field->names[i] != NULL
                       ? tp_buffer_json_string(buffer, troupe_str(field->names[i]))
                       : add_text(buffer, "null"));
    }
    return add_text(buffer, "]");
}

static troupe_status describe_field(
    const described *here, const troupe_field *field, troupe_buffer *buffer)
{
    static const char *const shapes[] = {"one", "fixed", "counted", "owned"};
    TROUPE_TRY(add_text(buffer, "{\"name\":"));
    TROUPE_TRY(tp_buffer_json_string(buffer, troupe_slice_of(field->name, field->name_size)));
    TROUPE_TRY(add_string(buffer, "kind", tp_field_kind_name(field)));
    if (field->shape != TROUPE_FIELD_ONE)
        TROUPE_TRY(add_string(buffer, "array", shapes[field->shape & 3]));
    if (field->shape == TROUPE_FIELD_FIXED || field->shape == TROUPE_FIELD_COUNTED)
        TROUPE_TRY(add_member(buffer, "length", field->length));
    if (field->kind == TROUPE_FIELD_KIND_STRING || field->kind == TROUPE_FIELD_KIND_BLOCK)
        TROUPE_TRY(add_member(buffer, "size", field->size));
    TROUPE_TRY(add_member(buffer, "since", field->since));
    if (field->until != 0)
        TROUPE_TRY(add_member(buffer, "until", field->until));
    if (field->number != 0)
        TROUPE_TRY(add_member(buffer, "number", field->number));
    if (field->present != 0)
        TROUPE_TRY(add_text(buffer, ",\"optional\":true"));
    if (field->required)
        TROUPE_TRY(add_text(buffer, ",\"required\":true"));
    if (field->otherwise != NULL)
        TROUPE_TRY(add_string(buffer, "otherwise", field->otherwise));
    if (field->was != NULL)
        TROUPE_TRY(add_string(buffer, "was", field->was));
    if (field->kind == TROUPE_FIELD_KIND_ENUM)
        TROUPE_TRY(describe_names(field, buffer));
    if (field->kind == TROUPE_FIELD_KIND_STRUCT) {
        TROUPE_TRY(add_text(buffer, ",\"schema\":"));
        TROUPE_TRY(describe(here, field->schema, buffer));
    }
    return add_text(buffer, "}");
}

static troupe_status describe(
    const described *up, const troupe_schema *schema, troupe_buffer *buffer)
{
    unsigned depth = 1;
    for (const described *at = up; at != NULL; at = at->up, depth++)
        if (at->schema == schema || depth > TP_SCHEMA_DEPTH) /* a tree: by name */
            return tp_buffer_json_string(buffer, troupe_str(tp_schema_name(schema)));
    described here = {up, schema};
    TROUPE_TRY(add_text(buffer, "{\"name\":"));
    TROUPE_TRY(tp_buffer_json_string(buffer, troupe_str(tp_schema_name(schema))));
    TROUPE_TRY(add_member(buffer, "version", troupe_schema_version(schema)));
    TROUPE_TRY(add_member(buffer, "size", schema->size));
    TROUPE_TRY(add_text(buffer, ",\"fields\":["));
    for (size_t i = 0; i < schema->field_count; i++) {
        if (i != 0)
            TROUPE_TRY(add_text(buffer, ","));
        TROUPE_TRY(describe_field(&here, tp_schema_field(schema, i), buffer));
    }
    return add_text(buffer, "]}");
}

troupe_status troupe_schema_describe(const troupe_schema *schema, troupe_buffer *buffer)
{
    size_t before = buffer->size;
    troupe_status status = describe(NULL, schema, buffer);
    if (status != TROUPE_OK)
        buffer->size = before;
    return status;
}
