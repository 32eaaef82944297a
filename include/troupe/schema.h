/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas: a table that describes a C struct, and what follows from it without generated code: a
 * compact binary form, JSON both ways, defaults for what is missing, change of versions, equality,
 * deep copies, release. For messages, and for the state of actors. <troupe.h> includes it.
 *
 *     struct account { int64_t balance; char owner[32]; };
 *
 *     static const troupe_field account_fields[] = {
 *         TROUPE_FIELD_I64(struct account, balance, .since = 1),
 *         TROUPE_FIELD_STRING(struct account, owner, .since = 2, .otherwise = "nobody"),
 *     };
 *     static const troupe_schema account_schema =
 *         TROUPE_SCHEMA(struct account, account_fields, .version = 2);
 *
 * A member whose type is not what the macro says does not compile. The macros name every member, so
 * in C++ what you add comes in the order of the members below.
 *
 * How a struct may change, with old data still readable, and new data by old programs:
 *   a field is added      give it `.since` of the new version, and `.otherwise`
 *   a field is removed    delete its line; or keep it with `.until`, the last version that had it,
 *                         so that the upcast can still read it
 *   a field is renamed    `.was = "old"` (several: "old older")
 *   fields change places  nothing: they are known by name (or `.number`), not by place
 *   an integer gets wider or narrower, or a float: nothing; a value that no longer fits is an error
 *   it means another thing    raise `.version` and write an `upcast`
 * A name that was removed can come back: what was stored before its `.since` is not read.
 *
 * The binary form: a byte 1, the version, then each field with a key that is made of its name (of
 * its `.number`, if it has one: three bytes less), in the order of the table, and a byte 0, so that
 * no beginning of it is taken for the whole. Equal values have equal bytes. Integers are of
 * variable length. It carries no checksum: stores add theirs.
 *
 * JSON: fields by name; enums by theirs; bytes as base64; unsigned integers beyond 2^63-1, not a
 * number and infinities as strings. Strings should be UTF-8: other bytes become U+FFFD in JSON.
 *
 * Owned parts (TEXT, BYTES, OWNED arrays) come from the allocator that is handed in, NULL being
 * malloc, and go back to the same one by troupe_schema_free. Change them by troupe_text_set,
 * troupe_bytes_set and troupe_array_resize.
 *
 * Invariants: 1. No input makes a decoder read or write outside of what it was given. 2. A decoded
 * TEXT is never NULL. 3. A failed decode leaves the value zeroed and owning nothing.
 * Threads: all functions here are pure, [any thread].
 */
#ifndef TROUPE_SCHEMA_H
#define TROUPE_SCHEMA_H

#include <troupe/base.h>
#include <troupe/status.h>

