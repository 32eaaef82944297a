/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fibers promise: a parked stack goes on where it was, limits answer NULL, an overflow dies in
 * the guard, memory of idle stacks goes back. Run it under both sanitizers and Valgrind, too.
 *
 * Invariants: every pool is left with no fiber alive, except where abandoning is the test.
 * Threads: one, but for the test that hands a pool over.
 */
#include "os/fiber.h"

#include <fenv.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/fiber_check.h"
#include "os/fiber_frame.h"

#define KEEP_CALL __attribute__((noinline))

/* One fiber and the thread that drives it. */
struct scene {
    tp_fiber_pool pool;
    tp_fiber *thread;
    tp_fiber *fiber;
    long count;
    size_t amount;
};

static void scene_open(struct scene *scene, size_t stack_size, uint32_t limit, uint32_t keep)
{
    memset(scene, 0, sizeof *scene);
    assert_int_equal(tp_fiber_pool_init(&scene->pool, NULL, stack_size, limit, keep), TROUPE_OK);
    scene->thread = tp_fiber_adopt(&scene->pool);
    assert_non_null(scene->thread);
}

static void scene_close(struct scene *scene)
{
    assert_int_equal(tp_fiber_pool_alive(&scene->pool), 0);
    tp_fiber_pool_deinit(&scene->pool);
}

/* Parks for good when it is done. */
static void leave(struct scene *scene)
{
    for (;;) {
        tp_fiber_switch(scene->fiber, scene->thread);
    }
}

static void count_up(void *argument)
{
    struct scene *scene = argument;
    for (;;) {
        scene->count++;
        tp_fiber_switch(scene->fiber, scene->thread);
    }
}

static void parked_fiber_goes_on_where_it_was(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, 0, 1, 1);
    scene.fiber = tp_fiber_take(&scene.pool, 0, count_up, &scene);
    assert_non_null(scene.fiber);
    assert_int_equal(scene.count, 0);
    for (long i = 1; i <= 100000; i++) {
        tp_fiber_switch(scene.thread, scene.fiber);
        assert_int_equal(scene.count, i);
    }
    tp_fiber_give(&scene.pool, scene.fiber);
    scene_close(&scene);
}

static void given_stack_is_used_again_with_nothing_left_over(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, 0, 2, 2);
    tp_fiber *first = tp_fiber_take(&scene.pool, 0, count_up, &scene);
    tp_fiber_set_user(first, &scene);
    assert_ptr_equal(tp_fiber_user(first), &scene);
    for (int i = 0; i < 1000; i++) {
        scene.fiber = first;
        tp_fiber_switch(scene.thread, first);
        tp_fiber_give(&scene.pool, first);
        tp_fiber *again = tp_fiber_take(&scene.pool, 0, count_up, &scene);
        assert_ptr_equal(again, first);
        assert_null(tp_fiber_user(again));
    }
    assert_int_equal(scene.count, 1000);
    tp_fiber_give(&scene.pool, first);
    scene_close(&scene);
}

static void take_answers_null_at_the_limit_and_serves_again_after_a_give(void **state)
{
    (void)state;
    struct scene scene;
    tp_fiber *fibers[3];
    scene_open(&scene, 0, 3, 1);
    for (int i = 0; i < 3; i++) {
        fibers[i] = tp_fiber_take(&scene.pool, i == 1 ? 1 << 20 : 0, count_up, &scene);
        assert_non_null(fibers[i]);
    }
    assert_int_equal(tp_fiber_pool_alive(&scene.pool), 3);
    assert_null(tp_fiber_take(&scene.pool, 0, count_up, &scene));
    tp_fiber_give(&scene.pool, fibers[1]);
    fibers[1] = tp_fiber_take(&scene.pool, 0, count_up, &scene);
    assert_non_null(fibers[1]);
    assert_null(tp_fiber_take(&scene.pool, 0, count_up, &scene));
    for (int i = 0; i < 3; i++) {
        tp_fiber_give(&scene.pool, fibers[i]);
    }
    tp_fiber_give(&scene.pool, NULL);
    scene_close(&scene);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    tp_fiber_pool pool;
    memset(&pool, 0, sizeof pool);
    assert_int_equal(tp_fiber_pool_init(&pool, NULL, TP_FIBER_STACK_MAX + 1, 1, 1), TROUPE_USAGE);
    assert_int_equal(tp_fiber_pool_init(&pool, NULL, 0, 0, 1), TROUPE_USAGE);
    tp_fiber_pool_deinit(&pool);
    assert_int_equal(tp_fiber_pool_init(&pool, NULL, 1, 1, 1), TROUPE_OK);
    assert_null(tp_fiber_take(&pool, TP_FIBER_STACK_MAX + 1, count_up, NULL));
    assert_null(tp_fiber_take(&pool, SIZE_MAX, count_up, NULL));
    tp_fiber_pool_deinit(&pool);
}

