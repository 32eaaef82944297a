/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools of fibers: mapping and recycling of guarded stacks, and what is read off a parked one. The
 * switch itself is assembly (fiber_x86_64.S, fiber_aarch64.S) or fiber_generic.c. Called by
 * src/shard through fiber.h.
 *
 * A mapping, from low to high addresses: guard page, stack, struct tp_fiber, spread.
 *
 * Invariants
 * 1. Every mapped stack is on `mapped`; it is alive, or on `warm`, or on `cold`, or the system
 *    refused to unmap it.
 * 2. Stacks on `warm` and `cold` have the pool's size.
 * 3. warm_count <= keep; cold_count <= keep unless the system refused to unmap.
 *
 * Threads: as fiber.h.
 */
#include "os/fiber.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "os/fiber_check.h"
#include "os/fiber_frame.h"

_Static_assert(offsetof(tp_fiber, sp) == 0, "the assembly finds sp at offset 0");

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#ifndef MAP_STACK
#define MAP_STACK 0
#endif

/* Linux 6.13: a guard that lives in the page tables, so that stacks side by side stay one mapping.
 * Headers of that age are rare. */
#define ADVICE_GUARD_INSTALL 102
#define ADVICE_POPULATE_READ 22

/* Stacks are a whole number of pages apart, so their tops would compete for the same few cache
 * sets; each next one begins a step lower. */
#define COLOURS 8
#define COLOUR_STEP 192

static size_t round_up(size_t size, size_t multiple)
{
    return (size + multiple - 1) / multiple * multiple;
}

#ifdef __linux__
/* The advice counts only if it can be seen to work: emulators answer 0 to any. */
static bool guard_by_advice_works(size_t page_size)
{
    char *page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return false;
    }
    bool works = madvise(page, page_size, ADVICE_GUARD_INSTALL) == 0 &&
                 madvise(page, page_size, ADVICE_POPULATE_READ) != 0;
    (void)munmap(page, page_size);
    return works;
}
#else
static bool guard_by_advice_works(size_t page_size)
{
    (void)page_size;
    return false;
}
#endif

uint32_t tp_fiber_stacks(void)
{
#ifdef __linux__
    unsigned long count = 65530; /* the kernel's default */
    if (guard_by_advice_works((size_t)sysconf(_SC_PAGESIZE)))
        return 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    if (file == NULL)
        return (uint32_t)(count / 3);
    if (fscanf(file, "%lu", &count) != 1 || count > UINT32_MAX || count < 3)
        count = 65530;
    (void)fclose(file);
    return (uint32_t)(count / 3);
#else
    return 0;
#endif
}

troupe_status tp_fiber_pool_init(tp_fiber_pool *pool, const troupe_allocator *allocator,
                                 size_t stack_size, uint32_t limit, uint32_t keep)
{
    (void)allocator;
    if (stack_size > TP_FIBER_STACK_MAX || limit == 0) {
        return TROUPE_USAGE;
    }
    memset(pool, 0, sizeof *pool);
    pool->page_size = (size_t)sysconf(_SC_PAGESIZE);
    pool->stack_size = stack_size == 0 ? TP_FIBER_STACK_DEFAULT : stack_size;
    if (pool->stack_size < TP_FIBER_STACK_MIN) {
        pool->stack_size = TP_FIBER_STACK_MIN;
    }
    pool->stack_size = round_up(pool->stack_size, pool->page_size);
    pool->limit = limit;
    pool->keep = keep;
    pool->guard_by_advice = guard_by_advice_works(pool->page_size);
    return TROUPE_OK;
}

static char *map_guarded(tp_fiber_pool *pool, size_t size)
{
    char *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (mapping == MAP_FAILED) {
        return NULL;
    }
    if (pool->guard_by_advice && madvise(mapping, pool->page_size, ADVICE_GUARD_INSTALL) == 0) {
        return mapping;
    }
    if (mprotect(mapping, pool->page_size, PROT_NONE) == 0) {
        return mapping;
    }
    (void)munmap(mapping, size);
    return NULL;
}

