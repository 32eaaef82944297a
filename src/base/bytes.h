/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying and comparing short runs of bytes, where a call of memcpy or memcmp would cost more than
 * the work. Long runs go to the C library. Called wherever keys and small payloads move.
 *
 * Invariants: 1. Runs of 4 bytes and more are handled in words that overlap at the end. 2. Nothing
 * outside the run is read or written. Threads: pure.
 */
#ifndef TP_BASE_BYTES_H
#define TP_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TP_BYTES_INLINE_MAX 128

static inline uint64_t tp_bytes_word(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

typedef uint64_t tp_bytes_16 __attribute__((vector_size(16)));

static inline tp_bytes_16 tp_bytes_load(const char *at)
{
    tp_bytes_16 run;
    memcpy(&run, at, sizeof run);
    return run;
}

static inline void tp_bytes_store(char *at, tp_bytes_16 run)
{
    memcpy(at, &run, sizeof run);
}

/* The runs do not overlap in memory; the moves may, at the end. No loops: a key is two or four
 * moves. */
static inline void tp_bytes_copy(void *to, const void *from, size_t size)
{
    char *t = to;
    const char *f = from;
    if (size == 0)
        return;
    if (size > 64) {
        memcpy(t, f, size);
    } else if (size > 32) {
        tp_bytes_16 first = tp_bytes_load(f), second = tp_bytes_load(f + 16);
        tp_bytes_16 third = tp_bytes_load(f + size - 32), last = tp_bytes_load(f + size - 16);
        tp_bytes_store(t, first);
        tp_bytes_store(t + 16, second);
        tp_bytes_store(t + size - 32, third);
        tp_bytes_store(t + size - 16, last);
    } else if (size > 16) {
        tp_bytes_16 first = tp_bytes_load(f), last = tp_bytes_load(f + size - 16);
        tp_bytes_store(t, first);
        tp_bytes_store(t + size - 16, last);
    } else if (size >= 8) {
        memcpy(t, f, 8);
        memcpy(t + size - 8, f + size - 8, 8);
    } else if (size >= 4) {
        memcpy(t, f, 4);
        memcpy(t + size - 4, f + size - 4, 4);
    } else {
        for (size_t i = 0; i < size; i++)
            t[i] = f[i];
    }
}

static inline uint32_t tp_bytes_half(const char *at)
{
    uint32_t half;
    memcpy(&half, at, sizeof half);
    return half;
}

static inline bool tp_bytes_are_equal(const void *left, const void *right, size_t size)
{
    const char *l = left, *r = right;
    if (size < 8) {
        if (size >= 4)
            return tp_bytes_half(l) == tp_bytes_half(r) &&
                   tp_bytes_half(l + size - 4) == tp_bytes_half(r + size - 4);
        for (size_t i = 0; i < size; i++)
            if (l[i] != r[i])
                return false;
        return true;
    }
    if (size > TP_BYTES_INLINE_MAX)
        return memcmp(l, r, size) == 0;
    size_t last = size - 8;
    for (size_t i = 0; i < last; i += 8)
        if (tp_bytes_word(l + i) != tp_bytes_word(r + i))
            return false;
    return tp_bytes_word(l + last) == tp_bytes_word(r + last);
}

#endif
