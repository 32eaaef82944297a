/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the switch leaves on a parked stack, per architecture: the C side of fiber_x86_64.S,
 * fiber_aarch64.S and fiber_generic.c. Not an interface: src/os/fiber.c includes it, and the
 * generic switch.
 *
 * Invariants
 * 1. The order and size of the fields is the order in which the assembly stores them.
 * 2. tp_fiber_prepare leaves a stack as the switch would: resuming it calls start(argument) with
 *    the alignment of an ordinary call.
 * 3. Stacks grow downwards.
 *
 * Threads: no state.
 */
#ifndef TP_OS_FIBER_FRAME_H
#define TP_OS_FIBER_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && !defined(TP_FIBER_GENERIC)

struct tp_fiber_frame {
    uint64_t r12, r13, r14, r15, rbx, rbp, rip;
};
_Static_assert(sizeof(struct tp_fiber_frame) == 56, "fiber_x86_64.S stores 56 bytes");

void tp_fiber_first(void);

static inline void *tp_fiber_prepare(char *high, void (*start)(void *), void *argument)
{
    struct tp_fiber_frame frame = {
        .r12 = (uintptr_t)argument,
        .rbx = (uintptr_t)start,
        .rip = (uintptr_t)tp_fiber_first,
    };
    char *sp = (char *)((uintptr_t)high & ~(uintptr_t)15) - sizeof frame;
    memcpy(sp, &frame, sizeof frame);
    return sp;
}

static inline void tp_fiber_parked_at(const void *sp, uintptr_t *ret_pc, uintptr_t *ret_chain)
{
    const struct tp_fiber_frame *frame = sp;
    *ret_pc = (uintptr_t)frame->rip;
    *ret_chain = (uintptr_t)frame->rbp;
}

#elif defined(__aarch64__) && !defined(TP_FIBER_GENERIC)

struct tp_fiber_frame {
    uint64_t x29, x30, x19, x20, x21_to_x28[8];
    uint64_t d8_to_d15[8];
};
_Static_assert(sizeof(struct tp_fiber_frame) == 160, "fiber_aarch64.S stores 160 bytes");

void tp_fiber_first(void);

static inline void *tp_fiber_prepare(char *high, void (*start)(void *), void *argument)
{
    struct tp_fiber_frame frame = {
        .x30 = (uintptr_t)tp_fiber_first,
        .x19 = (uintptr_t)start,
        .x20 = (uintptr_t)argument,
    };
    char *sp = (char *)((uintptr_t)high & ~(uintptr_t)15) - sizeof frame;
    memcpy(sp, &frame, sizeof frame);
    return sp;
}

static inline void tp_fiber_parked_at(const void *sp, uintptr_t *ret_pc, uintptr_t *ret_chain)
{
    const struct tp_fiber_frame *frame = sp;
    *ret_pc = (uintptr_t)frame->x30;
    *ret_chain = (uintptr_t)frame->x29;
}

#else

#include <ucontext.h>

#define TP_FIBER_UCONTEXT 1

struct tp_fiber_frame {
    ucontext_t context;
    void (*start)(void *);
    void *argument;
};

void *tp_fiber_prepare(char *high, void (*start)(void *), void *argument);

/* A ucontext's registers have other names on every system: no frames to show. */
static inline void tp_fiber_parked_at(const void *sp, uintptr_t *ret_pc, uintptr_t *ret_chain)
{
    (void)sp;
    *ret_pc = 0;
    *ret_chain = 0;
}

#endif
#endif
