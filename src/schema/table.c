/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables themselves: names and keys of fields, versions, how members are read and written, and the
 * check that a table is sane. Not the values: value.c and the codecs are that.
 *
 * The key of a field without number is 2^20 plus what XXH3 of its name leaves modulo 2^25 - 2^20,
 * so that it never is a number, and always four bytes with its wire. Two names of one table that
 * have the same key are refused by the check; that a new name meets a removed one's is one in 32
 * millions.
 *
 * Invariants: the key of a name never changes, or stored data would be lost. Threads: pure.
 */
#include "schema/schema.h"

#include "base/alloc.h"
#include "base/text.h"

#include <stdarg.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char *const kind_names[] = {"none",
#define KIND_NAME(kind, name, words) name,
    TROUPE_FIELD_KIND_MAP(KIND_NAME)
#undef KIND_NAME
};
static const char *const kind_words[] = {"nothing",
#define KIND_WORDS(kind, name, words) words,
    TROUPE_FIELD_KIND_MAP(KIND_WORDS)
#undef KIND_WORDS
};

const troupe_allocator *tp_schema_allocator(const troupe_allocator *allocator)
{
    return allocator != NULL ? allocator : tp_allocator_system();
}

const char *tp_schema_name(const troupe_schema *schema)
{
    if (schema->name == NULL)
        return "(nameless)";
    return strncmp(schema->name, "struct ", 7) == 0 ? schema->name + 7 : schema->name;
}

const char *tp_field_kind_name(const troupe_field *field)
{
    return kind_names[field->kind < TROUPE_FIELD_KIND_COUNT ? field->kind : 0];
}

const char *tp_field_kind_words(const troupe_field *field)
{
    return kind_words[field->kind < TROUPE_FIELD_KIND_COUNT ? field->kind : 0];
}

uint32_t tp_name_key(const char *name, size_t size)
{
    const uint32_t low = UINT32_C(1) << 20, high = UINT32_C(1) << 25;
    return low + (uint32_t)(XXH3_64bits(name, size) % (high - low));
}

uint32_t troupe_schema_version(const troupe_schema *schema)
{
    uint32_t version = schema->version;
    for (size_t i = 0; schema->version == 0 && i < schema->field_count; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        if (field->since > version)
            version = field->since;
        if (field->until >= version && field->until < UINT32_MAX)
            version = field->until + 1;
    }
    return version != 0 ? version : 1;
}

tp_wire tp_field_wire(const troupe_field *field)
{
    if (tp_kind_is_signed(field->kind))
        return TP_WIRE_SIGNED;
    switch (field->kind) {
    case TROUPE_FIELD_KIND_F32:
        return TP_WIRE_F32;
    case TROUPE_FIELD_KIND_F64:
        return TP_WIRE_F64;
    case TROUPE_FIELD_KIND_STRING:
    case TROUPE_FIELD_KIND_TEXT:
    case TROUPE_FIELD_KIND_BYTES:
    case TROUPE_FIELD_KIND_BLOCK:
        return TP_WIRE_BYTES;
    case TROUPE_FIELD_KIND_STRUCT:
        return TP_WIRE_STRUCT;
    default:
        return TP_WIRE_UNSIGNED;
    }
}

/* Each name of a list with spaces between. */
static bool next_name(const char **list, troupe_slice *ret_name)
{
    const char *at = *list;
    if (at == NULL)
        return false;
    at += strspn(at, " ");
    size_t size = strcspn(at, " ");
    *ret_name = troupe_slice_of(at, size);
    *list = at + size;
    return size != 0;
}

bool tp_field_was(const troupe_field *field, troupe_slice name)
{
    const char *list = field->was;
    for (troupe_slice old; next_name(&list, &old);)
        if (troupe_slice_equal(old, name))
            return true;
    return false;
}

troupe_status tp_schema_fail(
    const tp_walk *walk, const tp_place *place, troupe_status status, const char *format, ...)
{
    if (walk->error == NULL || walk->error_size == 0)
        return status;
    const tp_place *path[TP_SCHEMA_DEPTH + 2];
    size_t count = 0;
    for (; place != NULL && count < TP_SCHEMA_DEPTH + 2; place = place->up)
        path[count++] = place;
    tp_text text;
    tp_text_init(&text, walk->error, walk->error_size);
    tp_text_printf(&text, "%s: %s", tp_schema_name(walk->root), count != 0 ? "field " : "");
    while (count != 0) {
        place = path[--count];
        tp_text_printf(&text, "%s", place->field->name);
        if (place->index != SIZE_MAX)
            tp_text_printf(&text, "[%zu]", place->index);
        tp_text_printf(&text, count != 0 ? "." : ": ");
    }
    va_list arguments;
    va_start(arguments, format);
    tp_text_vprintf(&text, format, arguments);
    va_end(arguments);
    return status;
}