/* Writes `depth` frames of a known size and reads them back on the way up. */
KEEP_CALL static unsigned long descend(struct scene *scene, unsigned long depth)
{
    /* Not of a constant size: compilers shrink such frames, AddressSanitizer moves them away. */
    const size_t size = 1024 + depth % 2 * 16;
    volatile unsigned char *frame = __builtin_alloca(size);
    frame[0] = (unsigned char)depth;
    frame[size - 1] = (unsigned char)~depth;
    if (depth == 0) {
        tp_fiber_switch(scene->fiber, scene->thread);
        return 1;
    }
    unsigned long below = descend(scene, depth - 1);
    if (frame[0] != (unsigned char)depth || frame[size - 1] != (unsigned char)~depth) {
        return 0;
    }
    return below == 0 ? 0 : below + 1;
}

static void descend_entry(void *argument)
{
    struct scene *scene = argument;
    scene->count = (long)descend(scene, scene->amount);
    leave(scene);
}

static void deep_recursion_fits_a_stack_of_its_own_size(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, 0, 2, 1);
    scene.amount = 3000; /* some 3 MiB of frames, far above the pool's size */
    scene.fiber = tp_fiber_take(&scene.pool, (size_t)16 << 20, descend_entry, &scene);
    assert_non_null(scene.fiber);
    tp_fiber_switch(scene.thread, scene.fiber);
    assert_int_equal(scene.count, 0);
    assert_in_range(tp_fiber_used(scene.fiber), 3000 * 1024, 16 << 20);
    tp_fiber_switch(scene.thread, scene.fiber);
    assert_int_equal(scene.count, 3001);
    assert_in_range(tp_fiber_used(scene.fiber), 1, 16 * 1024);
    assert_in_range(tp_fiber_peak(scene.fiber), 3000 * 1024, 16 << 20);
    tp_fiber_give(&scene.pool, scene.fiber);
    scene_close(&scene);
}

static struct {
    const char *low;
    size_t page;
} guarded; /* the child's handler has no other way to know */

static void on_overflow(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    const char *at = info->si_addr;
    _exit(at >= guarded.low - guarded.page && at < guarded.low ? 42 : 43);
}

KEEP_CALL static int overflow(volatile char *upper, unsigned depth)
{
    volatile char frame[512];
    frame[0] = upper[0];
    frame[511] = 1;
    return depth == 0 ? 0 : overflow(frame, depth - 1) + frame[511];
}

static void overflow_entry(void *argument)
{
    volatile char seed = 0;
    struct scene *scene = argument;
    scene->count = overflow(&seed, 1000000);
    leave(scene);
}

