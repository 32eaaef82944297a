/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fibers: stacks that can park, and the switch between them. Not a scheduler: which fiber runs
 * next, and what a parked one waits for, is the shard's business. Called by src/shard.
 *
 * A fiber's bookkeeping lives at the upper end of its own mapping, so that the switch finds it and
 * the frames that it resumes on the same page. Below the stack lies a guard page: an overflow is
 * a SIGSEGV there and never a write into a neighbour.
 *
 * Invariants
 * 1. At most `limit` fibers of a pool are alive (taken and not yet given); the adopted one does
 *    not count.
 * 2. `sp` is meaningful while a fiber is parked only; it points at the frame that the switch left.
 * 3. An entry never returns: it switches away for good, and somebody else gives its fiber back.
 * 4. What was on a given stack is abandoned: no destructor runs, no word of it may be used again.
 *
 * Threads
 * A pool and its fibers belong to one thread. A host that polls from another thread hands the
 * whole pool over between two polls and calls tp_fiber_adopt there first; a thread's own stack is
 * resumed on that thread only.
 */
#ifndef TP_OS_FIBER_H
#define TP_OS_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <troupe.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TP_FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define TP_FIBER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(TP_FIBER_ASAN)
#define TP_FIBER_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(TP_FIBER_TSAN)
#define TP_FIBER_TSAN 1
#endif

/* 0 as a pool's stack size. Untouched pages cost address space only. Red zones make frames of
 * sanitized builds several times larger. */
#ifdef TP_FIBER_ASAN
#define TP_FIBER_STACK_DEFAULT ((size_t)256 * 1024)
#define TP_FIBER_STACK_MIN     ((size_t)256 * 1024)
#else
#define TP_FIBER_STACK_DEFAULT ((size_t)64 * 1024)
#define TP_FIBER_STACK_MIN     ((size_t)16 * 1024)
#endif
#define TP_FIBER_STACK_MAX ((size_t)1 << 30)

typedef void tp_fiber_entry(void *argument); /* never returns: it must switch away for good */

typedef struct tp_fiber tp_fiber;
typedef struct tp_fiber_pool tp_fiber_pool;

struct tp_fiber {
    /* What a switch and a take touch. The assembly knows that `sp` comes first. */
    void *sp;
    void *user;
    tp_fiber_entry *entry;
    void *argument;
    tp_fiber *next_idle;
    char *low;  /* lowest usable byte; NULL for an adopted thread, whose bounds nobody needs */
    char *high; /* one past the highest usable byte */
    tp_fiber_pool *pool;

    /* What mapping, unmapping and the checkers touch. */
    tp_fiber *next_mapped;
    tp_fiber *previous_mapped;
    char *mapping; /* begins with the guard */
    size_t mapping_size;
    void *fake_stack;        /* AddressSanitizer's, while parked */
    const void *checked_low; /* bounds as AddressSanitizer wants them */
    size_t checked_size;
    tp_fiber *came_from; /* who switched here last (AddressSanitizer) */
    void *tsan;          /* ThreadSanitizer's fiber */
    unsigned valgrind_id;
    bool alive;
};

struct tp_fiber_pool {
    size_t stack_size;
    size_t page_size;
    uint32_t limit;
    uint32_t keep;
    uint32_t alive;
    uint32_t warm_count;
    uint32_t cold_count;
    uint32_t colour;      /* of the next stack: tops at one page offset would share cache sets */
    bool guard_by_advice; /* the kernel guards without a mapping of its own (Linux 6.13) */
    tp_fiber *warm;       /* idle, pages kept */
    tp_fiber *cold;       /* idle, all pages but the one of the bookkeeping returned */
    tp_fiber *mapped;     /* every stack there is: alive, warm or cold */
    tp_fiber thread;      /* the adopted one */
};

/*
 * [owning thread] Prepares an empty pool. `stack_size` (0: TP_FIBER_STACK_DEFAULT) is rounded up to
 * pages and includes up to 2 KiB of bookkeeping and spread. `keep` idle stacks stay warm; as many
 * again stay mapped without their memory; what is beyond goes back to the system.
 * TROUPE_USAGE for a size above TP_FIBER_STACK_MAX or a limit of 0.
 * Stacks with their bookkeeping come from the system; `allocator` is not asked for anything.
 *
 * On kernels before 6.13 a stack is two mappings: keep the sum of all limits of a process under a
 * third of vm.max_map_count, since the rest of the process needs mappings, too.
 */
troupe_status tp_fiber_pool_init(tp_fiber_pool *pool, const troupe_allocator *allocator,
    size_t stack_size, uint32_t limit, uint32_t keep);

/* How many stacks all pools of a process together may have, by that rule; 0: any number. */
uint32_t tp_fiber_stacks(void);

/* [owning thread] Abandons the fibers that are still alive and unmaps all stacks. Called on the
 * thread's own stack, never on a fiber of this pool. A zeroed pool is fine. */
