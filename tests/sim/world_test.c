/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated world by itself: its clock, its chance, its runners, jobs, events and memory.
 */
#include "testkit/world.h"

#include <troupe.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static jmp_buf *escape_of(void *user)
{
    return user;
}

static void stuck(void *user, const char *what)
{
    assert_non_null(what);
    longjmp(*escape_of(user), 1);
}

static tp_world *make(uint64_t seed, jmp_buf *escape)
{
    tp_world_options options = {
        .seed = seed, .stuck = stuck, .user = escape, .pause_max = 5000000, .pause_chance = 100};
    tp_world *world = tp_world_create(&options);
    assert_non_null(world);
    return world;
}

/* ---- a runner that does some work, then sleeps, then ends ------------------------------------ */

typedef struct worker {
    tp_runner runner;
    tp_env *env;
    tp_world *world;
    uint32_t steps, ends_at;
    uint64_t last, naps;
    bool was_inside;
} worker;

static uint64_t step(tp_runner *runner)
{
    worker *self = (worker *)(void *)runner;
    self->was_inside = self->env->is_runner(self->env);
    uint64_t now = self->env->now(self->env);
    assert_true(now >= self->last);
    self->last = now;
    self->env->trace(self->env, 1, self->steps);
    if (++self->steps >= self->ends_at)
        return TP_STEP_DONE;
    uint64_t nap = self->env->choose(self->env, 3);
    self->naps += nap != 0;
    assert_int_equal(self->env->now(self->env), now); /* it stands still inside a step */
    return nap == 0 ? 0 : now + nap * 1000000;
}

static bool has_arrivals(tp_runner *runner)
{
    (void)runner;
    return false;
}

static void start_worker(worker *self, tp_world *world, uint32_t number)
{
    *self = (worker){.runner = {.step = step, .has_arrivals = has_arrivals, .number = number},
        .env = tp_world_env(world),
        .world = world,
        .ends_at = 50};
    assert_non_null(self->env);
    assert_int_equal(self->env->runner_start(self->env, &self->runner), TROUPE_OK);
}

static uint64_t run_two(uint64_t seed, uint64_t *ret_now)
{
    tp_world *world = make(seed, NULL);
    worker workers[2];
    for (uint32_t i = 0; i < 2; i++)
        start_worker(&workers[i], world, i);
    for (uint32_t i = 0; i < 2; i++) {
        workers[i].env->runner_join(workers[i].env, &workers[i].runner);
        assert_int_equal(workers[i].steps, 50);
        assert_true(workers[i].was_inside);
        assert_false(workers[i].env->is_runner(workers[i].env));
    }
    uint64_t hash = tp_world_hash(world);
    assert_int_equal(tp_world_effects(world), 100);
    *ret_now = tp_world_now(world);
    tp_world_destroy(world);
    return hash;
}

static void the_same_seed_gives_the_same_run(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        uint64_t first, second;
        assert_int_equal(run_two(seed, &first), run_two(seed, &second));
        assert_int_equal(first, second);
    }
}

static void another_seed_gives_another_run(void **state)
{
    (void)state;
    uint64_t now;
    uint64_t one = run_two(1, &now);
    for (uint64_t seed = 2; seed < 20; seed++)
        assert_int_not_equal(one, run_two(seed, &now));
}

static void a_second_run_is_compared_step_by_step(void **state)
{
    (void)state;
    tp_world_record record = {.differs_at = SIZE_MAX};
    for (uint64_t round = 0; round < 2; round++) {
        tp_world_options options = {.seed = 7, .stuck = stuck, .record = &record};
        tp_world *world = tp_world_create(&options);
        record.compares = round == 1;
        for (uint64_t i = 0; i < 100; i++)
            tp_world_trace(world, 1, i == 60 ? round : 5);
        tp_world_destroy(world);
    }
    assert_int_equal(record.differs_at, 60);
    assert_int_equal(record.other.detail, 1);
    tp_world_record_deinit(&record);
}

/* ---- clock
 * ---------------------------------------------------------------------------------------- */

typedef struct note {
    tp_world_event event;
    tp_world *world;
    uint64_t at;
} note;

static void happen(tp_world_event *event)
{
    note *self = (note *)(void *)event;
    self->at = tp_world_now(self->world);
}

static void the_clock_jumps_to_what_is_due_next(void **state)
{
    (void)state;
    tp_world *world = make(3, NULL);
    uint64_t begin = tp_world_now(world);
    note late = {.event = {.happen = happen}, .world = world};
    note soon = late, never = late;
    tp_world_at(world, &late.event, begin + TROUPE_HOURS(5));
    tp_world_at(world, &soon.event, begin + TROUPE_SECONDS(5));
    tp_world_at(world, &never.event, begin + TROUPE_SECONDS(6));
    tp_world_cancel(world, &never.event);
    assert_true(tp_world_step(world));
    assert_int_equal(soon.at, begin + TROUPE_SECONDS(5));
    assert_int_equal(late.at, 0);
    assert_true(tp_world_step(world));
    assert_int_equal(late.at, begin + TROUPE_HOURS(5));
    assert_false(tp_world_step(world));
    assert_int_equal(never.at, 0);
    tp_world_destroy(world);
}

