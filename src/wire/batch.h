/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a batch: what lies before each run of frames on a link. Not the frames. The session
 * writes and reads it, also to find its way through its own outgoing buffer.
 *
 *    0  size         u32, of what follows the header
 *    4  raw          u32, the same before it was compressed
 *    8  codec        u8: 0 none, 1 LZ4 block, 2 Zstandard frame
 *    9  zero         u8
 *   10  count        u16, frames
 *   12  zero         u32
 *   16  first        u64, number of the first frame; 0: these frames have none (LOOSE)
 *   24  received_to  u64: the sender has all numbered frames of the other side up to this one
 *   32  parcels_to   u64: the other side may send so many parcels in all, in this session
 *   40  incarnation  u64, of the sender
 *   48  view         u64, number of the sender's
 *
 * Invariants: size is raw where the codec is none, and smaller than raw else. Threads: pure.
 */
#ifndef TP_WIRE_BATCH_H
#define TP_WIRE_BATCH_H

#include "wire/octets.h"

enum { TP_BATCH_HEADER = 56 };

/* Frames of one batch, in bytes, unless it is a single frame. */
#define TP_BATCH_RAW_MAX ((uint32_t)262144)

typedef struct tp_batch {
    uint32_t size, raw;
    uint8_t codec;
    uint16_t count;
    uint64_t first, received_to, parcels_to, incarnation, view;
} tp_batch;

static inline void tp_batch_put(char *at, const tp_batch *batch)
{
    at = tp_put_64(at, batch->size | (uint64_t)batch->raw << 32);
    at = tp_put_64(at, batch->codec | (uint64_t)batch->count << 16);
    at = tp_put_64(tp_put_64(at, batch->first), batch->received_to);
    at = tp_put_64(tp_put_64(at, batch->parcels_to), batch->incarnation);
    tp_put_64(at, batch->view);
}

/* False: one of the zeroes is none. */
static inline bool tp_batch_get(const char *at, tp_batch *ret_batch)
{
    uint64_t sizes = tp_get_number(at, 8), rest = tp_get_number(at + 8, 8);
    ret_batch->size = (uint32_t)sizes;
    ret_batch->raw = (uint32_t)(sizes >> 32);
    ret_batch->codec = (uint8_t)rest;
    ret_batch->count = (uint16_t)(rest >> 16);
    ret_batch->first = tp_get_number(at + 16, 8);
    ret_batch->received_to = tp_get_number(at + 24, 8);
    ret_batch->parcels_to = tp_get_number(at + 32, 8);
    ret_batch->incarnation = tp_get_number(at + 40, 8);
    ret_batch->view = tp_get_number(at + 48, 8);
    return (rest & UINT64_C(0xffffffff0000ff00)) == 0;
}

#endif
