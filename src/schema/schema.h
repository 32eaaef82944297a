/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of src/schema share, and what the shards need of it to keep state by schema:
 * tp_schema_save and tp_schema_load. For everything else <troupe/schema.h> is the door.
 *
 *   table.c   names, keys, versions, the check of a table    value.c   defaults, free, equal, copy
 *   pack.c    to the binary form                             unpack.c  from it
 *   print.c   to JSON, descriptions                          parse.c   from JSON
 *   buffer.c  growing bytes, base64                          owned.c   parts on the heap
 *
 * Invariants: 1. A walk goes at most TP_SCHEMA_DEPTH structs deep. 2. Owned pointers of a value are
 * NULL or valid at every moment of a decode, so that a failed one is undone by troupe_schema_free.
 * Threads: pure.
 */
#ifndef TP_SCHEMA_SCHEMA_H
#define TP_SCHEMA_SCHEMA_H

#include <troupe.h>
#include <troupe/schema.h>

#define TP_SCHEMA_FIELDS_MAX 256
#define TP_SCHEMA_DEPTH      32
/* Of JSON: each struct of a schema may be in an array. A level takes 80 bytes of stack. */
#define TP_JSON_DEPTH (2 * TP_SCHEMA_DEPTH + 2)
#define TP_SCHEMA_FORMAT     1 /* the first byte of the binary form */
#define TP_SCHEMA_NUMBER_MAX ((UINT32_C(1) << 20) - 1)

/* State of an actor to bytes, and back with defaults and upcast. A record of a newer version than
 * the table's is UNAVAILABLE, unless the schema accepts it. Else as encode and decode. */
TROUPE_CHECK troupe_status tp_schema_save(const troupe_schema *schema, const void *state,
    troupe_buffer *buffer, char *error, size_t error_size);
TROUPE_CHECK troupe_status tp_schema_load(const troupe_schema *schema, troupe_slice saved,
    void *ret_state, const troupe_allocator *allocator, char *error, size_t error_size);

/* Is a payload of the binary form? By its content type, else by its first byte. */
bool tp_schema_is_packed(troupe_slice content_type, troupe_slice payload);

/* ---- inside src/schema --------------------------------------------------------------------- */

/* How a field lies on the wire: the low three bits of its key. */
typedef enum tp_wire {
    TP_WIRE_UNSIGNED, /* varint */
    TP_WIRE_SIGNED,   /* varint of the zigzag form */
    TP_WIRE_F32,      /* 4 bytes, little-endian */
    TP_WIRE_F64,
    TP_WIRE_BYTES,  /* length, bytes */
    TP_WIRE_STRUCT, /* length of what follows, version, fields */
    TP_WIRE_LIST,   /* length of what follows, wire of the elements, (version,) count, elements */
    TP_WIRE_COUNT
} tp_wire;

/* One walk over a value, in either direction. */
typedef struct tp_walk {
    const troupe_schema *root;
    const troupe_allocator *allocator;
    char *error; /* may be NULL */
    size_t error_size;
    bool is_state;
} tp_walk;

/* Where a walk is: a field, or one element of it. Frames of the stack, for error texts only. */
typedef struct tp_place {
    const struct tp_place *up;
    const troupe_field *field;
    size_t index; /* SIZE_MAX: the field itself */
    uint32_t depth;
} tp_place;

static inline tp_place tp_place_in(const tp_place *up, const troupe_field *field)
{
    return (tp_place){up, field, SIZE_MAX, up != NULL ? up->depth + 1 : 1};
}

/* Writes "account: field owner.street[2]: words", and returns `status`. `place` may be NULL. */
troupe_status tp_schema_fail(const tp_walk *walk, const tp_place *place, troupe_status status,
    const char *format, ...) TROUPE_PRINTF(4, 5);

/* table.c */
const char *tp_schema_name(const troupe_schema *schema); /* without "struct " */
const char *tp_field_kind_name(const troupe_field *field);
const char *tp_field_kind_words(const troupe_field *field);
uint32_t tp_name_key(const char *name, size_t size);
tp_wire tp_field_wire(const troupe_field *field); /* of one element */
/* Does `was` name it? */
bool tp_field_was(const troupe_field *field, troupe_slice name);

static inline const troupe_field *tp_schema_field(const troupe_schema *schema, size_t index)
{
    return (const troupe_field *)((const char *)schema->fields + index * schema->field_size);
}
static inline uint32_t tp_field_key(const troupe_field *field)
{
    return field->number != 0 ? field->number : tp_name_key(field->name, field->name_size);
}
/* Is it a field of this version of the table? */
static inline bool tp_field_is_live(const troupe_field *field)
{
    return field->until == 0;
}

