/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables for the tests of schemas, the fuzzer and the compile checks: one struct with a field of
 * each kind and shape, a tree, and the account of the manual. Plain C11, and C++20.
 */
#ifndef TEST_SCHEMA_EVERYTHING_H
#define TEST_SCHEMA_EVERYTHING_H

#include <troupe/schema.h>

struct account {
    int64_t balance;
    char owner[32];
};

static const troupe_field account_fields[] = {
    TROUPE_FIELD_I64(struct account, balance, .since = 1),
    TROUPE_FIELD_STRING(struct account, owner, .since = 2, .otherwise = "nobody"),
};
static const troupe_schema account_schema =
    TROUPE_SCHEMA(struct account, account_fields, .version = 2);

enum colour { RED, GREEN, BLUE = 3 };
static const char *const colour_names[] = {"red", "green", 0, "blue"};

struct point {
    int32_t x;
    float weight;
    char *label;
};
static const troupe_field point_fields[] = {
    TROUPE_FIELD_I32(struct point, x),
    TROUPE_FIELD_F32(struct point, weight, .otherwise = "0.5"),
    TROUPE_FIELD_TEXT(struct point, label, .otherwise = "unnamed"),
};
static const troupe_schema point_schema = TROUPE_SCHEMA(struct point, point_fields);

struct everything {
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    float f32;
    double f64;
    bool flag;
    bool has_limit;
    bool has_home;
    enum colour colour;
    uint32_t limit;
    char name[12];
    char *note;
    troupe_bytes blob;
    uint8_t block[20];
    uint16_t block_size;
    struct point home;
    struct point here;
    int16_t fixed[3];
    double some[4];
    uint8_t some_count;
    uint64_t *many;
    size_t many_count;
    char words[2][8];
    char *texts[2];
    char **tags;
    uint32_t tag_count;
    struct point corners[2];
    struct point stops[3];
    uint32_t stop_count;
    struct point *way;
    size_t way_count;
};

static const troupe_field everything_fields[] = {
    TROUPE_FIELD_I8(struct everything, i8),
    TROUPE_FIELD_I16(struct everything, i16),
    TROUPE_FIELD_I32(struct everything, i32, .otherwise = "-7"),
    TROUPE_FIELD_I64(struct everything, i64),
    TROUPE_FIELD_U8(struct everything, u8, .number = 1),
    TROUPE_FIELD_U16(struct everything, u16, .number = 200),
    TROUPE_FIELD_U32(struct everything, u32),
    TROUPE_FIELD_U64(struct everything, u64, .otherwise = "18446744073709551615"),
    TROUPE_FIELD_F32(struct everything, f32),
    TROUPE_FIELD_F64(struct everything, f64, .otherwise = "2.5"),
    TROUPE_FIELD_BOOL(struct everything, flag, .otherwise = "true"),
    TROUPE_FIELD_ENUM(struct everything, colour, colour_names, .otherwise = "blue"),
    TROUPE_FIELD_U32(
        struct everything, limit, .present = TROUPE_PRESENT(struct everything, has_limit)),
    TROUPE_FIELD_STRING(struct everything, name, .otherwise = "nobody", .was = "title caption"),
    TROUPE_FIELD_TEXT(struct everything, note),
    TROUPE_FIELD_BYTES(struct everything, blob),
    TROUPE_FIELD_BLOCK(struct everything, block, block_size),
    TROUPE_FIELD_STRUCT(struct everything, home, &point_schema,
        .present = TROUPE_PRESENT(struct everything, has_home)),
    TROUPE_FIELD_STRUCT(struct everything, here, &point_schema),
    TROUPE_FIELD_ARRAY(struct everything, fixed, I16),
    TROUPE_FIELD_COUNTED(struct everything, some, some_count, F64),
    TROUPE_FIELD_OWNED(struct everything, many, many_count, U64),
    TROUPE_FIELD_ARRAY(struct everything, words, STRING),
    TROUPE_FIELD_ARRAY(struct everything, texts, TEXT),
    TROUPE_FIELD_OWNED(struct everything, tags, tag_count, TEXT),
    TROUPE_FIELD_STRUCTS(struct everything, corners, &point_schema),
    TROUPE_FIELD_STRUCTS_COUNTED(struct everything, stops, stop_count, &point_schema),
    TROUPE_FIELD_STRUCTS_OWNED(struct everything, way, way_count, &point_schema),
};
static const troupe_schema everything_schema =
    TROUPE_SCHEMA(struct everything, everything_fields, .version = 3);

#ifndef __cplusplus /* where a static table cannot name itself */
struct tree {
    char *name;
    struct tree *children;
    uint32_t child_count;
};
static const troupe_schema tree_schema;
static const troupe_field tree_fields[] = {
    TROUPE_FIELD_TEXT(struct tree, name),
    TROUPE_FIELD_STRUCTS_OWNED(struct tree, children, child_count, &tree_schema),
};
static const troupe_schema tree_schema = TROUPE_SCHEMA(struct tree, tree_fields);
#endif

#endif