static tp_fiber *stack_map(tp_fiber_pool *pool, size_t stack_size)
{
    size_t size = stack_size + pool->page_size;
    char *mapping = map_guarded(pool, size);
    if (mapping == NULL) {
        return NULL;
    }
    size_t spread = (size_t)(pool->colour++ % COLOURS) * COLOUR_STEP;
    size_t upper = round_up(sizeof(tp_fiber), TP_CACHE_LINE) + spread;
    tp_fiber *fiber = (tp_fiber *)(void *)(mapping + size - upper);

    memset(fiber, 0, sizeof *fiber);
    fiber->pool = pool;
    fiber->mapping = mapping;
    fiber->mapping_size = size;
    fiber->low = mapping + pool->page_size;
    fiber->high = (char *)fiber;
    fiber->checked_low = fiber->low;
    fiber->checked_size = (size_t)(fiber->high - fiber->low);
    fiber->next_mapped = pool->mapped;
    if (pool->mapped != NULL) {
        pool->mapped->previous_mapped = fiber;
    }
    pool->mapped = fiber;
    valgrind_map(fiber);
    return fiber;
}

/* Everything below the page of the bookkeeping goes back to the system. */
static void stack_chill(const tp_fiber_pool *pool, const tp_fiber *fiber)
{
    uintptr_t keep_from = (uintptr_t)fiber->high & ~((uintptr_t)pool->page_size - 1);
    (void)madvise(fiber->low, (size_t)(keep_from - (uintptr_t)fiber->low), MADV_DONTNEED);
}

/* False if the system refuses, which it may: unmapping the middle of a mapping needs another. */
static bool stack_unmap(tp_fiber_pool *pool, tp_fiber *fiber)
{
    tp_fiber *next = fiber->next_mapped;
    tp_fiber *previous = fiber->previous_mapped;
    unsigned valgrind_id = fiber->valgrind_id;
    tp_fiber gone = { .valgrind_id = valgrind_id };

    if (munmap(fiber->mapping, fiber->mapping_size) != 0) {
        return false;
    }
    valgrind_unmap(&gone);
    if (next != NULL) {
        next->previous_mapped = previous;
    }
    if (previous != NULL) {
        previous->next_mapped = next;
    } else {
        pool->mapped = next;
    }
    return true;
}

void tp_fiber_pool_deinit(tp_fiber_pool *pool)
{
    tp_fiber *next = NULL;
    for (tp_fiber *fiber = pool->mapped; fiber != NULL; fiber = next) {
        next = fiber->next_mapped;
        if (fiber->alive) {
            asan_abandon(fiber);
            asan_stack_clean(fiber);
            tsan_give(fiber);
        }
        if (!stack_unmap(pool, fiber)) {
            stack_chill(pool, fiber);
        }
    }
    memset(pool, 0, sizeof *pool);
}

/* Where every fiber begins. */
FIBER_UNCHECKED static void fiber_main(void *argument)
{
    tp_fiber *self = argument;
    asan_arrive(self);
    self->entry(self->argument);
    tp_assert_failed(__FILE__, __LINE__, "a fiber's entry must switch away for good");
}

static tp_fiber *idle_take(tp_fiber_pool *pool)
{
    tp_fiber *fiber = pool->warm;
    if (fiber != NULL) {
        pool->warm = fiber->next_idle;
        pool->warm_count--;
        return fiber;
    }
    fiber = pool->cold;
    if (fiber != NULL) {
        pool->cold = fiber->next_idle;
        pool->cold_count--;
    }
    return fiber;
}

static tp_fiber *stack_take(tp_fiber_pool *pool, size_t stack_size)
{
    size_t size = pool->stack_size;
    if (stack_size != 0) {
        size = stack_size < TP_FIBER_STACK_MIN ? TP_FIBER_STACK_MIN : stack_size;
        size = round_up(size, pool->page_size);
    }
    if (size == pool->stack_size) {
        tp_fiber *idle = idle_take(pool);
        if (idle != NULL) {
            return idle;
        }
    }
    return stack_map(pool, size);
}

tp_fiber *tp_fiber_take(tp_fiber_pool *pool, size_t stack_size, tp_fiber_entry *entry,
                        void *argument)
{
    if (pool->alive >= pool->limit || stack_size > TP_FIBER_STACK_MAX) {
        return NULL;
    }
    tp_fiber *fiber = stack_take(pool, stack_size);
    if (fiber == NULL) {
        return NULL;
    }
    fiber->alive = true;
    fiber->user = NULL;
    fiber->entry = entry;
    fiber->argument = argument;
    fiber->next_idle = NULL;
    fiber->sp = tp_fiber_prepare(fiber->high, fiber_main, fiber);
    tsan_take(fiber);
    pool->alive++;
    return fiber;
}

