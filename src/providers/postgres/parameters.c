/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters and fields in PostgreSQL's binary form: big-endian numbers, arrays as (dimensions,
 * has nulls, type of element, count, lower bound, then length and bytes of each). Building never
 * fails in the middle: a buffer that could not grow is marked, and asked once at the end.
 *
 * Threads: a buffer is its owner's.
 */
#include "base/alloc.h"
#include "providers/postgres/postgres.h"

bool tp_pg_reserve(tp_pg_buffer *buffer, size_t more)
{
    if (buffer->failed)
        return false;
    if (buffer->room - buffer->size >= more)
        return true;
    size_t room = buffer->room < 4096 ? 4096 : buffer->room;
    while (room - buffer->size < more)
        room *= 2;
    char *data = tp_reallocate(buffer->allocator, buffer->data, buffer->room, room);
    if (data == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->room = room;
    return true;
}

void tp_pg_buffer_empty(tp_pg_buffer *buffer)
{
    /* A huge commit does not keep its memory for ever. */
    if (buffer->room > 2 * (size_t)TP_PG_WAVE_BYTES)
        tp_pg_buffer_deinit(buffer);
    buffer->size = 0;
    buffer->failed = false;
}

void tp_pg_buffer_deinit(tp_pg_buffer *buffer)
{
    tp_release(buffer->allocator, buffer->data, buffer->room);
    buffer->data = NULL;
    buffer->room = buffer->size = 0;
}

void tp_pg_put_bytes(tp_pg_buffer *buffer, const void *data, size_t size)
{
    if (!tp_pg_reserve(buffer, size) || size == 0)
        return;
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

void tp_pg_put_u32(tp_pg_buffer *buffer, uint32_t value)
{
    uint32_t big = __builtin_bswap32(value);
    tp_pg_put_bytes(buffer, &big, sizeof big);
}

void tp_pg_put_u64(tp_pg_buffer *buffer, uint64_t value)
{
    uint64_t big = __builtin_bswap64(value);
    tp_pg_put_bytes(buffer, &big, sizeof big);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are turned by bswap");

void tp_pg_begin(tp_pg_parameters *parameters)
{
    parameters->offset[parameters->count] = parameters->buffer->size;
}

void tp_pg_end(tp_pg_parameters *parameters)
{
    size_t at = parameters->offset[parameters->count];
    parameters->size[parameters->count++] = parameters->buffer->size - at;
}

void tp_pg_add_number(tp_pg_parameters *parameters, uint64_t value)
{
    tp_pg_begin(parameters);
    tp_pg_put_u64(parameters->buffer, value);
    tp_pg_end(parameters);
}

void tp_pg_add_bytes(tp_pg_parameters *parameters, troupe_slice bytes)
{
    tp_pg_begin(parameters);
    tp_pg_put_bytes(parameters->buffer, bytes.data, bytes.size);
    tp_pg_end(parameters);
}

void tp_pg_array(tp_pg_buffer *buffer, uint32_t type, size_t count)
{
    tp_pg_put_u32(buffer, count != 0);
    tp_pg_put_u32(buffer, 1);
    tp_pg_put_u32(buffer, type);
    if (count != 0) {
        tp_pg_put_u32(buffer, (uint32_t)count);
        tp_pg_put_u32(buffer, 1);
    }
}

void tp_pg_element(tp_pg_buffer *buffer, troupe_slice bytes)
{
    tp_pg_put_u32(buffer, (uint32_t)bytes.size);
    tp_pg_put_bytes(buffer, bytes.data, bytes.size);
}

void tp_pg_element_null(tp_pg_buffer *buffer)
{
    tp_pg_put_u32(buffer, UINT32_MAX);
}

void tp_pg_element_u32(tp_pg_buffer *buffer, uint32_t value)
{
    tp_pg_put_u32(buffer, sizeof value);
    tp_pg_put_u32(buffer, value);
}

void tp_pg_element_u64(tp_pg_buffer *buffer, uint64_t value)
{
    tp_pg_put_u32(buffer, sizeof value);
    tp_pg_put_u64(buffer, value);
}

uint32_t tp_pg_read_u32(const char *at)
{
    uint32_t big;
    memcpy(&big, at, sizeof big);
    return __builtin_bswap32(big);
}

uint64_t tp_pg_read_u64(const char *at)
{
    uint64_t big;
    memcpy(&big, at, sizeof big);
    return __builtin_bswap64(big);
}

uint64_t tp_pg_u64(const PGresult *rows, int row, int column)
{
    return PQgetlength(rows, row, column) == 8 ? tp_pg_read_u64(PQgetvalue(rows, row, column)) : 0;
}

uint32_t tp_pg_u32(const PGresult *rows, int row, int column)
{
    return PQgetlength(rows, row, column) == 4 ? tp_pg_read_u32(PQgetvalue(rows, row, column)) : 0;
}

troupe_slice tp_pg_bytes(const PGresult *rows, int row, int column)
{
    int size = PQgetlength(rows, row, column);
    return troupe_slice_of(PQgetvalue(rows, row, column), (size_t)size);
}
