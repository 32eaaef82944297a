/* SPDX-License-Identifier: Apache-2.0 */
/* Copies a slip into a message. See slip.h. */
#include "shard/slip.h"

#include "base/bytes.h"

void tp_slip_copy(const tp_slip *slip, void *out)
{
    tp_slip *copy = out;
    *copy = *slip;
    char *at = (char *)(copy + 1);
    troupe_slice *parts[] = {
        &copy->once, &copy->done, &copy->failed, &copy->context, &copy->baggage};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        tp_bytes_copy(at, parts[i]->data, parts[i]->size);
        parts[i]->data = at;
        at += parts[i]->size;
    }
}
