/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds arbitrary bytes to the decoders of both forms, for a struct with every kind of field and
 * for a tree. The first byte says which table and form. Run by tools with fuzz/corpus/schema.
 *
 * Invariants: an error has words and leaves a zeroed value; what was read is written and read again
 * to an equal value and equal bytes; its JSON is JSON. Threads: one.
 */
#include <stdlib.h>

#include "schema/schema.h"
#include "tests/schema/everything.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_zeroed(const troupe_schema *schema, const char *value)
{
    for (size_t i = 0; i < schema->size; i++)
        require(value[i] == 0);
}

/* What was read goes through both forms. */
static void check_value(const troupe_schema *schema, const void *value, bool is_json)
{
    char error[256] = "";
    _Alignas(16) char back[sizeof(struct everything)];
    troupe_buffer packed = {tp_schema_allocator(NULL), NULL, 0, 0}, again = packed, json = packed;
    require(troupe_schema_encode(schema, value, &packed, error, sizeof error) == TROUPE_OK);
    require(troupe_schema_decode(schema, troupe_buffer_slice(&packed), back, NULL, error,
                sizeof error) == TROUPE_OK);
    require(troupe_schema_equal(schema, value, back));
    require(troupe_schema_encode(schema, back, &again, error, sizeof error) == TROUPE_OK);
    require(troupe_slice_equal(troupe_buffer_slice(&packed), troupe_buffer_slice(&again)));
    troupe_schema_free(schema, back, NULL);
    require(troupe_schema_to_json(schema, value, &json, error, sizeof error) == TROUPE_OK);
    troupe_status status = troupe_schema_from_json(
        schema, troupe_buffer_slice(&json), back, NULL, error, sizeof error);
    /* Strings of the binary form need not be UTF-8: what JSON makes of them is another string,
     * which may be too long. */
    require(status == TROUPE_OK ||
            (!is_json && status == TROUPE_USAGE && strstr(error, "not JSON") == NULL));
    require(!is_json || troupe_schema_equal(schema, value, back));
    troupe_schema_free(schema, back, NULL);
    require(troupe_schema_copy(schema, value, back, NULL) == TROUPE_OK);
    require(troupe_schema_equal(schema, value, back));
    troupe_schema_free(schema, back, NULL);
    troupe_buffer_deinit(&packed);
    troupe_buffer_deinit(&again);
    troupe_buffer_deinit(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[256] = "";
    _Alignas(16) char value[sizeof(struct everything)];
    if (size == 0)
        return 0;
    const troupe_schema *schema = data[0] & 1 ? &tree_schema : &everything_schema;
    bool is_json = data[0] & 2;
    troupe_slice input = troupe_slice_of(data + 1, size - 1);
    troupe_status status =
        is_json ? troupe_schema_from_json(schema, input, value, NULL, error, sizeof error)
                : troupe_schema_decode(schema, input, value, NULL, error, sizeof error);
    if (status == TROUPE_OK) {
        check_value(schema, value, is_json);
        troupe_schema_free(schema, value, NULL);
        return 0;
    }
    require(status == TROUPE_CORRUPT || status == TROUPE_USAGE || status == TROUPE_NO_MEMORY);
    require(error[0] != 0);
    check_zeroed(schema, value);
    return 0;
}
