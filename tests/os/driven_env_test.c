/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a driven env promises: its descriptor shows that something came from another thread, poll
 * says when to come back, and threads that wait drive it meanwhile. Run it under ThreadSanitizer,
 * too.
 *
 * Invariants: no test sleeps; each waits for an event with a bound that only a defect reaches.
 * Threads: the host is the test's own; others are started by the tests.
 */
#include "os/env.h"

#include <poll.h>

#include "tests/os/env_counter.h"

static bool is_readable(tp_env *env, int patience)
{
    struct pollfd item = {.fd = env->descriptor(env), .events = POLLIN};
    return poll(&item, 1, patience) == 1;
}

static void *send_one(void *argument)
{
    counter_send(argument);
    return NULL;
}

static void descriptor_is_readable_after_a_wake_from_another_thread(void **state)
{
    (void)state;
    tp_env *env = open_env(true);
    counter self;
    counter_init(&self, env, 0);
    assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
    assert_int_equal(env->poll(env, 0), TP_NEVER);
    for (uint64_t i = 1; i <= 200; i++) {
        pthread_t thread;
        assert_false(is_readable(env, 0));
        assert_int_equal(pthread_create(&thread, NULL, send_one, &self), 0);
        assert_true(is_readable(env, 60000));
        while (env->poll(env, 0) == 0) {
        }
        assert_int_equal(self.taken, i);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    counter_end(&self);
    env->destroy(env);
}

static void *send_thousands(void *argument)
{
    counter *to = argument;
    for (unsigned i = 0; i < 20000; i++) {
        counter_send(to);
        if (i % 8 == 0) {
            await_sleep(to);
        }
    }
    return NULL;
}

static void host_that_sleeps_on_the_descriptor_misses_nothing(void **state)
{
    (void)state;
    tp_env *env = open_env(true);
    counter self;
    pthread_t thread;
    counter_init(&self, env, 0);
    assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
    assert_int_equal(pthread_create(&thread, NULL, send_thousands, &self), 0);
    while (self.taken < 20000) {
        if (env->poll(env, 100000) != 0 && self.taken < 20000) {
            assert_true(is_readable(env, 60000));
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    counter_end(&self);
    env->destroy(env);
}

static void poll_says_how_long_nothing_is_due(void **state)
{
    (void)state;
    tp_env *env = open_env(true);
    counter self;
    counter_init(&self, env, 0);
    assert_int_equal(env->poll(env, MILLISECOND), TP_NEVER); /* no runner yet */
    assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
    counter second;
    counter_init(&second, env, 0);
    assert_int_equal(env->runner_start(env, &second.runner), TROUPE_UNAVAILABLE);
    uint64_t due = env->now(env) + 5 * SECOND;
    atomic_store(&self.due, due);
    uint64_t rest = env->poll(env, 0);
    assert_true(rest <= 5 * SECOND && env->now(env) + rest >= due);
    counter_send(&self);
    assert_int_equal(env->poll(env, 0), 0); /* one pass only, and there may be more */
    assert_int_equal(self.taken, 1);
    atomic_store(&self.due, 0);
    uint64_t begin = env->now(env);
    assert_int_equal(env->poll(env, 2 * MILLISECOND), 0);
    assert_true(env->now(env) - begin >= 2 * MILLISECOND);
    atomic_store(&self.due, TP_NEVER);
    counter_end(&self);
    env->destroy(env);
}

/* Each of several threads waits for its own; one of them steps for all, and hands over when it is
 * done. The host polls in between and must not get in their way. */
typedef struct asker {
    counter *runner;
    _Atomic uint32_t *under_way;
    unsigned rounds;
    bool by_deadline;
} asker;

static void *ask_many(void *argument)
{
    asker *self = argument;
    tp_env *env = self->runner->env;
    for (unsigned i = 0; i < self->rounds; i++) {
        tp_waiter waiter;
        assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
        if (self->by_deadline) {
            assert_false(env->wait(env, &waiter, env->now(env) + 200000));
        } else {
            post_job post = {.job = {.run = post_run, .done = post_signal},
                             .to = self->runner,
                             .waiter = &waiter};
            while (env->job_start(env, &post.job) == TROUPE_BUSY) {
                (void)sched_yield();
            }
            assert_true(env->wait(env, &waiter, env->now(env) + 60 * SECOND));
        }
        env->wait_end(env, &waiter);
    }
    atomic_fetch_sub(self->under_way, 1);
    return NULL;
}

static void threads_that_wait_take_turns_at_driving(void **state)
{
    (void)state;
    tp_env *env = open_env(true);
    counter self;
    _Atomic uint32_t under_way = 3;
    pthread_t threads[3];
    asker askers[3];
    counter_init(&self, env, 0);
    assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
    for (size_t i = 0; i < 3; i++) {
        askers[i] = (asker){&self, &under_way, 300, i == 2};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &askers[i]), 0);
    }
    while (atomic_load(&under_way) > 0) {
        (void)env->poll(env, 0);
        (void)sched_yield();
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    counter_end(&self);
    env->destroy(env);
}

/* The host was told that nothing is due; then a step inside wait found something due. */
static void host_is_told_when_a_wait_leaves_something_due(void **state)
{
    (void)state;
    tp_env *env = open_env(true);
    counter self;
    tp_waiter waiter;
    counter_init(&self, env, 0);
    assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
    assert_int_equal(env->poll(env, 0), TP_NEVER);
    assert_false(is_readable(env, 0));
    atomic_store(&self.due, env->now(env) + 3600 * SECOND);
    assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
    assert_false(env->wait(env, &waiter, env->now(env) + MILLISECOND));
    env->wait_end(env, &waiter);
    assert_true(is_readable(env, 0));
    assert_true(env->poll(env, 0) > 3000 * SECOND);
    assert_false(is_readable(env, 0));
    counter_end(&self);
    env->destroy(env);
}

static void job_that_ends_wakes_a_thread_that_waits(void **state)
{
    (void)state;
    tp_env *env = open_env(true);
    counter self;
    counter_init(&self, env, 0);
    assert_int_equal(env->runner_start(env, &self.runner), TROUPE_OK);
    for (uint64_t i = 1; i <= 200; i++) {
        tp_waiter waiter;
        post_job post = {.job = {.run = post_run, .done = post_done}, .to = &self};
        self.target = i;
        self.waiter = &waiter;
        assert_int_equal(env->wait_begin(env, &waiter), TROUPE_OK);
        while (env->job_start(env, &post.job) == TROUPE_BUSY) {
            (void)sched_yield();
        }
        assert_true(env->wait(env, &waiter, env->now(env) + 60 * SECOND));
        env->wait_end(env, &waiter);
        assert_int_equal(self.taken, i);
    }
    counter_end(&self);
    env->destroy(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptor_is_readable_after_a_wake_from_another_thread),
        cmocka_unit_test(host_that_sleeps_on_the_descriptor_misses_nothing),
        cmocka_unit_test(poll_says_how_long_nothing_is_due),
        cmocka_unit_test(threads_that_wait_take_turns_at_driving),
        cmocka_unit_test(host_is_told_when_a_wait_leaves_something_due),
        cmocka_unit_test(job_that_ends_wakes_a_thread_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