static void overflow_in_child(bool by_advice)
{
    static char handler_stack[64 * 1024];
    stack_t stack = { .ss_sp = handler_stack, .ss_size = sizeof handler_stack };
    struct sigaction action = { .sa_sigaction = on_overflow, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    struct rlimit no_core = { 0, 0 };
    struct scene scene;

    scene_open(&scene, 0, 3, 1);
    if (!by_advice) {
        scene.pool.guard_by_advice = false;
    }
    /* Between two others, so that a missing guard would hit a neighbour instead. */
    tp_fiber *neighbour = tp_fiber_take(&scene.pool, 0, count_up, &scene);
    scene.fiber = tp_fiber_take(&scene.pool, 0, overflow_entry, &scene);
    if (neighbour == NULL || scene.fiber == NULL ||
        tp_fiber_take(&scene.pool, 0, count_up, &scene) == NULL) {
        _exit(1);
    }
    guarded.low = scene.fiber->low;
    guarded.page = scene.pool.page_size;
    setrlimit(RLIMIT_CORE, &no_core);
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    tp_fiber_switch(scene.thread, scene.fiber);
    _exit(44);
}

static void overflow_dies_in_the_guard(void **state)
{
    (void)state;
    for (int by_advice = 0; by_advice < 2; by_advice++) {
        int status = 0;
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            overflow_in_child(by_advice != 0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 42);
    }
}

static void round_upward(void *argument)
{
    struct scene *scene = argument;
    scene->count = fegetround();
    (void)fesetround(FE_UPWARD);
    tp_fiber_switch(scene->fiber, scene->thread);
    scene->count = fegetround();
    leave(scene);
}

static void rounding_mode_is_the_threads_and_does_not_travel(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, 0, 1, 1);
    scene.fiber = tp_fiber_take(&scene.pool, 0, round_upward, &scene);
    tp_fiber_switch(scene.thread, scene.fiber);
    assert_int_equal(scene.count, FE_TONEAREST);
    assert_int_equal(fegetround(), FE_UPWARD);
    assert_int_equal(fesetround(FE_DOWNWARD), 0);
    tp_fiber_switch(scene.thread, scene.fiber);
    assert_int_equal(scene.count, FE_DOWNWARD);
    assert_int_equal(fesetround(FE_TONEAREST), 0);
    tp_fiber_give(&scene.pool, scene.fiber);
    scene_close(&scene);
}

/* More values alive over the switch than there are registers for them. */
static void juggle(void *argument)
{
    struct scene *scene = argument;
    unsigned long a = 1, b = 2, c = 3, d = 5, e = 7, f = 11, g = 13, h = 17;
    double x = 0.5, y = 0.25;
    for (int i = 0; i < 1000; i++) {
        a += b; b ^= c; c += d; d ^= e; e += f; f ^= g; g += h; h ^= a;
        x = x * 0.5 + (double)(a & 1);
        y = y * 0.5 + x;
        tp_fiber_switch(scene->fiber, scene->thread);
    }
    scene->count = (long)(a ^ b ^ c ^ d ^ e ^ f ^ g ^ h) ^ (long)(x * 1e9) ^ (long)(y * 1e9);
    leave(scene);
}

static long juggle_alone(void)
{
    unsigned long a = 1, b = 2, c = 3, d = 5, e = 7, f = 11, g = 13, h = 17;
    double x = 0.5, y = 0.25;
    for (int i = 0; i < 1000; i++) {
        a += b; b ^= c; c += d; d ^= e; e += f; f ^= g; g += h; h ^= a;
        x = x * 0.5 + (double)(a & 1);
        y = y * 0.5 + x;
    }
    return (long)(a ^ b ^ c ^ d ^ e ^ f ^ g ^ h) ^ (long)(x * 1e9) ^ (long)(y * 1e9);
}

static void registers_survive_the_switch(void **state)
{
    (void)state;
    struct scene scenes[2];
    for (int i = 0; i < 2; i++) {
        scene_open(&scenes[i], 0, 1, 1);
        scenes[i].fiber = tp_fiber_take(&scenes[i].pool, 0, juggle, &scenes[i]);
    }
    for (int i = 0; i <= 1000; i++) {
        tp_fiber_switch(scenes[0].thread, scenes[0].fiber);
        tp_fiber_switch(scenes[1].thread, scenes[1].fiber);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(scenes[i].count, juggle_alone());
        tp_fiber_give(&scenes[i].pool, scenes[i].fiber);
        scene_close(&scenes[i]);
    }
}

/* Its own address marks it in a backtrace; the frame must not be a tail call's. */
KEEP_CALL static void park_here(struct scene *scene)
{
    tp_fiber_switch(scene->fiber, scene->thread);
    scene->count++;
}

KEEP_CALL static void park_below(struct scene *scene)
{
    park_here(scene);
    scene->count++;
}

static void park_entry(void *argument)
{
    struct scene *scene = argument;
    void *frames[16];
    scene->amount = (size_t)tp_fiber_backtrace(scene->thread, frames, 16);
    park_below(scene);
    leave(scene);
}

