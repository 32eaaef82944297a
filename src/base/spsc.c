/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The making and unmaking of rings; all else is inline in base/spsc.h.
 *
 * Threads: one, before and after both sides run.
 */
#include "base/spsc.h"

#include "base/alloc.h"

#include <string.h>

troupe_status tp_spsc_init(tp_spsc *ring, const troupe_allocator *allocator, uint32_t capacity_pow2)
{
    TP_ASSERT(capacity_pow2 > 0 && capacity_pow2 <= UINT32_C(1) << 30 &&
              (capacity_pow2 & (capacity_pow2 - 1)) == 0);
    void **slots = tp_allocate(allocator, capacity_pow2 * sizeof(void *));
    if (slots == NULL) {
        return TROUPE_NO_MEMORY;
    }
    memset(ring, 0, sizeof(*ring));
    ring->producer_slots = slots;
    ring->producer_mask = capacity_pow2 - 1;
    ring->consumer_slots = slots;
    ring->consumer_mask = capacity_pow2 - 1;
    ring->allocator = allocator;
    return TROUPE_OK;
}

void tp_spsc_deinit(tp_spsc *ring)
{
    if (ring->producer_slots == NULL) {
        return;
    }
    tp_release(ring->allocator, ring->producer_slots,
               ((size_t)ring->producer_mask + 1) * sizeof(void *));
    memset(ring, 0, sizeof(*ring));
}
