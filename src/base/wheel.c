/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The passing of time on the wheel of base/wheel.h: which slot comes next, and how the timers of a
 * far slot move nearer.
 *
 * Invariants: occupied slots of level n lie after the wheel's tick, within the span of the current
 * slot of level n + 1; so the first occupied slot of the lowest occupied level is the earliest.
 * Threads: one owner.
 */
#include "base/wheel.h"

#include <string.h>

void tp_wheel_init(tp_wheel *wheel, uint64_t now_ns)
{
    memset(wheel, 0, sizeof(*wheel));
    wheel->tick = now_ns >> TP_WHEEL_TICK_BITS;
    for (size_t i = 0; i < TP_WHEEL_LEVELS * TP_WHEEL_SLOTS; i++) {
        tp_list_init(&wheel->slots[i]);
    }
}

/* The earliest occupied slot: its level, its number, the tick it begins at. */
static bool find_earliest(const tp_wheel *wheel, uint32_t *ret_level, uint32_t *ret_slot,
                          uint64_t *ret_tick)
{
    for (uint32_t level = 0; level < TP_WHEEL_LEVELS; level++) {
        if (wheel->occupied[level] != 0) {
            uint32_t slot = (uint32_t)__builtin_ctzll(wheel->occupied[level]);
            uint32_t shift = level * TP_WHEEL_SLOT_BITS;
            uint64_t span = (UINT64_C(1) << (shift + TP_WHEEL_SLOT_BITS)) - 1;
            *ret_level = level;
            *ret_slot = slot;
            *ret_tick = (wheel->tick & ~span) | ((uint64_t)slot << shift);
            return true;
        }
    }
    return false;
}

/* The wheel's tick has reached the span of this slot: its timers move to lower levels, in order. */
static void cascade(tp_wheel *wheel, uint32_t level, uint32_t slot)
{
    tp_list *list = &wheel->slots[level * TP_WHEEL_SLOTS + slot];
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    for (tp_link *link = tp_list_pop_front(list); link != NULL; link = tp_list_pop_front(list)) {
        tp_wheel_place(wheel, TP_CONTAINER(link, tp_timer, link));
    }
}

tp_timer *tp_wheel_expire(tp_wheel *wheel, uint64_t now_ns)
{
    uint64_t now = now_ns >> TP_WHEEL_TICK_BITS;
    if (now < wheel->tick) {
        now = wheel->tick;
    }
    uint32_t level;
    uint32_t slot;
    uint64_t tick;
    while (find_earliest(wheel, &level, &slot, &tick) && tick <= now) {
        wheel->tick = tick;
        if (level > 0) {
            cascade(wheel, level, slot);
            continue;
        }
        tp_link *link = tp_list_front(&wheel->slots[slot]);
        tp_timer *timer = TP_CONTAINER(link, tp_timer, link);
        tp_wheel_cancel(wheel, timer);
        return timer;
    }
    wheel->tick = now;
    return NULL;
}

uint64_t tp_wheel_next(const tp_wheel *wheel)
{
    uint32_t level;
    uint32_t slot;
    uint64_t tick;
    if (!find_earliest(wheel, &level, &slot, &tick) || tick > UINT64_MAX >> TP_WHEEL_TICK_BITS) {
        return UINT64_MAX;
    }
    return tick << TP_WHEEL_TICK_BITS;
}