#ifndef TP_FIBER_UCONTEXT
/* Functions here are far shorter than this even with red zones. */
static bool within(const void *frame, void (*function)(struct scene *))
{
    uintptr_t at = (uintptr_t)frame;
    uintptr_t start = (uintptr_t)function;
    return at > start && at - start < 512;
}

static void backtrace_of_a_parked_fiber_names_its_callers(void **state)
{
    (void)state;
    struct scene scene;
    void *frames[16];
    int here = -1, below = -1;
    scene_open(&scene, 0, 1, 1);
    scene.fiber = tp_fiber_take(&scene.pool, 0, park_entry, &scene);
    assert_in_range(tp_fiber_backtrace(scene.fiber, frames, 16), 0, 1);
    tp_fiber_switch(scene.thread, scene.fiber);
    int count = tp_fiber_backtrace(scene.fiber, frames, 16);
    assert_in_range(count, 3, 15);
    for (int i = count - 1; i >= 0; i--) {
        here = within(frames[i], park_here) ? i : here;
        below = within(frames[i], park_below) ? i : below;
    }
    assert_true(here >= 0);
    assert_int_equal(below, here + 1);
    assert_int_equal(tp_fiber_backtrace(scene.fiber, frames, 2), 2);
    assert_int_equal(tp_fiber_backtrace(scene.fiber, frames, 0), 0);
    assert_int_equal(scene.amount, 1); /* the thread, parked meanwhile: its bounds are unknown */
    tp_fiber_give(&scene.pool, scene.fiber);
    scene_close(&scene);
}
#endif

/* Every word above the stack pointer becomes a link: to itself, up, down, or to nowhere. */
FIBER_UNCHECKED static void spoil(tp_fiber *fiber, size_t how)
{
    volatile uintptr_t *word = fiber->sp;
    size_t words = (size_t)((volatile uintptr_t *)(void *)fiber->high - word);
    for (size_t at = 0; at < words; at++) {
        word[at] = how == 0 ? UINTPTR_MAX : (uintptr_t)(word + (at * how) % words);
    }
}

static void backtrace_of_a_spoilt_stack_ends_without_a_fault(void **state)
{
    (void)state;
    void *frames[64];
    struct scene scene;
    scene_open(&scene, 0, 1, 1);
    for (size_t i = 0; i < 256; i++) {
        scene.fiber = tp_fiber_take(&scene.pool, 0, park_entry, &scene);
        tp_fiber_switch(scene.thread, scene.fiber);
        spoil(scene.fiber, i);
        assert_in_range(tp_fiber_backtrace(scene.fiber, frames, 64), 0, 64);
        tp_fiber_give(&scene.pool, scene.fiber);
    }
    scene_close(&scene);
}

struct crowd {
    struct scene scene;
    tp_fiber **fibers;
    size_t current;
};

static void crowd_entry(void *argument)
{
    struct crowd *crowd = argument;
    size_t self = crowd->current;
    for (;;) {
        volatile size_t remembered = self;
        tp_fiber_switch(crowd->fibers[self], crowd->scene.thread);
        crowd->scene.count += remembered == crowd->current;
    }
}

static void count_fiber(tp_fiber *fiber, void *user)
{
    (void)fiber;
    ++*(size_t *)user;
}

#define CROWD 10000

static void ten_thousand_fibers_park_at_once(void **state)
{
    (void)state;
    struct crowd crowd = { .current = 0 };
    size_t seen = 0;
    crowd.fibers = calloc(CROWD, sizeof *crowd.fibers);
    assert_non_null(crowd.fibers);
    scene_open(&crowd.scene, 0, CROWD, 100);
    for (int pass = 0; pass < 3; pass++) {
        for (size_t i = 0; i < CROWD; i++) {
            crowd.current = i;
            if (pass == 0) {
                crowd.fibers[i] = tp_fiber_take(&crowd.scene.pool, 0, crowd_entry, &crowd);
                assert_non_null(crowd.fibers[i]);
            }
            tp_fiber_switch(crowd.scene.thread, crowd.fibers[i]);
        }
    }
    assert_int_equal(crowd.scene.count, 2 * CROWD);
    assert_int_equal(tp_fiber_pool_alive(&crowd.scene.pool), CROWD);
    tp_fiber_pool_each(&crowd.scene.pool, count_fiber, &seen);
    assert_int_equal(seen, CROWD);
    for (size_t i = 0; i < CROWD; i++) {
        tp_fiber_give(&crowd.scene.pool, crowd.fibers[i]);
    }
    seen = 0;
    tp_fiber_pool_each(&crowd.scene.pool, count_fiber, &seen);
    assert_int_equal(seen, 0);
    scene_close(&crowd.scene);
    free(crowd.fibers);
}

