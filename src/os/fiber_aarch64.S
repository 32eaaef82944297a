/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch between fibers for aarch64, AAPCS64. Only src/os/fiber.c calls it, and the inline
 * function in fiber.h.
 *
 * Invariants
 * 1. A parked stack ends in a struct tp_fiber_frame (fiber_frame.h): x29 and x30, x19 to x28,
 *    d8 to d15.
 * 2. Both stacks have that frame when the stack pointer changes, so one description of it holds
 *    for unwinders at every instruction.
 * 3. fpcr (rounding, traps) is the thread's and does not travel: a park holds nothing of it.
 *
 * Threads: touches nothing but its two arguments' first words and the two stacks.
 */
#if defined(__aarch64__) && !defined(TP_FIBER_GENERIC)
    .text

/* void tp_fiber_swap(tp_fiber *from, tp_fiber *to) */
    .globl tp_fiber_swap
    .hidden tp_fiber_swap
    .type tp_fiber_swap, %function
    .p2align 5
tp_fiber_swap:
    .cfi_startproc
    hint #34                        /* bti c */
    stp x29, x30, [sp, #-160]!
    .cfi_adjust_cfa_offset 160
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    stp x19, x20, [sp, #16]
    .cfi_rel_offset x19, 16
    .cfi_rel_offset x20, 24
    stp x21, x22, [sp, #32]
    .cfi_rel_offset x21, 32
    .cfi_rel_offset x22, 40
    stp x23, x24, [sp, #48]
    .cfi_rel_offset x23, 48
    .cfi_rel_offset x24, 56
    stp x25, x26, [sp, #64]
    .cfi_rel_offset x25, 64
    .cfi_rel_offset x26, 72
    stp x27, x28, [sp, #80]
    .cfi_rel_offset x27, 80
    .cfi_rel_offset x28, 88
    stp d8, d9, [sp, #96]
    .cfi_rel_offset b8, 96
    .cfi_rel_offset b9, 104
    stp d10, d11, [sp, #112]
    .cfi_rel_offset b10, 112
    .cfi_rel_offset b11, 120
    stp d12, d13, [sp, #128]
    .cfi_rel_offset b12, 128
    .cfi_rel_offset b13, 136
    stp d14, d15, [sp, #144]
    .cfi_rel_offset b14, 144
    .cfi_rel_offset b15, 152

    mov x10, sp
    str x10, [x0]
    ldr x10, [x1]
    mov sp, x10

    ldp d14, d15, [sp, #144]
    ldp d12, d13, [sp, #128]
    ldp d10, d11, [sp, #112]
    ldp d8, d9, [sp, #96]
    ldp x27, x28, [sp, #80]
    ldp x25, x26, [sp, #64]
    ldp x23, x24, [sp, #48]
    ldp x21, x22, [sp, #32]
    ldp x19, x20, [sp, #16]
    ldp x29, x30, [sp], #160
    .cfi_adjust_cfa_offset -160
    .cfi_restore x29
    .cfi_restore x30
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore b8
    .cfi_restore b9
    .cfi_restore b10
    .cfi_restore b11
    .cfi_restore b12
    .cfi_restore b13
    .cfi_restore b14
    .cfi_restore b15
    ret
    .cfi_endproc
    .size tp_fiber_swap, . - tp_fiber_swap

/* The first return of a new fiber: x19 is the function, x20 its argument. Unwinders look a return
 * address up one byte before it, hence the nop. */
    .globl tp_fiber_first
    .hidden tp_fiber_first
    .type tp_fiber_first, %function
    .p2align 4
    .cfi_startproc
    .cfi_undefined x30
    nop
tp_fiber_first:
    hint #36                        /* bti j */
    mov x0, x20
    mov x29, xzr
    mov x30, xzr
    blr x19
    brk #1
    .cfi_endproc
    .size tp_fiber_first, . - tp_fiber_first
#endif

    .section .note.GNU-stack, "", %progbits
