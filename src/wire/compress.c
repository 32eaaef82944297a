/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LZ4 and Zstandard over the allocator that the session was given.
 *
 * Invariants: Zstandard's contexts take their memory through the custom functions of its static
 * interface, which hand back no sizes: a block remembers its own in front of itself.
 */
#define ZSTD_STATIC_LINKING_ONLY
#include "wire/compress.h"

#include "base/alloc.h"

#include <lz4.h>
#include <zstd.h>

enum { SIZE_ROOM = 16 };

static void *take(void *opaque, size_t size)
{
    const tp_squeezer *squeezer = opaque;
    char *block = tp_allocate(squeezer->allocator, size + SIZE_ROOM);
    if (block == NULL)
        return NULL;
    memcpy(block, &size, sizeof size);
    return block + SIZE_ROOM;
}

static void give(void *opaque, void *at)
{
    const tp_squeezer *squeezer = opaque;
    if (at == NULL)
        return;
    char *block = (char *)at - SIZE_ROOM;
    size_t size;
    memcpy(&size, block, sizeof size);
    tp_release(squeezer->allocator, block, size + SIZE_ROOM);
}

static ZSTD_customMem memory_of(tp_squeezer *squeezer)
{
    return (ZSTD_customMem){take, give, squeezer};
}

void tp_squeezer_init(tp_squeezer *squeezer, const troupe_allocator *allocator, int level)
{
    *squeezer = (tp_squeezer){.allocator = allocator, .level = level != 0 ? level : 1};
}

void tp_squeezer_deinit(tp_squeezer *squeezer)
{
    tp_release(squeezer->allocator, squeezer->lz4, (size_t)LZ4_sizeofState());
    ZSTD_freeCCtx(squeezer->pack);
    ZSTD_freeDCtx(squeezer->unpack);
    squeezer->lz4 = squeezer->pack = squeezer->unpack = NULL;
}

static size_t pack_lz4(tp_squeezer *squeezer, troupe_slice bytes, void *out, size_t room)
{
    if (squeezer->lz4 == NULL)
        squeezer->lz4 = tp_allocate(squeezer->allocator, (size_t)LZ4_sizeofState());
    if (squeezer->lz4 == NULL)
        return 0;
    int size =
        LZ4_compress_fast_extState(squeezer->lz4, bytes.data, out, (int)bytes.size, (int)room, 1);
    return size > 0 ? (size_t)size : 0;
}

static size_t pack_zstd(tp_squeezer *squeezer, troupe_slice bytes, void *out, size_t room)
{
    if (squeezer->pack == NULL)
        squeezer->pack = ZSTD_createCCtx_advanced(memory_of(squeezer));
    if (squeezer->pack == NULL)
        return 0;
    size_t size =
        ZSTD_compressCCtx(squeezer->pack, out, room, bytes.data, bytes.size, squeezer->level);
    return ZSTD_isError(size) ? 0 : size;
}

size_t tp_squeeze(tp_squeezer *squeezer, tp_codec codec, troupe_slice bytes, void *out, size_t room)
{
    if (bytes.size == 0 || bytes.size > LZ4_MAX_INPUT_SIZE || room > LZ4_MAX_INPUT_SIZE)
        return 0;
    switch (codec) {
    case TP_CODEC_LZ4:
        return pack_lz4(squeezer, bytes, out, room);
    case TP_CODEC_ZSTD:
        return pack_zstd(squeezer, bytes, out, room);
    default:
        return 0;
    }
}

troupe_status tp_unsqueeze(
    tp_squeezer *squeezer, tp_codec codec, troupe_slice bytes, void *out, size_t size)
{
    if (size > LZ4_MAX_INPUT_SIZE || bytes.size > LZ4_MAX_INPUT_SIZE)
        return TROUPE_CORRUPT;
    if (codec == TP_CODEC_LZ4) {
        int got = LZ4_decompress_safe(bytes.data, out, (int)bytes.size, (int)size);
        return got >= 0 && (size_t)got == size ? TROUPE_OK : TROUPE_CORRUPT;
    }
    if (codec != TP_CODEC_ZSTD)
        return TROUPE_CORRUPT;
    if (squeezer->unpack == NULL)
        squeezer->unpack = ZSTD_createDCtx_advanced(memory_of(squeezer));
    if (squeezer->unpack == NULL)
        return TROUPE_NO_MEMORY;
    size_t got = ZSTD_decompressDCtx(squeezer->unpack, out, size, bytes.data, bytes.size);
    return !ZSTD_isError(got) && got == size ? TROUPE_OK : TROUPE_CORRUPT;
}
