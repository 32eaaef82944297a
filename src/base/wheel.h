/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hierarchical timing wheel (Varghese and Lauck, 1987): setting, cancelling and expiring a timer
 * take constant time. It knows no clock: who calls tells it the time. Not for timers finer than a
 * tick of 2^20 ns, about a millisecond.
 *
 * A timer lies in the level where its due tick and the wheel's tick first differ, counted in groups
 * of 6 bits from the top; the slot is that group of the due tick. When the wheel's tick enters the
 * span of a slot, the slot's timers move to lower levels. As no timer can be set into the lower
 * levels of a span before that moment, each slot stays in order of setting without any sorting.
 *
 * Invariants: 1. A timer never expires early: its tick is rounded up. 2. Timers expire by due tick,
 * then in the order they were set; a timer due in the past counts as due at the wheel's tick. 3. A
 * bit of `occupied` is set exactly when its slot holds a timer. 4. An initialised wheel is not
 * moved.
 * Threads: one owner.
 */
#ifndef TP_BASE_WHEEL_H
#define TP_BASE_WHEEL_H

#include "base/limits.h"
#include "base/list.h"

#include <stdint.h>

#define TP_WHEEL_SLOTS (1u << TP_WHEEL_SLOT_BITS)

/* A zeroed one is not set. */
typedef struct tp_timer {
    tp_link link;
    uint64_t due; /* ns; as it was set, also after it expired */
} tp_timer;

typedef struct tp_wheel {
    uint64_t tick;                      /* all timers due before it have expired */
    uint64_t occupied[TP_WHEEL_LEVELS]; /* a bit per slot */
    tp_list slots[TP_WHEEL_LEVELS * TP_WHEEL_SLOTS];
} tp_wheel;

void tp_wheel_init(tp_wheel *wheel, uint64_t now_ns);

/* One timer that is due at `now_ns`, no longer set, or NULL. Call until NULL. Time that goes back
 * is taken as standing still. */
tp_timer *tp_wheel_expire(tp_wheel *wheel, uint64_t now_ns);

/* A moment at which to call tp_wheel_expire: not later than the first timer can expire, and for a
 * far timer at most TP_WHEEL_LEVELS times too early. UINT64_MAX when no timer is set. */
uint64_t tp_wheel_next(const tp_wheel *wheel);

static inline bool tp_timer_is_set(const tp_timer *timer)
{
    return tp_link_is_linked(&timer->link);
}

/* Puts a timer that is in no slot where its due tick says. */
static inline void tp_wheel_place(tp_wheel *wheel, tp_timer *timer)
{
    const uint64_t part = (UINT64_C(1) << TP_WHEEL_TICK_BITS) - 1;
    uint64_t tick = (timer->due >> TP_WHEEL_TICK_BITS) + ((timer->due & part) != 0);
    if (tick < wheel->tick) {
        tick = wheel->tick;
    }
    uint64_t differing = (tick ^ wheel->tick) | (TP_WHEEL_SLOTS - 1);
    uint32_t level = (63u - (uint32_t)__builtin_clzll(differing)) / TP_WHEEL_SLOT_BITS;
    uint32_t slot = (uint32_t)(tick >> (level * TP_WHEEL_SLOT_BITS)) & (TP_WHEEL_SLOTS - 1);
    tp_list_push_back(&wheel->slots[level * TP_WHEEL_SLOTS + slot], &timer->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

/* Does nothing to a timer that is not set. */
static inline void tp_wheel_cancel(tp_wheel *wheel, tp_timer *timer)
{
    if (!tp_timer_is_set(timer)) {
        return;
    }
    tp_link *next = timer->link.next;
    bool was_alone = next == timer->link.previous;
    tp_list_remove(&timer->link);
    if (was_alone) {
        size_t slot = (size_t)(TP_CONTAINER(next, tp_list, head) - wheel->slots);
        wheel->occupied[slot / TP_WHEEL_SLOTS] &= ~(UINT64_C(1) << (slot % TP_WHEEL_SLOTS));
    }
}

/* Sets it, or sets it anew. */
static inline void tp_wheel_set(tp_wheel *wheel, tp_timer *timer, uint64_t due_ns)
{
    tp_wheel_cancel(wheel, timer);
    timer->due = due_ns;
    tp_wheel_place(wheel, timer);
}

#endif