void tp_fiber_pool_deinit(tp_fiber_pool *pool);

/*
 * [owning thread] A parked fiber that will call entry(argument) at the first switch to it; its user
 * pointer is NULL. `stack_size` 0: the pool's; another size is mapped now and unmapped by the
 * give. NULL at the limit, out of memory or mappings, or above TP_FIBER_STACK_MAX: answer BUSY.
 */
tp_fiber *tp_fiber_take(
    tp_fiber_pool *pool, size_t stack_size, tp_fiber_entry *entry, void *argument);

/* [owning thread] Ends a fiber that is not running, whatever it was doing. NULL is fine. */
void tp_fiber_give(tp_fiber_pool *pool, tp_fiber *fiber);

/* [owning thread] The stack that this is called on as a fiber; not to be given. Call it again when
 * the pool moved to another thread: the answer is the same fiber, its user pointer kept. Cheap. */
tp_fiber *tp_fiber_adopt(tp_fiber_pool *pool);

/* The assembly: parks the running stack in *from, goes on where *to was parked. */
void tp_fiber_swap(tp_fiber *from, tp_fiber *to);

/* The same, announced to the sanitizers. */
void tp_fiber_swap_checked(tp_fiber *from, tp_fiber *to);

#if defined(__x86_64__) && !defined(TP_FIBER_GENERIC)
/* tp_fiber_swap without the call, and with the same frame (fiber_frame.h). A call that is left by a
 * jump stays on the processor's stack of return addresses, and all returns after it are predicted
 * wrongly, on both sides. Here nothing is called, so those returns fit again.
 *
 * The first move leaves the red zone alone. Unwinders find the frame by rbp, as the whole library
 * keeps its frame pointers. What a called function need not keep is named as changed. */
static inline void tp_fiber_swap_here(tp_fiber *from, tp_fiber *to)
{
    __asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "pushq %%rbp\n\t"
                     "pushq %%rbx\n\t"
                     "pushq %%r15\n\t"
                     "pushq %%r14\n\t"
                     "pushq %%r13\n\t"
                     "pushq %%r12\n\t"
                     "movq %%rsp, (%%rdi)\n\t"
                     "movq (%%rsi), %%rsp\n\t"
                     "popq %%r12\n\t"
                     "popq %%r13\n\t"
                     "popq %%r14\n\t"
                     "popq %%r15\n\t"
                     "popq %%rbx\n\t"
                     "popq %%rbp\n\t"
                     "popq %%rcx\n\t"
                     "notrack jmp *%%rcx\n"
                     "1:\tleaq 128(%%rsp), %%rsp"
                     : "+D"(from), "+S"(to)
                     :
                     : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2",
                     "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                     "xmm12", "xmm13", "xmm14", "xmm15",
#ifdef __AVX512F__
                     "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23",
                     "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k0",
                     "k1", "k2", "k3", "k4", "k5", "k6", "k7",
#endif
                     "memory", "cc");
}
#endif

/* [owning thread] Parks `from`, which must be the running fiber, and resumes `to`, which must not
 * be. Returns when somebody switches to `from` again. */
static inline void tp_fiber_switch(tp_fiber *from, tp_fiber *to)
{
#if defined(TP_FIBER_ASAN) || defined(TP_FIBER_TSAN)
    tp_fiber_swap_checked(from, to);
#elif defined(__x86_64__) && !defined(TP_FIBER_GENERIC)
    tp_fiber_swap_here(from, to);
#else
    tp_fiber_swap(from, to);
#endif
}

static inline void *tp_fiber_user(const tp_fiber *fiber)
{
    return fiber->user;
}

static inline void tp_fiber_set_user(tp_fiber *fiber, void *user)
{
    fiber->user = user;
}

static inline uint32_t tp_fiber_pool_alive(const tp_fiber_pool *pool)
{
    return pool->alive;
}

/* [owning thread] Calls back for every fiber alive, in no order; the callback must not take or
 * give. For `troupe ps`. */
typedef void tp_fiber_callback(tp_fiber *fiber, void *user);
void tp_fiber_pool_each(tp_fiber_pool *pool, tp_fiber_callback *callback, void *user);

/* Bytes that a parked fiber's frames occupy now; 0 for the adopted one. */
size_t tp_fiber_used(const tp_fiber *parked);

/* The most bytes that were ever in use on this stack since its pages were fresh. Found by looking
 * for the lowest word that is not zero, so it reads the whole stack: for reports, not for turns. */
size_t tp_fiber_peak(const tp_fiber *fiber);

/*
 * Return addresses of a parked fiber, innermost first, by its chain of frame pointers (build with
 * -fno-omit-frame-pointer); the count, at most `max`. It reads inside the fiber's stack only, so
 * a broken chain ends the walk and never faults. One frame at most for the adopted one; none
 * where the switch is not our assembly.
 */
int tp_fiber_backtrace(const tp_fiber *parked, void **ret_frames, int max);

#endif
