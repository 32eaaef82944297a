/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The envelope of store/record.h. The checksum covers the header by way of its seed, so that a
 * state is read once and never copied to be checked.
 *
 * Threads: pure.
 */
#include "store/record.h"

#include "base/assert.h"
#include "base/id.h"
#include "store/number.h"

#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

enum { AT_FORMAT = 0, AT_FLAGS = 1, AT_ZERO = 2, AT_SIZE = 4, AT_CHECKSUM = 8 };

uint64_t tp_record_seed(troupe_id id)
{
    struct tp_id_text text;
    size_t size = tp_id_print(text.data, sizeof text.data, id.type, id.partition, id.key);
    TP_ASSERT(size < sizeof text.data);
    return XXH3_64bits(text.data, size);
}

size_t tp_record_size(size_t size)
{
    return size <= UINT32_MAX ? TP_RECORD_HEADER_BYTES + size : 0;
}

static uint64_t checksum(const unsigned char *header, uint64_t seed, troupe_slice bytes)
{
    uint64_t inner = XXH3_64bits_withSeed(header, AT_CHECKSUM, seed);
    return XXH3_64bits_withSeed(bytes.data, bytes.size, inner);
}

void tp_record_seal(void *out, uint64_t seed, troupe_slice bytes)
{
    TP_ASSERT(tp_record_size(bytes.size) != 0);
    unsigned char *header = out;
    header[AT_FORMAT] = TP_RECORD_FORMAT;
    header[AT_FLAGS] = 0;
    tp_number_put(header + AT_ZERO, 0, 2);
    tp_number_put(header + AT_SIZE, bytes.size, 4);
    unsigned char *place = header + TP_RECORD_HEADER_BYTES;
    if (bytes.size > 0 && bytes.data != place)
        memcpy(place, bytes.data, bytes.size);
    tp_number_put(
        header + AT_CHECKSUM, checksum(header, seed, troupe_slice_of(place, bytes.size)), 8);
}

/* NULL: all is well. */
static const char *find_fault(troupe_slice stored, uint64_t seed)
{
    const unsigned char *header = stored.data;
    if (stored.size < TP_RECORD_HEADER_BYTES)
        return "it is shorter than its header: restore it from a snapshot or a backup";
    if (header[AT_FORMAT] > TP_RECORD_FORMAT)
        return "its format is newer than this version of Troupe reads: run the version that wrote "
               "it, or a newer one; if there was none, it is damaged";
    uint64_t size = tp_number_get(header + AT_SIZE, 4);
    if (size != stored.size - TP_RECORD_HEADER_BYTES)
        return "its length is not what its header says: restore it from a snapshot or a backup";
    troupe_slice bytes = troupe_slice_of(header + TP_RECORD_HEADER_BYTES, (size_t)size);
    if (tp_number_get(header + AT_CHECKSUM, 8) != checksum(header, seed, bytes))
        return "its checksum does not fit: it is damaged, or was stored for another actor; restore "
               "it from a snapshot or a backup";
    if (header[AT_FORMAT] != TP_RECORD_FORMAT)
        return "its format has a number that was never given out: who wrote it?";
    if (header[AT_FLAGS] != 0 || tp_number_get(header + AT_ZERO, 2) != 0)
        return "it uses what this version of Troupe does not know: run the version that wrote it, "
               "or a newer one";
    return NULL;
}

troupe_status tp_record_open(
    troupe_slice stored, uint64_t seed, troupe_slice *ret_bytes, const char **ret_reason)
{
    const char *fault = find_fault(stored, seed);
    if (fault != NULL) {
        if (ret_reason != NULL)
            *ret_reason = fault;
        return TROUPE_CORRUPT;
    }
    *ret_bytes = troupe_slice_of(
        (const char *)stored.data + TP_RECORD_HEADER_BYTES, stored.size - TP_RECORD_HEADER_BYTES);
    return TROUPE_OK;
}