static void hop(void *argument)
{
    struct crowd *crowd = argument;
    for (;;) {
        size_t self = crowd->current;
        crowd->scene.count++;
        if (crowd->scene.count == 1000) {
            tp_fiber_switch(crowd->fibers[self], crowd->scene.thread);
        }
        crowd->current = (self + 1) % 3;
        tp_fiber_switch(crowd->fibers[self], crowd->fibers[crowd->current]);
    }
}

static void fibers_switch_to_each_other_without_the_thread(void **state)
{
    (void)state;
    struct crowd crowd = { .current = 0 };
    tp_fiber *fibers[3];
    crowd.fibers = fibers;
    scene_open(&crowd.scene, 0, 3, 3);
    for (size_t i = 0; i < 3; i++) {
        fibers[i] = tp_fiber_take(&crowd.scene.pool, 0, hop, &crowd);
    }
    tp_fiber_switch(crowd.scene.thread, fibers[0]);
    assert_int_equal(crowd.scene.count, 1000);
    for (size_t i = 0; i < 3; i++) {
        tp_fiber_give(&crowd.scene.pool, fibers[i]);
    }
    scene_close(&crowd.scene);
}

static void deinit_abandons_what_is_still_parked(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, 0, 8, 2);
    scene.amount = 10;
    for (int i = 0; i < 8; i++) {
        scene.fiber = tp_fiber_take(&scene.pool, i % 2 == 0 ? 0 : 1 << 20, descend_entry, &scene);
        assert_non_null(scene.fiber);
        tp_fiber_switch(scene.thread, scene.fiber);
    }
    tp_fiber_pool_deinit(&scene.pool);
    tp_fiber_pool_deinit(&scene.pool);
    assert_int_equal(scene.count, 0);
}

static bool page_mapped(const void *address)
{
    uintptr_t page = (uintptr_t)address & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
    unsigned char resident;
    return mincore((void *)page, 1, &resident) == 0;
}

static void idle_stacks_beyond_keep_return_their_memory(void **state)
{
    (void)state;
    struct scene scene;
    tp_fiber *fibers[3];
    const char *lows[3];
    scene_open(&scene, (size_t)1 << 20, 3, 1);
    scene.amount = 200;
    for (int i = 0; i < 3; i++) {
        fibers[i] = tp_fiber_take(&scene.pool, 0, descend_entry, &scene);
        scene.fiber = fibers[i];
        lows[i] = fibers[i]->low;
        tp_fiber_switch(scene.thread, scene.fiber);
        assert_true(tp_fiber_peak(fibers[i]) > 200 * 1024);
    }
    for (int i = 0; i < 3; i++) {
        tp_fiber_give(&scene.pool, fibers[i]);
    }
    assert_true(page_mapped(lows[0]));
    assert_true(tp_fiber_peak(fibers[0]) > 200 * 1024);
    assert_true(page_mapped(lows[1]));
    assert_true(tp_fiber_peak(fibers[1]) < 8 * 1024);
    assert_false(page_mapped(lows[2]));
    assert_ptr_equal(tp_fiber_take(&scene.pool, 0, descend_entry, &scene), fibers[0]);
    scene.fiber = tp_fiber_take(&scene.pool, 0, descend_entry, &scene);
    assert_ptr_equal(scene.fiber, fibers[1]);
    tp_fiber_switch(scene.thread, scene.fiber);
    tp_fiber_switch(scene.thread, scene.fiber);
    assert_int_equal(scene.count, 201);
    tp_fiber_give(&scene.pool, fibers[0]);
    tp_fiber_give(&scene.pool, fibers[1]);
    scene_close(&scene);
}