/* The elements of a field in a value. */
typedef struct tp_span {
    char *data;
    size_t count;
} tp_span;

static inline bool *tp_field_presence(const troupe_field *field, const void *value)
{
    return (bool *)((uintptr_t)value + field->present - 1);
}
static inline bool tp_field_is_absent(const troupe_field *field, const void *value)
{
    return field->present != 0 && !*tp_field_presence(field, value);
}

uint64_t tp_load_unsigned(const void *at, size_t size);
int64_t tp_load_signed(const void *at, size_t size);
void tp_store_unsigned(void *at, size_t size, uint64_t value);
/* What the member that counts says; without one, `length`. */
size_t tp_field_count(const troupe_field *field, const void *value);
/* false: the member cannot hold it. */
bool tp_field_set_count(const troupe_field *field, void *value, size_t count);
tp_span tp_field_span(const troupe_field *field, const void *value);
/* As tp_field_span, and fails on a count beyond the array. */
TROUPE_CHECK troupe_status tp_field_span_checked(
    const tp_walk *walk, const tp_place *place, const void *value, tp_span *ret_span);

/* value.c: default of a field that is missing; of an element beyond those that came. */
TROUPE_CHECK troupe_status tp_field_default(
    const tp_walk *walk, const tp_place *up, const troupe_field *field, void *value);
TROUPE_CHECK troupe_status tp_element_default(
    const tp_walk *walk, const tp_place *place, void *element);
/* An array of `count` zeroed elements for a field, in place or owned. USAGE for too many, in words
 * of `status`. */
TROUPE_CHECK troupe_status tp_field_make_room(const tp_walk *walk, const tp_place *place,
    void *value, size_t count, troupe_status status, tp_span *ret_span);
/* Strings and bytes into one element. `status`: of a string that does not fit. */
TROUPE_CHECK troupe_status tp_element_set_bytes(const tp_walk *walk, const tp_place *place,
    void *value, void *element, troupe_slice bytes, troupe_status status);
/* The bytes of an element of kind STRING, TEXT, BYTES or BLOCK. */
troupe_slice tp_element_bytes(const troupe_field *field, const void *value, const void *element);
/* Runs the schema's own check. */
TROUPE_CHECK troupe_status tp_schema_validate(
    const tp_walk *walk, const tp_place *place, const troupe_schema *schema, const void *value);

/* An integer of either sign. */
typedef struct tp_integer {
    bool is_negative;
    uint64_t bits; /* two's complement */
} tp_integer;
/* Into an integer, bool or enum element; `status` if it does not fit. */
TROUPE_CHECK troupe_status tp_element_set_integer(const tp_walk *walk, const tp_place *place,
    void *element, tp_integer value, troupe_status status);
tp_integer tp_element_integer(const troupe_field *field, const void *element);

static inline bool tp_kind_is_signed(uint8_t kind)
{
    return kind >= TROUPE_FIELD_KIND_I8 && kind <= TROUPE_FIELD_KIND_I64;
}
static inline bool tp_kind_is_integer(uint8_t kind)
{
    return kind >= TROUPE_FIELD_KIND_I8 && kind <= TROUPE_FIELD_KIND_U64;
}

/* parse.c: the text of a default into one element. */
TROUPE_CHECK troupe_status tp_element_parse_text(
    const tp_walk *walk, const tp_place *place, void *value, void *element, const char *text);

/* buffer.c */
TROUPE_CHECK troupe_status tp_buffer_reserve(troupe_buffer *buffer, size_t size);
TROUPE_CHECK troupe_status tp_buffer_base64(troupe_buffer *buffer, troupe_slice bytes);
/* Bytes that `text` stands for, and with `out` not NULL the bytes themselves; SIZE_MAX: not
 * base64. With or without padding; the URL alphabet, too. */
size_t tp_base64_read(troupe_slice text, uint8_t *out);
TROUPE_CHECK troupe_status tp_buffer_json_string(troupe_buffer *buffer, troupe_slice text);

/* parse.c: is JSON, or what should be, nested at most `depth` deep? jansson goes 2,048 deep, on its
 * caller's stack, of which a turn has little: whatever comes from outside is asked this first. */
bool tp_json_is_shallow(troupe_slice json, unsigned depth);

const troupe_allocator *tp_schema_allocator(const troupe_allocator *allocator);

#endif
