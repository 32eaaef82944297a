/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches made smaller: LZ4 blocks and Zstandard frames. Not a stream: each batch stands for
 * itself, so that it can be sent again on another connection. The session calls it.
 *
 * Invariants
 * 1. What comes out of opening is exactly as long as the header said, or it is refused. 2. Nothing
 * is written beyond the room given, whatever the bytes are. Threads: a squeezer has one owner.
 */
#ifndef TP_WIRE_COMPRESS_H
#define TP_WIRE_COMPRESS_H

#include <troupe/base.h>
#include <troupe/status.h>

typedef enum tp_codec { TP_CODEC_NONE, TP_CODEC_LZ4, TP_CODEC_ZSTD, TP_CODECS } tp_codec;

/* What a node says in its hello that it can read. */
enum {
    TP_FEATURE_LZ4 = 1,
    TP_FEATURE_ZSTD = 2,
    TP_FEATURES = TP_FEATURE_LZ4 | TP_FEATURE_ZSTD, /* of this build */
};

/* What the codecs need beside their input: made at the first use, kept until the end. */
typedef struct tp_squeezer {
    const troupe_allocator *allocator;
    int level; /* of Zstandard; 0: 1, its fastest */
    void *lz4;
    void *pack, *unpack; /* of Zstandard */
} tp_squeezer;

/* Takes no memory yet. */
void tp_squeezer_init(tp_squeezer *squeezer, const troupe_allocator *allocator, int level);
void tp_squeezer_deinit(tp_squeezer *squeezer);

/* Into `room` bytes at `out`; returns their number, or 0: it did not become smaller than `room`, or
 * there is no memory. To be kept when smaller: give it less room than the input has. */
size_t tp_squeeze(
    tp_squeezer *squeezer, tp_codec codec, troupe_slice bytes, void *out, size_t room);

/* Exactly `size` bytes to `out`. CORRUPT: they are not that, or the codec is none that there is;
 * NO_MEMORY. */
TROUPE_CHECK troupe_status tp_unsqueeze(
    tp_squeezer *squeezer, tp_codec codec, troupe_slice bytes, void *out, size_t size);

#endif