/* ---- members ------------------------------------------------------------------------------- */

uint64_t tp_load_unsigned(const void *at, size_t size)
{
    uint8_t byte;
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (size) {
    case 1:
        return memcpy(&byte, at, 1), byte;
    case 2:
        return memcpy(&two, at, 2), two;
    case 4:
        return memcpy(&four, at, 4), four;
    default:
        return memcpy(&eight, at, 8), eight;
    }
}

int64_t tp_load_signed(const void *at, size_t size)
{
    unsigned shift = (unsigned)(64 - 8 * size);
    return (int64_t)(tp_load_unsigned(at, size) << shift) >> shift;
}

void tp_store_unsigned(void *at, size_t size, uint64_t value)
{
    uint8_t byte = (uint8_t)value;
    uint16_t two = (uint16_t)value;
    uint32_t four = (uint32_t)value;
    switch (size) {
    case 1:
        memcpy(at, &byte, 1);
        return;
    case 2:
        memcpy(at, &two, 2);
        return;
    case 4:
        memcpy(at, &four, 4);
        return;
    default:
        memcpy(at, &value, 8);
    }
}

size_t tp_field_count(const troupe_field *field, const void *value)
{
    if (field->count_size == 0)
        return field->length;
    return tp_load_unsigned((const char *)value + field->count_offset, field->count_size);
}

bool tp_field_set_count(const troupe_field *field, void *value, size_t count)
{
    if (field->count_size == 0)
        return count <= field->length;
    if (field->count_size < 8 && (uint64_t)count >> (8 * field->count_size) != 0)
        return false;
    tp_store_unsigned((char *)value + field->count_offset, field->count_size, count);
    return true;
}

tp_span tp_field_span(const troupe_field *field, const void *value)
{
    char *data = (char *)(uintptr_t)value + field->offset;
    switch (field->shape) {
    case TROUPE_FIELD_OWNED_ARRAY: {
        char *array;
        memcpy(&array, data, sizeof array);
        return (tp_span){array, array != NULL ? tp_field_count(field, value) : 0};
    }
    case TROUPE_FIELD_COUNTED: {
        size_t count = tp_field_count(field, value);
        return (tp_span){data, count <= field->length ? count : field->length};
    }
    case TROUPE_FIELD_FIXED:
        return (tp_span){data, field->length};
    default:
        return (tp_span){data, 1};
    }
}

troupe_status tp_field_span_checked(
    const tp_walk *walk, const tp_place *place, const void *value, tp_span *ret_span)
{
    const troupe_field *field = place->field;
    *ret_span = tp_field_span(field, value);
    if (field->count_size == 0)
        return TROUPE_OK;
    size_t count = tp_field_count(field, value);
    if (field->shape == TROUPE_FIELD_OWNED_ARRAY && ret_span->data == NULL && count != 0)
        return tp_schema_fail(
            walk, place, TROUPE_USAGE, "its count says %zu, and its pointer is NULL", count);
    if (count > field->length)
        return tp_schema_fail(walk, place, TROUPE_USAGE, "its count says %zu, and %u is its room",
            count, field->length);
    return TROUPE_OK;
}

/* ---- the check ----------------------------------------------------------------------------- */

typedef struct schema_path {
    const struct schema_path *up;
    const troupe_schema *schema;
} schema_path;

static size_t width_of(const troupe_field *field)
{
    switch (field->shape) {
    case TROUPE_FIELD_OWNED_ARRAY:
        return sizeof(void *);
    case TROUPE_FIELD_ONE:
        return field->size;
    default:
        return (size_t)field->size * field->length;
    }
}

