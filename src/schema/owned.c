/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of values that live on the heap: set, resized, freed, found. Users call it through
 * <troupe/schema.h>; value.c has what concerns values as a whole.
 *
 * Invariants: a block's size follows from what it holds: a text's length and its end mark, the size
 * of bytes, count times element. Threads: pure.
 */
#include "schema/schema.h"

#include "base/alloc.h"

troupe_status troupe_text_set(char **text, troupe_slice content, const troupe_allocator *allocator)
{
    allocator = tp_schema_allocator(allocator);
    char *copy = tp_allocate(allocator, content.size + 1);
    if (copy == NULL)
        return TROUPE_NO_MEMORY;
    if (content.size != 0)
        memcpy(copy, content.data, content.size);
    copy[content.size] = 0;
    if (*text != NULL)
        tp_release(allocator, *text, strlen(*text) + 1);
    *text = copy;
    return TROUPE_OK;
}

troupe_status troupe_bytes_set(
    troupe_bytes *bytes, troupe_slice content, const troupe_allocator *allocator)
{
    allocator = tp_schema_allocator(allocator);
    void *copy = NULL;
    if (content.size != 0) {
        copy = tp_allocate(allocator, content.size);
        if (copy == NULL)
            return TROUPE_NO_MEMORY;
        memcpy(copy, content.data, content.size);
    }
    tp_release(allocator, bytes->data, bytes->size);
    *bytes = (troupe_bytes){copy, content.size};
    return TROUPE_OK;
}

troupe_status troupe_array_resize(void *array, size_t element_size, size_t old_count,
    size_t new_count, const troupe_allocator *allocator)
{
    allocator = tp_schema_allocator(allocator);
    char *old, *data = NULL;
    memcpy(&old, array, sizeof old);
    size_t size;
    if (__builtin_mul_overflow(element_size, new_count, &size))
        return TROUPE_NO_MEMORY;
    if (size == 0) {
        tp_release(allocator, old, element_size * old_count);
    } else {
        data = tp_reallocate(allocator, old, element_size * old_count, size);
        if (data == NULL)
            return TROUPE_NO_MEMORY;
        size_t kept = old != NULL ? element_size * old_count : 0;
        if (size > kept)
            memset(data + kept, 0, size - kept);
    }
    memcpy(array, &data, sizeof data);
    return TROUPE_OK;
}

/* ---- free ---------------------------------------------------------------------------------- */

static bool element_owns(const troupe_field *field, unsigned depth);

static bool schema_owns(const troupe_schema *schema, unsigned depth)
{
    for (size_t i = 0; i < schema->field_count && depth <= TP_SCHEMA_DEPTH; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        if (field->shape == TROUPE_FIELD_OWNED_ARRAY || element_owns(field, depth))
            return true;
    }
    return false;
}

static bool element_owns(const troupe_field *field, unsigned depth)
{
    return field->kind == TROUPE_FIELD_KIND_TEXT || field->kind == TROUPE_FIELD_KIND_BYTES ||
           (field->kind == TROUPE_FIELD_KIND_STRUCT && schema_owns(field->schema, depth + 1));
}

bool troupe_schema_owns(const troupe_schema *schema)
{
    return schema_owns(schema, 1);
}

static void free_element(
    const troupe_field *field, char *element, const troupe_allocator *allocator)
{
    char *text = NULL;
    troupe_bytes bytes = {NULL, 0};
    switch (field->kind) {
    case TROUPE_FIELD_KIND_TEXT:
        memcpy(&bytes.data, element, sizeof bytes.data);
        bytes.size = bytes.data != NULL ? strlen(bytes.data) + 1 : 0;
        memcpy(element, &text, sizeof text);
        break;
    case TROUPE_FIELD_KIND_BYTES:
        memcpy(&bytes, element, sizeof bytes);
        memset(element, 0, sizeof bytes);
        break;
    default:
        troupe_schema_free(field->schema, element, allocator);
        return;
    }
    tp_release(allocator, bytes.data, bytes.size);
}

/* The nesting is that of the value, which a decoder or the user's own hands have built. */
void troupe_schema_free(const troupe_schema *schema, void *value, const troupe_allocator *allocator)
{
    allocator = tp_schema_allocator(allocator);
    for (size_t i = 0; i < schema->field_count; i++) {
        const troupe_field *field = tp_schema_field(schema, i);
        bool is_owned = field->shape == TROUPE_FIELD_OWNED_ARRAY;
        bool may_own = field->kind == TROUPE_FIELD_KIND_TEXT ||
                       field->kind == TROUPE_FIELD_KIND_BYTES ||
                       field->kind == TROUPE_FIELD_KIND_STRUCT;
        if (!is_owned && !may_own)
            continue;
        tp_span span = tp_field_span(field, value);
        if (field->shape == TROUPE_FIELD_COUNTED) /* what is behind the count may own, too */
            span.count = field->length;
        for (size_t k = 0; may_own && k < span.count; k++)
            free_element(field, span.data + k * field->size, allocator);
        if (is_owned) {
            tp_release(allocator, span.data, span.count * field->size);
            memset((char *)value + field->offset, 0, sizeof(void *));
            (void)tp_field_set_count(field, value, 0);
        }
    }
}