/* In a child: nothing else there needs mappings after the pool has used them up. */
static void exhaust_in_child(void)
{
    struct scene scene;
    struct rlimit space;
    scene_open(&scene, (size_t)64 << 20, UINT32_MAX, 0);
    if (getrlimit(RLIMIT_AS, &space) != 0) {
        _exit(1);
    }
    space.rlim_cur = (rlim_t)1 << 30;
    if (setrlimit(RLIMIT_AS, &space) != 0) {
        _exit(2);
    }
    uint32_t count = 0;
    tp_fiber *last = NULL;
    for (tp_fiber *fiber = NULL; count < 1000; count++) {
        fiber = tp_fiber_take(&scene.pool, 0, count_up, &scene);
        if (fiber == NULL) {
            break;
        }
        last = fiber;
    }
    if (count == 0 || count > 16 || tp_fiber_pool_alive(&scene.pool) != count) {
        _exit(3);
    }
    tp_fiber_give(&scene.pool, last);
    scene.fiber = tp_fiber_take(&scene.pool, 0, count_up, &scene);
    if (scene.fiber == NULL) {
        _exit(4);
    }
    tp_fiber_switch(scene.thread, scene.fiber);
    tp_fiber_pool_deinit(&scene.pool);
    _exit(scene.count == 1 ? 42 : 5);
}

static void take_answers_null_when_the_system_has_no_memory(void **state)
{
    (void)state;
#if defined(TP_FIBER_ASAN) || defined(TP_FIBER_TSAN)
    /* The sanitizers reserve terabytes: no limit on address space is possible. */
    printf("SKIPPED: no limit on address space under a sanitizer: its end was NOT tested\n");
    skip();
#endif
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        exhaust_in_child();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

static void *poll_elsewhere(void *argument)
{
    struct scene *scene = argument;
    scene->thread = tp_fiber_adopt(&scene->pool);
    for (int i = 0; i < 100; i++) {
        tp_fiber_switch(scene->thread, scene->fiber);
    }
    return NULL;
}

static void parked_fiber_goes_on_under_another_thread_after_adopt(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, 0, 1, 1);
    tp_fiber_set_user(scene.thread, &scene);
    scene.fiber = tp_fiber_take(&scene.pool, 0, count_up, &scene);
    for (int i = 0; i < 10; i++) {
        pthread_t thread;
        tp_fiber_switch(scene.thread, scene.fiber);
        assert_int_equal(pthread_create(&thread, NULL, poll_elsewhere, &scene), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_ptr_equal(tp_fiber_adopt(&scene.pool), scene.thread);
        assert_ptr_equal(tp_fiber_user(scene.thread), &scene);
    }
    assert_int_equal(scene.count, 10 * 101);
    tp_fiber_give(&scene.pool, scene.fiber);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parked_fiber_goes_on_where_it_was),
        cmocka_unit_test(given_stack_is_used_again_with_nothing_left_over),
        cmocka_unit_test(take_answers_null_at_the_limit_and_serves_again_after_a_give),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(deep_recursion_fits_a_stack_of_its_own_size),
        cmocka_unit_test(overflow_dies_in_the_guard),
        cmocka_unit_test(rounding_mode_is_the_threads_and_does_not_travel),
        cmocka_unit_test(registers_survive_the_switch),
#ifndef TP_FIBER_UCONTEXT
        cmocka_unit_test(backtrace_of_a_parked_fiber_names_its_callers),
#endif
        cmocka_unit_test(backtrace_of_a_spoilt_stack_ends_without_a_fault),
        cmocka_unit_test(ten_thousand_fibers_park_at_once),
        cmocka_unit_test(fibers_switch_to_each_other_without_the_thread),
        cmocka_unit_test(deinit_abandons_what_is_still_parked),
        cmocka_unit_test(idle_stacks_beyond_keep_return_their_memory),
        cmocka_unit_test(take_answers_null_when_the_system_has_no_memory),
        cmocka_unit_test(parked_fiber_goes_on_under_another_thread_after_adopt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