static bool size_fits_kind(const troupe_field *field)
{
    switch (field->kind) {
    case TROUPE_FIELD_KIND_I8:
    case TROUPE_FIELD_KIND_U8:
        return field->size == 1;
    case TROUPE_FIELD_KIND_I16:
    case TROUPE_FIELD_KIND_U16:
        return field->size == 2;
    case TROUPE_FIELD_KIND_I32:
    case TROUPE_FIELD_KIND_U32:
    case TROUPE_FIELD_KIND_F32:
        return field->size == 4;
    case TROUPE_FIELD_KIND_I64:
    case TROUPE_FIELD_KIND_U64:
    case TROUPE_FIELD_KIND_F64:
        return field->size == 8;
    case TROUPE_FIELD_KIND_BOOL:
        return field->size == sizeof(bool);
    case TROUPE_FIELD_KIND_ENUM:
        return field->size == 1 || field->size == 2 || field->size == 4 || field->size == 8;
    case TROUPE_FIELD_KIND_TEXT:
        return field->size == sizeof(char *);
    case TROUPE_FIELD_KIND_BYTES:
        return field->size == sizeof(troupe_bytes);
    case TROUPE_FIELD_KIND_STRUCT:
        return field->schema != NULL && field->size == field->schema->size;
    default:
        return field->size != 0;
    }
}

static bool count_is_right(const troupe_schema *schema, const troupe_field *field)
{
    bool counts = field->shape == TROUPE_FIELD_COUNTED ||
                  field->shape == TROUPE_FIELD_OWNED_ARRAY ||
                  field->kind == TROUPE_FIELD_KIND_BLOCK;
    if (!counts)
        return field->count_size == 0;
    uint32_t size = field->count_size;
    return (size == 1 || size == 2 || size == 4 || size == 8) &&
           (size_t)field->count_offset + size <= schema->size;
}

static const char *check_shape(const troupe_schema *schema, const troupe_field *field)
{
    if (field->kind == TROUPE_FIELD_KIND_NONE || field->kind >= TROUPE_FIELD_KIND_COUNT)
        return "there is no such kind";
    if (field->shape > TROUPE_FIELD_OWNED_ARRAY)
        return "there is no such shape";
    if (field->kind == TROUPE_FIELD_KIND_BLOCK && field->shape != TROUPE_FIELD_ONE)
        return "there are no arrays of blocks: use BYTES";
    if (field->length == 0)
        return "it has no room";
    if (field->kind == TROUPE_FIELD_KIND_STRUCT && field->schema == NULL)
        return "its nested schema is NULL";
    if (!size_fits_kind(field))
        return field->kind == TROUPE_FIELD_KIND_STRUCT
                   ? "its nested schema is of a struct of another size"
                   : "its size is not that of its kind";
    if (!count_is_right(schema, field))
        return "the member that counts is none, or lies outside of the struct";
    if ((size_t)field->offset + width_of(field) > schema->size)
        return "it lies outside of the struct";
    if (field->present != 0 && field->present > schema->size)
        return "the member that says whether it is present lies outside of the struct";
    if (field->kind == TROUPE_FIELD_KIND_ENUM && (field->names == NULL || field->name_count == 0))
        return "an enum needs names";
    return NULL;
}

static const char *check_promises(const troupe_schema *schema, const troupe_field *field)
{
    uint32_t version = troupe_schema_version(schema);
    if (field->since > version)
        return "its .since is beyond the version of the schema";
    if (field->until != 0 && field->until < field->since)
        return "its .until is before its .since";
    if (field->until >= version)
        return "its .until is not before the version of the schema";
    if (field->number > TP_SCHEMA_NUMBER_MAX)
        return "its .number is beyond 1048575";
    if (field->required && field->present != 0)
        return "it is optional and required";
    if (field->required && field->until != 0)
        return "it is removed and required";
    if (field->otherwise != NULL && (field->present != 0 || field->shape != TROUPE_FIELD_ONE ||
                                        field->kind == TROUPE_FIELD_KIND_STRUCT))
        return "arrays, structs and optional fields have no .otherwise";
    return NULL;
}

