/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of fixed width as they are stored: little-endian, at any address; big-endian where
 * bytewise order must be the order of the numbers. What writes stored bytes calls it.
 *
 * Invariants: the bytes are the same on every machine. Threads: pure.
 */
#ifndef TP_STORE_NUMBER_H
#define TP_STORE_NUMBER_H

#include <stdint.h>

/* Compilers make one move of each of these loops. */
static inline void tp_number_put(void *out, uint64_t value, unsigned width)
{
    unsigned char *at = out;
    for (unsigned i = 0; i < width; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static inline uint64_t tp_number_get(const void *from, unsigned width)
{
    const unsigned char *at = from;
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static inline void tp_number_put_ordered(void *out, uint64_t value, unsigned width)
{
    unsigned char *at = out;
    for (unsigned i = 0; i < width; i++)
        at[i] = (unsigned char)(value >> (8 * (width - 1 - i)));
}

static inline uint64_t tp_number_get_ordered(const void *from, unsigned width)
{
    const unsigned char *at = from;
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++)
        value = value << 8 | at[i];
    return value;
}

#endif
