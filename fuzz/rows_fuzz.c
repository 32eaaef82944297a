/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decodes arbitrary bytes as rows of every kind: the first byte names the kind and whether the rest
 * is taken as a whole value or as fields under a right checksum. Seeds: fuzz/corpus/rows. libFuzzer
 * calls it.
 *
 * Invariants: what decodes encodes to the same bytes; what does not has a reason. Threads: one.
 */
#include "store/rows.h"

#include "base/assert.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(uint32_t kind, troupe_slice key, troupe_slice value)
{
    tp_row row;
    const char *reason = NULL;
    if (tp_row_decode(kind, 7, key, value, &row, &reason) != TROUPE_OK) {
        TP_ASSERT(reason != NULL);
        return;
    }
    TP_ASSERT(tp_row_size(&row, key) == value.size);
    void *again = malloc(value.size);
    TP_ASSERT(again != NULL);
    tp_row_encode(&row, 7, key, again);
    TP_ASSERT(memcmp(again, value.data, value.size) == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint32_t kind = data[0] & 7;
    troupe_slice key = troupe_str("twelve bytes");
    tp_row_number number;
    TP_ASSERT(tp_row_number_of(key, &number) == TROUPE_OK);
    if (data[0] & 8) {
        check(kind, key, troupe_slice_of(data + 1, size - 1));
        return 0;
    }
    size_t room = TP_ROW_HEADER_BYTES + size - 1;
    unsigned char *value = malloc(room);
    TP_ASSERT(value != NULL);
    memcpy(value + TP_ROW_HEADER_BYTES, data + 1, size - 1);
    tp_row_seal(kind, 7, key, value, room);
    check(kind, key, troupe_slice_of(value, room));
    free(value);
    return 0;
}
