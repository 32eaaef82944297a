/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the checkers (AddressSanitizer, ThreadSanitizer, Valgrind) must be told about stacks that
 * are not a thread's. Nothing but empty functions where none is built in. For src/os/fiber.c.
 *
 * Invariants
 * 1. Between check_leave and check_arrive no frame of ours lives on AddressSanitizer's fake stack:
 *    the functions around the switch are not instrumented.
 * 2. A fiber of ThreadSanitizer lives from take to give, so that a stack used again inherits
 *    neither the call stack nor the happens-before of what was abandoned on it.
 *
 * Threads: as fiber.h.
 */
#ifndef TP_OS_FIBER_CHECK_H
#define TP_OS_FIBER_CHECK_H

#include "os/fiber.h"

#if defined(__clang__)
#define FIBER_UNCHECKED __attribute__((no_sanitize("address", "thread", "undefined")))
#elif defined(__GNUC__)
#define FIBER_UNCHECKED \
    __attribute__((no_sanitize_address, no_sanitize_thread, no_sanitize_undefined))
#else
#define FIBER_UNCHECKED
#endif

#ifdef TP_FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

static inline void asan_stack_clean(const tp_fiber *fiber)
{
    __asan_unpoison_memory_region(fiber->mapping, fiber->mapping_size);
}

FIBER_UNCHECKED static inline void asan_leave(tp_fiber *from, tp_fiber *to)
{
    to->came_from = from;
    __sanitizer_start_switch_fiber(&from->fake_stack, to->checked_low, to->checked_size);
}

/* A thread's own bounds are what the first switch away from it reports. */
FIBER_UNCHECKED static inline void asan_arrive(tp_fiber *self)
{
    tp_fiber *from = self->came_from;
    __sanitizer_finish_switch_fiber(self->fake_stack, &from->checked_low, &from->checked_size);
    self->fake_stack = NULL;
}

/* The fake stack of a fiber is freed only by leaving it for good, which an abandoned fiber never
 * did. So the checker is made to believe that we go there and leave for good. */
FIBER_UNCHECKED static inline void asan_abandon(tp_fiber *fiber)
{
    if (fiber->fake_stack == NULL) {
        return;
    }
    void *own_fake_stack = NULL;
    const void *own_low = NULL;
    size_t own_size = 0;
    __sanitizer_start_switch_fiber(&own_fake_stack, fiber->checked_low, fiber->checked_size);
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &own_low, &own_size);
    __sanitizer_start_switch_fiber(NULL, own_low, own_size);
    __sanitizer_finish_switch_fiber(own_fake_stack, NULL, NULL);
    fiber->fake_stack = NULL;
}
#else
static inline void asan_stack_clean(const tp_fiber *fiber)
{
    (void)fiber;
}
static inline void asan_leave(tp_fiber *from, tp_fiber *to)
{
    (void)from;
    (void)to;
}
static inline void asan_arrive(tp_fiber *self)
{
    (void)self;
}
static inline void asan_abandon(tp_fiber *fiber)
{
    (void)fiber;
}
#endif

#ifdef TP_FIBER_TSAN
#include <sanitizer/tsan_interface.h>

static inline void tsan_take(tp_fiber *fiber)
{
    fiber->tsan = __tsan_create_fiber(0);
}
static inline void tsan_give(tp_fiber *fiber)
{
    __tsan_destroy_fiber(fiber->tsan);
    fiber->tsan = NULL;
}
static inline void tsan_adopt(tp_fiber *thread)
{
    thread->tsan = __tsan_get_current_fiber();
}
FIBER_UNCHECKED static inline void tsan_leave(tp_fiber *to)
{
    __tsan_switch_to_fiber(to->tsan, 0);
}
#else
static inline void tsan_take(tp_fiber *fiber)
{
    (void)fiber;
}
static inline void tsan_give(tp_fiber *fiber)
{
    (void)fiber;
}
static inline void tsan_adopt(tp_fiber *thread)
{
    (void)thread;
}
static inline void tsan_leave(tp_fiber *to)
{
    (void)to;
}
#endif

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#define TP_FIBER_VALGRIND 1
#endif
#endif

#ifdef TP_FIBER_VALGRIND
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <valgrind/valgrind.h>

static inline void valgrind_map(tp_fiber *fiber)
{
    fiber->valgrind_id = VALGRIND_STACK_REGISTER(fiber->low, fiber->high);
}
static inline void valgrind_unmap(tp_fiber *fiber)
{
    VALGRIND_STACK_DEREGISTER(fiber->valgrind_id);
}
/* Around the deliberate reading of what no live variable holds. */
static inline void valgrind_look_away(void)
{
    VALGRIND_DISABLE_ERROR_REPORTING;
}
static inline void valgrind_look_again(void)
{
    VALGRIND_ENABLE_ERROR_REPORTING;
}
#pragma GCC diagnostic pop
#else
static inline void valgrind_map(tp_fiber *fiber)
{
    (void)fiber;
}
static inline void valgrind_unmap(tp_fiber *fiber)
{
    (void)fiber;
}
static inline void valgrind_look_away(void)
{
}
static inline void valgrind_look_again(void)
{
}
#endif

#endif
