/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads arbitrary bytes as the body of a frame: the first byte names the kind. Seeds:
 * fuzz/corpus/frames. libFuzzer calls it.
 *
 * Invariants: what is read is written as the same bytes; what is not has a reason. Threads: one.
 */
#include "wire/frames.h"

#include "base/assert.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes of a kind, written anew; 0: there is nothing to compare. */
static size_t again(unsigned kind, troupe_slice body, char *out, const char **ret_fault)
{
    tp_parcel parcel;
    tp_wire_reply reply;
    tp_wire_name name;
    tp_wire_settled settled;
    tp_wire_range range;
    tp_wire_load load;
    size_t size = 0;
    switch (kind) {
    case TP_FRAME_REPLY:
        if ((*ret_fault = tp_wire_reply_get(body, &reply)) != NULL)
            return 0;
        tp_wire_reply_put(out, &reply);
        return tp_wire_reply_size(&reply);
    case TP_FRAME_NAME:
        if ((*ret_fault = tp_wire_name_get(body, &name)) != NULL)
            return 0;
        tp_wire_name_put(out, &name);
        return tp_wire_name_size(&name);
    case TP_FRAME_SETTLED:
        if ((*ret_fault = tp_wire_settled_get(body, &settled)) != NULL)
            return 0;
        for (; tp_wire_settled_next(&settled, &range); size += TP_WIRE_RANGE_BYTES)
            tp_wire_range_put(out + size, range);
        return size;
    case TP_FRAME_LOAD:
        if ((*ret_fault = tp_wire_load_get(body, &load)) != NULL)
            return 0;
        tp_wire_load_put(out, &load);
        TP_ASSERT(memcmp(out, body.data, TP_WIRE_LOAD_BYTES) == 0);
        return 0;
    default:
        if ((*ret_fault = tp_parcel_get(body, &parcel)) != NULL)
            return 0;
        tp_parcel_put(out, &parcel);
        return tp_parcel_size(&parcel);
    }
}

static void read_small(unsigned kind, troupe_slice body)
{
    uint64_t number;
    tp_wire_word word;
    if (kind == TP_FRAME_FULL && tp_wire_mark_get(body, &number) == NULL)
        TP_ASSERT(body.size == TP_WIRE_MARK_BYTES);
    if (kind == TP_FRAME_PING && tp_wire_stamp_get(body, &number) == NULL)
        TP_ASSERT(body.size == TP_WIRE_STAMP_BYTES);
    if (kind == TP_FRAME_WORD && tp_wire_word_get(body, &word) == NULL)
        TP_ASSERT(tp_wire_word_size(&word) == body.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    unsigned kind = data[0] % TP_FRAME_KINDS;
    troupe_slice body = troupe_slice_of(data + 1, size - 1);
    char *out = malloc(body.size + TP_WIRE_LOAD_BYTES);
    TP_ASSERT(out != NULL);
    const char *fault = NULL;
    size_t written = again(kind, body, out, &fault);
    TP_ASSERT(fault == NULL || fault[0] != 0);
    if (written != 0)
        TP_ASSERT(written == body.size && memcmp(out, body.data, written) == 0);
    read_small(kind, body);
    free(out);
    return 0;
}