static void idle_give_cold(tp_fiber_pool *pool, tp_fiber *fiber)
{
    stack_chill(pool, fiber);
    fiber->next_idle = pool->cold;
    pool->cold = fiber;
    pool->cold_count++;
}

/* A stack of another size is of no use to anybody: without its pages it waits for the deinit. */
static void unmap_refused(tp_fiber_pool *pool, tp_fiber *fiber, bool ordinary)
{
    if (ordinary) {
        idle_give_cold(pool, fiber);
    } else {
        stack_chill(pool, fiber);
    }
}

void tp_fiber_give(tp_fiber_pool *pool, tp_fiber *fiber)
{
    if (fiber == NULL) {
        return;
    }
    TP_ASSERT(fiber->alive && fiber->pool == pool && fiber != &pool->thread);
    asan_abandon(fiber);
    asan_stack_clean(fiber);
    tsan_give(fiber);
    fiber->alive = false;
    pool->alive--;

    bool ordinary = fiber->mapping_size == pool->stack_size + pool->page_size;
    if (ordinary && pool->warm_count < pool->keep) {
        fiber->next_idle = pool->warm;
        pool->warm = fiber;
        pool->warm_count++;
    } else if (ordinary && pool->cold_count < pool->keep) {
        idle_give_cold(pool, fiber);
    } else if (!stack_unmap(pool, fiber)) {
        unmap_refused(pool, fiber, ordinary);
    }
}

tp_fiber *tp_fiber_adopt(tp_fiber_pool *pool)
{
    pool->thread.pool = pool;
    tsan_adopt(&pool->thread);
    return &pool->thread;
}

FIBER_UNCHECKED void tp_fiber_swap_checked(tp_fiber *from, tp_fiber *to)
{
    tsan_leave(to);
    asan_leave(from, to);
    tp_fiber_swap(from, to);
    asan_arrive(from);
}

void tp_fiber_pool_each(tp_fiber_pool *pool, tp_fiber_callback *callback, void *user)
{
    for (tp_fiber *fiber = pool->mapped; fiber != NULL; fiber = fiber->next_mapped) {
        if (fiber->alive) {
            callback(fiber, user);
        }
    }
}

size_t tp_fiber_used(const tp_fiber *parked)
{
    if (parked->low == NULL) {
        return 0;
    }
    return (size_t)(parked->high - (const char *)parked->sp);
}

FIBER_UNCHECKED size_t tp_fiber_peak(const tp_fiber *fiber)
{
    if (fiber->low == NULL) {
        return 0;
    }
    const volatile uint64_t *word = (const volatile uint64_t *)(const void *)fiber->low;
    const volatile uint64_t *end = (const volatile uint64_t *)(const void *)fiber->high;
    valgrind_look_away();
    while (word < end && *word == 0) {
        word++;
    }
    valgrind_look_again();
    return (size_t)((const volatile char *)end - (const volatile char *)word);
}

FIBER_UNCHECKED int tp_fiber_backtrace(const tp_fiber *parked, void **ret_frames, int max)
{
    if (parked->sp == NULL || max <= 0) {
        return 0;
    }
    uintptr_t pc = 0;
    uintptr_t chain = 0;
    uintptr_t floor = (uintptr_t)parked->sp;
    uintptr_t ceiling = parked->low == NULL ? 0 : (uintptr_t)parked->high - 2 * sizeof(uintptr_t);
    int count = 0;

    tp_fiber_parked_at(parked->sp, &pc, &chain);
    while (pc != 0 && count < max) {
        ret_frames[count++] = (void *)pc;
        if (chain < floor || chain > ceiling || chain % sizeof(uintptr_t) != 0) {
            break;
        }
        /* The frame pointer points at the caller's, with the return address above it; callers lie
         * further up, so every step raises the floor and the walk ends. */
        const volatile uintptr_t *link = (const volatile uintptr_t *)chain;
        floor = chain + 2 * sizeof(uintptr_t);
        chain = link[0];
        pc = link[1];
    }
    return count;
}
