/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions and the few compiler marks that all of the inside uses. Not for errors that a user or
 * the world can cause: those are statuses.
 *
 * Invariants: TP_ASSERT is always on; TP_DEBUG_ASSERT is for checks too dear for a release.
 * Threads: any.
 */
#ifndef TP_BASE_ASSERT_H
#define TP_BASE_ASSERT_H

#include <stddef.h>

#define TP_LIKELY(cond) __builtin_expect(!!(cond), 1)
#define TP_UNLIKELY(cond) __builtin_expect(!!(cond), 0)

/* Prints and traps: state is broken, and going on would spread it. */
_Noreturn void tp_assert_failed(const char *file, int line, const char *cond);

#define TP_ASSERT(cond)                                                                            \
    do {                                                                                           \
        if (TP_UNLIKELY(!(cond))) {                                                                \
            tp_assert_failed(__FILE__, __LINE__, #cond);                                           \
        }                                                                                          \
    } while (0)

/* In a release the condition is compiled but never run, so its names stay used. */
#ifdef NDEBUG
#define TP_DEBUG_ASSERT(cond) ((void)sizeof((cond) ? 1 : 0))
#else
#define TP_DEBUG_ASSERT(cond) TP_ASSERT(cond)
#endif

/* The struct whose `member` is at `ptr`. */
#define TP_CONTAINER(ptr, type, member)                                                            \
    ((type *)(void *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))

#if defined(__x86_64__) || defined(__i386__)
#define TP_CACHE_LINE 64
#else
#define TP_CACHE_LINE 128
#endif

#endif