#ifdef __cplusplus
#include <type_traits>
extern "C" {
#endif

/* Of payloads in the binary form. */
#define TROUPE_PACKED "application/x-troupe"

/* Owned bytes. */
typedef struct troupe_bytes {
    void *data;
    size_t size;
} troupe_bytes;

/* Collects bytes. It grows out of `allocator`; with NULL it stays in `data` as given, and what does
 * not fit is TOO_LARGE. Give it back by troupe_buffer_deinit. */
typedef struct troupe_buffer {
    const troupe_allocator *allocator;
    char *data;
    size_t size;
    size_t capacity;
} troupe_buffer;

TROUPE_API TROUPE_CHECK troupe_status troupe_buffer_add(
    troupe_buffer *buffer, const void *data, size_t size);
TROUPE_API void troupe_buffer_deinit(troupe_buffer *buffer); /* not for a fixed one, harmless */
static inline troupe_slice troupe_buffer_slice(const troupe_buffer *buffer)
{
    return troupe_slice_of(buffer->data, buffer->size);
}

/* X(KIND, "name of it", "what it is in words"): numbers are not stored; new ones at the end. */
#define TROUPE_FIELD_KIND_MAP(X)     \
    X(I8, "i8", "an integer")        \
    X(I16, "i16", "an integer")      \
    X(I32, "i32", "an integer")      \
    X(I64, "i64", "an integer")      \
    X(U8, "u8", "an integer")        \
    X(U16, "u16", "an integer")      \
    X(U32, "u32", "an integer")      \
    X(U64, "u64", "an integer")      \
    X(F32, "f32", "a number")        \
    X(F64, "f64", "a number")        \
    X(BOOL, "bool", "true or false") \
    X(ENUM, "enum", "a name")        \
    X(STRING, "string", "a string")  \
    X(TEXT, "text", "a string")      \
    X(BYTES, "bytes", "bytes")       \
    X(BLOCK, "block", "bytes")       \
    X(STRUCT, "struct", "an object")

typedef enum troupe_field_kind {
    TROUPE_FIELD_KIND_NONE,
#define TROUPE_FIELD_KIND_CONSTANT(kind, name, words) TROUPE_FIELD_KIND_##kind,
    TROUPE_FIELD_KIND_MAP(TROUPE_FIELD_KIND_CONSTANT)
#undef TROUPE_FIELD_KIND_CONSTANT
        TROUPE_FIELD_KIND_COUNT
} troupe_field_kind;

typedef enum troupe_field_shape {
    TROUPE_FIELD_ONE,         /* T member */
    TROUPE_FIELD_FIXED,       /* T member[N], all of it */
    TROUPE_FIELD_COUNTED,     /* T member[N], the first so many of it */
    TROUPE_FIELD_OWNED_ARRAY, /* T *member, so many */
} troupe_field_shape;

typedef struct troupe_schema troupe_schema;

typedef struct troupe_field {
    /* set by the macros below */
    const char *name;
    uint16_t name_size;
    uint8_t kind;  /* troupe_field_kind */
    uint8_t shape; /* troupe_field_shape */
    uint32_t offset;
    uint32_t size;   /* of one element */
    uint32_t length; /* elements there is room for; BLOCK: bytes */
    uint32_t count_offset;
    uint32_t count_size;         /* bytes of the member that counts; 0: none */
    const troupe_schema *schema; /* STRUCT */
    const char *const *names;    /* ENUM: by value; NULL: no such value */
    uint32_t name_count;
    /* yours, in this order in C++ */
    uint32_t since;   /* the version that it came with; 0: ever */
    uint32_t until;   /* the last version that had it; 0: it is there */
    uint32_t number;  /* 1 to 1,048,575: its key instead of the name. Never give it to another */
    uint32_t present; /* TROUPE_PRESENT(struct, has_it): an optional field */
    bool required;    /* where its version has it, missing is an error, not the default */
    const char *otherwise; /* value where it is missing, as text: "nobody", "true"; NULL: 0 */
    const char *was;       /* former names, with spaces between */
    uint32_t reserved_;
} troupe_field;

struct troupe_schema {
    /* set by TROUPE_SCHEMA */
    const char *name; /* "account" and "struct account" are the same name */
    size_t size;      /* of the struct */
    const troupe_field *fields;
    size_t field_size;
    size_t field_count; /* up to 256 */
    /* yours, in this order in C++ */
    uint32_t version; /* 0: the highest `.since`, or what follows the highest `.until`; else 1 */
    /* State only: a newer program's record is read, and what this one does not know of it is lost
     * with the next save. Otherwise it is UNAVAILABLE here. Newer messages are always read. */
    bool accept_newer;
    /* Makes what was read as version `from` (its fields are there, others have their defaults) what
     * it is now. Once per value, whatever the distance: fall through a switch. Owned parts come
     * from `allocator`. Not OK: the decode fails with it. */
    troupe_status (*upcast)(void *value, uint32_t from, const troupe_allocator *allocator);
    /* After each decode, of both forms: is it a value that may be? Not OK: the decode fails with
     * this status and the words in `error`. */
    troupe_status (*validate)(const void *value, char *error, size_t error_size);
    uint32_t reserved_;
};

/* ------------------------------------------------------------------------------------------
 * Tables. What follows (`.since = 2`, …) is optional in all of them.
 */

#define TROUPE_SCHEMA(...) TROUPE_SCHEMA_(__VA_ARGS__, .reserved_ = 0)

/* int8_t member, … bool member; any integer type of that size and sign */
#define TROUPE_FIELD_I8(...)   TROUPE_ONE_(I8, __VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_I16(...)  TROUPE_ONE_(I16, __VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_I32(...)  TROUPE_ONE_(I32, __VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_I64(...)  TROUPE_ONE_(I64, __VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_U8(...)   TROUPE_ONE_(U8, __VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_U16(...)  TROUPE_ONE_(U16, __VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_U32(...)  TROUPE_ONE_(U32, __VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_U64(...)  TROUPE_ONE_(U64, __VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_F32(...)  TROUPE_ONE_(F32, __VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_F64(...)  TROUPE_ONE_(F64, __VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_BOOL(...) TROUPE_ONE_(BOOL, __VA_ARGS__, .reserved_ = 0)
/* char member[N]: a string that ends with NUL */
#define TROUPE_FIELD_STRING(...) TROUPE_ONE_(STRING, __VA_ARGS__, .reserved_ = 0)
/* char *member: an owned string that ends with NUL */
#define TROUPE_FIELD_TEXT(...) TROUPE_ONE_(TEXT, __VA_ARGS__, .reserved_ = 0)
/* troupe_bytes member */
#define TROUPE_FIELD_BYTES(...) TROUPE_ONE_(BYTES, __VA_ARGS__, .reserved_ = 0)
/* (record, member, size_member): uint8_t member[N] of which size_member are used */
#define TROUPE_FIELD_BLOCK(...) TROUPE_BLOCK_(__VA_ARGS__, .reserved_ = 0)
/* (record, member, names): an enum or integer that is an index into the array `names` */
#define TROUPE_FIELD_ENUM(...) TROUPE_ENUM_(__VA_ARGS__, .reserved_ = 0)
/* (record, member, &schema): a struct in the struct */
#define TROUPE_FIELD_STRUCT(...) TROUPE_STRUCT_(__VA_ARGS__, .reserved_ = 0)
/* (record, member, KIND): T member[N]. KIND: I8 … U64, F32, F64, BOOL, STRING, TEXT, BYTES */
#define TROUPE_FIELD_ARRAY(...) TROUPE_ARRAY_(__VA_ARGS__, .reserved_ = 0)
/* (record, member, count_member, KIND): T member[N], of which count_member are used */
#define TROUPE_FIELD_COUNTED(...) TROUPE_COUNTED_(__VA_ARGS__, .reserved_ = 0)
/* (record, member, count_member, KIND): T *member, owned, count_member of them */
#define TROUPE_FIELD_OWNED(...) TROUPE_OWNED_(__VA_ARGS__, .reserved_ = 0)
/* The same three for structs: (record, member, &schema), (record, member, count_member, &schema) */
#define TROUPE_FIELD_STRUCTS(...)         TROUPE_STRUCTS_(__VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_STRUCTS_COUNTED(...) TROUPE_STRUCTS_COUNTED_(__VA_ARGS__, .reserved_ = 0)
#define TROUPE_FIELD_STRUCTS_OWNED(...)   TROUPE_STRUCTS_OWNED_(__VA_ARGS__, .reserved_ = 0)
/* `.present = TROUPE_PRESENT(struct account, has_limit)`: the bool that says whether the field is
 * there. An absent one is not written. */
#define TROUPE_PRESENT(record, member)                                      \
    ((uint32_t)(offsetof(record, member) + 1 +                              \
                TROUPE_MUST_(TROUPE_FITS_BOOL_(TROUPE_AT_(record, member)), \
                    "the member that says whether a field is present must be a bool")))

/* ------------------------------------------------------------------------------------------
 * Values
 */

/* Is the table itself right? Names twice, fields that overlap or stick out, defaults that are none,
 * versions that contradict each other, nested tables too. Tables of actor types are checked when
 * the node opens; check those of messages in a test. USAGE: `error` says what. */
TROUPE_API TROUPE_CHECK troupe_status troupe_schema_check(
    const troupe_schema *schema, char *error, size_t error_size);
/* The version that is written. */
TROUPE_API uint32_t troupe_schema_version(const troupe_schema *schema);
/* Does a value own memory? */
TROUPE_API bool troupe_schema_owns(const troupe_schema *schema);

/* Zeroes `ret_value` and sets the defaults. NO_MEMORY; USAGE: a default is none. */
TROUPE_API TROUPE_CHECK troupe_status troupe_schema_init(
    const troupe_schema *schema, void *ret_value, const troupe_allocator *allocator);
/* Gives back what the value owns, and clears the pointers to it. */
TROUPE_API void troupe_schema_free(
    const troupe_schema *schema, void *value, const troupe_allocator *allocator);
/* The same by what is described? Not by padding, nor behind the end of strings and counted arrays.
 * Floats are the same if their bytes are. */
TROUPE_API bool troupe_schema_equal(
    const troupe_schema *schema, const void *left, const void *right);
/* `ret_copy` is overwritten, not released. Bytes that no field describes are zero. NO_MEMORY. */
TROUPE_API TROUPE_CHECK troupe_status troupe_schema_copy(const troupe_schema *schema,
    const void *value, void *ret_copy, const troupe_allocator *allocator);

/* Adds the binary form to `buffer`. USAGE: the value is none (a count beyond its array, a string
 * without end, an enum without name); NO_MEMORY; TOO_LARGE for a fixed buffer. On failure the
 * buffer is as before. `error` may be NULL, here and below. */
TROUPE_API TROUPE_CHECK troupe_status troupe_schema_encode(const troupe_schema *schema,
    const void *value, troupe_buffer *buffer, char *error, size_t error_size);
/* Reads the binary form; `ret_value` is overwritten. CORRUPT: `error` names field and byte;
 * NO_MEMORY; what `upcast` or `validate` say. */
TROUPE_API TROUPE_CHECK troupe_status troupe_schema_decode(const troupe_schema *schema,
    troupe_slice packed, void *ret_value, const troupe_allocator *allocator, char *error,
    size_t error_size);

/* Adds the value as one JSON object to `buffer`. Statuses as troupe_schema_encode. */
TROUPE_API TROUPE_CHECK troupe_status troupe_schema_to_json(const troupe_schema *schema,
    const void *value, troupe_buffer *buffer, char *error, size_t error_size);
/* Reads a JSON object, or an array with one object, as the arguments of a call in JavaScript come.
 * USAGE: `error` names the field and what is wrong: an unknown one (with the nearest name), another
 * type, a number that does not fit; or it is nested more than 66 deep. What is missing gets its
 * default; so does an optional field that is null. */
TROUPE_API TROUPE_CHECK troupe_status troupe_schema_from_json(const troupe_schema *schema,
    troupe_slice json, void *ret_value, const troupe_allocator *allocator, char *error,
    size_t error_size);

/* Reads a payload of either form: what its content type says, and where that says neither, what it
 * looks like. An empty payload has no field. */
TROUPE_API TROUPE_CHECK troupe_status troupe_schema_read(const troupe_schema *schema,
    troupe_slice content_type, troupe_slice payload, void *ret_value,
    const troupe_allocator *allocator, char *error, size_t error_size);

/* Adds the table itself as JSON: name, version, fields with kind, since, default, nested tables. */
TROUPE_API TROUPE_CHECK troupe_status troupe_schema_describe(
    const troupe_schema *schema, troupe_buffer *buffer);

/* Owned parts. `allocator` as above; the old content is given back. NO_MEMORY: it stays. */
TROUPE_API TROUPE_CHECK troupe_status troupe_text_set(
    char **text, troupe_slice content, const troupe_allocator *allocator);
TROUPE_API TROUPE_CHECK troupe_status troupe_bytes_set(
    troupe_bytes *bytes, troupe_slice content, const troupe_allocator *allocator);
/* `array` is the address of the pointer; new elements are zeroed. Owned parts of elements that are
 * cut off are the caller's. */
TROUPE_API TROUPE_CHECK troupe_status troupe_array_resize(void *array, size_t element_size,
    size_t old_count, size_t new_count, const troupe_allocator *allocator);

/* ------------------------------------------------------------------------------------------
 * In a turn. Failures are those of the call, as by troupe_fail, with words such as "account/ada
 * withdraw: amount: field cents: expected an integer, got a string".
 */
struct troupe_turn;
struct troupe_answer;

/* [turn] Reads the payload of the turn's message, in either form (see troupe_schema_read). Owned
 * parts are in the turn's arena: never give them back, and copy what goes into the state. USAGE:
 * the payload is none; NO_MEMORY; what `validate` says. */
TROUPE_API TROUPE_CHECK troupe_status troupe_decode(
    struct troupe_turn *turn, const troupe_schema *schema, troupe_slice payload, void *ret_value);
/* [turn] The same for an answer; one that is a failure fails this call with it. CORRUPT. */
TROUPE_API TROUPE_CHECK troupe_status troupe_decode_answer(struct troupe_turn *turn,
    const troupe_schema *schema, const struct troupe_answer *answer, void *ret_value);
/* [turn] The binary form, for the payload of a call with content type TROUPE_PACKED; it lasts as
 * long as the turn. USAGE: the value is none; NO_MEMORY. */
TROUPE_API TROUPE_CHECK troupe_status troupe_encode(struct troupe_turn *turn,
    const troupe_schema *schema, const void *value, troupe_slice *ret_payload);
/* [turn] Replies: in the binary form (TROUPE_PACKED) to who asked in it, else in JSON. Statuses as
 * troupe_encode and troupe_reply_typed. */
TROUPE_API troupe_status troupe_reply(
    struct troupe_turn *turn, const troupe_schema *schema, const void *value);

/* ------------------------------------------------------------------------------------------
 * How the tables are made. Private from here.
 */

#define TROUPE_AT_(record, member) (((record *)0)->member)

#ifdef __cplusplus
}
template <bool holds> struct troupe_field_must {
    static_assert(holds, "the member is not what the field's macro says");
    char unused;
};
#define TROUPE_MUST_(condition, text) (0 * sizeof(troupe_field_must<(condition)>))
#define TROUPE_BARE_(x)               std::remove_cv_t<std::remove_reference_t<decltype(x)>>
#define TROUPE_IS_(x, type)           (std::is_same_v<TROUPE_BARE_(x), type>)
#define TROUPE_IS_SIGNED_(x)                                                     \
    (std::is_integral_v<TROUPE_BARE_(x)> && std::is_signed_v<TROUPE_BARE_(x)> && \
        !TROUPE_IS_(x, char))