static void a_bounded_step_does_not_pass_its_bound(void **state)
{
    (void)state;
    tp_world *world = make(3, NULL);
    uint64_t begin = tp_world_now(world);
    note late = {.event = {.happen = happen}, .world = world};
    tp_world_at(world, &late.event, begin + TROUPE_SECONDS(9));
    assert_false(tp_world_step_until(world, begin + TROUPE_SECONDS(4)));
    assert_int_equal(tp_world_now(world), begin + TROUPE_SECONDS(4));
    assert_int_equal(late.at, 0);
    tp_world_destroy(world);
}

static void the_pulse_grows_with_the_clock(void **state)
{
    (void)state;
    tp_world *world = make(5, NULL);
    tp_env *env = tp_world_env(world);
    uint32_t before = atomic_load(env->pulse);
    tp_world_advance(world, TROUPE_MILLISECONDS(100));
    assert_int_equal(atomic_load(env->pulse) - before, 10);
    assert_true(env->wall(env) > env->now(env));
    tp_world_destroy(world);
}

/* ---- waiting and jobs
 * ----------------------------------------------------------------------------- */

typedef struct errand {
    tp_job job;
    tp_env *env;
    tp_waiter *waiter;
    int runs, dones;
} errand;

static void run(tp_job *job)
{
    errand *self = (errand *)(void *)job;
    assert_false(self->env->is_runner(self->env));
    self->runs++;
}

static void done(tp_job *job)
{
    errand *self = (errand *)(void *)job;
    self->dones++;
    self->env->signal(self->env, self->waiter);
}

static void a_waiter_is_woken_by_the_job_it_waits_for(void **state)
{
    (void)state;
    tp_world *world = make(11, NULL);
    tp_env *env = tp_world_env(world);
    tp_waiter waiter;
    errand job = {.job = {.run = run, .done = done}, .env = env, .waiter = &waiter};
    assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
    assert_false(env->wait(env, &waiter, env->now(env) + 1000));
    assert_int_equal(env->job_start(env, &job.job), TROUPE_OK);
    assert_int_equal(job.runs, 0); /* at a later moment */
    assert_true(env->wait(env, &waiter, TP_NEVER));
    env->wait_end(env, &waiter);
    assert_int_equal(job.runs, 1);
    assert_int_equal(job.dones, 1);
    tp_world_destroy(world);
}

static void waiting_for_nothing_is_reported(void **state)
{
    (void)state;
    jmp_buf escape;
    tp_world *volatile world = make(11, &escape);
    volatile bool reported = true;
    if (setjmp(escape) == 0) {
        tp_env *env = tp_world_env(world);
        tp_waiter waiter;
        assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
        env->wait(env, &waiter, TP_NEVER);
        reported = false;
    }
    assert_true(reported);
    tp_world_destroy(world);
}

/* ---- memory
 * ----------------------------------------------------------------------------------------- */

static void memory_fails_by_plan_and_is_counted(void **state)
{
    (void)state;
    tp_world *world = make(1, NULL);
    const troupe_allocator *memory = tp_world_allocator(world);
    tp_world_fail_memory(world, 0, 2, 3);
    void *blocks[8];
    for (int i = 0; i < 8; i++) {
        blocks[i] = memory->allocate(memory->context, 100);
        assert_int_equal(blocks[i] == NULL, i >= 2 && i < 5);
    }
    assert_int_equal(tp_world_live_blocks(world), 5);
    assert_int_equal(tp_world_live_bytes(world), 500);
    assert_int_equal(tp_world_failed_allocations(world), 3);
    for (int i = 0; i < 8; i++)
        if (blocks[i] != NULL)
            memory->release(memory->context, blocks[i], 100);
    assert_int_equal(tp_world_live_blocks(world), 0);
    tp_world_destroy(world);
}

static void marks_are_kept_once_each(void **state)
{
    (void)state;
    tp_world *world = make(1, NULL);
    for (int i = 0; i < 3; i++) {
        tp_world_mark(world, "one");
        tp_world_mark(world, "two");
    }
    assert_int_equal(tp_world_mark_count(world), 2);
    assert_string_equal(tp_world_mark_name(world, 1), "two");
    tp_world_destroy(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_run),
        cmocka_unit_test(another_seed_gives_another_run),
        cmocka_unit_test(a_second_run_is_compared_step_by_step),
        cmocka_unit_test(the_clock_jumps_to_what_is_due_next),
        cmocka_unit_test(a_bounded_step_does_not_pass_its_bound),
        cmocka_unit_test(the_pulse_grows_with_the_clock),
        cmocka_unit_test(a_waiter_is_woken_by_the_job_it_waits_for),
        cmocka_unit_test(waiting_for_nothing_is_reported),
        cmocka_unit_test(memory_fails_by_plan_and_is_counted),
        cmocka_unit_test(marks_are_kept_once_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
