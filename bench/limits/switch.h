/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest fiber switch: callee-saved registers to the old stack, stack pointers exchanged. It
 * jumps through a register, because a `ret` to another stack is always mispredicted. No guard
 * pages, no unwind information, no sanitizers. For the raw limits only.
 *
 * Invariants: an entry function never returns. Threads: a fiber stays on the thread that made it.
 */
#ifndef BENCH_SWITCH_H
#define BENCH_SWITCH_H

#include <stdint.h>
#include <string.h>

/* Saves the running fiber's stack pointer in *from and goes on with `to`. */
void limit_switch(void **from, void *to);

#if defined(__x86_64__)
enum { LIMIT_FRAME = 7 };
__asm__(".text\n.p2align 4\n.type limit_switch,@function\nlimit_switch:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\n"
        "popq %rcx\njmp *%rcx\n.size limit_switch,.-limit_switch\n");
#elif defined(__aarch64__)
enum { LIMIT_FRAME = 20 };
__asm__(".text\n.p2align 4\n.type limit_switch,%function\nlimit_switch:\n"
        "sub sp, sp, #160\n"
        "stp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\n"
        "stp x25, x26, [sp, #48]\nstp x27, x28, [sp, #64]\nstp d8, d9, [sp, #80]\n"
        "stp d10, d11, [sp, #96]\nstp d12, d13, [sp, #112]\nstp d14, d15, [sp, #128]\n"
        "stp x29, x30, [sp, #144]\n"
        "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
        "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\n"
        "ldp x25, x26, [sp, #48]\nldp x27, x28, [sp, #64]\nldp d8, d9, [sp, #80]\n"
        "ldp d10, d11, [sp, #96]\nldp d12, d13, [sp, #112]\nldp d14, d15, [sp, #128]\n"
        "ldp x29, x9, [sp, #144]\nadd sp, sp, #160\nbr x9\n.size limit_switch,.-limit_switch\n");
#else
#error "no fiber switch for this processor"
#endif

/* A fiber that begins at `entry` when first switched to. `top` is the end of its stack. */
static inline void *limit_fiber(char *top, void (*entry)(void))
{
#if defined(__x86_64__)
    /* The ABI wants rsp + 8 to be a multiple of 16 at a function's first instruction. */
    uint64_t *frame = (uint64_t *)(void *)(top - 16 - LIMIT_FRAME * 8 + 8);
#else
    uint64_t *frame = (uint64_t *)(void *)(top - LIMIT_FRAME * 8);
#endif
    memset(frame, 0, LIMIT_FRAME * 8);
    frame[LIMIT_FRAME - 1] = (uint64_t)(uintptr_t)entry;
    return frame;
}

#endif
