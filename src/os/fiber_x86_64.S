/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch between fibers for x86-64, System V ABI. Only src/os/fiber.c calls it, and the inline
 * function in fiber.h. Not for Windows' ABI, which keeps other registers.
 *
 * Invariants
 * 1. A parked stack ends in a struct tp_fiber_frame (fiber_frame.h): r12 to r15, rbx, rbp,
 *    return address.
 * 2. Both stacks have that frame when the stack pointer changes, so one description of it holds
 *    for unwinders at every instruction.
 * 3. The control words of SSE and x87 (rounding, traps) are the thread's and do not travel: saving
 *    them would cost as much again as the rest of the switch. A park holds nothing of the thread.
 *
 * Threads: touches nothing but its two arguments' first words and the two stacks.
 */
#if defined(__x86_64__) && !defined(TP_FIBER_GENERIC)
    .text

/* void tp_fiber_swap(tp_fiber *from, tp_fiber *to) */
    .globl tp_fiber_swap
    .hidden tp_fiber_swap
    .type tp_fiber_swap, @function
    .p2align 5
tp_fiber_swap:
    .cfi_startproc
    endbr64
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    pushq %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    pushq %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    pushq %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0

    movq %rsp, (%rdi)
    movq (%rsi), %rsp

    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    popq %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r13
    popq %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r14
    popq %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r15
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    popq %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    /* Not `ret`: the processor's stack of return addresses is the other fiber's and would always
     * predict wrongly. */
    popq %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    notrack jmp *%rcx
    .cfi_endproc
    .size tp_fiber_swap, . - tp_fiber_swap

/* The first return of a new fiber: rbx is the function, r12 its argument, rsp a multiple of 16.
 * Unwinders look a return address up one byte before it, hence the nop. */
    .globl tp_fiber_first
    .hidden tp_fiber_first
    .type tp_fiber_first, @function
    .p2align 4
    .cfi_startproc
    .cfi_undefined %rip
    nop
tp_fiber_first:
    endbr64
    movq %r12, %rdi
    xorl %ebp, %ebp
    call *%rbx
    ud2
    .cfi_endproc
    .size tp_fiber_first, . - tp_fiber_first
#endif

    .section .note.GNU-stack, "", %progbits