static bool overlap(size_t a, size_t a_size, size_t b, size_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

/* What two fields must not have in common. */
static const char *check_pair(const troupe_field *field, const troupe_field *other)
{
    if (field->name_size == other->name_size &&
        memcmp(field->name, other->name, field->name_size) == 0)
        return "has the same name";
    if (tp_field_key(field) == tp_field_key(other))
        return field->number != 0 || other->number != 0
                   ? "has the same number"
                   : "has a name with the same hash: give one of them a .number";
    if (tp_field_was(field, troupe_slice_of(other->name, other->name_size)) ||
        tp_field_was(other, troupe_slice_of(field->name, field->name_size)))
        return "has the name that it once had";
    size_t size = width_of(field), other_size = width_of(other);
    if (overlap(field->offset, size, other->offset, other_size))
        return "lies on the same bytes";
    if ((field->count_size != 0 &&
            overlap(field->count_offset, field->count_size, other->offset, other_size)) ||
        (other->count_size != 0 &&
            overlap(other->count_offset, other->count_size, field->offset, size)))
        return "lies on the same bytes as its count";
    if ((field->present != 0 && overlap(field->present - 1, 1, other->offset, other_size)) ||
        (other->present != 0 && overlap(other->present - 1, 1, field->offset, size)))
        return "lies on the same bytes as its presence";
    return NULL;
}

static troupe_status check_default(
    const tp_walk *walk, const troupe_schema *schema, const troupe_field *field)
{
    /* Tried out on an element of the check's own; strings only need to fit. */
    _Alignas(16) char element[64] = {0};
    tp_place place = tp_place_in(NULL, field);
    switch (tp_field_wire(field)) {
    case TP_WIRE_BYTES:
        if (field->kind == TROUPE_FIELD_KIND_STRING && strlen(field->otherwise) >= field->size)
            return tp_schema_fail(walk, &place, TROUPE_USAGE,
                "its default '%s' does not fit %u bytes", field->otherwise, field->size);
        if (field->kind == TROUPE_FIELD_KIND_BLOCK && strlen(field->otherwise) > field->size)
            return tp_schema_fail(
                walk, &place, TROUPE_USAGE, "its default does not fit %u bytes", field->size);
        return TROUPE_OK;
    default:
        (void)schema;
        return tp_element_parse_text(walk, &place, NULL, element, field->otherwise);
    }
}

static troupe_status check_field(const tp_walk *walk, const troupe_schema *schema, size_t index)
{
    const troupe_field *field = tp_schema_field(schema, index);
    if (field->name == NULL || field->name_size == 0 || strlen(field->name) != field->name_size)
        return tp_schema_fail(walk, NULL, TROUPE_USAGE, "field %zu of %s has no name", index + 1,
            tp_schema_name(schema));
    tp_place place = tp_place_in(NULL, field);
    const char *words = check_shape(schema, field);
    if (words == NULL)
        words = check_promises(schema, field);
    if (words != NULL)
        return tp_schema_fail(walk, &place, TROUPE_USAGE, "%s", words);
    for (size_t i = 0; i < index; i++) {
        const troupe_field *other = tp_schema_field(schema, i);
        words = check_pair(field, other);
        if (words != NULL)
            return tp_schema_fail(walk, &place, TROUPE_USAGE, "field %s %s", other->name, words);
    }
    return field->otherwise != NULL ? check_default(walk, schema, field) : TROUPE_OK;
}

static troupe_status check_table(
    const tp_walk *walk, const schema_path *up, const troupe_schema *schema)
{
    size_t depth = 1;
    for (const schema_path *at = up; at != NULL; at = at->up, depth++)
        if (at->schema == schema)
            return TROUPE_OK; /* a tree: checked further up */
    if (depth > TP_SCHEMA_DEPTH)
        return tp_schema_fail(
            walk, NULL, TROUPE_USAGE, "schemas nest deeper than %d", TP_SCHEMA_DEPTH);
    if (schema->field_size < sizeof(troupe_field))
        return tp_schema_fail(walk, NULL, TROUPE_USAGE,
            "its table was compiled with another version of <troupe/schema.h>");
    if (schema->field_count == 0 || schema->field_count > TP_SCHEMA_FIELDS_MAX ||
        schema->fields == NULL)
        return tp_schema_fail(walk, NULL, TROUPE_USAGE, "%s has %zu fields; 1 to %d are possible",
            tp_schema_name(schema), schema->field_count, TP_SCHEMA_FIELDS_MAX);
    for (size_t i = 0; i < schema->field_count; i++)
        TROUPE_TRY(check_field(walk, schema, i));
    schema_path here = {up, schema};
    for (size_t i = 0; i < schema->field_count; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        if (field->kind == TROUPE_FIELD_KIND_STRUCT) {
            tp_walk inner = *walk;
            inner.root = field->schema;
            TROUPE_TRY(check_table(&inner, &here, field->schema));
        }
    }
    return TROUPE_OK;
}

troupe_status troupe_schema_check(const troupe_schema *schema, char *error, size_t error_size)
{
    tp_walk walk = {schema, tp_schema_allocator(NULL), error, error_size, false};
    return check_table(&walk, NULL, schema);
}
