/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of fixed width as they travel: little-endian, at any address; and a reader that cannot
 * leave its bytes. Numbers are fixed and not varints, since a frame is then written by a few moves
 * and read without a loop. What writes or reads frames calls it.
 *
 * Invariants: 1. The bytes are the same on every machine. 2. A reader that was asked for more than
 * there is gives zeroes and empty slices from then on, and says so once, at its end (tp_in_ok).
 * Threads: pure.
 */
#ifndef TP_WIRE_OCTETS_H
#define TP_WIRE_OCTETS_H

#include "base/assert.h"
#include "base/bytes.h"

#include <troupe/base.h>

/* `width` is a constant wherever they are called: one move each. (gcc -O2 leaves a loop over bytes
 * a loop.) */
__attribute__((always_inline)) static inline void tp_put_number(
    void *out, uint64_t value, unsigned width)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(out, &value, width);
#else
    for (unsigned i = 0; i < width; i++)
        ((unsigned char *)out)[i] = (unsigned char)(value >> (8 * i));
#endif
}

__attribute__((always_inline)) static inline uint64_t tp_get_number(
    const void *from, unsigned width)
{
    uint64_t value = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(&value, from, width);
#else
    for (unsigned i = 0; i < width; i++)
        value |= (uint64_t)((const unsigned char *)from)[i] << (8 * i);
#endif
    return value;
}

/* The writers return where the next goes. The room was reserved before. */
static inline char *tp_put_8(char *at, unsigned value)
{
    *at = (char)value;
    return at + 1;
}

static inline char *tp_put_16(char *at, unsigned value)
{
    tp_put_number(at, value, 2);
    return at + 2;
}

static inline char *tp_put_32(char *at, uint32_t value)
{
    tp_put_number(at, value, 4);
    return at + 4;
}

static inline char *tp_put_64(char *at, uint64_t value)
{
    tp_put_number(at, value, 8);
    return at + 8;
}

static inline char *tp_put_bytes(char *at, troupe_slice bytes)
{
    tp_bytes_copy(at, bytes.data, bytes.size);
    return at + bytes.size;
}

typedef struct tp_in {
    const char *at, *end;
    bool short_of; /* something was asked for that is not there */
} tp_in;

static inline tp_in tp_in_of(const void *data, size_t size)
{
    return (tp_in){data, (const char *)data + size, false};
}

/* NULL: there is not so much. */
static inline const char *tp_in_skip(tp_in *in, size_t size)
{
    if (TP_UNLIKELY(size > (size_t)(in->end - in->at))) {
        in->short_of = true;
        in->at = in->end;
        return NULL;
    }
    const char *at = in->at;
    in->at += size;
    return at;
}

__attribute__((always_inline)) static inline uint64_t tp_in_number(tp_in *in, unsigned width)
{
    const char *at = tp_in_skip(in, width);
    return TP_LIKELY(at != NULL) ? tp_get_number(at, width) : 0;
}

static inline uint8_t tp_in_8(tp_in *in)
{
    return (uint8_t)tp_in_number(in, 1);
}

static inline uint16_t tp_in_16(tp_in *in)
{
    return (uint16_t)tp_in_number(in, 2);
}

static inline uint32_t tp_in_32(tp_in *in)
{
    return (uint32_t)tp_in_number(in, 4);
}

static inline uint64_t tp_in_64(tp_in *in)
{
    return tp_in_number(in, 8);
}

static inline troupe_slice tp_in_bytes(tp_in *in, size_t size)
{
    const char *at = tp_in_skip(in, size);
    return (troupe_slice){at, at != NULL ? size : 0};
}

static inline troupe_slice tp_in_rest(tp_in *in)
{
    return tp_in_bytes(in, (size_t)(in->end - in->at));
}

/* All was there, and nothing is left. */
static inline bool tp_in_ok(const tp_in *in)
{
    return !in->short_of && in->at == in->end;
}

#endif
