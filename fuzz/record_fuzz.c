/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens arbitrary bytes as a stored state, then seals them and opens the record as it is and with
 * one bit changed, which the first bytes choose. Seeds: fuzz/corpus/record. libFuzzer calls it.
 *
 * Invariants: a record opens to what was sealed; a changed one does not open. Threads: one.
 */
#include "store/record.h"

#include "base/assert.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    size_t bit = (size_t)data[0] << 8 | data[1];
    uint64_t seed = data[2];
    troupe_slice input = troupe_slice_of(data + 3, size - 3);
    troupe_slice found;
    const char *reason = NULL;
    if (tp_record_open(input, seed, &found, &reason) == TROUPE_OK)
        TP_ASSERT(found.size == input.size - TP_RECORD_HEADER_BYTES);
    else
        TP_ASSERT(reason != NULL);
    size_t room = tp_record_size(input.size);
    unsigned char *record = malloc(room);
    TP_ASSERT(record != NULL);
    tp_record_seal(record, seed, input);
    TP_ASSERT(tp_record_open(troupe_slice_of(record, room), seed, &found, NULL) == TROUPE_OK);
    TP_ASSERT(troupe_slice_equal(found, input));
    bit %= room * 8;
    record[bit / 8] ^= (unsigned char)(1u << bit % 8);
    TP_ASSERT(tp_record_open(troupe_slice_of(record, room), seed, &found, NULL) == TROUPE_CORRUPT);
    free(record);
    return 0;
}