#define TROUPE_IS_UNSIGNED_(x)                                                     \
    (std::is_integral_v<TROUPE_BARE_(x)> && std::is_unsigned_v<TROUPE_BARE_(x)> && \
        !TROUPE_IS_(x, char) && !TROUPE_IS_(x, bool))
#define TROUPE_IS_ENUM_(x) \
    (TROUPE_IS_SIGNED_(x) || TROUPE_IS_UNSIGNED_(x) || std::is_enum_v<TROUPE_BARE_(x)>)
#define TROUPE_IS_ARRAY_(x)    (std::is_array_v<TROUPE_BARE_(x)>)
#define TROUPE_FITS_STRING_(x) TROUPE_IS_(x, char[sizeof(x)])
#define TROUPE_FITS_BOOL_(x)   TROUPE_IS_(x, bool)
extern "C" {
#else
#define TROUPE_MUST_(condition, text)    \
    (0 * sizeof(struct {                 \
        _Static_assert(condition, text); \
        char unused;                     \
    }))
#define TROUPE_IS_(x, type) _Generic(&(x), type * : 1, default : 0)
#define TROUPE_IS_SIGNED_(x) \
    _Generic((x), signed char : 1, short : 1, int : 1, long : 1, long long : 1, default : 0)
#define TROUPE_IS_UNSIGNED_(x)                                                            \
    _Generic((x), unsigned char : 1, unsigned short : 1, unsigned : 1, unsigned long : 1, \
        unsigned long long : 1, default : 0)
#define TROUPE_IS_ENUM_(x)     (TROUPE_IS_SIGNED_(x) || TROUPE_IS_UNSIGNED_(x))
#define TROUPE_IS_ARRAY_(x)    (!__builtin_types_compatible_p(__typeof__(x), __typeof__(&(x)[0])))
#define TROUPE_FITS_STRING_(x) _Generic(&(x), char(*)[sizeof(x)] : 1, default : 0)
#define TROUPE_FITS_BOOL_(x)   TROUPE_IS_(x, _Bool)
#endif

#define TROUPE_FITS_I8_(x)    (TROUPE_IS_SIGNED_(x) && sizeof(x) == 1)
#define TROUPE_FITS_I16_(x)   (TROUPE_IS_SIGNED_(x) && sizeof(x) == 2)
#define TROUPE_FITS_I32_(x)   (TROUPE_IS_SIGNED_(x) && sizeof(x) == 4)
#define TROUPE_FITS_I64_(x)   (TROUPE_IS_SIGNED_(x) && sizeof(x) == 8)
#define TROUPE_FITS_U8_(x)    (TROUPE_IS_UNSIGNED_(x) && sizeof(x) == 1)
#define TROUPE_FITS_U16_(x)   (TROUPE_IS_UNSIGNED_(x) && sizeof(x) == 2)
#define TROUPE_FITS_U32_(x)   (TROUPE_IS_UNSIGNED_(x) && sizeof(x) == 4)
#define TROUPE_FITS_U64_(x)   (TROUPE_IS_UNSIGNED_(x) && sizeof(x) == 8)
#define TROUPE_FITS_F32_(x)   TROUPE_IS_(x, float)
#define TROUPE_FITS_F64_(x)   TROUPE_IS_(x, double)
#define TROUPE_FITS_TEXT_(x)  TROUPE_IS_(x, char *)
#define TROUPE_FITS_BYTES_(x) TROUPE_IS_(x, troupe_bytes)

#define TROUPE_HEAD_(record, member, kind_, shape_, must, text)                               \
    .name = #member, .name_size = (uint16_t)(sizeof(#member) - 1),                            \
    .kind = (uint8_t)(TROUPE_FIELD_KIND_##kind_ + TROUPE_MUST_(must, text)), .shape = shape_, \
    .offset = (uint32_t)offsetof(record, member)
#define TROUPE_COUNT_(record, member)                                                      \
    .count_offset = (uint32_t)offsetof(record, member),                                    \
    .count_size = (uint32_t)(sizeof(TROUPE_AT_(record, member)) +                          \
                             TROUPE_MUST_(TROUPE_IS_UNSIGNED_(TROUPE_AT_(record, member)), \
                                 "the member that counts must be an unsigned integer"))
#define TROUPE_SIZE_(record, member)    (uint32_t)sizeof(TROUPE_AT_(record, member))
#define TROUPE_ELEMENT_(record, member) (uint32_t)sizeof(TROUPE_AT_(record, member)[0])
#define TROUPE_LENGTH_(record, member) \
    (TROUPE_SIZE_(record, member) / TROUPE_ELEMENT_(record, member))

#define TROUPE_ONE_(kind_, record, member, ...)                            \
    {                                                                      \
        TROUPE_HEAD_(record, member, kind_, TROUPE_FIELD_ONE,              \
            TROUPE_FITS_##kind_##_(TROUPE_AT_(record, member)),            \
            "the member's type is not " #kind_),                           \
            .size = TROUPE_SIZE_(record, member), .length = 1, __VA_ARGS__ \
    }
#define TROUPE_BLOCK_(record, member, size_member, ...)                                   \
    {                                                                                     \
        TROUPE_HEAD_(record, member, BLOCK, TROUPE_FIELD_ONE,                             \
            TROUPE_IS_ARRAY_(TROUPE_AT_(record, member)) &&                               \
                sizeof(TROUPE_AT_(record, member)[0]) == 1,                               \
            "the member is no array of bytes"),                                           \
            .size = TROUPE_SIZE_(record, member), .length = TROUPE_SIZE_(record, member), \
            TROUPE_COUNT_(record, size_member), __VA_ARGS__                               \
    }
#define TROUPE_ENUM_(record, member, names_, ...)                                       \
    {                                                                                   \
        TROUPE_HEAD_(record, member, ENUM, TROUPE_FIELD_ONE,                            \
            TROUPE_IS_ENUM_(TROUPE_AT_(record, member)),                                \
            "the member is neither enum nor integer"),                                  \
            .size = TROUPE_SIZE_(record, member), .length = 1, .names = (names_),       \
            .name_count = (uint32_t)(sizeof(names_) / sizeof((names_)[0])), __VA_ARGS__ \
    }
#define TROUPE_STRUCT_(record, member, schema_, ...)                                            \
    {                                                                                           \
        TROUPE_HEAD_(record, member, STRUCT, TROUPE_FIELD_ONE, 1, ""),                          \
            .size = TROUPE_SIZE_(record, member), .length = 1, .schema = (schema_), __VA_ARGS__ \
    }
#define TROUPE_ARRAY_(record, member, kind_, ...)                                              \
    {                                                                                          \
        TROUPE_HEAD_(record, member, kind_, TROUPE_FIELD_FIXED,                                \
            TROUPE_IS_ARRAY_(TROUPE_AT_(record, member)) &&                                    \
                TROUPE_FITS_##kind_##_(TROUPE_AT_(record, member)[0]),                         \
            "the member is no array of " #kind_),                                              \
            .size = TROUPE_ELEMENT_(record, member), .length = TROUPE_LENGTH_(record, member), \
            __VA_ARGS__                                                                        \
    }
#define TROUPE_COUNTED_(record, member, count_member, kind_, ...)                              \
    {                                                                                          \
        TROUPE_HEAD_(record, member, kind_, TROUPE_FIELD_COUNTED,                              \
            TROUPE_IS_ARRAY_(TROUPE_AT_(record, member)) &&                                    \
                TROUPE_FITS_##kind_##_(TROUPE_AT_(record, member)[0]),                         \
            "the member is no array of " #kind_),                                              \
            .size = TROUPE_ELEMENT_(record, member), .length = TROUPE_LENGTH_(record, member), \
            TROUPE_COUNT_(record, count_member), __VA_ARGS__                                   \
    }
#define TROUPE_OWNED_(record, member, count_member, kind_, ...)            \
    {                                                                      \
        TROUPE_HEAD_(record, member, kind_, TROUPE_FIELD_OWNED_ARRAY,      \
            !TROUPE_IS_ARRAY_(TROUPE_AT_(record, member)) &&               \
                TROUPE_FITS_##kind_##_(TROUPE_AT_(record, member)[0]),     \
            "the member is no pointer to " #kind_),                        \
            .size = TROUPE_ELEMENT_(record, member), .length = UINT32_MAX, \
            TROUPE_COUNT_(record, count_member), __VA_ARGS__               \
    }
#define TROUPE_STRUCTS_(record, member, schema_, ...)                                          \
    {                                                                                          \
        TROUPE_HEAD_(record, member, STRUCT, TROUPE_FIELD_FIXED,                               \
            TROUPE_IS_ARRAY_(TROUPE_AT_(record, member)), "the member is no array"),           \
            .size = TROUPE_ELEMENT_(record, member), .length = TROUPE_LENGTH_(record, member), \
            .schema = (schema_), __VA_ARGS__                                                   \
    }
#define TROUPE_STRUCTS_COUNTED_(record, member, count_member, schema_, ...)                    \
    {                                                                                          \
        TROUPE_HEAD_(record, member, STRUCT, TROUPE_FIELD_COUNTED,                             \
            TROUPE_IS_ARRAY_(TROUPE_AT_(record, member)), "the member is no array"),           \
            .size = TROUPE_ELEMENT_(record, member), .length = TROUPE_LENGTH_(record, member), \
            TROUPE_COUNT_(record, count_member), .schema = (schema_), __VA_ARGS__              \
    }
#define TROUPE_STRUCTS_OWNED_(record, member, count_member, schema_, ...)               \
    {                                                                                   \
        TROUPE_HEAD_(record, member, STRUCT, TROUPE_FIELD_OWNED_ARRAY,                  \
            !TROUPE_IS_ARRAY_(TROUPE_AT_(record, member)), "the member is no pointer"), \
            .size = TROUPE_ELEMENT_(record, member), .length = UINT32_MAX,              \
            TROUPE_COUNT_(record, count_member), .schema = (schema_), __VA_ARGS__       \
    }
#define TROUPE_SCHEMA_(record, array, ...)                                                   \
    {                                                                                        \
        .name = #record, .size = sizeof(record), .fields = (array),                          \
        .field_size = sizeof((array)[0]), .field_count = sizeof(array) / sizeof((array)[0]), \
        __VA_ARGS__                                                                          \
    }

#ifdef __cplusplus
}
#endif

#endif
