/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch between fibers by ucontext, for architectures without assembly of ours. Right, but
 * slow: every switch is a system call for the signal mask. Called as the assembly is, from fiber.c
 * and the inline function in fiber.h. Build with TP_FIBER_GENERIC to have it everywhere.
 *
 * Invariants
 * 1. `sp` of a parked fiber points at a struct tp_fiber_frame on its own stack.
 *
 * Threads: touches nothing but its two arguments and the two stacks.
 */
#include "os/fiber.h"
#include "os/fiber_frame.h"

/* A translation unit must declare something where the assembly does the work. */
_Static_assert(offsetof(tp_fiber, sp) == 0, "the switch takes a fiber for its stack pointer");

#ifdef TP_FIBER_UCONTEXT

/* makecontext passes integers only; a pointer travels as two halves. */
static void first(unsigned upper, unsigned lower)
{
    uintptr_t bits = ((uintptr_t)((uint64_t)upper << 32)) | (uintptr_t)lower;
    struct tp_fiber_frame *frame = (struct tp_fiber_frame *)bits;

    frame->start(frame->argument);
    __builtin_trap();
}

void *tp_fiber_prepare(char *high, void (*start)(void *), void *argument)
{
    /* The context needs room below itself that is its stack, so the size is what tells how much;
     * makecontext looks at the upper end only. */
    const size_t room = 4096;
    char *at = (char *)(((uintptr_t)high - sizeof(struct tp_fiber_frame)) & ~(uintptr_t)63);
    struct tp_fiber_frame *frame = (struct tp_fiber_frame *)(void *)at;
    uintptr_t bits = (uintptr_t)frame;

    (void)getcontext(&frame->context);
    frame->start = start;
    frame->argument = argument;
    frame->context.uc_stack.ss_sp = at - room;
    frame->context.uc_stack.ss_size = room;
    frame->context.uc_link = NULL;
    makecontext(&frame->context, (void (*)(void))first, 2, (unsigned)((uint64_t)bits >> 32),
                (unsigned)bits);
    return frame;
}

void tp_fiber_swap(tp_fiber *from, tp_fiber *to)
{
    struct tp_fiber_frame frame;
    struct tp_fiber_frame *next = to->sp;

    from->sp = &frame;
    (void)swapcontext(&frame.context, &next->context);
}

#endif
